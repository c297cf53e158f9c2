"""The book as one batch sees it: what was read before it, and what its commands have changed so far.

Every change can be taken back, so that a refused group costs only itself. May not decide anything.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ledger.core.account import (
    OPEN_CALENDAR,
    Account,
    Calendars,
    Entry,
    HoldState,
    LegRecord,
    Movement,
    Status,
    StepRecord,
)
from ledger.core.chart import CHART, path_of
from ledger.core.commands import (
    Applied,
    Capture,
    Command,
    Content,
    Leg,
    OnHold,
    Open,
    Post,
    Refusal,
    Reverse,
    content_of,
)
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.core.running import Before, Running, go_back

_INSTANT = timedelta(microseconds=1)

Place = tuple[ProgrammeId, str, PartyId | None, str]
"""What only one account may have: programme, path, party and currency."""


class Posted(NamedTuple):
    """A transfer of the past that a reversal names."""

    id: TransferId
    programme_id: ProgrammeId
    legs: tuple[Leg, ...]
    reversed: bool


class Known(NamedTuple):
    """A command that was carried out before: what it said, and its result."""

    content: Content
    recorded_at: datetime
    moved_minor: int


class Recorded(NamedTuple):
    """A command that was applied, as it will stand in the book: with what it moved, and its step if it has one."""

    command: Command
    recorded_at: datetime
    legs: Sequence[LegRecord]
    step: StepRecord | None

    def entries(self) -> Iterator[Entry]:
        """What it did, as its accounts saw it."""
        transfer_id, times = self.command.id, (self.command.effective_at, self.recorded_at)
        if self.step is not None:
            step = self.step
            after = step.debits_after_minor, step.credits_after_minor, step.held_after_minor
            yield Entry(
                step.account.id,
                step.version,
                transfer_id,
                0,
                step.movement,
                step.amount_minor,
                *after,
                *times,
            )
        for number, leg in enumerate(self.legs, start=1):
            after = leg.debit_debits_minor, leg.debit_credits_minor, leg.debit_held_minor
            moved = Movement.DEBIT, leg.amount_minor
            yield Entry(leg.debit.id, leg.debit_version, transfer_id, number, *moved, *after, *times)
            after = leg.credit_debits_minor, leg.credit_credits_minor, leg.credit_held_minor
            moved = Movement.CREDIT, leg.amount_minor
            yield Entry(leg.credit.id, leg.credit_version, transfer_id, number, *moved, *after, *times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All that a batch may look at, read once before it and locked. `numbers` are drawn for accounts to be opened."""

    accounts: Mapping[AccountId, Account]
    holds: Mapping[TransferId, HoldState] = field(default_factory=dict)
    posted: Mapping[TransferId, Posted] = field(default_factory=dict)
    known: Mapping[TransferId, Known] = field(default_factory=dict)
    calendars: Calendars = field(default_factory=dict)
    places: Collection[Place] = frozenset()
    units: Mapping[ProgrammeId, Collection[str]] = field(default_factory=dict)
    numbers: Mapping[AccountId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class After:
    """How a batch leaves what it has looked at: what the next one finds, if this one comes to stay."""

    _running: Mapping[AccountId, Running]
    _holds: Mapping[TransferId, HoldState]
    _applied: "Mapping[TransferId, tuple[Command, Applied]]"

    def accounts(self, ids: Collection[AccountId]) -> dict[AccountId, Account]:
        """Those of these accounts that it has looked at, as it leaves them."""
        running = self._running
        return {account_id: running[account_id].settled() for account_id in running.keys() & ids}

    def holds(self, ids: Collection[TransferId]) -> dict[TransferId, HoldState]:
        """Those of these holds that it has made or changed, as it leaves them."""
        holds = self._holds
        return {hold_id: holds[hold_id] for hold_id in holds.keys() & ids}

    def known(self, ids: Collection[TransferId]) -> dict[TransferId, Known]:
        """What it has carried out under these ids."""
        applied = self._applied
        return {command_id: _known(*applied[command_id]) for command_id in applied.keys() & ids}


class Stop(Exception):
    """Leaves the descent into a command with its refusal; never crosses the edge of a decision."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail


class View:
    """What the commands of one batch look at and write into."""

    def __init__(self, book: Book, now: datetime) -> None:
        self.book = book
        self.now = now
        self.at = now
        """The one instant at which the command in hand is recorded."""
        self._programme_id: ProgrammeId | None = None
        self._calendar = OPEN_CALENDAR
        self._settled = False
        self._earliest = now
        self.running: dict[AccountId, Running] = {}
        self.holds: dict[TransferId, HoldState] = {}
        self.opened: dict[AccountId, tuple[Open, Account]] = {}
        self.recorded: list[Recorded] = []
        self.legs: list[LegRecord] = []
        """What the command in hand has moved so far."""
        self._step: StepRecord | None = None
        self._places = set(book.places)
        self._applied: dict[TransferId, tuple[Command, Applied]] = {}
        self._reversed: dict[TransferId, bool] = {}
        self._moved: dict[TransferId, tuple[Leg, ...]] = {}
        self._serial = 0
        self._before: list[Before] = []
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._group = 0
        self._command = 0

    # A group, all or nothing

    def begin_group(self) -> None:
        """Marks the place to which a refusal goes back."""
        self._before.clear()
        self._undo.clear()
        self._group = len(self.recorded)

    def begin_command(self, command: Command) -> None:
        """Marks where a command begins, and the earliest instant at which it can be recorded."""
        self._serial += 1
        self._command = len(self._before)
        self.legs, self._step = [], None
        if command.programme_id is not self._programme_id:
            self._turn_to(command.programme_id)
        self.at = self._earliest

    def _turn_to(self, programme_id: ProgrammeId) -> None:
        """Looks at how far the past of a programme is settled."""
        self._programme_id = programme_id
        self._calendar = calendar = self.book.calendars.get(programme_id, OPEN_CALENDAR)
        self._settled = not calendar.soft_closed_until is calendar.closed_until is None
        answered = calendar.answered_until
        self._earliest = self.now if answered is None or answered < self.now else answered + _INSTANT

    def rewind(self) -> None:
        """Takes back all that the group has changed."""
        while self._before:
            go_back(self._before.pop())
        while self._undo:
            mapping, key, value = self._undo.pop()
            if value is None:
                del mapping[key]
            else:
                mapping[key] = value
        for item in self.recorded[self._group :]:
            del self._applied[item.command.id]
            if isinstance(item.command, Open):
                del self.opened[item.command.account_id], self.running[item.command.account_id]
                self._places.discard(_place(item.command))
        del self.recorded[self._group :]

    def _set(self, mapping: dict[Any, Any], key: object, value: object) -> None:
        self._undo.append((mapping, key, mapping.get(key)))
        mapping[key] = value

    # Accounts

    def account(self, command: Command, account_id: AccountId) -> Running:
        """An account of the command's programme."""
        running = self.running.get(account_id)
        if running is None:
            account = self.book.accounts.get(account_id)
            if account is None:
                raise Stop(Refusal.ACCOUNT_UNKNOWN, f"there is no account {account_id} in this programme")
            running = self.running[account_id] = Running(account)
        if running.programme_id != command.programme_id:
            raise Stop(Refusal.ACCOUNT_UNKNOWN, f"there is no account {account_id} in this programme")
        return running

    def touch(self, running: Running) -> None:
        """Notes an account as it was before the command, and that nothing on it may be recorded earlier.

        One command, one instant, no earlier than any account it touches has seen: so the book sums to zero at
        every past instant (6), even when the clock goes back.
        """
        if running.mark != self._serial:
            running.mark = self._serial
            self._before.append(running.before())
            self.at = max(self.at, running.recorded_at)

    def touched(self) -> list[Before]:
        """The accounts that the command in hand has touched, as they were before it."""
        return self._before[self._command :]

    def step(self, running: Running, movement: Movement, amount_minor: int) -> None:
        """Writes down what happens to one account alone."""
        self.touch(running)
        if movement is Movement.HOLD:
            running.held += amount_minor
        elif movement is Movement.RELEASE:
            running.held -= amount_minor
        running.version += 1
        running.recorded_at = self.at
        record = (
            running.account, movement, running.version, amount_minor,
            running.debits, running.credits, running.held,
        )  # fmt: skip
        self._step = _named(StepRecord, record)

    def taken(self, command: Open) -> bool:
        """Whether an account of this id, or at this place, is there already."""
        known = command.account_id in self.running or command.account_id in self.book.accounts
        return known or _place(command) in self._places

    def open(self, command: Open) -> Running:
        """The new account, with nothing on it. It can only be opened where a number was drawn for it."""
        account = Account(
            id=command.account_id,
            number=self.book.numbers[command.account_id],
            programme_id=command.programme_id,
            currency=command.currency,
            side=CHART[command.code].side,
            status=Status.OPEN,
            min_available_minor=command.min_available_minor,
            max_balance_minor=command.max_balance_minor,
            debits_minor=0,
            credits_minor=0,
            held_minor=0,
            version=0,
            recorded_at=self.at,
        )
        self.opened[account.id] = command, account
        self._places.add(_place(command))
        self.running[account.id] = Running(account)
        return self.running[account.id]

    # Holds and transfers

    def open_hold(self, command: OnHold) -> HoldState:
        """The hold that a command names, with something left of it."""
        hold = self.holds.get(command.hold_id) or self.book.holds.get(command.hold_id)
        if hold is None or hold.programme_id != command.programme_id:
            raise Stop(Refusal.HOLD_UNKNOWN, f"there is no hold {command.hold_id} in this programme")
        if hold.remaining_minor == 0:
            raise Stop(Refusal.HOLD_CLOSED, f"nothing is left of the hold {command.hold_id}")
        return hold

    def set_hold(self, hold: HoldState) -> None:
        """What has become of a hold."""
        self._set(self.holds, hold.id, hold)

    def posted(self, command: Reverse) -> Posted:
        """The transfer that a reversal names."""
        posted = self._posted_here(command.transfer_id) or self.book.posted.get(command.transfer_id)
        if posted is None or posted.programme_id != command.programme_id or not posted.legs:
            raise Stop(
                Refusal.TRANSFER_UNKNOWN, f"there is no transfer {command.transfer_id} in this programme"
            )
        return posted._replace(reversed=True) if posted.id in self._reversed else posted

    def _posted_here(self, transfer_id: TransferId) -> Posted | None:
        """The same of a transfer that this batch itself has made, with what its legs came to."""
        command, _ = self._applied.get(transfer_id, (None, None))
        if not isinstance(command, Post | Capture):
            return None
        legs = self._moved.get(transfer_id, command.legs)
        return Posted(transfer_id, command.programme_id, legs, reversed=False)

    def note_moved(self, command: Command, legs: Iterable[Leg]) -> None:
        """What the legs of a transfer came to, where that is not what was asked."""
        self._set(self._moved, command.id, tuple(legs))

    def note_reversed(self, original: Posted) -> None:
        """No transfer is reversed twice."""
        self._set(self._reversed, original.id, value=True)

    # What was said before

    def check_period(self, command: Command) -> None:
        """Whether the day that a command is effective on is still open to it."""
        if not self._settled:
            return
        calendar, day = self._calendar, command.effective_at
        if calendar.closed_until is not None and day < calendar.closed_until:
            raise Stop(Refusal.PERIOD_CLOSED, f"closed until {calendar.closed_until.isoformat()}")
        soft = calendar.soft_closed_until
        if soft is not None and day < soft and not command.adjusting:
            raise Stop(Refusal.PERIOD_SOFT_CLOSED, f"open to adjustments only, until {soft.isoformat()}")

    def known(self, command_id: TransferId) -> Known | None:
        """What was said under this id before, in this batch or ever."""
        here = self._applied.get(command_id)
        if here is not None:
            return _known(*here)
        return self.book.known.get(command_id)

    def after(self) -> After:
        """How the groups so far leave what they have looked at."""
        return After(self.running, self.holds, self._applied)

    def record(self, command: Command, moved_minor: int) -> Applied:
        """The command is done: from here on its id is taken."""
        result = _named(Applied, (command.id, self.at, moved_minor))
        self._applied[command.id] = command, result
        self.recorded.append(_named(Recorded, (command, self.at, self.legs, self._step)))
        return result


# A named tuple's own constructor is a Python function: going past it is worth it for every command of every batch.
_named = tuple.__new__


def _known(command: Command, result: Applied) -> Known:
    return Known(content_of(command), result.recorded_at, result.moved_minor)


def _place(command: Open) -> Place:
    path = path_of(command.code, command.subdivision)
    return command.programme_id, path, command.party_id, command.currency
