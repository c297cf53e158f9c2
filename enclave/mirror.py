"""The head of the signing log, kept a second time in the database, so that putting back either of the two is seen.

The log says which of its heads the database has; the database says which heads the log had. A log that is shorter
than the database knows, or another one, was put back or exchanged. A database that lacks a head which the log has seen
it take was put back, and what it says of payouts is of another day. Once they are found to contradict each other,
nothing is signed; until they were compared, nothing that depends on what was signed before. Heads are kept every second
or so, not with every record: what was written since the last one can be lost without a trace if the whole log is put
back to it.

Knows no socket and no keys. Whoever has to go on with what was put back says so by name (`accepted`), and it is logged.
"""

import time
from datetime import datetime, timedelta
from typing import Protocol

from enclave.log import EntryKind, LogEntry, LogHead, LogUnavailable
from enclave.logbook import Logbook
from enclave.pause import Pause
from enclave.refusals import RefusalCode
from enclave.seen_heads import count_of

EVERY = timedelta(seconds=1)
"""How long a head may wait to be kept."""


class HeadsUnavailable(Exception):
    """The database did not answer: whether it agrees with the log is not known."""


class Heads(Protocol):
    """Where heads are kept: the database, or a list in tests."""

    def latest(self) -> LogHead | None:
        """The head that was kept last, if any was.

        Raises:
            HeadsUnavailable: it could not be read.
        """

    def keep(self, head: LogHead) -> None:
        """Keeps a head for good.

        Raises:
            HeadsUnavailable: it is not known to be kept.
        """


class Mirror:
    """The log and the database, held against each other."""

    def __init__(self, logbook: Logbook, heads: Heads, *, accepted: int | None = None) -> None:
        """`accepted` is the count of the head in the database with which to go on although the two do not agree."""
        self._log = logbook.log
        self._seen = logbook.heads
        self._heads = heads
        self._accepted = accepted
        self._why: RefusalCode | None = RefusalCode.MIRROR_UNAVAILABLE
        self._pause = Pause()
        self._kept_count = 0
        self._due_at: datetime | None = None

    def refuse(self, *, now: datetime) -> RefusalCode | None:
        """Why nothing may be signed, or None if the log and the database agree."""
        if self._why is RefusalCode.MIRROR_UNAVAILABLE and self._pause.is_over:
            begun_s = time.monotonic()
            try:
                self._compare(now)
            except (HeadsUnavailable, LogUnavailable):
                self._pause.begin(begun_s)
        return self._why

    def keep(self, *, now: datetime) -> timedelta | None:
        """Keeps the head if it is time to; says in how long it will be, None: the database has all there is.

        Quiet about a database that does not answer: it is asked again after a pause, and what depends on it is refused
        by those who need it.
        """
        if self._why is not None or self._log.head.count <= self._kept_count:
            self._due_at = None
            return None
        self._due_at = self._due_at or now + EVERY
        if now < self._due_at:
            return self._due_at - now
        begun_s = time.monotonic()
        try:
            self._keep(now)
        except (HeadsUnavailable, LogUnavailable):
            pause = self._pause.begin(begun_s)
            self._due_at = now + pause
            return pause
        self._due_at = None
        return None

    def close(self, *, now: datetime) -> None:
        """Keeps the last head, whether it is time to or not."""
        if self._due_at is not None:
            self._due_at = now
            self.keep(now=now)

    def _keep(self, now: datetime) -> None:
        head = self._log.head
        self._heads.keep(head)
        self._write(EntryKind.MIRRORED, head, now)
        self._kept_count = self._log.head.count

    def _compare(self, now: datetime) -> None:
        kept = self._heads.latest()
        why = self._seen.contradiction(kept, lambda place: self._log.records(since=place))
        if why is not None and self._accepted == count_of(kept):
            self._write(EntryKind.ACCEPTED, kept, now)
            why = None
        elif why is not None:
            self._write(EntryKind.PUT_BACK, kept, now, code=why)
        self._why = why

    def _write(
        self, kind: EntryKind, head: LogHead | None, now: datetime, *, code: RefusalCode | None = None
    ) -> None:
        facts: dict[str, str | int | None] = {
            "count": count_of(head),
            "hash": None if head is None else head.hash,
        }
        if code is not None:
            facts["code"] = str(code)
        self._log.append([LogEntry(kind=kind, purpose="mirror", facts=facts)], at=now)
