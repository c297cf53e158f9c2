"""What banks have said of payees' names, and who paid all the same."""

from pathlib import Path

from alembic import op

revision = "0009_payee_checks"
down_revision = "0008_payout_life"


def upgrade() -> None:
    """Makes the two tables; both hold facts."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
