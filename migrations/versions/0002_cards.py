"""Cards under their tokens. The application adds them and seals them anew; nobody changes anything else of one."""

from pathlib import Path

from alembic import op

revision = "0002_cards"
down_revision = "0001_book"


def upgrade() -> None:
    """Makes the table of cards, its triggers and its grants."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
