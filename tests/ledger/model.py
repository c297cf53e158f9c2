"""A second opinion on the book, from the rules and not from the code: plain dictionaries, no cleverness.

For each command it collects every refusal that applies, and answers with the first in the order that
`Refusal` promises. What it keeps of an account is three counters.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.core.commands import (
    Applied,
    Capture,
    Command,
    Exists,
    Hold,
    Leg,
    Post,
    Refusal,
    Release,
    Result,
    Reverse,
)

MOST = 2**63 - 1
Answer = str | Refusal


@dataclass
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

    @property
    def posted(self) -> int:
        return self.debits - self.credits if self.grows_on_debit else self.credits - self.debits

    def faults(self) -> Iterator[Refusal]:
        available = self.posted - self.held
        if max(self.debits, self.credits, self.held) > MOST or available < -MOST:
            yield Refusal.OVERFLOW
        if self.floor is not None and available < self.floor:
            yield Refusal.INSUFFICIENT_FUNDS
        if self.cap is not None and self.posted > self.cap:
            yield Refusal.BALANCE_CAP


@dataclass
class Pledge:
    programme_id: str
    account_id: str
    left: int
    expires_at: datetime | None


@dataclass
class Model:
    purses: dict[str, Purse]
    pledges: dict[str, Pledge]
    moved: dict[str, tuple[str, tuple[Leg, ...]]]
    undone: set[str]
    said: dict[str, Command]

    def carry_out(self, group: Sequence[Command], now: datetime) -> list[Answer]:
        """Predicts the answers to one group, and remembers its effects if it has any."""
        draft, answers = deepcopy(self), []
        for command in group:
            answer = draft._answer(command, now)
            if isinstance(answer, Refusal):
                return [answer if other.id == command.id else Refusal.GROUP_REFUSED for other in group]
            answers.append(answer)
        self.__dict__.update(draft.__dict__)
        return answers

    def _answer(self, command: Command, now: datetime) -> Answer:
        if command.id in self.said:
            before = replace(self.said[command.id], authority=command.authority)
            return "exists" if before == command else Refusal.ID_REUSED
        faults = set(self._faults(command, now))
        if faults:
            return min(faults, key=list(Refusal).index)
        self._do(command)
        return "applied"

    def _faults(self, command: Command, now: datetime) -> Iterator[Refusal]:
        match command:
            case Post():
                yield from self._leg_faults(command, command.legs)
            case Hold():
                yield from _amount_faults(command.amount_minor)
                yield from self._account_faults(command, [command.account_id])
            case Capture():
                yield from self._capture_faults(command, now)
            case Release():
                yield from _amount_faults(1 if command.amount_minor is None else command.amount_minor)
                yield from self._pledge_faults(command, command.amount_minor or 0)
            case Reverse():
                yield from self._reverse_faults(command)
        yield from self._faults_after(command)

    def _faults_after(self, command: Command) -> Iterator[Refusal]:
        """What would be wrong with the accounts if it were done."""
        pledged = not isinstance(command, Capture | Release) or command.hold_id in self.pledges
        if pledged and self._touched(command) <= self.purses.keys():
            after = deepcopy(self)
            after._do(command)
            for account_id in self._touched(command):
                yield from after.purses[account_id].faults()

    def _capture_faults(self, command: Capture, now: datetime) -> Iterator[Refusal]:
        yield from self._pledge_faults(command, sum(leg.amount_minor for leg in command.legs))
        pledge = self.pledges.get(command.hold_id)
        if pledge and pledge.expires_at and pledge.expires_at <= now:
            yield Refusal.HOLD_EXPIRED
        if pledge and any(self._drawn_on(leg, pledge) != pledge.account_id for leg in command.legs):
            yield Refusal.LEG_NOT_FROM_HOLD
        yield from self._leg_faults(command, command.legs)

    def _reverse_faults(self, command: Reverse) -> Iterator[Refusal]:
        programme_id, _ = self.moved.get(command.transfer_id, (None, ()))
        if programme_id != command.programme_id:
            yield Refusal.TRANSFER_UNKNOWN
        else:
            yield from self._leg_faults(command, self._legs(command))
        if command.transfer_id in self.undone:
            yield Refusal.ALREADY_REVERSED

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
            yield from self._account_faults(command, [leg.debit, leg.credit])

    def _account_faults(self, command: Command, account_ids: Sequence[str]) -> Iterator[Refusal]:
        for account_id in account_ids:
            purse = self.purses.get(account_id)
            if purse is None or purse.programme_id != command.programme_id:
                yield Refusal.ACCOUNT_UNKNOWN
            elif purse.status == "closed":
                yield Refusal.ACCOUNT_CLOSED
            elif purse.status == "frozen":
                yield Refusal.ACCOUNT_FROZEN

    def _pledge_faults(self, command: Capture | Release, asked: int) -> Iterator[Refusal]:
        pledge = self.pledges.get(command.hold_id)
        if pledge is None or pledge.programme_id != command.programme_id:
            yield Refusal.HOLD_UNKNOWN
        elif pledge.left == 0:
            yield Refusal.HOLD_CLOSED
        elif asked > pledge.left:
            yield Refusal.EXCEEDS_HOLD

    def _drawn_on(self, leg: Leg, pledge: Pledge) -> str:
        return leg.credit if self.purses[pledge.account_id].grows_on_debit else leg.debit

    def _touched(self, command: Command) -> set[str]:
        if isinstance(command, Hold):
            return {command.account_id}
        return {account_id for leg in self._legs(command) for account_id in (leg.debit, leg.credit)}

    def _legs(self, command: Command) -> tuple[Leg, ...]:
        if isinstance(command, Reverse):
            _, legs = self.moved.get(command.transfer_id, (None, ()))
            return tuple(_back(leg) for leg in legs)
        return command.legs if isinstance(command, Post | Capture) else ()

    def _do(self, command: Command) -> None:
        self.said[command.id] = command
        legs = self._legs(command)
        for leg in legs:
            self.purses[leg.debit].debits += leg.amount_minor
            self.purses[leg.credit].credits += leg.amount_minor
        if isinstance(command, Post | Capture):
            self.moved[command.id] = (command.programme_id, legs)
        if isinstance(command, Hold):
            self.purses[command.account_id].held += command.amount_minor
            self.pledges[command.id] = Pledge(
                command.programme_id, command.account_id, command.amount_minor, command.expires_at
            )
        if isinstance(command, Capture | Release):
            pledge = self.pledges[command.hold_id]
            freed = (
                command.amount_minor
                if isinstance(command, Release)
                else sum(leg.amount_minor for leg in legs)
            )
            if freed is None or (isinstance(command, Capture) and command.final):
                freed = pledge.left
            pledge.left -= freed
            self.purses[pledge.account_id].held -= freed
        if isinstance(command, Reverse):
            self.undone.add(command.transfer_id)


def _back(leg: Leg) -> Leg:
    return Leg(leg.credit, leg.debit, leg.amount_minor)


def _amount_faults(amount_minor: int) -> Iterator[Refusal]:
    if not 1 <= amount_minor <= MOST:
        yield Refusal.AMOUNT_OUT_OF_RANGE


def answer_of(result: Result) -> Answer:
    """A result of the book in the words of the model."""
    match result:
        case Applied():
            return "applied"
        case Exists():
            return "exists"
        case _:
            return result.refusal
