"""What is registered as a resolution is never longer than the enclave reads, and junk hides no key from who looks."""

from pathlib import Path

from alembic import op

revision = "0005_readable_resolutions"
down_revision = "0004_enclave_logs"


def upgrade() -> None:
    """Bounds what can be registered, and makes the view of the keys anew."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
