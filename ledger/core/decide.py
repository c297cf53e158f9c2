"""The one function that decides what the book does: pure, deterministic, integers only.

The store reads and locks, calls `decide`, and writes what it says. The property tests drive the same function,
and an auditor can replay it. It may not do I/O, read a clock or draw a random number.

Groups are all-or-nothing; each group sees the effects of those before it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TypeVar

from ledger.core.chart import Side
from ledger.core.commands import (
    LEGS_MAX,
    Applied,
    Capture,
    Command,
    Exists,
    Hold,
    Leg,
    Post,
    Refusal,
    Refused,
    Release,
    Result,
    Reverse,
    content_digest,
)
from ledger.core.ids import AccountId, ProgrammeId, TransferId
from ledger.core.money import MINOR_MAX

K = TypeVar("K")
T = TypeVar("T")


class Status(StrEnum):
    """Whether an account takes movements: a frozen one not until it is opened again, a closed one never again."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


class Movement(StrEnum):
    """What an entry did to its account."""

    DEBIT = "debit"
    CREDIT = "credit"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the book sees it. Units: minor units; counters only grow, `held_minor` goes both ways."""

    id: AccountId
    programme_id: ProgrammeId
    currency: str
    side: Side
    status: Status
    min_available_minor: int | None
    max_balance_minor: int | None
    debits_minor: int
    credits_minor: int
    held_minor: int
    version: int
    recorded_at: datetime

    @property
    def posted_minor(self) -> int:
        """The balance on the account's normal side."""
        net = self.debits_minor - self.credits_minor
        return net if self.side is Side.DEBIT else -net

    @property
    def available_minor(self) -> int:
        """What may still be spent: held + available = posted."""
        return self.posted_minor - self.held_minor


@dataclass(frozen=True, slots=True)
class HoldState:
    """A hold and what has become of it. Units: minor units; captured + released never exceed the amount."""

    id: TransferId
    programme_id: ProgrammeId
    account_id: AccountId
    amount_minor: int
    captured_minor: int
    released_minor: int
    expires_at: datetime | None

    @property
    def remaining_minor(self) -> int:
        """What is still reserved."""
        return self.amount_minor - self.captured_minor - self.released_minor


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer of the past that a reversal names."""

    id: TransferId
    programme_id: ProgrammeId
    legs: tuple[Leg, ...]
    reversed: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement as one account saw it, with that account's counters after it."""

    account_id: AccountId
    version: int
    transfer_id: TransferId
    leg: int
    movement: Movement
    amount_minor: int
    debits_after_minor: int
    credits_after_minor: int
    held_after_minor: int
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command that was applied, as it will stand in the book."""

    command: Command
    content_digest: bytes
    recorded_at: datetime


@dataclass(slots=True)
class Book:
    """All that a batch may look at, read once before it and locked."""

    accounts: Mapping[AccountId, Account]
    holds: Mapping[TransferId, HoldState]
    posted: Mapping[TransferId, Posted]
    known: Mapping[TransferId, bytes]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answers, group by group, and what has to be written for them to be true."""

    results: tuple[tuple[Result, ...], ...]
    recorded: tuple[Recorded, ...]
    entries: tuple[Entry, ...]
    accounts: tuple[Account, ...]
    holds: tuple[HoldState, ...]


def decide(book: Book, groups: Sequence[Sequence[Command]], now: datetime) -> Decision:
    """Decides a batch: every command gets a result, and only applied ones leave anything.

    Invariants: every transfer balances (1), no account passes its limits (2), the same id is one effect (4),
    held + available = posted (7).
    """
    view = _View(book, now)
    results = tuple(_decide_group(view, group) for group in groups)
    return Decision(
        results=results,
        recorded=tuple(view.recorded),
        entries=tuple(view.entries),
        accounts=tuple(view.accounts.values()),
        holds=tuple(view.holds.values()),
    )


def _decide_group(view: "_View", group: Sequence[Command]) -> tuple[Result, ...]:
    before = view.mark()
    results: list[Result] = []
    for command in group:
        result = _decide_one(view, command)
        results.append(result)
        if isinstance(result, Refused):
            view.rewind(before)
            return _refuse_group(group, result)
    return tuple(results)


def _refuse_group(group: Sequence[Command], cause: Refused) -> tuple[Result, ...]:
    detail = f"refused together with {cause.id}: {cause.refusal}"
    return tuple(
        cause if command.id == cause.id else Refused(command.id, Refusal.GROUP_REFUSED, detail)
        for command in group
    )


def _decide_one(view: "_View", command: Command) -> Result:
    content = content_digest(command)
    known = view.known_digest(command.id)
    if known is not None:
        if known == content:
            return Exists(command.id)
        return Refused(command.id, Refusal.ID_REUSED, "this id was used for a command with other content")
    try:
        _apply(view, command)
    except _Stop as stop:
        return Refused(command.id, stop.refusal, stop.detail)
    view.record(command, content)
    return Applied(command.id)


def _apply(view: "_View", command: Command) -> None:
    match command:
        case Post():
            _check_legs(command.legs)
            _move(view, command, command.legs)
        case Hold():
            _hold(view, command)
        case Capture():
            _capture(view, command)
        case Release():
            _release(view, command)
        case Reverse():
            _reverse(view, command)


def _check_legs(legs: tuple[Leg, ...]) -> None:
    if not 1 <= len(legs) <= LEGS_MAX:
        raise _Stop(Refusal.TOO_MANY_LEGS, f"a transfer has 1 to {LEGS_MAX} legs, this has {len(legs)}")
    for leg in legs:
        _check_amount(leg.amount_minor)
    for leg in legs:
        if leg.debit == leg.credit:
            raise _Stop(Refusal.SAME_ACCOUNT, f"{leg.debit} stands on both sides of a leg")


def _check_amount(amount_minor: int) -> None:
    if type(amount_minor) is not int or not 0 < amount_minor <= MINOR_MAX:
        raise _Stop(Refusal.AMOUNT_OUT_OF_RANGE, "an amount is a whole number from 1 to 2^63-1")


def _move(view: "_View", command: Command, legs: tuple[Leg, ...]) -> None:
    """Applies all legs, then looks at the limits of every account they touched."""
    starts = {account_id: view.account(command, account_id) for account_id in _touched(legs)}
    for leg in legs:
        _check_currencies(starts[leg.debit], starts[leg.credit])
    _check_take_movements(starts.values())
    view.stamp(starts)
    for number, leg in enumerate(legs, start=1):
        view.enter(command, leg.debit, Movement.DEBIT, leg.amount_minor, number)
        view.enter(command, leg.credit, Movement.CREDIT, leg.amount_minor, number)
    _check_limits([(start, view.accounts[account_id]) for account_id, start in starts.items()])


def _touched(legs: Iterable[Leg]) -> Iterable[AccountId]:
    return (account_id for leg in legs for account_id in (leg.debit, leg.credit))


def _check_currencies(debit: Account, credit: Account) -> None:
    if debit.currency != credit.currency:
        raise _Stop(Refusal.CURRENCY_DIFFERS, f"a leg joins {debit.currency} to {credit.currency}")


def _check_take_movements(accounts: Collection[Account]) -> None:
    for account in accounts:
        if account.status is Status.CLOSED:
            raise _Stop(Refusal.ACCOUNT_CLOSED, f"{account.id} is closed")
    for account in accounts:
        if account.status is Status.FROZEN:
            raise _Stop(Refusal.ACCOUNT_FROZEN, f"{account.id} is frozen")


def _check_limits(changes: Sequence[tuple[Account, Account]]) -> None:
    """Looks at each account as it was before the command and as it would be after it."""
    for start, end in changes:
        floor = end.min_available_minor
        if floor is not None and end.available_minor < floor and end.available_minor < start.available_minor:
            short = floor - end.available_minor
            raise _Stop(Refusal.INSUFFICIENT_FUNDS, f"{end.id} is {short} {end.currency} minor units short")
    for start, end in changes:
        cap = end.max_balance_minor
        if cap is not None and end.posted_minor > cap and end.posted_minor > start.posted_minor:
            raise _Stop(Refusal.BALANCE_CAP, f"{end.id} may hold at most {cap} {end.currency} minor units")


def _hold(view: "_View", command: Hold) -> None:
    _check_amount(command.amount_minor)
    start = view.account(command, command.account_id)
    _check_take_movements([start])
    view.stamp([start.id])
    view.enter(command, start.id, Movement.HOLD, command.amount_minor, 0)
    _check_limits([(start, view.accounts[start.id])])
    view.set_hold(
        HoldState(command.id, command.programme_id, start.id, command.amount_minor, 0, 0, command.expires_at)
    )


def _capture(view: "_View", command: Capture) -> None:
    _check_legs(command.legs)
    hold = view.open_hold(command, command.hold_id)
    if hold.expires_at is not None and hold.expires_at <= view.now:
        raise _Stop(Refusal.HOLD_EXPIRED, f"the hold expired at {hold.expires_at.isoformat()}")
    side = view.account(command, hold.account_id).side
    if any((leg.debit if side is Side.CREDIT else leg.credit) != hold.account_id for leg in command.legs):
        raise _Stop(Refusal.LEG_NOT_FROM_HOLD, "every leg of a capture draws on the account that is held")
    total = sum(leg.amount_minor for leg in command.legs)
    if total > hold.remaining_minor:
        detail = f"{total} asked, {hold.remaining_minor} left of the hold"
        raise _Stop(Refusal.EXCEEDS_HOLD, detail)
    freed = hold.remaining_minor if command.final else total
    view.stamp(_touched(command.legs))
    view.enter(command, hold.account_id, Movement.RELEASE, freed, 0)
    _move(view, command, command.legs)
    view.set_hold(
        replace(
            hold,
            captured_minor=hold.captured_minor + total,
            released_minor=hold.released_minor + freed - total,
        )
    )


def _release(view: "_View", command: Release) -> None:
    if command.amount_minor is not None:
        _check_amount(command.amount_minor)
    hold = view.open_hold(command, command.hold_id)
    amount = hold.remaining_minor if command.amount_minor is None else command.amount_minor
    if amount > hold.remaining_minor:
        raise _Stop(Refusal.EXCEEDS_HOLD, f"{amount} asked, {hold.remaining_minor} left of the hold")
    view.stamp([hold.account_id])
    view.enter(command, hold.account_id, Movement.RELEASE, amount, 0)
    view.set_hold(replace(hold, released_minor=hold.released_minor + amount))


def _reverse(view: "_View", command: Reverse) -> None:
    original = view.posted(command, command.transfer_id)
    if original.reversed:
        raise _Stop(Refusal.ALREADY_REVERSED, f"{original.id} was reversed before")
    _move(view, command, tuple(Leg(leg.credit, leg.debit, leg.amount_minor) for leg in original.legs))
    view.note_reversed(original.id)


class _Stop(Exception):
    """Leaves the descent with a refusal; never crosses the module's edge."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail


@dataclass(slots=True)
class _View:
    """The book as this batch has changed it so far, with an undo list so that a refused group costs only itself."""

    book: Book
    now: datetime
    accounts: dict[AccountId, Account] = field(default_factory=dict)
    holds: dict[TransferId, HoldState] = field(default_factory=dict)
    recorded: list[Recorded] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    _known: dict[TransferId, bytes] = field(default_factory=dict)
    _posted: dict[TransferId, Posted] = field(default_factory=dict)
    _undo: list[Callable[[], None]] = field(default_factory=list)
    at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.now

    def mark(self) -> tuple[int, int]:
        self._undo.clear()
        return len(self.recorded), len(self.entries)

    def rewind(self, mark: tuple[int, int]) -> None:
        while self._undo:
            self._undo.pop()()
        del self.recorded[mark[0] :]
        del self.entries[mark[1] :]

    def _set(self, mapping: dict[K, T], key: K, value: T) -> None:
        if key in mapping:
            self._undo.append(partial(mapping.__setitem__, key, mapping[key]))
        else:
            self._undo.append(partial(_forget, mapping, key))
        mapping[key] = value

    def set_hold(self, hold: HoldState) -> None:
        self._set(self.holds, hold.id, hold)

    def known_digest(self, transfer_id: TransferId) -> bytes | None:
        return self._known.get(transfer_id) or self.book.known.get(transfer_id)

    def account(self, command: Command, account_id: AccountId) -> Account:
        account = self.accounts.get(account_id) or self.book.accounts.get(account_id)
        if account is None or account.programme_id != command.programme_id:
            raise _Stop(Refusal.ACCOUNT_UNKNOWN, f"there is no account {account_id} in this programme")
        return account

    def open_hold(self, command: Command, hold_id: TransferId) -> HoldState:
        hold = self.holds.get(hold_id) or self.book.holds.get(hold_id)
        if hold is None or hold.programme_id != command.programme_id:
            raise _Stop(Refusal.HOLD_UNKNOWN, f"there is no hold {hold_id} in this programme")
        if hold.remaining_minor == 0:
            raise _Stop(Refusal.HOLD_CLOSED, f"nothing is left of the hold {hold_id}")
        return hold

    def posted(self, command: Command, transfer_id: TransferId) -> Posted:
        posted = self._posted.get(transfer_id) or self.book.posted.get(transfer_id)
        if posted is None or posted.programme_id != command.programme_id or not posted.legs:
            raise _Stop(Refusal.TRANSFER_UNKNOWN, f"there is no transfer {transfer_id} in this programme")
        return posted

    def note_reversed(self, transfer_id: TransferId) -> None:
        original = self._posted.get(transfer_id) or self.book.posted[transfer_id]
        self._set(self._posted, transfer_id, replace(original, reversed=True))

    def record(self, command: Command, content: bytes) -> None:
        self._set(self._known, command.id, content)
        if isinstance(command, Post | Capture):
            posted = Posted(command.id, command.programme_id, command.legs, reversed=False)
            self._set(self._posted, command.id, posted)
        self.recorded.append(Recorded(command, content, self.at))

    def stamp(self, account_ids: Iterable[AccountId]) -> None:
        """One command, one instant, no earlier than any account it touches has seen.

        So the book sums to zero at every past instant (6), even when `now` goes back.
        """
        seen = [self.accounts.get(item) or self.book.accounts.get(item) for item in account_ids]
        self.at = max([self.now, *(account.recorded_at for account in seen if account is not None)])

    def enter(
        self, command: Command, account_id: AccountId, movement: Movement, amount_minor: int, leg: int
    ) -> None:
        before = self.accounts.get(account_id) or self.book.accounts[account_id]
        after = _moved(before, movement, amount_minor, self.at)
        self._set(self.accounts, account_id, after)
        self.entries.append(
            Entry(
                account_id=account_id,
                version=after.version,
                transfer_id=command.id,
                leg=leg,
                movement=movement,
                amount_minor=amount_minor,
                debits_after_minor=after.debits_minor,
                credits_after_minor=after.credits_minor,
                held_after_minor=after.held_minor,
                effective_at=command.effective_at,
                recorded_at=after.recorded_at,
            )
        )


def _forget(mapping: dict[K, T], key: K) -> None:
    del mapping[key]


def _moved(account: Account, movement: Movement, amount_minor: int, at: datetime) -> Account:
    debits = account.debits_minor + (amount_minor if movement is Movement.DEBIT else 0)
    credits_ = account.credits_minor + (amount_minor if movement is Movement.CREDIT else 0)
    held = account.held_minor
    if movement is Movement.HOLD:
        held += amount_minor
    elif movement is Movement.RELEASE:
        held -= amount_minor
    if max(debits, credits_, held) > MINOR_MAX:
        raise _Stop(Refusal.OVERFLOW, f"the counters of {account.id} would pass 2^63-1")
    after = replace(
        account,
        debits_minor=debits,
        credits_minor=credits_,
        held_minor=held,
        version=account.version + 1,
        recorded_at=at,
    )
    if after.available_minor < -MINOR_MAX:
        raise _Stop(Refusal.OVERFLOW, f"the available balance of {account.id} would pass -(2^63-1)")
    return after
