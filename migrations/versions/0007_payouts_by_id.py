"""The enclave finds a payout, and who is paid, by an index: however many payouts there are."""

from pathlib import Path

from alembic import op

revision = "0007_payouts_by_id"
down_revision = "0006_kept_trees"


def upgrade() -> None:
    """Makes the view of the payouts anew."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
