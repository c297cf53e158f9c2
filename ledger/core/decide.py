"""The one function that decides what the book does: pure, deterministic, integers only.

The store reads and locks, calls it, and writes what it says. The property tests drive the same function, and an
auditor can replay it. It may not do I/O, read a clock or draw a random number.

Groups are all-or-nothing; each group sees the effects of those before it. What is looked at first is refused first:
the order is that of `Refusal`, over all legs of a command.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from ledger.core.account import Account, Entry, HoldState, LegRecord, Movement, Status
from ledger.core.commands import (
    LEGS_MAX,
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
    content_of,
    first_difference,
)
from ledger.core.conversion import converted_minor
from ledger.core.currency import ISO_CODES
from ledger.core.ids import AccountId
from ledger.core.money import MINOR_MAX
from ledger.core.running import Before, Running, available_before, posted_before
from ledger.core.view import After, Book, Known, Posted, Recorded, Stop, View

Pair = tuple[Running, Running]
"""Both accounts of a leg: debit, credit."""


class Decision(NamedTuple):
    """The answers, group by group, and the facts that have to be written for them to be true."""

    results: list[tuple[Result, ...]]
    recorded: list[Recorded]
    opened: list[tuple[Open, Account]]
    """New accounts, as they were before anything happened to them."""

    def entries(self) -> list[Entry]:
        """All movements as their accounts saw them, in the order of the accounts and their versions."""
        return sorted(chain.from_iterable(item.entries() for item in self.recorded))


class Changes(NamedTuple):
    """What a batch leaves behind on what was there before it, and on what it opened."""

    accounts: list[Running]
    """Each account that moved: what it was when it was locked, and what it is now."""
    holds: list[HoldState]


def decide(book: Book, groups: Sequence[Sequence[Command]], now: datetime) -> tuple[Decision, Changes]:
    """Decides a batch: every command gets a result, and only applied ones leave anything.

    Invariants: every transfer balances (1), no account passes its limits (2), the same id is one effect (4),
    held + available = posted (7).
    """
    deciding = Deciding(book, now)
    return deciding.decide(groups), deciding.changes()


class Deciding:
    """A batch on its way: decided piece by piece, so that what is decided can be written while the rest is."""

    def __init__(self, book: Book, now: datetime) -> None:
        self._view = View(book, now)

    def decide(self, groups: Sequence[Sequence[Command]]) -> Decision:
        """Decides the next groups: their answers, and the facts that they add."""
        view = self._view
        view.recorded, view.opened = [], {}
        results = [_decide_group(view, group) for group in groups]
        return Decision(results, view.recorded, list(view.opened.values()))

    def after(self) -> After:
        """How all groups so far leave what they have looked at."""
        return self._view.after()

    def changes(self) -> Changes:
        """What all groups so far have changed."""
        view = self._view
        moved = [running for running in view.running.values() if running.version != running.account.version]
        return Changes(moved, list(view.holds.values()))


def _decide_group(view: View, group: Sequence[Command]) -> tuple[Result, ...]:
    view.begin_group()
    if len(group) == 1:
        result = _decide_one(view, group[0])
        if type(result) is Refused:
            view.rewind()
        return (result,)
    results: list[Result] = []
    for command in group:
        result = _decide_one(view, command)
        results.append(result)
        if type(result) is Refused:
            view.rewind()
            return _refuse_group(group, result)
    return tuple(results)


def _refuse_group(group: Sequence[Command], cause: Refused) -> tuple[Result, ...]:
    detail = f"refused together with {cause.id}: {cause.refusal}"
    return tuple(
        cause if command.id == cause.id else Refused(command.id, Refusal.GROUP_REFUSED, detail)
        for command in group
    )


def _decide_one(view: View, command: Command) -> Result:
    known = view.known(command.id)
    if known is not None:
        return _replay(command, known)
    view.begin_command(command)
    try:
        moved_minor = _APPLY[type(command)](view, command)
    except Stop as stop:
        return Refused(command.id, stop.refusal, stop.detail)
    return view.record(command, moved_minor)


def _replay(command: Command, known: Known) -> Result:
    differs = first_difference(known.content, content_of(command))
    if differs is None:
        return Exists(command.id, known.recorded_at, known.moved_minor)
    detail = f"this id was used for a command with another {differs}"
    return Refused(command.id, Refusal.ID_REUSED, detail, differs)


# Commands that move money ------------------------------------------------------------------------------------


def _post(view: View, command: Post) -> int:
    legs = command.legs
    _check_legs(legs)
    view.check_period(command)
    if len(legs) == 1 and not legs[0].up_to and command.rate is None:
        return _move_one(view, command, legs[0])
    moved_minor = _move(view, legs, _pairs(view, command, legs), command.rate)
    if any(leg.up_to for leg in legs):
        view.note_moved(command, (Leg(leg.debit.id, leg.credit.id, leg.amount_minor) for leg in view.legs))
    return moved_minor


def _check_legs(legs: Sequence[Leg]) -> None:
    """Looks at what the legs say by themselves."""
    if not 1 <= len(legs) <= LEGS_MAX:
        raise Stop(Refusal.TOO_MANY_LEGS, f"a transfer has 1 to {LEGS_MAX} legs, this has {len(legs)}")
    for leg in legs:
        _check_amount(leg.amount_minor)
    for leg in legs:
        if leg.debit == leg.credit:
            raise Stop(Refusal.SAME_ACCOUNT, f"{leg.debit} stands on both sides of a leg")


def _check_amount(amount_minor: int) -> None:
    if type(amount_minor) is not int or not 0 < amount_minor <= MINOR_MAX:
        raise Stop(Refusal.AMOUNT_OUT_OF_RANGE, "an amount is a whole number from 1 to 2^63-1")


def _move_one(view: View, command: Command, leg: Leg) -> int:
    """What `_move` does, for the one leg that nearly every transfer has."""
    debit, credit = view.account(command, leg.debit), view.account(command, leg.credit)
    if debit.currency != credit.currency or not (debit.is_open and credit.is_open):
        _check_currencies([(debit, credit)])
        _check_take_movements([(debit, credit)])
    view.touch(debit)
    view.touch(credit)
    _enter(view, leg.amount_minor, debit=debit, credit=credit)
    if not (debit.within() and credit.within()):
        _check_limits(view)
    return leg.amount_minor


def _pairs(view: View, command: Command, legs: Iterable[Leg]) -> list[Pair]:
    """The accounts of the legs, all of them noted before anything is written on one."""
    pairs = [(view.account(command, leg.debit), view.account(command, leg.credit)) for leg in legs]
    for debit, credit in pairs:
        view.touch(debit)
        view.touch(credit)
    return pairs


def _move(view: View, legs: Sequence[Leg], pairs: Sequence[Pair], rate: Rate | None = None) -> int:
    """Applies all legs, then looks at the limits of every account they touched. Says how much was moved."""
    _check_currencies(pairs)
    if rate is not None:
        _check_rate(rate, legs, pairs)
    _check_take_movements(pairs)
    moved_minor = 0
    for leg, (debit, credit) in zip(legs, pairs, strict=True):
        amount_minor = _as_much(leg.amount_minor, debit, credit) if leg.up_to else leg.amount_minor
        moved_minor += amount_minor
        _enter(view, amount_minor, debit=debit, credit=credit)
    _check_limits(view)
    return moved_minor


def _enter(view: View, amount_minor: int, *, debit: Running, credit: Running) -> None:
    debit.debits += amount_minor
    credit.credits += amount_minor
    debit.version += 1
    credit.version += 1
    debit.recorded_at = credit.recorded_at = view.at
    record = (
        debit.account, credit.account, amount_minor, debit.version, credit.version,
        debit.debits, debit.credits, debit.held, credit.debits, credit.credits, credit.held,
    )  # fmt: skip
    view.legs.append(_leg_record(LegRecord, record))


# A named tuple's own constructor is a Python function: going past it saves a tenth of a batch.
_leg_record = tuple.__new__


def _check_currencies(pairs: Iterable[Pair]) -> None:
    for debit, credit in pairs:
        if debit.currency != credit.currency:
            raise Stop(Refusal.CURRENCY_DIFFERS, f"a leg joins {debit.currency} to {credit.currency}")


def _check_rate(rate: Rate, legs: Sequence[Leg], pairs: Sequence[Pair]) -> None:
    totals = {rate.sold: 0, rate.bought: 0}
    for leg, (debit, _) in zip(legs, pairs, strict=True):
        if leg.up_to or debit.currency not in totals:
            raise Stop(Refusal.RATE_DIFFERS, "a conversion moves exact amounts of its two currencies")
        totals[debit.currency] += leg.amount_minor
    if not all(
        type(number) is int and 0 < number <= MINOR_MAX for number in (rate.numerator, rate.denominator)
    ):
        raise Stop(Refusal.RATE_DIFFERS, "a rate is a fraction of two whole numbers from 1 to 2^63-1")
    bought_minor = converted_minor(totals[rate.sold], rate)
    if rate.sold == rate.bought or not bought_minor or totals[rate.bought] != bought_minor:
        raise Stop(Refusal.RATE_DIFFERS, f"at this rate it buys {bought_minor} {rate.bought} minor units")


def _check_take_movements(pairs: Iterable[Pair]) -> None:
    """A closed account takes part in nothing; a frozen one gives nothing, but what comes in still comes in."""
    unusual = [pair for pair in pairs if not (pair[0].is_open and pair[1].is_open)]
    for running in chain.from_iterable(unusual):
        if running.status is Status.CLOSED:
            raise Stop(Refusal.ACCOUNT_CLOSED, f"{running.account.id} is closed")
    for debit, credit in unusual:
        _check_gives(debit, gives=not debit.grows_on_debit)
        _check_gives(credit, gives=credit.grows_on_debit)


def _check_gives(running: Running, *, gives: bool) -> None:
    if gives and running.status is Status.FROZEN:
        raise Stop(Refusal.ACCOUNT_FROZEN, f"{running.account.id} is frozen")


def _as_much(most_minor: int, debit: Running, credit: Running) -> int:
    """What the accounts that give have available above their lines, and no more than was asked."""
    room = [
        running.available() - floor_minor
        for running, gives in ((debit, not debit.grows_on_debit), (credit, credit.grows_on_debit))
        if gives and (floor_minor := running.floor_minor) is not None
    ]
    amount_minor = min([most_minor, *room])
    if amount_minor <= 0:
        raise Stop(
            Refusal.NOTHING_AVAILABLE, f"{debit.account.id} to {credit.account.id}: nothing is available"
        )
    return amount_minor


def _check_limits(view: View) -> None:
    """Looks at each account that is not within its limits as it was before the command and as it is after it."""
    touched = [before for before in view.touched() if not before[0].within()]
    for before in touched:
        after = before[0]
        if (
            after.debits > MINOR_MAX
            or after.credits > MINOR_MAX
            or after.held > MINOR_MAX
            or after.available() < -MINOR_MAX
        ):
            raise Stop(Refusal.OVERFLOW, f"the counters of {after.account.id} would pass 2^63-1")
    for before in touched:
        if before[0].floor_minor is not None:
            _check_floor(before, before[0].floor_minor)
    for before in touched:
        if before[0].cap_minor is not None:
            _check_cap(before, before[0].cap_minor)


def _check_floor(before: Before, floor_minor: int) -> None:
    after = before[0]
    available_minor = after.available()
    if available_minor < floor_minor and available_minor < available_before(before):
        short = f"{floor_minor - available_minor} {after.currency} minor units short"
        raise Stop(Refusal.INSUFFICIENT_FUNDS, f"{after.account.id} is {short}")


def _check_cap(before: Before, cap_minor: int) -> None:
    after = before[0]
    posted_minor = after.posted()
    if posted_minor > cap_minor and posted_minor > posted_before(before):
        detail = f"{after.account.id} may hold at most {cap_minor} {after.currency} minor units"
        raise Stop(Refusal.BALANCE_CAP, detail)


def _reverse(view: View, command: Reverse) -> int:
    _check_parts(command)
    view.check_period(command)
    original = view.posted(command)
    if original.reversed:
        raise Stop(Refusal.ALREADY_REVERSED, f"{original.id} was reversed before")
    legs = [Leg(leg.credit, leg.debit, leg.amount_minor) for leg in _undone(command, original)]
    moved_minor = _move(view, legs, _pairs(view, command, legs))
    view.note_reversed(original)
    return moved_minor


def _check_parts(command: Reverse) -> None:
    if command.parts is None:
        return
    if not 1 <= len(command.parts) <= LEGS_MAX:
        raise Stop(Refusal.TOO_MANY_LEGS, f"a reversal in part names 1 to {LEGS_MAX} legs")
    for part in command.parts:
        _check_amount(part.amount_minor)


def _undone(command: Reverse, original: Posted) -> list[Leg]:
    """The legs of the original, each with as much as is to be undone of it."""
    if command.parts is None:
        return list(original.legs)
    left = {number: leg.amount_minor for number, leg in enumerate(original.legs, start=1)}
    for part in command.parts:
        if type(part.leg) is not int or part.leg not in left:
            raise Stop(Refusal.LEG_UNKNOWN, f"{original.id} has no leg {part.leg}")
    for part in command.parts:
        left[part.leg] -= part.amount_minor
        if left[part.leg] < 0:
            raise Stop(
                Refusal.EXCEEDS_LEG, f"leg {part.leg} moved {original.legs[part.leg - 1].amount_minor}"
            )
    return [
        Leg(leg.debit, leg.credit, part.amount_minor)
        for part in command.parts
        for leg in [original.legs[part.leg - 1]]
    ]


# Commands that reserve money ---------------------------------------------------------------------------------


def _hold(view: View, command: Hold) -> int:
    _check_amount(command.amount_minor)
    view.check_period(command)
    _reserve(view, _gives(view, command, command.account_id), command.amount_minor)
    view.set_hold(
        HoldState(
            command.id,
            command.programme_id,
            command.account_id,
            command.amount_minor,
            0,
            0,
            command.expires_at,
        )
    )
    return command.amount_minor


def _increase(view: View, command: Increase) -> int:
    _check_amount(command.amount_minor)
    view.check_period(command)
    hold = view.open_hold(command)
    _check_not_expired(view, hold)
    running = _gives(view, command, hold.account_id)
    if hold.amount_minor + command.amount_minor > MINOR_MAX:
        raise Stop(Refusal.OVERFLOW, f"the hold {hold.id} would pass 2^63-1")
    _reserve(view, running, command.amount_minor)
    view.set_hold(hold._replace(amount_minor=hold.amount_minor + command.amount_minor))
    return command.amount_minor


def _gives(view: View, command: Command, account_id: AccountId) -> Running:
    running = view.account(command, account_id)
    if running.status is Status.CLOSED:
        raise Stop(Refusal.ACCOUNT_CLOSED, f"{account_id} is closed")
    _check_gives(running, gives=True)
    return running


def _reserve(view: View, running: Running, amount_minor: int) -> None:
    view.step(running, Movement.HOLD, amount_minor)
    _check_limits(view)


def _capture(view: View, command: Capture) -> int:
    _check_legs(command.legs)
    view.check_period(command)
    hold = view.open_hold(command)
    _check_not_expired(view, hold)
    payer = view.account(command, hold.account_id)
    total_minor = _drawn(command, hold, payer)
    freed_minor = hold.remaining_minor if command.final else total_minor
    pairs = _pairs(view, command, command.legs)
    view.step(payer, Movement.RELEASE, freed_minor)
    _move(view, command.legs, pairs)
    view.set_hold(hold.used(captured_minor=total_minor, released_minor=freed_minor - total_minor))
    return total_minor


def _drawn(command: Capture, hold: HoldState, payer: Running) -> int:
    """What the legs of a capture take out of its hold, all together."""
    total_minor, exact = 0, True
    for leg in command.legs:
        if (leg.credit if payer.grows_on_debit else leg.debit) != hold.account_id:
            raise Stop(Refusal.LEG_NOT_FROM_HOLD, "every leg of a capture draws on the account that is held")
        total_minor += leg.amount_minor
        exact = exact and not leg.up_to
    if not exact or total_minor > hold.remaining_minor:
        raise Stop(Refusal.EXCEEDS_HOLD, f"{total_minor} asked, {hold.remaining_minor} left of the hold")
    return total_minor


def _check_not_expired(view: View, hold: HoldState) -> None:
    if hold.expires_at is not None and hold.expires_at <= view.now:
        raise Stop(Refusal.HOLD_EXPIRED, f"the hold expired at {hold.expires_at.isoformat()}")


def _release(view: View, command: Release) -> int:
    if command.amount_minor is not None:
        _check_amount(command.amount_minor)
    view.check_period(command)
    hold = view.open_hold(command)
    amount_minor = hold.remaining_minor if command.amount_minor is None else command.amount_minor
    if amount_minor > hold.remaining_minor:
        raise Stop(Refusal.EXCEEDS_HOLD, f"{amount_minor} asked, {hold.remaining_minor} left of the hold")
    return _give_back(view, command, hold, amount_minor)


def _expire(view: View, command: Expire) -> int:
    view.check_period(command)
    hold = view.open_hold(command)
    if hold.expires_at is None or hold.expires_at > view.now:
        raise Stop(Refusal.HOLD_NOT_EXPIRED, f"the time of {hold.id} has not come")
    return _give_back(view, command, hold, hold.remaining_minor)


def _give_back(view: View, command: Command, hold: HoldState, amount_minor: int) -> int:
    view.step(view.account(command, hold.account_id), Movement.RELEASE, amount_minor)
    view.set_hold(hold.used(captured_minor=0, released_minor=amount_minor))
    return amount_minor


# Commands on accounts ----------------------------------------------------------------------------------------


def _open(view: View, command: Open) -> int:
    floor, cap = command.min_available_minor, command.max_balance_minor
    if not _is_limit(floor, -MINOR_MAX, 0) or not _is_limit(cap, 0, MINOR_MAX):
        raise Stop(Refusal.AMOUNT_OUT_OF_RANGE, "a new account starts at zero, within its limits")
    view.check_period(command)
    if view.taken(command):
        raise Stop(Refusal.ACCOUNT_EXISTS, "an account of this id, or at this place, is open already")
    units = view.book.units.get(command.programme_id, ())
    if command.currency not in ISO_CODES and command.currency not in units:
        raise Stop(
            Refusal.CURRENCY_UNKNOWN, f"{command.currency} is no currency and no unit of this programme"
        )
    running = view.open(command)
    view.step(running, Movement.OPEN, 0)
    return 0


def _is_limit(limit_minor: int | None, least: int, most: int) -> bool:
    return limit_minor is None or (type(limit_minor) is int and least <= limit_minor <= most)


def _freeze(view: View, command: Freeze) -> int:
    running = _not_closed(view, command)
    if running.status is Status.FROZEN:
        raise Stop(Refusal.ACCOUNT_FROZEN, f"{command.account_id} is frozen already")
    return _change_status(view, running, Movement.FREEZE)


def _unfreeze(view: View, command: Unfreeze) -> int:
    running = _not_closed(view, command)
    if running.status is not Status.FROZEN:
        raise Stop(Refusal.ACCOUNT_NOT_FROZEN, f"{command.account_id} is not frozen")
    return _change_status(view, running, Movement.UNFREEZE)


def _close(view: View, command: Close) -> int:
    running = _not_closed(view, command)
    if running.posted() or running.held:
        detail = (
            f"{command.account_id} has {running.posted()} {running.currency} minor units, {running.held} held"
        )
        raise Stop(Refusal.ACCOUNT_NOT_EMPTY, detail)
    return _change_status(view, running, Movement.CLOSE)


_STATUS = {Movement.FREEZE: Status.FROZEN, Movement.UNFREEZE: Status.OPEN, Movement.CLOSE: Status.CLOSED}


def _not_closed(view: View, command: Freeze | Unfreeze | Close) -> Running:
    view.check_period(command)
    running = view.account(command, command.account_id)
    if running.status is Status.CLOSED:
        raise Stop(Refusal.ACCOUNT_CLOSED, f"{command.account_id} is closed")
    return running


def _change_status(view: View, running: Running, movement: Movement) -> int:
    view.step(running, movement, 0)
    running.become(_STATUS[movement])
    return 0


_APPLY: dict[type, Callable[[View, Any], int]] = {
    Post: _post,
    Hold: _hold,
    Increase: _increase,
    Capture: _capture,
    Release: _release,
    Expire: _expire,
    Reverse: _reverse,
    Open: _open,
    Freeze: _freeze,
    Unfreeze: _unfreeze,
    Close: _close,
}
