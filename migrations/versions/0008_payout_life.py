"""A payout's whole life: it waits for a time, for people or for one who doubts, is called off, comes back in parts."""

from pathlib import Path

from alembic import op

revision = "0008_payout_life"
down_revision = "0007_payouts_by_id"


def upgrade() -> None:
    """Lets payouts stand in more states, and says from when they are sent and how much of them has come back."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
