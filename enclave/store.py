"""The enclave's own way to the database, by a role that reads what it decides upon and adds heads of its log.

Asks for no lock but to register resolutions, and opens its connections when first asked, so that an enclave can start
before its database. May not decide anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from types import TracebackType
from typing import Any, Generic, LiteralString, Self, TypeVar

import psycopg
from psycopg.rows import RowFactory, class_row, tuple_row
from psycopg.types.json import Jsonb

from enclave.canonical import JsonUnreadable, parse_object
from enclave.facts import FactsUnavailable, PayoutRecord
from enclave.log import LogHead
from enclave.mirror import HeadsUnavailable
from enclave.protocol import from_base64, to_base64
from enclave.resolutions import ResolutionsUnavailable, SignedResolution
from enclave.tree import Tree

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 3000

_REGISTERING = 0x7265736F6C7665
"""The advisory lock of whoever registers a resolution."""

RowT = TypeVar("RowT")

_COLUMNS = ", ".join(field.name for field in fields(PayoutRecord))
# Only our own column names are spliced in; the ids go as a parameter.
_SELECT_PAYOUTS = f"SELECT {_COLUMNS} FROM enclave_payouts WHERE payout_id = ANY(%s)"  # noqa: S608  # see above
# Every log began with no leaves.
_SELECT_TREE = """
    SELECT coalesce(size, 0), coalesce(peaks, '') FROM enclave_logs LEFT JOIN LATERAL (
        SELECT size, peaks FROM enclave_trees
        WHERE enclave_trees.programme_id = enclave_logs.programme_id AND size <= %s ORDER BY size DESC LIMIT 1
    ) AS largest ON true WHERE origin = %s
"""
_SELECT_LEAVES = """
    SELECT leaf_hash FROM enclave_leaves
    WHERE programme_id = (SELECT programme_id FROM enclave_logs WHERE origin = %s) AND position >= %s AND position < %s
    ORDER BY position
"""


class _OwnConnection(Generic[RowT]):
    """A connection of its own: opened when first used, let go of when it failed."""

    def __init__(self, database_url: str, *, row_factory: RowFactory[RowT], purpose: str) -> None:
        self._database_url = database_url
        self._row_factory = row_factory
        self._purpose = purpose
        self._connection: psycopg.Connection[RowT] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; the next use opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[RowT]:
        self._connection = psycopg.connect(
            self._database_url,
            autocommit=True,
            row_factory=self._row_factory,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=self._purpose,
        )
        # Set by statement, not by connection options: those would replace the options of the URL.
        self._connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        return self._connection


class DatabaseFacts(_OwnConnection[PayoutRecord]):
    """Payout records from PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, row_factory=class_row(PayoutRecord), purpose="tallystick enclave")

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        """The records of those ids that exist, by id.

        A connection that broke since the last look is replaced once; a fresh one that fails is not.

        Raises:
            FactsUnavailable: no connection, no permission, no view, or no answer in time.
        """
        try:
            return self._select_again_if_broken(payout_ids)
        except (psycopg.Error, UnicodeError) as error:
            self.close()
            raise FactsUnavailable(type(error).__name__) from error

    def _select_again_if_broken(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        if self._connection is None:
            return self._select(self._open(), payout_ids)
        try:
            return self._select(self._connection, payout_ids)
        except psycopg.OperationalError:
            if not self._connection.closed:
                # The server answered, if only that it took too long: asking again would take as long again.
                raise
            self.close()
            return self._select(self._open(), payout_ids)

    @staticmethod
    def _select(
        connection: psycopg.Connection[PayoutRecord], payout_ids: Sequence[str]
    ) -> Mapping[str, PayoutRecord]:
        with connection.cursor() as cursor:
            cursor.execute(_SELECT_PAYOUTS, (list(payout_ids),))
            return {record.payout_id: record for record in cursor.fetchall()}

    def _open(self) -> psycopg.Connection[PayoutRecord]:
        connection = super()._open()
        connection.execute("SET default_transaction_read_only = on")
        # Times come in UTC: the rules of any other zone would have to be read from files.
        connection.execute("SET timezone = 'UTC'")
        return connection


class DatabaseLeaves(_OwnConnection[tuple[Any, ...]]):
    """The ledger's logs, in PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, row_factory=tuple_row, purpose="tallystick enclave leaves")

    def kept(self, origin: str, *, size_max: int) -> Tree | None:
        """The largest tree kept of a log, of at most this size; the empty one at least, and None of no log.

        Raises:
            FactsUnavailable: no connection, no permission, no view, no answer in time, or what is kept is no tree.
        """
        rows = self._select(_SELECT_TREE, size_max, origin)
        try:
            return Tree.of_peaks(*rows[0]) if rows else None
        except ValueError as error:
            raise FactsUnavailable("what is kept is no tree") from error

    def hashes(self, origin: str, *, start: int, end: int) -> Sequence[bytes]:
        """The hashes of the leaves from one position until just before another, in order, as far as there are any.

        Raises:
            FactsUnavailable: no connection, no permission, no view, or no answer in time.
        """
        return [leaf for (leaf,) in self._select(_SELECT_LEAVES, origin, start, end)]

    def _select(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._select_again_if_broken(statement, values)
        except (psycopg.Error, UnicodeError) as error:
            self.close()
            raise FactsUnavailable(type(error).__name__) from error

    def _select_again_if_broken(
        self, statement: LiteralString, values: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        """Asked once in a while: the connection may have ended long ago without anybody noticing."""
        if self._connection is None:
            return self._open().execute(statement, values).fetchall()
        try:
            return self._connection.execute(statement, values).fetchall()
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            self.close()
            return self._open().execute(statement, values).fetchall()

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        connection = super()._open()
        connection.execute("SET default_transaction_read_only = on")
        return connection


class DatabaseHeads(_OwnConnection[tuple[Any, ...]]):
    """Heads of one enclave's log, in PostgreSQL. Only added to: the role may do nothing else to them."""

    def __init__(self, database_url: str, *, name: str) -> None:
        """`name` is what this enclave is called among those that share the database."""
        super().__init__(database_url, row_factory=tuple_row, purpose="tallystick enclave heads")
        self._name = name

    def latest(self) -> LogHead | None:
        """The head that was kept last, if any was.

        Raises:
            HeadsUnavailable: no connection, no permission, no table, or no answer in time.
        """
        rows = self._execute(
            "SELECT count, hash FROM enclave_heads WHERE enclave = %s ORDER BY id DESC LIMIT 1", self._name
        ).fetchall()
        return LogHead(count=rows[0][0], hash=rows[0][1].hex()) if rows else None

    def keep(self, head: LogHead) -> None:
        """Keeps a head for good.

        Raises:
            HeadsUnavailable: it is not known to be kept.
        """
        self._execute(
            "INSERT INTO enclave_heads (enclave, count, hash) VALUES (%s, %s, %s)",
            self._name, head.count, bytes.fromhex(head.hash),
        )  # fmt: skip

    def _execute(self, statement: LiteralString, *values: object) -> psycopg.Cursor[tuple[Any, ...]]:
        try:
            return (self._connection or self._open()).execute(statement, values)
        except (psycopg.Error, UnicodeError) as error:
            self.close()
            raise HeadsUnavailable(type(error).__name__) from error


class DatabaseResolutions(_OwnConnection[tuple[Any, ...]]):
    """The custodians' resolutions, in PostgreSQL: read by the enclave, added to by whoever registers for them."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, row_factory=tuple_row, purpose="tallystick enclave resolutions")
        self._broke = False

    def all(self) -> Iterable[SignedResolution]:
        """Every document, in the order in which they were registered.

        Raises:
            ResolutionsUnavailable: no connection, no permission, no table, or no answer in time.
        """
        try:
            rows = self._select()
        except ResolutionsUnavailable:
            if not self._broke:
                raise
            # Asked once in a while: the connection may have ended long ago without anybody noticing.
            rows = self._select()
        return [SignedResolution(document, _signatures(signatures)) for document, signatures in rows]

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Whoever else registers waits: two who both saw the same last document would each add the next one.

        Raises:
            ResolutionsUnavailable: the lock is not to be had, or what was done under it is not known to be there.
        """
        try:
            with (self._connection or self._open()).transaction():
                self._execute("SELECT pg_advisory_xact_lock(%s)", _REGISTERING)
                yield
        except (psycopg.Error, UnicodeError) as error:
            self.close()
            raise ResolutionsUnavailable(f"the database does not answer ({type(error).__name__})") from error

    def add(self, resolution: SignedResolution) -> None:
        """Adds a document to the others, for good.

        Raises:
            ResolutionsUnavailable: it is not known to be there.
        """
        signatures = {name: to_base64(signature) for name, signature in resolution.signatures.items()}
        self._execute(
            "INSERT INTO key_resolutions (document, signatures) VALUES (%s, %s)",
            resolution.document, Jsonb(signatures),
        )  # fmt: skip

    def _select(self) -> list[tuple[Any, ...]]:
        # Signatures as text: what PostgreSQL takes for JSON may be nested deeper than we read.
        return self._execute("SELECT document, signatures::text FROM key_resolutions ORDER BY id").fetchall()

    def _execute(self, statement: LiteralString, *values: object) -> psycopg.Cursor[tuple[Any, ...]]:
        was_open, self._broke = self._connection is not None, False
        try:
            return (self._connection or self._open()).execute(statement, values)
        except (psycopg.Error, UnicodeError) as error:
            self._broke = was_open and self._connection is not None and self._connection.closed
            self.close()
            raise ResolutionsUnavailable(f"the database does not answer ({type(error).__name__})") from error


def _signatures(said: str) -> Mapping[str, bytes]:
    """Those that are written as signatures are; what is not, counts as little as one that is forged."""
    found = {}
    with suppress(JsonUnreadable):
        for name, text in parse_object(said.encode()).items():
            with suppress(ValueError):
                found[name] = from_base64(text)
    return found
