"""Which of its own heads the log says that the database has, and whether the database says the same.

Remembers the last one and where the log says so, and no more: what stands behind that place is looked at when the
database has answered, which may be long after the log was read. Reads no database; see `enclave.mirror`.
"""

from collections.abc import Callable, Iterable

from enclave.log import BEGINNING, EntryKind, LogHead, LogRecord, Place
from enclave.refusals import RefusalCode


class SeenHeads:
    """What the log says of the heads that the database took."""

    def __init__(self) -> None:
        self._count = 0
        self._since = BEGINNING

    def take(self, record: LogRecord, place: Place) -> None:
        """Take in the next record, and where it begins; those that tell of no head change nothing."""
        if record.entry.kind in {EntryKind.MIRRORED, EntryKind.ACCEPTED}:
            self._count = record.entry.number("count")
            self._since = place

    def contradiction(
        self, kept: LogHead | None, read: Callable[[Place], Iterable[LogRecord]]
    ) -> RefusalCode | None:
        """Which of the two was put back, by what each says of the other.

        `kept` is the head that the database kept last; `read` reads the log from a place on.

        Raises:
            LogUnavailable, LogBroken: the log could not be read any more.
        """
        if count_of(kept) < self._count:
            return RefusalCode.DATABASE_PUT_BACK
        return None if kept is None or self._has(kept, read) else RefusalCode.LOG_PUT_BACK

    def _has(self, kept: LogHead, read: Callable[[Place], Iterable[LogRecord]]) -> bool:
        # Mostly the head that was recorded last, or a later one whose record a crash has prevented. Only one that
        # somebody accepted may be older.
        since = self._since if kept.count >= self._since.head.count else BEGINNING
        if kept.count == since.head.count:
            return kept == since.head
        found = next((record for record in read(since) if record.seq == kept.count), None)
        return found is not None and found.hash == kept.hash


def count_of(head: LogHead | None) -> int:
    """How many records a log had by its head; none, if there is none."""
    return 0 if head is None else head.count
