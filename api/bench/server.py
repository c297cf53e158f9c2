"""The PostgreSQL that is measured: databases of the bench's own are made on it, and dropped again.

No database that was there before is ever written to: facts cannot be deleted, so a bench that posted into somebody's
book would stay in it for good. Durability is looked at, never changed.
"""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql

from api.bench.failure import BenchRefused
from api.database import engine, migrate
from api.embedded import EmbeddedPostgres

DURABILITY = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "wal_init_zero",
    "checkpoint_timeout",
    "data_checksums",
)
MUST_BE_ON = ("fsync", "synchronous_commit")
CONNECTIONS_MAX = 8
_RIGHTS = """
    SELECT rolname, rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as those reach it who make its databases, who own the schema, and who post. URLs of any database."""

    admin_url: str
    owner_url: str
    app_url: str

    @contextmanager
    def empty_database(self) -> Iterator["Database"]:
        """A database without any table, for a while."""
        with self._made("template1") as database:
            yield database

    @contextmanager
    def database(self) -> Iterator["Database"]:
        """A database with our schema, for a while."""
        with self._made("template1") as database:
            migrate(database.owner_url)
            yield database

    @contextmanager
    def copy_of(self, original: "Database") -> Iterator["Database"]:
        """A copy, for a while, of a database to which nobody is connected just now."""
        with self._made(original.name) as database:
            yield database

    @contextmanager
    def _made(self, template: str) -> Iterator["Database"]:
        name = f"tallystick_bench_{secrets.token_hex(6)}"
        owner = sa.make_url(self.owner_url).username
        owned = sql.SQL("OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
        self._administer(
            sql.SQL("CREATE DATABASE {} {} TEMPLATE {}").format(
                sql.Identifier(name), owned, sql.Identifier(template)
            )
        )
        try:
            yield Database(self, name)
        finally:
            self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement)


@dataclass(frozen=True, slots=True)
class Database:
    """One database of the bench."""

    server: Server
    name: str

    @property
    def owner_url(self) -> str:
        """As the owner of the schema."""
        return _at(self.server.owner_url, self.name)

    @property
    def app_url(self) -> str:
        """As the one who posts."""
        return _at(self.server.app_url, self.name)

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """Connections of those who post, for a while."""
        pool = engine(self.app_url, pool_size=CONNECTIONS_MAX)
        try:
            yield pool
        finally:
            pool.dispose()

    def analyse(self) -> None:
        """Takes the statistics that autovacuum would take a minute later, in the middle of a run."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("ANALYZE")

    def settle(self) -> None:
        """Gets the housekeeping that a load has left over done now, so that it does not fall into a measurement."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
        with psycopg.connect(self.server.admin_url, autocommit=True) as connection:
            try:
                connection.execute("CHECKPOINT")
            except psycopg.errors.InsufficientPrivilege:
                return  # the server's own time for one will come

    def settings(self) -> Mapping[str, str]:
        """The server's version and what decides whether its commits are durable, as those have it who commit here.

        Raises: BenchRefused when owner and poster are not told the same: both sides of a ratio must pay alike.
        """
        owners, posters = _settings(self.owner_url), _settings(self.app_url)
        if owners != posters:
            raise BenchRefused("owner and application role do not commit under the same settings.")
        return posters


@contextmanager
def embedded(home: Path) -> Iterator[Server]:
    """A server of the bench's own under `home`, which is gone afterwards, data and all."""
    postgres = EmbeddedPostgres(home)
    _clear(postgres)
    try:
        postgres.start()
        yield Server(
            admin_url=postgres.url("postgres", "postgres"),
            owner_url=postgres.url("tallystick_owner", "postgres"),
            app_url=postgres.url("tallystick_app", "postgres"),
        )
    finally:
        _clear(postgres)


def given(owner_url: str) -> Server:
    """Somebody's server. The role of the URL makes the databases, owns the schema, and posts.

    Raises: BenchRefused when it is no URL, or the role may not do that.
    """
    if not owner_url.startswith("postgresql://"):
        raise BenchRefused("--database takes a postgresql:// URL")
    try:
        with psycopg.connect(owner_url) as connection:
            row = connection.execute(_RIGHTS).fetchone()
    except psycopg.OperationalError as error:
        raise BenchRefused(f"the database cannot be reached: {error}") from error
    assert row is not None, "whoever is connected is a role"
    name, may = row
    if not may:
        raise BenchRefused(
            f"{name} may not measure here: it needs CREATEDB (the bench works in databases of its own, and drops "
            f"them) and CREATEROLE (migrating makes our roles). As a superuser: ALTER ROLE {name} CREATEDB CREATEROLE"
        )
    return Server(admin_url=owner_url, owner_url=owner_url, app_url=owner_url)


def not_durable(settings: Mapping[str, str]) -> list[str]:
    """Which settings let a commit be answered before it is on disk."""
    return [f"{name} = {settings[name]}" for name in MUST_BE_ON if settings[name] == "off"]


def _settings(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name",
            [["server_version", *DURABILITY]],
        )
        return dict(found.fetchall())


def _at(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)


def _clear(postgres: EmbeddedPostgres) -> None:
    if postgres.data.exists():
        postgres.stop(mode="immediate")
    shutil.rmtree(postgres.home, ignore_errors=True)
