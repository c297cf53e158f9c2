"""Banks leave files: a notice may come from one, and is heeded like a webhook."""

from pathlib import Path

from alembic import op

revision = "0011_file_notices"
down_revision = "0010_senders"


def upgrade() -> None:
    """Lets a notice come from a file, and finds those that have had no effect."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
