"""Deciding ahead: while one batch is being written, the next one is decided upon what it will leave.

`book.post` locks, reads, decides and writes, and whoever comes next waits for all of it. Here a batch is decided
without a lock: upon what stands, and upon what the batches before it are about to make of it. Then it waits until
those have come to stay, locks its accounts, and is written only if each of them still is at the version that it was
decided upon. If not, it is decided again by `book.post` itself, under the locks. To be wrong costs time, nothing else.

One `Ahead` serves all threads of a process that post batches into one database; to one thread alone it is of no use.
Others who post, in this process or elsewhere, need not know of it: they are noticed by the versions of the accounts
that they move. May not commit; the transaction tells it how that ended.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from threading import Event, Lock
from typing import NamedTuple, TypeVar

from ledger.book import post_batch
from ledger.core.batch import Batch, Group, Results, batch_of
from ledger.core.commands import Capture, Expire, Hold, Increase, Post, Release
from ledger.core.decide import Deciding
from ledger.core.view import After, Book
from ledger.store.accounts import Seen, lock_unchanged, look_at_accounts, pack_seen
from ledger.store.known import known_transfers
from ledger.store.periods import share_calendars
from ledger.store.postings import pack_transfers, read_holds, writing_transfers
from ledger.store.tx import Tx
from ledger.store.writing import Rest, pack_rest, write_rest

K = TypeVar("K")
V = TypeVar("V")

FORESEEABLE = frozenset({Post, Hold, Increase, Capture, Release, Expire})
"""What looks at nothing but accounts and holds. A batch with anything else in it is decided under its locks."""
REMEMBERED = 4
"""How many batches that have come to stay are remembered: the next ones are mostly on the same accounts."""
REST = 16
"""How many batches are decided under their locks after one that was decided wrongly: others move the same accounts."""
PATIENCE_S = 2.0
"""How long a batch waits for those before it. Then it locks: of locks, the database sees who waits for whom."""


class Ahead:
    """The order in which the batches of many threads are written, each decided while the one before it is."""

    def __init__(self, *, rest: int = REST, patience_s: float = PATIENCE_S) -> None:
        self._deciding = Lock()
        self._order = _Order(rest, patience_s)

    @property
    def decided_again(self) -> int:
        """How many batches were decided ahead and then again, because something had become of what they looked at."""
        return self._order.wrong

    def post(self, tx: Tx, groups: Sequence[Group]) -> Results:
        """Carries out groups of commands as `book.post` does, with the same results.

        Raises: as `book.post`.
        """
        batch = batch_of(groups)
        if not FORESEEABLE.issuperset(batch.of_kind) or not self._order.admits(tx):
            return post_batch(tx, batch)
        with self._deciding:
            turn = self._order.take_turn(tx)
            decided = _decide(tx, batch, turn.earlier)
            turn.after = decided.after
        if self._order.has_come(turn) and lock_unchanged(tx, decided.seen):
            _write(tx, decided)
            return decided.results
        self._order.was_wrong(turn)
        return post_batch(tx, batch)


class _Turn:
    """A batch's place in the order, those it is decided upon, newest first, and how it will leave the book itself."""

    def __init__(self, tx: Tx, before: "_Turn | None", earlier: Sequence[After], epoch: int) -> None:
        self.tx: Tx | None = tx
        self.before = before
        self.earlier = earlier
        self.epoch = epoch
        self.after: After | None = None
        self.has_ended = Event()

    def end(self) -> None:
        """Lets the next one go on, and forgets what is large: a transaction and its turn know each other."""
        self.tx, self.earlier, self.after = None, (), None
        self.has_ended.set()


class _Order:
    """Who is decided upon whom. What turns out wrong ends an epoch, and whatever was decided in it is decided again."""

    def __init__(self, rest: int, patience_s: float) -> None:
        self.wrong = 0
        self._rest_after = rest
        self._patience_s = patience_s
        self._lock = Lock()
        self._under_way: list[_Turn] = []
        self._remembered: deque[After] = deque(maxlen=REMEMBERED)
        self._epoch = 0
        self._rest = 0

    def admits(self, tx: Tx) -> bool:
        """Whether a batch may be decided ahead: not while others are in the way, and only if it ends as `tx` does.

        So neither in a transaction that tells nobody how it ended, nor in a savepoint, nor behind another of its own.
        """
        with self._lock:
            if self._rest:
                self._rest -= 1
                return False
            is_alone = all(turn.tx is not tx for turn in self._under_way)
            return tx.at_end is not None and not tx.in_savepoint and is_alone

    def take_turn(self, tx: Tx) -> _Turn:
        """The next place, behind all that are under way."""
        assert tx.at_end is not None, "only such are admitted"
        with self._lock:
            last = self._under_way[-1] if self._under_way else None
            under_way = [turn.after for turn in self._under_way if turn.epoch == self._epoch]
            earlier = [after for after in [*self._remembered, *under_way] if after is not None]
            turn = _Turn(tx, last, earlier[::-1], self._epoch)
            self._under_way.append(turn)
        tx.at_end.append(partial(self._end, turn))
        return turn

    def has_come(self, turn: _Turn) -> bool:
        """Waits for those before it; says whether they left the book as they were to."""
        is_first = turn.before is None or turn.before.has_ended.wait(self._patience_s)
        turn.before = None
        with self._lock:
            return is_first and turn.epoch == self._epoch

    def was_wrong(self, turn: _Turn) -> None:
        """Nobody knows now how this batch will leave the book, nor those that were decided upon it."""
        with self._lock:
            turn.after = None
            self._begin_epoch()
            self._rest = self._rest_after
            self.wrong += 1

    def _end(self, turn: _Turn, is_committed: bool) -> None:
        with self._lock:
            self._under_way.remove(turn)
            if turn.after is not None and turn.epoch == self._epoch:
                if is_committed:
                    self._remembered.append(turn.after)
                else:
                    self._begin_epoch()
            turn.end()

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._remembered.clear()


class _Decided(NamedTuple):
    """What will be written if nothing that was seen has changed by then, and the answers."""

    seen: Seen
    after: After
    results: Results
    transfers: bytes
    rest: Rest


def _decide(tx: Tx, batch: Batch, earlier: Sequence[After]) -> _Decided:
    book = _look(tx, batch, earlier)
    deciding = Deciding(book, tx.now)
    decision = deciding.decide(batch.groups)
    return _Decided(
        pack_seen(book.accounts.values()),
        deciding.after(),
        tuple(decision.results),
        pack_transfers(decision.recorded),
        pack_rest(decision.recorded, deciding.changes()),
    )


def _look(tx: Tx, batch: Batch, earlier: Sequence[After]) -> Book:
    """What stands, and over it what those before are about to make of it.

    Accounts are looked at before holds: a hold that changes in between has an account of another version by then.
    """
    calendars = share_calendars(tx, batch.programme_ids)
    foreseen_holds, hold_ids = _foreseen(batch.hold_ids, [after.holds for after in earlier])
    wanted = batch.account_ids(()) | {hold.account_id for hold in foreseen_holds.values()}
    foreseen, account_ids = _foreseen(wanted, [after.accounts for after in earlier])
    accounts = look_at_accounts(tx, account_ids, held_by=hold_ids) | foreseen
    holds = read_holds(tx, hold_ids) | foreseen_holds
    known = known_transfers(tx, batch.ids)
    for after in earlier:
        known |= after.known(batch.ids)
    return Book(accounts=accounts, holds=holds, known=known, calendars=calendars)


def _foreseen(
    ids: Collection[K], earlier: Iterable[Callable[[Collection[K]], Mapping[K, V]]]
) -> tuple[dict[K, V], set[K]]:
    """What earlier batches leave of these, each as the last of them leaves it; and the others' ids."""
    found: dict[K, V] = {}
    others = set(ids)
    for left_by in earlier:
        left = left_by(others)
        found |= left
        others -= left.keys()
    return found, others


def _write(tx: Tx, decided: _Decided) -> None:
    if decided.transfers:
        with writing_transfers(tx) as write:
            write(decided.transfers)
        write_rest(tx, decided.rest)
