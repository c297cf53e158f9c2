"""Connections to PostgreSQL and the schema's upgrade. SQLAlchemy Core over psycopg 3; nothing here knows a table."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import migrations


def engine(url: str, *, pool_size: int = 5) -> sa.Engine:
    """A pool of connections to a `postgresql://` URL."""
    return sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
    )


def migrate(owner_url: str) -> None:
    """Brings the schema to the newest revision. Running it again changes nothing."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    owner = engine(owner_url, pool_size=1)
    try:
        with owner.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        owner.dispose()
