"""The auditor's check of a database: every fact, every projection of them, and the log over them, row against row.

Reads the tables by themselves, in streams, and does the book again from them: nothing that the database derives is
taken for true, and nothing is kept in memory but where the streams stand. Every discrepancy names table and row; the
check goes on behind it. It takes one snapshot, so people may go on posting.

It cannot see what was written consistently by somebody who can write anything: that takes a checkpoint from outside.
Follows: RFC 9162 section 2.1 (tree). Invariants: 1, 2, 4, 6, 7 and 10 of docs/INVARIANTS.md.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import Any, Final, Protocol, TypeVar

from ledger.core.ids import ProgrammeId
from ledger.evidence.audit_accounts import again, check_account, ownerless
from ledger.evidence.audit_log import CheckNote, Log
from ledger.evidence.audit_transfers import (
    Rewriters,
    check_hold,
    check_reversal_rows,
    check_transfer_rows,
    transferless,
)
from ledger.evidence.discrepancy import Discrepancy, in_transfer
from ledger.store.audit import (
    PAGE,
    CheckpointRow,
    EntryRow,
    LeafRow,
    accounts_by_number,
    checkpoints_by_size,
    entries_by_account,
    hold_steps,
    holds_by_id,
    leaves_by_position,
    legs_by_transfer,
    reversals,
    steps_by_transfer,
    transfers_by_id,
)
from ledger.store.tx import Tx

FOUND_MAX: Final = 100

Progress = Callable[[str, int], None]
"""Hears which table is being read, and how many of its rows have been so far."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Audited:
    """What was read, and what was found. `found` are the first FOUND_MAX of `discrepancies`."""

    accounts: int
    entries: int
    transfers: int
    unsealed: int
    holds: int
    leaves: int
    checkpoints: int
    discrepancies: int
    found: tuple[Discrepancy, ...]
    restored: int
    """How many transfers another server wrote first: their order in time is not checked."""


def audit(tx: Tx, programme_id: ProgrammeId | None, check_note: CheckNote, progress: Progress) -> Audited:
    """Checks a database, all of it or one programme; the transaction sees one snapshot throughout."""
    auditor = _Auditor(tx, programme_id, progress)
    auditor.check_accounts()
    auditor.check_transfers()
    auditor.check_holds()
    auditor.check_reversals()
    auditor.check_logs(check_note)
    return auditor.audited()


@dataclass(slots=True)
class _Auditor:
    tx: Tx
    programme_id: ProgrammeId | None
    progress: Progress
    _found: list[Discrepancy] = field(default_factory=list)
    _more: int = 0
    _counts: dict[str, int] = field(default_factory=dict)
    _unsealed: int = 0
    _rewriters: Rewriters = field(default_factory=Rewriters)

    def audited(self) -> Audited:
        counts = self._counts
        return Audited(
            accounts=counts["accounts"],
            entries=counts["entries"],
            transfers=counts["transfers"],
            unsealed=self._unsealed,
            holds=counts["holds"],
            leaves=counts["log_leaves"],
            checkpoints=counts["checkpoints"],
            discrepancies=len(self._found) + self._more,
            found=tuple(self._found),
            restored=self._rewriters.restored(),
        )

    def _note(self, found: Iterable[Discrepancy]) -> None:
        for one in found:
            if len(self._found) < FOUND_MAX:
                self._found.append(one)
            else:
                self._more += 1

    def _read(self, name: str, stream: Callable[[Tx, ProgrammeId | None], Iterator[T]]) -> Iterator[T]:
        """A stream, counted under a name."""
        count = 0
        for count, row in enumerate(stream(self.tx, self.programme_id), start=1):
            if count % PAGE == 0:
                self.progress(name, count)
            yield row
        self._counts[name] = count
        self.progress(name, count)

    def check_accounts(self) -> None:
        """Every account, done again from its entries and held against its row."""
        groups = _Groups(self._read("entries", entries_by_account))
        last: int | None = None
        for account in self._read("accounts", accounts_by_number):
            if account.number == last:
                self._note([again(account)])
            last = account.number
            self._note(ownerless(groups.before(account.number)))
            self._note(check_account(account, groups.of(account.number)))
        self._note(ownerless(groups.before(None)))

    def check_transfers(self) -> None:
        """Every transfer with its movements: what its kind consists of, and whether it is what was sealed."""
        for transfer_id, (rows, legs, steps) in _in_step(
            (self._read("transfers", transfers_by_id), lambda row: row.fact.id),
            (self._read("legs", legs_by_transfer), lambda row: row.transfer_id),
            (self._read("account_steps", steps_by_transfer), lambda row: row.transfer_id),
        ):
            if not rows:
                self._note(transferless(transfer_id, legs, steps))
                continue
            self._unsealed += rows[0].position is None
            self._rewriters.see(rows[0])
            self._note(check_transfer_rows(rows, legs, steps))
        self._note(self._rewriters.found())

    def check_holds(self) -> None:
        """Every hold, done again from what was done under it and held against its row."""
        for hold_id, (steps, rows) in _in_step(
            (self._read("hold steps", hold_steps), lambda row: row.hold_id),
            (self._read("holds", holds_by_id), lambda row: row.hold_id),
        ):
            self._note(check_hold(hold_id, steps, rows))

    def check_reversals(self) -> None:
        """Every reversal against the transfer that it names, which it is the first to undo."""
        last = ""
        rows = self._read("reversals", reversals)
        for (reverses_id, transfer_id), group in groupby(
            rows, key=lambda row: (row.reverses_id, row.transfer.id)
        ):
            if reverses_id == last:
                self._note([in_transfer(transfer_id, f"{reverses_id} was reversed before")])
            last = reverses_id
            self._note(check_reversal_rows(list(group)))

    def check_logs(self, check_note: CheckNote) -> None:
        """Every log: gapless, and at the size of every checkpoint the tree that was signed."""
        leaves = self._read("log_leaves", leaves_by_position)
        checkpoints = self._read("checkpoints", checkpoints_by_size)
        # At one size, the checkpoint comes before the leaf that grows beyond it.
        events: Iterator[tuple[str, int, int, LeafRow | CheckpointRow]] = merge(
            ((row.programme_id, row.size, 0, row) for row in checkpoints),
            ((row.programme_id, row.position, 1, row) for row in leaves),
            key=lambda event: event[:3],
        )
        for programme_id, group in groupby(events, key=lambda event: event[0]):
            log = Log(programme_id, check_note)
            for _, _, _, row in group:
                self._note(log.take_leaf(row) if isinstance(row, LeafRow) else log.take_checkpoint(row))
            self._note(log.end())


@dataclass(slots=True)
class _Groups:
    """Entries in the order of their accounts' numbers, handed out account by account."""

    rows: Iterator[EntryRow]
    _next: EntryRow | None = None

    def __post_init__(self) -> None:
        self._next = next(self.rows, None)

    def before(self, number: int | None) -> Iterator[EntryRow]:
        """The entries of numbers below this one; of all that are left, when there is none."""
        while self._next is not None and (number is None or self._next.number < number):
            yield self._next
            self._next = next(self.rows, None)

    def of(self, number: int) -> Iterator[EntryRow]:
        """The entries of this number."""
        while self._next is not None and self._next.number == number:
            yield self._next
            self._next = next(self.rows, None)


class _Key(Protocol):
    def __call__(self, row: Any, /) -> str: ...


def _in_step(*streams: tuple[Iterator[Any], _Key]) -> Iterator[tuple[str, list[list[Any]]]]:
    """Streams in the order of one key, side by side: for each key, the rows that each of them has of it."""
    groups = [groupby(rows, key=key) for rows, key in streams]
    heads = [next(group, None) for group in groups]
    while waiting := [head[0] for head in heads if head is not None]:
        key = min(waiting)
        taken: list[list[Any]] = []
        for place, head in enumerate(heads):
            if head is None or head[0] != key:
                taken.append([])
            else:
                taken.append(list(head[1]))
                heads[place] = next(groups[place], None)
        yield key, taken
