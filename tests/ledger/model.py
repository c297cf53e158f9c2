"""A second opinion on the book, from the rules and not from the code: plain dictionaries, no cleverness.

For each command it collects every refusal that applies, and answers with the first in the order that `Refusal`
promises. One is looked for before the limits are: whether a leg up to what is available finds anything.
What it keeps of an account is three counters, a version, and the last instant that it has seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from ledger.core.chart import CHART, Side
from ledger.core.commands import (
    Applied,
    Capture,
    Close,
    Command,
    Exists,
    Expire,
    Freeze,
    Hold,
    Increase,
    Leg,
    Open,
    Post,
    Rate,
    Refusal,
    Refused,
    Release,
    Result,
    Reverse,
    Unfreeze,
)

MOST = 2**63 - 1
CURRENCIES = {"EUR", "USD", "JPY"}
MICROSECOND = timedelta(microseconds=1)
ORDER = list(Refusal)
Answer = str | Refusal
OnPledge = Increase | Capture | Release | Expire


@dataclass(frozen=True)
class Purse:
    programme_id: str
    currency: str
    grows_on_debit: bool
    floor: int | None
    cap: int | None
    status: str = "open"
    debits: int = 0
    credits: int = 0
    held: int = 0
    version: int = 0
    seen_at: datetime | None = None

    @property
    def posted(self) -> int:
        return self.debits - self.credits if self.grows_on_debit else self.credits - self.debits

    @property
    def available(self) -> int:
        return self.posted - self.held

    def faults(self, before: "Purse") -> Iterator[Refusal]:
        if max(self.debits, self.credits, self.held) > MOST or self.available < -MOST:
            yield Refusal.OVERFLOW
        if self.floor is not None and self.available < min(self.floor, before.available):
            yield Refusal.INSUFFICIENT_FUNDS
        if self.cap is not None and self.posted > max(self.cap, before.posted):
            yield Refusal.BALANCE_CAP


class Pledge(NamedTuple):
    programme_id: str
    account_id: str
    whole: int
    left: int
    expires_at: datetime | None


class Moved(NamedTuple):
    programme_id: str
    legs: tuple[Leg, ...]
    undone: bool = False


class Line(NamedTuple):
    """What the book has seen of an account, for questions about the past."""

    account_id: str
    recorded_at: datetime
    effective_at: datetime
    debits: int
    credits: int
    held: int


class Days(NamedTuple):
    """How far a programme's past is settled."""

    soft: datetime | None = None
    closed: datetime | None = None
    answered: datetime | None = None


Touch = tuple[str, int, int, int]
"""An account, and what is added to its debits, its credits and what is held of it."""


@dataclass
class Model:
    purses: dict[str, Purse] = field(default_factory=dict)
    pledges: dict[str, Pledge] = field(default_factory=dict)
    moved: dict[str, Moved] = field(default_factory=dict)
    said: dict[str, tuple[Command, Applied]] = field(default_factory=dict)
    places: dict[tuple[object, ...], str] = field(default_factory=dict)
    units: set[tuple[str, str]] = field(default_factory=set)
    days: dict[str, Days] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def carry_out(self, group: Sequence[Command], now: datetime) -> list[Result]:
        """Predicts the results of one group, and remembers its effects if it has any."""
        draft = self.copied()
        results: list[Result] = []
        for command in group:
            result = draft._answer(command, now)
            if isinstance(result, Refused):
                others = [Refused(other.id, Refusal.GROUP_REFUSED, "") for other in group]
                return [result if other.id == command.id else other for other in others]
            results.append(result)
        self.__dict__.update(draft.__dict__)
        return results

    def copied(self) -> "Model":
        """The same book, to be tried out."""
        return Model(**{name: value.copy() for name, value in self.__dict__.items()})

    def _answer(self, command: Command, now: datetime) -> Result:
        if command.id in self.said:
            before, result = self.said[command.id]
            differs = first_difference(before, command)
            if differs is None:
                return Exists(command.id, result.recorded_at, result.moved_minor)
            return Refused(command.id, Refusal.ID_REUSED, "", differs)
        faults = set(self._faults(command, now))
        if faults:
            return Refused(command.id, min(faults, key=ORDER.index), "")
        return self._do(command, now)

    # What speaks against a command

    def _faults(self, command: Command, now: datetime) -> Iterator[Refusal]:
        yield from self._period_faults(command)
        match command:
            case Post():
                yield from self._leg_faults(command, command.legs)
                if command.rate is not None:
                    yield from self._rate_faults(command.legs, command.rate)
            case Hold():
                yield from _amount_faults(command.amount_minor)
                yield from self._account_faults(command, command.account_id, gives=True)
            case Increase() | Capture() | Release() | Expire():
                yield from self._pledge_faults(command, now)
            case Reverse():
                yield from self._reverse_faults(command)
            case Open():
                yield from self._open_faults(command)
            case Freeze() | Unfreeze() | Close():
                yield from self._status_faults(command)
        yield from self._faults_after(command)

    def _period_faults(self, command: Command) -> Iterator[Refusal]:
        days = self.days.get(command.programme_id, Days())
        if days.closed is not None and command.effective_at < days.closed:
            yield Refusal.PERIOD_CLOSED
        if days.soft is not None and command.effective_at < days.soft and not command.adjusting:
            yield Refusal.PERIOD_SOFT_CLOSED

    def _leg_faults(self, command: Command, legs: tuple[Leg, ...]) -> Iterator[Refusal]:
        if not 1 <= len(legs) <= 1000:
            yield Refusal.TOO_MANY_LEGS
        for leg in legs:
            yield from _amount_faults(leg.amount_minor)
            if leg.debit == leg.credit:
                yield Refusal.SAME_ACCOUNT
            pair = [self.purses.get(leg.debit), self.purses.get(leg.credit)]
            if len({purse.currency for purse in pair if purse}) > 1:
                yield Refusal.CURRENCY_DIFFERS
            for account_id, purse, on_debit in zip((leg.debit, leg.credit), pair, (True, False), strict=True):
                gives = purse is not None and purse.grows_on_debit is not on_debit
                yield from self._account_faults(command, account_id, gives=gives)

    def _rate_faults(self, legs: tuple[Leg, ...], rate: Rate) -> Iterator[Refusal]:
        totals = {rate.sold: 0, rate.bought: 0}
        for leg in legs:
            purse = self.purses.get(leg.debit)
            if leg.up_to or purse is None or purse.currency not in totals:
                yield Refusal.RATE_DIFFERS
            else:
                totals[purse.currency] += leg.amount_minor
        if min(rate.numerator, rate.denominator) < 1:
            yield Refusal.RATE_DIFFERS
            return
        # Python rounds a fraction half to even.
        bought = round(totals[rate.sold] * Fraction(rate.numerator, rate.denominator))
        if rate.sold == rate.bought or totals[rate.bought] != bought:
            yield Refusal.RATE_DIFFERS

    def _account_faults(self, command: Command, account_id: str, *, gives: bool) -> Iterator[Refusal]:
        purse = self.purses.get(account_id)
        if purse is None or purse.programme_id != command.programme_id:
            yield Refusal.ACCOUNT_UNKNOWN
        elif purse.status == "closed":
            yield Refusal.ACCOUNT_CLOSED
        elif purse.status == "frozen" and gives:
            yield Refusal.ACCOUNT_FROZEN

    def _pledge_faults(self, command: OnPledge, now: datetime) -> Iterator[Refusal]:
        if isinstance(command, Increase | Release) and command.amount_minor is not None:
            yield from _amount_faults(command.amount_minor)
        if isinstance(command, Capture):
            yield from self._leg_faults(command, command.legs)
        pledge = self.pledges.get(command.hold_id)
        if pledge is None or pledge.programme_id != command.programme_id:
            yield Refusal.HOLD_UNKNOWN
            return
        if pledge.left == 0:
            yield Refusal.HOLD_CLOSED
        if _asked(command) > pledge.left:
            yield Refusal.EXCEEDS_HOLD
        late = pledge.expires_at is not None and pledge.expires_at <= now
        if isinstance(command, Expire) and not late:
            yield Refusal.HOLD_NOT_EXPIRED
        if isinstance(command, Increase | Capture) and late:
            yield Refusal.HOLD_EXPIRED
        if isinstance(command, Capture):
            yield from self._draw_faults(command, pledge)
        if isinstance(command, Increase):
            yield from self._increase_faults(command, pledge)

    def _increase_faults(self, command: Increase, pledge: Pledge) -> Iterator[Refusal]:
        yield from self._account_faults(command, pledge.account_id, gives=True)
        if pledge.whole + command.amount_minor > MOST:
            yield Refusal.OVERFLOW

    def _draw_faults(self, command: Capture, pledge: Pledge) -> Iterator[Refusal]:
        on_debit = self.purses[pledge.account_id].grows_on_debit
        if {leg.credit if on_debit else leg.debit for leg in command.legs} != {pledge.account_id}:
            yield Refusal.LEG_NOT_FROM_HOLD

    def _reverse_faults(self, command: Reverse) -> Iterator[Refusal]:
        if command.parts is not None:
            if not 1 <= len(command.parts) <= 1000:
                yield Refusal.TOO_MANY_LEGS
            for part in command.parts:
                yield from _amount_faults(part.amount_minor)
        moved = self.moved.get(command.transfer_id)
        if moved is None or moved.programme_id != command.programme_id:
            yield Refusal.TRANSFER_UNKNOWN
            return
        if moved.undone:
            yield Refusal.ALREADY_REVERSED
        parts = command.parts or ()
        if any(not 1 <= part.leg <= len(moved.legs) for part in parts):
            yield Refusal.LEG_UNKNOWN
            return
        for number, leg in enumerate(moved.legs, start=1):
            if sum(part.amount_minor for part in parts if part.leg == number) > leg.amount_minor:
                yield Refusal.EXCEEDS_LEG
        yield from self._leg_faults(command, self._legs(command))

    def _open_faults(self, command: Open) -> Iterator[Refusal]:
        floor, cap = command.min_available_minor, command.max_balance_minor
        if not -MOST <= (floor or 0) <= 0 or not 0 <= (cap or 0) <= MOST:
            yield Refusal.AMOUNT_OUT_OF_RANGE
        if command.account_id in self.purses or _place(command) in self.places:
            yield Refusal.ACCOUNT_EXISTS
        if command.currency not in CURRENCIES and (command.programme_id, command.currency) not in self.units:
            yield Refusal.CURRENCY_UNKNOWN

    def _status_faults(self, command: Freeze | Unfreeze | Close) -> Iterator[Refusal]:
        yield from self._account_faults(command, command.account_id, gives=isinstance(command, Freeze))
        purse = self.purses.get(command.account_id)
        if isinstance(command, Unfreeze) and purse and purse.status != "frozen":
            yield Refusal.ACCOUNT_NOT_FROZEN
        if isinstance(command, Close) and purse and (purse.posted or purse.held):
            yield Refusal.ACCOUNT_NOT_EMPTY

    def _faults_after(self, command: Command) -> Iterator[Refusal]:
        """What would be wrong with the accounts if it were done."""
        touches = self._touches(command)
        if touches is None:
            yield Refusal.NOTHING_AVAILABLE
        elif all(account_id in self.purses for account_id, *_ in touches):
            for account_id, purse in self._after(touches).items():
                yield from purse.faults(before=self.purses[account_id])

    # What a command does

    def _touches(self, command: Command) -> list[Touch] | None:
        """Everything that happens to accounts, in its order; None where nothing is available to be moved."""
        touches: list[Touch] = []
        match command:
            case Hold():
                touches.append((command.account_id, 0, 0, command.amount_minor))
            case Increase() | Capture() | Release() | Expire() if command.hold_id in self.pledges:
                touches.append((self.pledges[command.hold_id].account_id, 0, 0, -self._freed(command)))
        for leg in self._legs(command):
            minor = leg.amount_minor
            if leg.up_to and {leg.debit, leg.credit} <= self.purses.keys():
                minor = min([minor, *self._room(leg, touches)])
            if minor < 1 and leg.up_to:
                return None
            touches += [(leg.debit, minor, 0, 0), (leg.credit, 0, minor, 0)]
        return touches

    def _room(self, leg: Leg, touches: Sequence[Touch]) -> Iterator[int]:
        """What the accounts that give have left above their floors, after what is done already."""
        pair = [touch for touch in touches if touch[0] in {leg.debit, leg.credit}]
        after = {key: self.purses[key] for key in (leg.debit, leg.credit)} | self._after(pair)
        for purse, on_debit in ((after[leg.debit], True), (after[leg.credit], False)):
            if purse.floor is not None and purse.grows_on_debit is not on_debit:
                yield purse.available - purse.floor

    def _after(self, touches: Sequence[Touch]) -> dict[str, Purse]:
        after: dict[str, Purse] = {}
        for account_id, debits, credits_, held in touches:
            purse = after.get(account_id) or self.purses[account_id]
            after[account_id] = replace(
                purse,
                debits=purse.debits + debits,
                credits=purse.credits + credits_,
                held=purse.held + held,
                version=purse.version + 1,
            )
        return after

    def _freed(self, command: OnPledge) -> int:
        """What it gives back of what its hold reserves."""
        pledge = self.pledges.get(command.hold_id)
        left = pledge.left if pledge else 0
        if isinstance(command, Increase):
            return -command.amount_minor
        whole = isinstance(command, Expire) or (isinstance(command, Capture) and command.final)
        return left if whole or _asked(command) == 0 else _asked(command)

    def _legs(self, command: Command) -> tuple[Leg, ...]:
        if isinstance(command, Reverse):
            moved = self.moved.get(command.transfer_id)
            legs = moved.legs if moved else ()
            parts = [(number, leg.amount_minor) for number, leg in enumerate(legs, start=1)]
            if command.parts is not None:
                parts = [(part.leg, part.amount_minor) for part in command.parts]
            return tuple(
                Leg(legs[number - 1].credit, legs[number - 1].debit, minor)
                for number, minor in parts
                if 1 <= number <= len(legs)
            )
        return command.legs if isinstance(command, Post | Capture) else ()

    def _do(self, command: Command, now: datetime) -> Applied:
        if isinstance(command, Open):
            self._open(command)
        touches = self._touches(command)
        assert touches is not None, "it was looked at before"
        if isinstance(command, Open | Freeze | Unfreeze | Close):
            touches.append((command.account_id, 0, 0, 0))
        at = self._instant(command, [account_id for account_id, *_ in touches], now)
        for account_id, purse in self._after(touches).items():
            self.purses[account_id] = replace(purse, seen_at=at)
        self.lines += [Line(account_id, at, command.effective_at, *change) for account_id, *change in touches]
        self._keep(command, touches)
        result = Applied(command.id, at, _moved_minor(touches))
        self.said[command.id] = command, result
        return result

    def _instant(self, command: Command, account_ids: Sequence[str], now: datetime) -> datetime:
        answered = self.days.get(command.programme_id, Days()).answered
        earliest = [now] if answered is None else [now, answered + MICROSECOND]
        return max(
            [*earliest, *(seen for account_id in account_ids if (seen := self.purses[account_id].seen_at))]
        )

    def _open(self, command: Open) -> None:
        self.purses[command.account_id] = Purse(
            command.programme_id,
            command.currency,
            CHART[command.code].side is Side.DEBIT,
            command.min_available_minor,
            command.max_balance_minor,
        )
        self.places[_place(command)] = command.account_id

    def _keep(self, command: Command, touches: Sequence[Touch]) -> None:
        """What later commands may speak of."""
        match command:
            case Post() | Capture():
                debits = [touch[1] for touch in touches if touch[1]]
                legs = tuple(
                    replace(leg, amount_minor=minor, up_to=False)
                    for leg, minor in zip(command.legs, debits, strict=True)
                )
                self.moved[command.id] = Moved(command.programme_id, legs)
            case Reverse():
                self.moved[command.transfer_id] = self.moved[command.transfer_id]._replace(undone=True)
            case Hold():
                self.pledges[command.id] = Pledge(
                    command.programme_id,
                    command.account_id,
                    command.amount_minor,
                    command.amount_minor,
                    command.expires_at,
                )
            case Freeze() | Unfreeze() | Close():
                status = {Freeze: "frozen", Unfreeze: "open", Close: "closed"}[type(command)]
                self.purses[command.account_id] = replace(self.purses[command.account_id], status=status)
        if isinstance(command, Increase | Capture | Release | Expire):
            pledge = self.pledges[command.hold_id]
            more = touches[0][3]
            whole = pledge.whole + more if isinstance(command, Increase) else pledge.whole
            self.pledges[command.hold_id] = pledge._replace(whole=whole, left=pledge.left + more)


def first_difference(before: Command, now: Command) -> str | None:
    """The first field in which two commands say different things; an authority is not something that is said."""
    return next((name for name in _FIELDS if _said(before, name) != _said(now, name)), None)


_FIELDS = (
    "programme_id", "kind", "effective_at", "reference", "metadata", "account_id", "hold_id", "transfer_id",
    "amount_minor", "legs", "up_to", "rate", "expires_at", "final", "parts", "code", "subdivision", "party_id",
    "currency", "min_available_minor", "max_balance_minor", "tags", "adjusting",
)  # fmt: skip


def _said(command: Command, name: str) -> Any:
    legs = getattr(command, "legs", ())
    match name:
        case "kind":
            return type(command)
        case "legs":
            return [(leg.debit, leg.credit, None if leg.up_to else leg.amount_minor) for leg in legs]
        case "up_to":
            return [leg.amount_minor if leg.up_to else None for leg in legs]
        case _:
            return getattr(command, name, None)


def _asked(command: OnPledge) -> int:
    """How much of a hold is asked for; nothing where it is all that is left. No capture can say "up to"."""
    match command:
        case Capture():
            return sum(MOST + 1 if leg.up_to else leg.amount_minor for leg in command.legs)
        case Release():
            return command.amount_minor or 0
        case Increase() | Expire():
            return 0


def _place(command: Open) -> tuple[object, ...]:
    return command.programme_id, command.code, command.subdivision, command.party_id, command.currency


def _moved_minor(touches: Sequence[Touch]) -> int:
    return sum(touch[1] for touch in touches) or sum(abs(touch[3]) for touch in touches)


def _amount_faults(amount_minor: int) -> Iterator[Refusal]:
    if type(amount_minor) is not int or not 1 <= amount_minor <= MOST:
        yield Refusal.AMOUNT_OUT_OF_RANGE


def plain(results: Sequence[Sequence[Result]]) -> list[list[Result]]:
    """Results without their details, which are words for people."""
    return [
        [item._replace(detail="") if isinstance(item, Refused) else item for item in group]
        for group in results
    ]


def answer_of(result: Result) -> Answer:
    """A result in one word."""
    match result:
        case Applied():
            return "applied"
        case Exists():
            return "exists"
        case _:
            return result.refusal
