"""One real PostgreSQL for the whole run; every test that asks gets a database of its own, cloned from a template."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from api.database import engine, migrate
from api.embedded import EmbeddedPostgres
from ledger.core.ids import ProgrammeId
from ledger.store.rows import insert_rows
from ledger.store.schema import programmes
from ledger.store.tx import Tx

MONDAY_MORNING = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
TEMPLATE = "tallystick_template"
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of this run's own is made in it, with a name nobody can guess
MEMORY_BYTES_MIN = 4 * 2**30  # for all the servers of a run
OpenTx = Callable[..., AbstractContextManager[Tx]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test come first: the last one to begin should not be the longest."""
    slow = {
        item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("story")
    }
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Database:
    """One test's database, as each role sees it."""

    server: EmbeddedPostgres
    name: str
    app_engine: sa.Engine
    owner_engine: sa.Engine

    def url(self, role: str) -> str:
        return self.server.url(role, self.name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tallystick-", dir=_roomiest()) as home:
        server = EmbeddedPostgres(Path(home))
        server.start()
        _keep_little_log(server)
        server.create_database(TEMPLATE)
        migrate(server.url("tallystick_owner", TEMPLATE))
        yield server
        server.stop(mode="immediate")


def _roomiest() -> Path | None:
    """Memory, where there is enough of it; otherwise wherever temporary files go.

    A database is some 300 files, and each test makes and drops one. Ext4 looks at every file that was deleted in the
    last minutes before it makes a new one: on a disk, that alone was half of what a run of all tests took.
    """
    is_enough = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
    return MEMORY if is_enough else None


def _keep_little_log(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    name = f"test_{os.getpid()}_{secrets.token_hex(4)}"
    postgres.create_database(name, template=TEMPLATE)
    app = engine(postgres.url("tallystick_app", name))
    owner = engine(postgres.url("tallystick_owner", name))
    yield Database(postgres, name, app, owner)
    app.dispose()
    owner.dispose()
    postgres.drop_database(name)


@pytest.fixture
def open_tx(database: Database) -> OpenTx:
    @contextmanager
    def opened(now: datetime = MONDAY_MORNING) -> Iterator[Tx]:
        with database.app_engine.begin() as connection:
            yield Tx(connection, now, secrets.token_bytes)

    return opened


def make_programme(tx: Tx, name: str = "pay-eu") -> ProgrammeId:
    programme_id = tx.new_id("prg")
    row = {
        "id": programme_id,
        "name": name,
        "legal_name": "Pay EU B.V.",
        "bank_connection": "sandbox",
        "safeguarding_bank_id": f"safeguarding-of-{name}",
        "safeguarding_iban": f"safeguarding-iban-of-{name}",
        "operating_bank_id": f"operating-of-{name}",
        "operating_iban": f"operating-iban-of-{name}",
        "currency": "EUR",
        "created_at": tx.now,
    }
    insert_rows(tx, programmes, [row])
    return ProgrammeId(programme_id)


@pytest.fixture
def programme_id(open_tx: OpenTx) -> ProgrammeId:
    with open_tx() as tx:
        return make_programme(tx)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path
