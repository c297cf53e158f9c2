"""Each attempt says who sends it, so that another one takes over what a sender that has died left behind."""

from pathlib import Path

from alembic import op

revision = "0010_senders"
down_revision = "0009_payee_checks"


def upgrade() -> None:
    """Adds the sender to attempts, and the indexes by which senders find their work."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
