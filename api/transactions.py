"""Where transactions are opened and committed, and the clocks that give each its one `now`."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import sqlalchemy as sa

from api.store import read_clock_offset_us
from ledger.store.tx import Tx

Transactions = Callable[[], AbstractContextManager[Tx]]


class Clock(Protocol):
    """Business time: what day it is for the programme's money."""

    def now(self, connection: sa.Connection) -> datetime:
        """The business time of a transaction that begins on this connection."""


class SystemClock:
    """Business time is the machine's."""

    def now(self, connection: sa.Connection) -> datetime:  # noqa: ARG002 - the port's signature
        """The machine's time."""
        return datetime.now(UTC)


class TestClock:
    """Business time stands in the database, where the API can move it; it ticks with the machine's."""

    def now(self, connection: sa.Connection) -> datetime:
        """The machine's time, moved by what the database says."""
        return datetime.now(UTC) + timedelta(microseconds=read_clock_offset_us(connection))


def transactions(engine: sa.Engine, clock: Clock) -> Transactions:
    """Opens transactions that commit when their block ends well and undo everything when it does not."""

    @contextmanager
    def opened() -> Iterator[Tx]:
        with told_at_end() as at_end, engine.begin() as connection:
            yield Tx(connection, clock.now(connection), secrets.token_bytes, at_end)

    return opened


@contextmanager
def told_at_end() -> Iterator[list[Callable[[bool], None]]]:
    """Those who are told how the transaction within the block ended. One whose end is not known was not committed."""
    at_end: list[Callable[[bool], None]] = []
    is_committed = False
    try:
        yield at_end
        is_committed = True
    finally:
        for tell in at_end:
            tell(is_committed)


def snapshots(engine: sa.Engine, clock: Clock) -> Transactions:
    """Opens read-only transactions that see one moment of the book, whatever is written meanwhile."""
    repeatable = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def opened() -> Iterator[Tx]:
        with repeatable.begin() as connection:
            yield Tx(connection, clock.now(connection), secrets.token_bytes)

    return opened
