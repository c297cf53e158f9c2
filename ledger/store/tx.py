"""One database transaction, with its one `now` and its source of ids. Opened and committed by the caller only."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa

from ledger.core.ids import to_text, uuid7
from ledger.store.packing import COPY_HEADER, COPY_TRAILER


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction in progress. `now` is the programme's business time, the same for all that it does."""

    connection: sa.Connection
    now: datetime
    random_bytes: Callable[[int], bytes]
    at_end: list[Callable[[bool], None]] | None = None
    """Who is told, once the transaction has ended, whether it was committed. None: nobody would be."""
    _sequence: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def in_savepoint(self) -> bool:
        """Whether what is done now can be taken back while the transaction goes on."""
        return self.connection.in_nested_transaction()

    def new_id(self, prefix: str) -> str:
        """A new id of one kind, never used before; within a transaction, later ids sort after earlier ones."""
        sequence = next(self._sequence)
        # The counter has twelve bits: beyond 4,096 ids it carries into the milliseconds.
        unix_ms = int(self.now.timestamp() * 1000) + (sequence >> 12)
        return to_text(prefix, uuid7(unix_ms, sequence, self.random_bytes(8)))

    def rows(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sa.RowMapping]:
        """All rows of a statement, by column name."""
        return self.connection.execute(statement, parameters or {}).mappings().all()

    def row(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> sa.RowMapping | None:
        """The one row of a statement, or None."""
        return self.connection.execute(statement, parameters or {}).mappings().one_or_none()

    def run(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """Runs a statement that returns nothing; says how many rows it touched."""
        counted = {"preserve_rowcount": True}  # SQLAlchemy counts inserted rows only when asked
        return self.connection.execute(statement, parameters or {}, execution_options=counted).rowcount

    # The book's own statements: binary both ways, past SQLAlchemy, because a batch is thousands of rows.

    def fetch(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a statement whose parameters are packed already."""
        with self._cursor(statement) as cursor:
            return cursor.execute(statement, parameters, binary=True).fetchall()

    def execute(self, statement: LiteralString, *parameters: object) -> int:
        """Runs a statement whose parameters are packed already; says how many rows it touched."""
        with self._cursor(statement) as cursor:
            return cursor.execute(statement, parameters, binary=True).rowcount

    @contextmanager
    def copy_in(self, statement: LiteralString) -> Iterator[Callable[[bytes], None]]:
        """Opens a binary COPY; what is yielded takes packed rows, which the server writes while more are packed."""
        with self._cursor(statement) as cursor, cursor.copy(statement) as copy:
            copy.write(COPY_HEADER)
            yield copy.write
            copy.write(COPY_TRAILER)

    @contextmanager
    def _cursor(self, statement: str) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        """A cursor of the driver's own; its errors come out as SQLAlchemy's, like those of every other statement."""
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection), "the engine is made for psycopg"
        try:
            with driver.cursor(binary=True) as cursor:
                yield cursor
        except psycopg.Error as error:
            raise sa.exc.DBAPIError.instance(
                statement, None, error, psycopg.Error, dialect=self.connection.dialect
            ) from error
