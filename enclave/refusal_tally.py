"""Which refusals stand in the log one by one, and which are only counted: so that junk does not fill the disk.

Each user at the other end of the socket has a budget of refusals that are recorded singly, and it fills up again by one
a second. Once it is spent the log says so, and for a minute what this user is refused is counted by code; then the log
is told the counts. An enclave that is killed loses the counts of that minute and no more: that it had begun stands in
the log before the first refusal in it is answered. Nothing but refusals is ever counted
(docs/decisions/0023-refusals-may-be-summed-up.md). Users who may not talk at all come no further than the server, so
there are no more budgets than users who may. Reads no clock and writes nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from enclave.log import EntryKind, LogEntry, LogFacts, LogRecord

SINGLY_MAX = 1_000
"""How many refusals are recorded singly in a row."""
REFILL = timedelta(seconds=1)
"""How long it takes until one more may be."""
COUNTED_FOR = timedelta(minutes=1)
"""How long refusals are counted before the log is told the counts."""

_EMPTY_FOR = SINGLY_MAX * REFILL
_BEGINS, _ENDS = "begins", "ends"
_OPENS: Mapping[str, int] = {_BEGINS: 1, _ENDS: -1}


@dataclass(frozen=True, slots=True)
class _Budget:
    """What one user has left: all of it from `full_at` on. While refusals are counted there is a `counting_since`."""

    full_at: datetime
    counting_since: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def spent(self, now: datetime) -> "_Budget | None":
        """The budget after one refusal more is recorded singly; None if that is too many."""
        full_at = max(self.full_at, now) + REFILL
        return None if full_at > now + _EMPTY_FOR else replace(self, full_at=full_at)

    def counted(self, code: str, now: datetime) -> "_Budget":
        """The budget after one refusal more is counted."""
        counts = {**self.counts, code: self.counts.get(code, 0) + 1}
        return replace(self, counting_since=self.counting_since or now, counts=counts)

    def begun_anew(self, now: datetime) -> "_Budget":
        """The budget after the counts were told."""
        # A clock that was put back leaves the budget empty, and not empty for as long as it was put back.
        return _Budget(full_at=min(self.full_at, now + _EMPTY_FOR))

    def due_in(self, now: datetime) -> timedelta | None:
        """How long until the counts have to be told; None: nothing is counted."""
        if self.counting_since is None:
            return None
        if now < self.counting_since:
            # The clock was put back: nobody waits until it has come that far again.
            return timedelta()
        return max(self.counting_since + COUNTED_FOR - now, timedelta())


class RefusalTally:
    """The budgets of all users. Like the memory, it is branched for what is not yet on the disk."""

    def __init__(self, budgets: Mapping[int, _Budget] | None = None) -> None:
        self._budgets = dict(budgets or {})

    def branch(self) -> "RefusalTally":
        """A tally that begins with this one and does not change it."""
        return RefusalTally(self._budgets)

    def take(self, refused: LogEntry, *, now: datetime) -> LogEntry | None:
        """What the log is to be told of a refusal: itself, that from now on they are counted, or nothing."""
        uid, code = _uid(refused), str(refused.facts["code"])
        budget = self._budgets.get(uid) or _Budget(full_at=now)
        is_counting = budget.counting_since is not None
        spent = None if is_counting else budget.spent(now)
        self._budgets[uid] = spent or budget.counted(code, now)
        if is_counting:
            return None
        return refused if spent is not None else _told(uid, _BEGINS, {})

    def sums(self, *, now: datetime, at_once: bool = False) -> list[LogEntry]:
        """What the log is to be told of the minutes that are over, or of all of them; they are over then."""
        told = []
        for uid, budget in self._budgets.items():
            due_in = budget.due_in(now)
            if due_in is not None and (at_once or not due_in):
                told.append(_told(uid, _ENDS, budget.counts))
                self._budgets[uid] = budget.begun_anew(now)
        return told

    def due_in(self, *, now: datetime) -> timedelta | None:
        """When the next minute will be over; None: nothing is counted."""
        found = [budget.due_in(now) for budget in self._budgets.values()]
        return min((due_in for due_in in found if due_in is not None), default=None)


class ToldSums:
    """What a log says of refusals that were counted, by user and code; it is told record by record."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[str]] = {}
        self._open: Counter[int] = Counter()

    def take(self, record: LogRecord) -> None:
        """Take in the next record; those that tell of no sum change nothing."""
        if record.entry.kind is not EntryKind.REFUSED_MORE:
            return
        uid, state = _uid(record.entry), record.entry.text("state")
        self._open[uid] += _OPENS[state]
        codes = record.entry.facts.keys() - {"peer_uid", "state"}
        counts = {code: record.entry.number(code) for code in codes}
        self._counts.setdefault(uid, Counter()).update(counts)

    def lines(self) -> list[str]:
        """One line a user: how often which code was told; minutes that have no end are going on, or were cut short."""
        return [self._line(uid, counts) for uid, counts in sorted(self._counts.items())]

    def _line(self, uid: int, counts: Counter[str]) -> str:
        parts = [f"{code} {count}" for code, count in sorted(counts.items())]
        parts += [f"{self._open[uid]} without an end"] if self._open[uid] else []
        return f"refusals that were counted, user {uid}: {', '.join(parts)}"


def _told(uid: int, state: str, counts: Mapping[str, int]) -> LogEntry:
    facts: LogFacts = {"peer_uid": uid, "state": state, **counts}
    return LogEntry(kind=EntryKind.REFUSED_MORE, purpose="refusals", facts=facts)


def _uid(entry: LogEntry) -> int:
    return entry.number("peer_uid")
