"""The enclave's own way to the database, by a role that reads what it decides upon and adds heads of its log.

Asks for no lock but to register resolutions, and opens its connections when first asked, so that an enclave can start
before its database. Nobody waits for an answer for long (`enclave.database`), and none is read that is longer than what
the enclave takes. May not decide anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import Field, fields
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb

from enclave.canonical import JsonUnreadable, parse_object
from enclave.database import OwnConnection
from enclave.facts import FactsUnavailable, PayoutRecord
from enclave.log import LogHead
from enclave.mirror import HeadsUnavailable
from enclave.notes import ROOT_BYTES
from enclave.patience import Patience
from enclave.protocol import from_base64, to_base64
from enclave.resolutions import DOCUMENT_BYTES_MAX, ResolutionsUnavailable, SignedResolution
from enclave.tree import Tree

RESOLUTIONS_MAX = 10_000
RESOLUTIONS_BYTES_MAX = 16 * 1024 * 1024
SIGNATURES_CHARS_MAX = 16 * 1024

KEPT_MAX = 3
"""Trees of one log: whoever may add kept ones can add any number that lead nowhere."""
PEAKS_BYTES_MAX = 63 * ROOT_BYTES

_REGISTERING = 0x7265736F6C7665
"""The advisory lock of whoever registers a resolution."""

_TEXT_CHARS_MAX = 1024
_LONGER_TEXTS = {"order_canonical": 16 * 1024, "approvals": 64 * 1024}


def _selected(column: Field[Any]) -> str:
    """A column, cut where nothing that the enclave would sign for is as long; what was cut is not what was cleared."""
    if column.type not in {str, str | None}:
        return column.name
    return f"left({column.name}, {_LONGER_TEXTS.get(column.name, _TEXT_CHARS_MAX) + 1}) AS {column.name}"


_COLUMNS = ", ".join(_selected(column) for column in fields(PayoutRecord))
# Only our own column names are spliced in; the ids go as a parameter.
_SELECT_PAYOUTS = f"SELECT {_COLUMNS} FROM enclave_payouts WHERE id = ANY(%s::uuid[])"  # noqa: S608  # see above
# Of peaks that are too long for any tree, a little more than is read. Every log began with no leaves.
_SELECT_TREES = f"""
    SELECT coalesce(size, 0), coalesce(peaks, '') FROM enclave_logs LEFT JOIN LATERAL (
        SELECT size, substring(peaks, 1, {PEAKS_BYTES_MAX + 1}) AS peaks FROM enclave_trees
        WHERE enclave_trees.programme_id = enclave_logs.programme_id AND size BETWEEN 1 AND %s
        ORDER BY size DESC LIMIT {KEPT_MAX}
    ) AS largest ON true WHERE origin = %s ORDER BY size DESC
"""  # noqa: S608  # only our own numbers are spliced in
_SELECT_LEAVES = """
    SELECT leaf_hash FROM enclave_leaves
    WHERE programme_id = (SELECT programme_id FROM enclave_logs WHERE origin = %s) AND position >= %s AND position < %s
    ORDER BY position
"""
# Signatures as text: what PostgreSQL takes for JSON may be nested deeper than we read. Of what is too long, a little
# more than is read, so that it shows; of too many, one more. Added up before any document is unpacked: that takes time.
_SELECT_RESOLUTIONS = f"""
    WITH cut AS (
        SELECT id, document, left(signatures::text, {SIGNATURES_CHARS_MAX + 1}) AS signatures
        FROM key_resolutions ORDER BY id LIMIT {RESOLUTIONS_MAX + 1}
    ), measured AS (
        SELECT *, least(octet_length(document), {DOCUMENT_BYTES_MAX + 1}) + octet_length(signatures) AS size FROM cut
    ), added_up AS (
        SELECT *, sum(size) OVER (ORDER BY id) - size AS size_before FROM measured
    )
    SELECT left(document, {DOCUMENT_BYTES_MAX + 1}), signatures, size
    FROM added_up WHERE size_before <= {RESOLUTIONS_BYTES_MAX} ORDER BY id
"""  # noqa: S608  # only our own numbers are spliced in


class DatabaseFacts(OwnConnection[PayoutRecord]):
    """Payout records from PostgreSQL."""

    def __init__(self, database_url: str, *, patience: Patience | None = None) -> None:
        super().__init__(
            database_url,
            patience=patience,
            row_factory=class_row(PayoutRecord),
            purpose="tallystick enclave",
            # Times come in UTC: the rules of any other zone would have to be read from files.
            settings="SET default_transaction_read_only = on; SET timezone = 'UTC'",
        )

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        """The records of those ids that exist, by id.

        Raises:
            FactsUnavailable: no connection, no permission, no view, or no answer in time.
        """
        try:
            return self._asked_again_if_it_had_ended(lambda: self._select(payout_ids))
        except (psycopg.Error, UnicodeError) as error:
            raise FactsUnavailable(type(error).__name__) from error

    def _select(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        with self._asked() as connection, connection.cursor() as cursor:
            cursor.execute(_SELECT_PAYOUTS, ([payout_id.removeprefix("pay_") for payout_id in payout_ids],))
            return {record.payout_id: record for record in cursor.fetchall()}


class DatabaseLeaves(OwnConnection[tuple[Any, ...]]):
    """The ledger's logs, in PostgreSQL."""

    def __init__(self, database_url: str, *, patience: Patience | None = None) -> None:
        super().__init__(
            database_url,
            patience=patience,
            row_factory=tuple_row,
            purpose="tallystick enclave leaves",
            settings="SET default_transaction_read_only = on",
        )

    def kept(self, origin: str, *, size_max: int) -> Sequence[Tree] | None:
        """The largest trees kept of a log, of at most this size: a few, the empty one last, and None of no log.

        Raises:
            FactsUnavailable: no connection, no permission, no view, or no answer in time, now or a moment ago.
        """
        rows = self._rows(_SELECT_TREES, size_max, origin)
        trees = []
        for size, peaks in rows:
            # What is no tree counts as little as one of another log.
            with suppress(ValueError):
                trees.append(Tree.of_peaks(size, peaks))
        return [*(tree for tree in trees if tree.size), Tree()] if rows else None

    def hashes(self, origin: str, *, start: int, end: int) -> Sequence[bytes]:
        """The hashes of the leaves from one position until just before another, in order, as far as there are any.

        Raises:
            FactsUnavailable: no connection, no permission, no view, or no answer in time.
        """
        return [leaf for (leaf,) in self._rows(_SELECT_LEAVES, origin, start, end)]

    def _rows(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._asked_again_if_it_had_ended(lambda: self._select(statement, values))
        except (psycopg.Error, UnicodeError) as error:
            raise FactsUnavailable(type(error).__name__) from error

    def _select(self, statement: LiteralString, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._asked() as connection:
            return connection.execute(statement, values).fetchall()


class DatabaseHeads(OwnConnection[tuple[Any, ...]]):
    """Heads of one enclave's log, in PostgreSQL. Only added to: the role may do nothing else to them."""

    def __init__(self, database_url: str, *, name: str, patience: Patience | None = None) -> None:
        """`name` is what this enclave is called among those that share the database."""
        super().__init__(
            database_url, row_factory=tuple_row, purpose="tallystick enclave heads", patience=patience
        )
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
            with self._asked() as connection:
                return connection.execute(statement, values)
        except (psycopg.Error, UnicodeError) as error:
            raise HeadsUnavailable(f"the database does not answer ({type(error).__name__})") from error


class DatabaseResolutions(OwnConnection[tuple[Any, ...]]):
    """The custodians' resolutions, in PostgreSQL: read by the enclave, added to by whoever registers for them."""

    def __init__(self, database_url: str, *, patience: Patience | None = None) -> None:
        super().__init__(
            database_url, row_factory=tuple_row, purpose="tallystick enclave resolutions", patience=patience
        )

    def all(self) -> Iterable[SignedResolution]:
        """Every document, in the order in which they were registered.

        Raises:
            ResolutionsUnavailable: no connection, no permission, no table, no answer in time, or more than is read.
        """
        with _or_unavailable():
            rows = self._asked_again_if_it_had_ended(self._select)
        if len(rows) > RESOLUTIONS_MAX or sum(size for _, _, size in rows) > RESOLUTIONS_BYTES_MAX:
            # Not the first of them: what was resolved last may be that a key signs no more.
            raise ResolutionsUnavailable(
                "the database holds more resolutions than are read: have the true ones read from files (--resolutions)"
            )
        return [SignedResolution(document, _signatures(signatures)) for document, signatures, _ in rows]

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Whoever else registers waits: two who both saw the same last document would each add the next one.

        Raises:
            ResolutionsUnavailable: the lock is not to be had, or what was done under it is not known to be there.
        """
        with _or_unavailable(), self._asked() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_REGISTERING,))
            yield

    def add(self, resolution: SignedResolution) -> None:
        """Adds a document to the others, for good.

        Raises:
            ResolutionsUnavailable: it is not known to be there.
        """
        signatures = {name: to_base64(signature) for name, signature in resolution.signatures.items()}
        with _or_unavailable(), self._asked() as connection:
            connection.execute(
                "INSERT INTO key_resolutions (document, signatures) VALUES (%s, %s)",
                (resolution.document, Jsonb(signatures)),
            )

    def _select(self) -> list[tuple[Any, ...]]:
        with self._asked() as connection:
            return connection.execute(_SELECT_RESOLUTIONS).fetchall()


@contextmanager
def _or_unavailable() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, UnicodeError) as error:
        raise ResolutionsUnavailable(f"the database does not answer ({type(error).__name__})") from error


def _signatures(said: str) -> Mapping[str, bytes]:
    """Those that are written as signatures are; what is not, counts as little as one that is forged."""
    found = {}
    with suppress(JsonUnreadable):
        for name, text in parse_object(said.encode()).items():
            with suppress(ValueError):
                found[name] = from_base64(text)
    return found
