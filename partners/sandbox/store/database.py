"""One SQLite file holds the bank. It is used by one thread, one connection and one process at a time.

Every change goes through `begin`, which commits before the caller may answer anybody: what the bank has
said survives a kill at any moment.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeAlias

from partners.sandbox.records import Record

Tx: TypeAlias = sqlite3.Connection

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS clients (
    token_digest TEXT PRIMARY KEY, public_key_pem TEXT NOT NULL, registered_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY, target TEXT NOT NULL, seen_at TEXT NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS requests_by_age ON requests (seen_at);

CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL,
    bic TEXT NOT NULL, iban TEXT NOT NULL UNIQUE, actual_minor INTEGER NOT NULL,
    earmarked_minor INTEGER NOT NULL CHECK (earmarked_minor >= 0), opened_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS virtual_accounts (
    id TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts (id), owner TEXT NOT NULL,
    iban TEXT NOT NULL UNIQUE, opened_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS payments (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    scheme TEXT NOT NULL, status TEXT NOT NULL, script TEXT NOT NULL, end_to_end_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL,
    debtor_name TEXT NOT NULL, debtor_iban TEXT NOT NULL,
    creditor_name TEXT NOT NULL, creditor_iban TEXT NOT NULL, creditor_bic TEXT,
    reference TEXT NOT NULL, request_id TEXT NOT NULL UNIQUE, posting_id TEXT, reason TEXT,
    returned_minor INTEGER NOT NULL CHECK (returned_minor BETWEEN 0 AND amount_minor),
    silenced INTEGER NOT NULL, received_at TEXT NOT NULL, due_at TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS payments_due ON payments (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_by_end_to_end_id ON payments (end_to_end_id);

CREATE TABLE IF NOT EXISTS postings (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id), virtual_account_id TEXT, payment_id TEXT, batch_id TEXT,
    kind TEXT NOT NULL, channel TEXT NOT NULL, direction TEXT NOT NULL, status TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL,
    end_to_end_id TEXT NOT NULL, reference TEXT NOT NULL, creditor_reference TEXT,
    own_name TEXT NOT NULL, own_iban TEXT NOT NULL,
    other_name TEXT, other_iban TEXT, other_bic TEXT, return_reason TEXT,
    created_at TEXT NOT NULL, settled_at TEXT, cancelled_at TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS postings_by_creation ON postings (account_id, created_at, seq);
CREATE INDEX IF NOT EXISTS postings_by_settlement ON postings (account_id, settled_at, seq);
CREATE INDEX IF NOT EXISTS postings_by_payment ON postings (payment_id);

CREATE TABLE IF NOT EXISTS webhooks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, body TEXT NOT NULL, nonce INTEGER NOT NULL,
    payment_id TEXT, end_to_end_id TEXT, creditor_iban TEXT, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, last_failure TEXT,
    created_at TEXT NOT NULL, next_attempt_at TEXT NOT NULL, delivered_at TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS webhooks_pending ON webhooks (seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS webhooks_by_payment ON webhooks (payment_id);

CREATE TABLE IF NOT EXISTS statements (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE,
    start_at TEXT NOT NULL, end_at TEXT NOT NULL, first_at TEXT NOT NULL,
    shown_id TEXT NOT NULL, shown_day TEXT NOT NULL,
    page_entries INTEGER NOT NULL, total_pages INTEGER NOT NULL, made_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS recalls (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, side TEXT NOT NULL, scheme TEXT NOT NULL,
    payment_id TEXT NOT NULL, posting_id TEXT NOT NULL, end_to_end_id TEXT NOT NULL,
    creditor_iban TEXT NOT NULL, amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    reason TEXT NOT NULL, information TEXT, status TEXT NOT NULL, answer_reason TEXT,
    plan_accepts INTEGER, plan_reason TEXT, plan_at TEXT,
    asked_at TEXT NOT NULL, answer_by TEXT NOT NULL, due_at TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS recalls_by_payment ON recalls (payment_id);

CREATE TABLE IF NOT EXISTS planned_returns (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, payment_id TEXT NOT NULL,
    amount_minor INTEGER, reason TEXT NOT NULL, due_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    end_to_end_id TEXT, creditor_iban TEXT, path TEXT, webhook_type TEXT, reason TEXT,
    seconds REAL, amount_minor INTEGER,
    times_left INTEGER NOT NULL, created_at TEXT NOT NULL
) STRICT;
"""


class HomeInUseError(Exception):
    """Another bank process already runs on this home directory."""


def open_database(path: Path) -> sqlite3.Connection:
    """The bank's database, made if it is not there."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(SCHEMA)
    return connection


@contextmanager
def begin(connection: sqlite3.Connection) -> Iterator[Tx]:
    """A database transaction: durable when the block ends, undone when it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def only_process(home: Path) -> Iterator[None]:
    """Hold a home directory for this process alone; a killed process lets go by itself.

    Raises: HomeInUseError when another process holds it.
    """
    descriptor = os.open(home / "bank.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise HomeInUseError(str(home)) from error
    finally:
        os.close(descriptor)


def columns_of(record: type[Record]) -> str:
    """The columns of a record's table: its fields, by the same names."""
    return ", ".join(field.name for field in fields(record))


def insert(tx: Tx, table: str, record: Record, *, without: str | None = None) -> None:
    """Write a record as a new row of its table; the database fills the column left out."""
    values = {name: value for name, value in asdict(record).items() if name != without}
    places = ", ".join(f":{name}" for name in values)
    tx.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", values)  # noqa: S608 - names come from code


def read_setting(tx: Tx, name: str) -> str | None:
    row = tx.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row["value"])


def write_setting(tx: Tx, name: str, value: str) -> None:
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value ="
        " excluded.value",
        (name, value),
    )


def next_number(tx: Tx, name: str, first: int) -> int:
    """The next number of a named series."""
    number = int(read_setting(tx, name) or first)
    write_setting(tx, name, str(number + 1))
    return number
