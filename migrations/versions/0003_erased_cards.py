"""The number of a card can be erased. Its token stays, and what may be shown of the card."""

from pathlib import Path

from alembic import op

revision = "0003_erased_cards"
down_revision = "0002_cards"


def upgrade() -> None:
    """Lets a seal go, once and for all."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
