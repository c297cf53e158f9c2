"""What is kept as a tree has as many peaks as a tree of its size."""

from pathlib import Path

from alembic import op

revision = "0006_kept_trees"
down_revision = "0005_readable_resolutions"


def upgrade() -> None:
    """Bounds what can be kept with a checkpoint."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
