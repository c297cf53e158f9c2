"""The enclave sees the logs: which there are, the hashes of their leaves, and the trees kept of them."""

from pathlib import Path

from alembic import op

revision = "0004_enclave_logs"
down_revision = "0003_erased_cards"


def upgrade() -> None:
    """Makes the views, and lets the enclave look at them."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
