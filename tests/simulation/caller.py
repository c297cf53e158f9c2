"""A caller of the book who tries everything: mostly what is likely to work, and at times whatever there is.

Looks at the model to know what is likely to work. Draws from the dice it is given and from nothing else, so that the
same dice make the same caller.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any, TypeVar

from ledger.core.chart import Code
from ledger.core.commands import Capture, Command, Hold, Leg, Part, Post, Rate, Release
from ledger.core.ids import AccountId, ProgrammeId, TransferId, derived
from ledger.core.money import MINOR_MAX
from tests.conftest import MONDAY_MORNING
from tests.ledger.model import Model, Pledge, Purse
from tests.ledger.world import Asker

T = TypeVar("T")
COIN = "COIN"
MONTHS = tuple(MONDAY_MORNING - timedelta(days=30 * place) for place in range(5, 0, -1))
"""The ends of the months that can be closed."""
INSTANT = timedelta(microseconds=1)
_ODD_AMOUNTS = (0, -1, MINOR_MAX, MINOR_MAX + 1, MINOR_MAX - 30)
_CODES = (Code.WALLET, Code.WALLET, Code.SELLER, Code.SAFEGUARDING, Code.CONVERSION, Code.COMMISSION)


@dataclass
class Caller:
    """One who asks in two programmes. `now` is the time by which dates are chosen."""

    model: Model
    askers: tuple[Asker, Asker]
    now: datetime = MONDAY_MORNING
    sent: list[Sequence[Command]] = field(default_factory=list)
    """Every group that was sent, whatever came of it."""
    names: int = 0

    def setting(self) -> list[Command]:
        """The accounts of the two programmes, and some money on them."""
        here, there = self.askers
        opened = [
            self._opening(here, "bank", Code.SAFEGUARDING, floor_minor=None),
            self._opening(here, "ana"),
            self._opening(here, "line", floor_minor=-30),
            self._opening(here, "capped", cap_minor=150),
            self._opening(here, "euros", Code.CONVERSION, floor_minor=None),
            self._opening(here, "dollars", Code.CONVERSION, floor_minor=None, currency="USD"),
            self._opening(here, "dollar wallet", currency="USD"),
            self._opening(here, "till", Code.SAFEGUARDING),
            self._opening(here, "mint", Code.OWN_FUNDS, floor_minor=None, currency=COIN),
            self._opening(here, "coins", currency=COIN, cap_minor=400),
            self._opening(there, "bank", Code.SAFEGUARDING, floor_minor=None),
            self._opening(there, "ben"),
            self._opening(there, "line", floor_minor=-30),
        ]
        place = self._account_of
        funds = here.post(
            self._name(),
            Leg(place(here, "bank"), place(here, "ana"), 220),
            Leg(place(here, "till"), place(here, "ana"), 40),
            Leg(place(here, "dollars"), place(here, "dollar wallet"), 90),
            Leg(place(here, "mint"), place(here, "coins"), 40),
        )
        return [*opened, funds]

    def _opening(self, ask: Asker, name: str, code: Code = Code.WALLET, **said: Any) -> Command:
        account_id = self._account_of(ask, name)
        return ask.open(self._name(), account_id, code=code, subdivision=(name,), **said)

    def _account_of(self, ask: Asker, name: str) -> AccountId:
        return AccountId(derived("acct", ask.programme_id, name))

    # What is asked

    def command(self, dice: Random, kind: str) -> Command:
        """A new command of a kind: one of `KINDS`."""
        return self._varied(dice, KINDS[kind](self, dice, self._asker(dice)))

    def groups(self, dice: Random, sizes: Sequence[int]) -> list[list[Command]]:
        """New commands, those of a group to stand or fall together; each knows of those before it."""
        known, kinds = self.model, list(KINDS)
        groups: list[list[Command]] = []
        for size in sizes:
            group: list[Command] = []
            for _ in range(size):
                self.model = known.copied()
                for before in [*groups, group]:
                    self.model.carry_out(before, self.now)
                group.append(self.command(dice, dice.choice([*kinds, "post up to", "reverse", "reverse"])))
            if self.sent and _seldom(dice, 0.1):
                group.append(dice.choice(dice.choice(self.sent)))
            groups.append(group)
        self.model = known
        return groups

    def under_another_id(self, command: Command) -> Command:
        """The same once more, as another command."""
        return replace(command, id=self.askers[0].xfr(self._name()))

    def another_under_its_id(self, dice: Random) -> Command:
        """A command with the id of one that was sent, that says something else, or the same in other words."""
        command = dice.choice(dice.choice(self.sent))
        changes: list[dict[str, Any]] = [
            {"reference": "other"},
            {"metadata": {**command.metadata, "note": "other"}},
            {"effective_at": command.effective_at + INSTANT},
            {"adjusting": not command.adjusting},
            {"programme_id": dice.choice(self.askers).programme_id},
            {"reference": "other", "metadata": {"note": "other"}},
            *_other_particulars(dice, command),
        ]
        if _seldom(dice, 0.2):
            return replace(self.command(dice, dice.choice(list(KINDS))), id=command.id)
        return replace(command, **dice.choice(changes))

    def _varied(self, dice: Random, command: Command) -> Command:
        """At times with metadata, at times dated back or forward, at times as an adjustment."""
        if _seldom(dice, 0.1):
            command = replace(command, metadata={"order": str(dice.randint(1, 3))})
        if _seldom(dice, 0.1):
            command = replace(command, adjusting=True)
        if dice.random() < 0.75:
            return replace(command, effective_at=self.now)
        near = dice.choice([*MONTHS, self.now]) + dice.choice([-INSTANT, INSTANT - INSTANT, INSTANT])
        far = self.now - timedelta(days=dice.randint(-5, 170))
        return replace(command, effective_at=dice.choice([near, far]))

    def _post(self, dice: Random, ask: Asker) -> Command:
        legs = [self._leg(dice, ask) for _ in range(dice.choice([1, 1, 1, 2, 3, 4]))]
        if _seldom(dice, 0.02):
            legs.clear()
        return ask.post(self._name(), *legs)

    def _post_up_to(self, dice: Random, ask: Asker) -> Command:
        legs = [self._leg(dice, ask) for _ in range(dice.choice([1, 1, 2, 3]))]
        most = dice.choice([self._amount(dice), dice.randint(50, 400), MINOR_MAX])
        place = dice.randrange(len(legs))
        legs[place] = replace(legs[place], amount_minor=most, up_to=True)
        return ask.post(self._name(), *legs)

    def _convert(self, dice: Random, ask: Asker) -> Command:
        ask = self.askers[0] if dice.random() < 0.9 else ask
        sold, bought = dice.choice([("EUR", "USD"), ("USD", "EUR"), ("EUR", "USD"), ("EUR", "EUR")])
        rate = Rate(sold, bought, dice.choice([1, 2, 3, 11, 109, 0]), dice.choice([1, 2, 3, 7, 100]))
        doors = {
            "EUR": (self._account_of(ask, "ana"), self._account_of(ask, "euros")),
            "USD": (self._account_of(ask, "dollar wallet"), self._account_of(ask, "dollars")),
        }
        sold_minor = dice.randint(1, 40)
        bought_minor = round(sold_minor * Fraction(rate.numerator, rate.denominator))
        legs = [
            Leg(*doors[sold], sold_minor),
            Leg(doors[bought][1], doors[bought][0], bought_minor + dice.choice([0, 0, 0, 0, 1, -1])),
        ]
        if _seldom(dice, 0.2):
            legs.append(self._leg(dice, ask))
        if _seldom(dice, 0.1):
            legs[0] = replace(legs[0], up_to=True)
        return ask.post(self._name(), *legs, rate=rate)

    def _leg(self, dice: Random, ask: Asker) -> Leg:
        """Two accounts of one currency, most of the time, and an amount that the one which gives has."""
        every = self._accounts(ask)
        debit = self._usually(dice, self._open_accounts(ask), every)
        purse = self.model.purses.get(debit)
        alike = [
            account_id
            for account_id in self._open_accounts(ask)
            if account_id != debit and purse and self.model.purses[account_id].currency == purse.currency
        ]
        credit = self._usually(dice, alike, every)
        rooms = [self._room(debit, grows=True), self._room(credit, grows=False)]
        return Leg(debit, credit, self._amount(dice, dice.choice(rooms)))

    def _room(self, account_id: str, *, grows: bool) -> int | None:
        """How much an account may still give or take, on the side where it grows on debits or does not."""
        purse = self.model.purses.get(account_id)
        if purse is None:
            return None
        if purse.grows_on_debit is grows:
            return None if purse.cap is None else purse.cap - purse.posted
        return None if purse.floor is None else purse.available - purse.floor

    def _hold(self, dice: Random, ask: Asker) -> Command:
        account_id = self._usually(dice, self._open_accounts(ask), self._accounts(ask))
        purse = self.model.purses.get(account_id)
        room = purse.available - purse.floor if purse and purse.floor is not None else None
        late = dice.choice([None, None, dice.randint(-10, 400)])
        return ask.hold(
            self._name(),
            account_id,
            amount_minor=self._amount(dice, room),
            expires_at=None if late is None else self.now + timedelta(seconds=late),
        )

    def _increase(self, dice: Random, ask: Asker) -> Command:
        ask, hold_id, pledge = self._pledge(dice, ask)
        purse = self.model.purses.get(pledge.account_id) if pledge else None
        room = purse.available - purse.floor if purse and purse.floor is not None else None
        command = ask.increase(self._name(), "", amount_minor=self._amount(dice, room))
        return replace(command, hold_id=hold_id)

    def _capture(self, dice: Random, ask: Asker) -> Command:
        ask, hold_id, pledge = self._pledge(dice, ask)
        held = AccountId(pledge.account_id) if pledge else self._accounts(ask)[0]
        purse = self.model.purses[held]
        alike = [
            account_id
            for account_id in self._open_accounts(ask)
            if account_id != held and self.model.purses[account_id].currency == purse.currency
        ]
        legs = []
        for _ in range(dice.choice([1, 1, 2, 3])):
            other = self._usually(dice, alike, self._accounts(ask))
            pair = (other, held) if purse.grows_on_debit else (held, other)
            if _seldom(dice, 0.04):
                pair = (pair[1], pair[0])
            legs.append(Leg(*pair, self._amount(dice, pledge.left if pledge else None)))
        if _seldom(dice, 0.03):
            legs[0] = replace(legs[0], up_to=True)
        command = ask.capture(self._name(), "", *legs, final=dice.random() < 0.4)
        return replace(command, hold_id=hold_id)

    def _release(self, dice: Random, ask: Asker) -> Command:
        ask, hold_id, pledge = self._pledge(dice, ask)
        amount_minor = dice.choice([None, self._amount(dice, pledge.left if pledge else None)])
        return replace(ask.release(self._name(), "", amount_minor=amount_minor), hold_id=hold_id)

    def _expire(self, dice: Random, ask: Asker) -> Command:
        ask, hold_id, _ = self._pledge(dice, ask, expiring=dice.random() < 0.8)
        return replace(ask.expire(self._name(), ""), hold_id=hold_id)

    def _reverse(self, dice: Random, ask: Asker) -> Command:
        moved = self.model.moved
        own = [key for key, item in moved.items() if item.programme_id == ask.programme_id]
        fresh = [key for key in own if not moved[key].undone]
        every = [*own, *moved, *self.model.pledges, *self.model.said]
        undone = [key for key in own if moved[key].undone]
        newest = fresh[-1:] if dice.random() < 0.4 else fresh[-6:]
        usual = newest if dice.random() < 0.85 else undone
        transfer_id = TransferId(self._usually(dice, usual, every))
        parts = None
        if transfer_id in moved and dice.random() < 0.5:
            parts = self._parts(dice, moved[transfer_id].legs)
        return replace(ask.reverse(self._name(), ""), transfer_id=transfer_id, parts=parts)

    def _parts(self, dice: Random, legs: Sequence[Leg]) -> tuple[Part, ...]:
        numbers = [dice.randint(1, len(legs)) for _ in range(dice.choice([0, 1, 1, 1, 2, 3]))]
        if _seldom(dice, 0.1):
            numbers.append(dice.choice([0, -1, len(legs) + 1]))
        return tuple(
            Part(number, self._amount(dice, legs[(number - 1) % len(legs)].amount_minor))
            for number in numbers
        )

    def _open(self, dice: Random, ask: Asker) -> Command:
        name = f"{self._name()} account"
        taken = _seldom(dice, 0.2)
        account_id = dice.choice(self._accounts(ask)) if taken and dice.random() < 0.5 else None
        return ask.open(
            self._name(),
            account_id or self._account_of(ask, name),
            code=dice.choice(_CODES),
            subdivision=("ana",) if taken else dice.choice([(name,), ("shops", name)]),
            currency=dice.choice(["EUR", "EUR", "EUR", "USD", COIN, "QQQ"]),
            floor_minor=dice.choice([None, 0, 0, -20, -MINOR_MAX, dice.choice([1, -MINOR_MAX - 1])]),
            cap_minor=dice.choice([None, None, 0, 60, MINOR_MAX, dice.choice([-1, MINOR_MAX + 1])]),
            tags=dice.choice([(), (), ("shop",), ("shop", "eu")]),
        )

    def _freeze(self, dice: Random, ask: Asker) -> Command:
        # The first accounts of each programme are mostly left alone, or soon nothing would move at all.
        usual = self._open_accounts(ask)[2:]
        return ask.freeze(self._name(), self._usually(dice, usual, self._accounts(ask)))

    def _unfreeze(self, dice: Random, ask: Asker) -> Command:
        frozen = [key for key in self._accounts(ask) if self._is(key, "frozen")]
        return ask.unfreeze(self._name(), self._usually(dice, frozen, self._accounts(ask)))

    def _close(self, dice: Random, ask: Asker) -> Command:
        usual = [
            key
            for key in self._open_accounts(ask)[2:]
            if not (self.model.purses[key].posted or self.model.purses[key].held)
        ]
        every = usual if dice.random() < 0.5 else self._accounts(ask)
        return ask.close(self._name(), self._usually(dice, usual, every or self._accounts(ask)))

    # Of what

    def _usually(self, dice: Random, usual: Sequence[T], every: Sequence[T]) -> T:
        """Mostly what is likely to work, and one time in ten whatever there is."""
        return dice.choice(usual if usual and dice.random() < 0.9 else every)

    def _amount(self, dice: Random, room: int | None = None) -> int:
        """Small mostly, often up to the edge of what there is room for, seldom what is no amount at all."""
        if _seldom(dice, 0.03):
            return dice.choice(_ODD_AMOUNTS)
        if room is not None and room > 0 and _seldom(dice, 0.2):
            return room + dice.choice([-1, 0, 0, 1])
        return dice.randint(1, min(60, max(room or 60, 1)))

    def _asker(self, dice: Random) -> Asker:
        return self.askers[0] if dice.random() < 0.75 else self.askers[1]

    def _accounts(self, ask: Asker) -> list[AccountId]:
        """A programme's own accounts in the order of their opening, one that is not its own, and one of nobody."""
        own = self._own(ask, "open", "frozen", "closed")
        strange = [key for key, purse in self.model.purses.items() if purse.programme_id != ask.programme_id]
        return [*own, *map(AccountId, strange[:1]), self._account_of(ask, "nobody")]

    def _open_accounts(self, ask: Asker) -> list[AccountId]:
        return self._own(ask, "open")

    def _own(self, ask: Asker, *statuses: str) -> list[AccountId]:
        return [
            AccountId(key)
            for key, purse in self.model.purses.items()
            if purse.programme_id == ask.programme_id and purse.status in statuses
        ]

    def _is(self, account_id: str, status: str) -> bool:
        purse: Purse | None = self.model.purses.get(account_id)
        return purse is not None and purse.status == status

    def _pledge(
        self, dice: Random, ask: Asker, *, expiring: bool = False
    ) -> tuple[Asker, TransferId, Pledge | None]:
        """A hold, mostly one with something left, and mostly asked for by its own programme."""
        pledges = self.model.pledges
        standing = [key for key, item in pledges.items() if item.left and (item.expires_at or not expiring)]
        every = [*pledges, *self.model.moved, derived("xfr", "nobody")]
        hold_id = TransferId(self._usually(dice, standing[-8:], every))
        pledge = pledges.get(hold_id)
        if pledge is not None and dice.random() < 0.97:
            ask = next(each for each in self.askers if each.programme_id == pledge.programme_id)
        return ask, hold_id, pledge

    def _name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    @property
    def programme_ids(self) -> tuple[ProgrammeId, ProgrammeId]:
        """Both programmes."""
        return self.askers[0].programme_id, self.askers[1].programme_id


def _seldom(dice: Random, share: float) -> bool:
    """Says no where dice that are shrunk fall on nothing."""
    return dice.random() >= 1 - share


def closed_until(*, closed: int, soft: int) -> tuple[datetime | None, datetime | None]:
    """Up to where the calendar takes nothing, and nothing but adjustments, when so many months are closed."""
    return (
        MONTHS[closed - 1] if closed else None,
        MONTHS[closed + soft - 1] if soft else None,
    )


def _other_particulars(dice: Random, command: Command) -> list[dict[str, Any]]:
    """Changes that only commands of this kind can have."""
    match command:
        case Post() | Capture() if command.legs:
            place = dice.randrange(len(command.legs))
            leg = command.legs[place]
            other = dice.choice(
                [
                    replace(leg, amount_minor=leg.amount_minor + 1),
                    replace(leg, up_to=not leg.up_to),
                    Leg(leg.credit, leg.debit, leg.amount_minor),
                ]
            )
            changed = (*command.legs[:place], other, *command.legs[place + 1 :])
            final = [{"final": not command.final}] if isinstance(command, Capture) else []
            rate = [{"rate": Rate("EUR", "USD", 1, 1)}] if isinstance(command, Post) else []
            return [{"legs": changed}, {"legs": (*command.legs, leg)}, *final, *rate]
        case Hold():
            return [{"amount_minor": command.amount_minor + 1}, {"expires_at": MONDAY_MORNING}]
        case Release():
            return [{"amount_minor": 1}, {"amount_minor": None}]
        case _:
            return []


KINDS: dict[str, Callable[[Caller, Random, Asker], Command]] = {
    "post": Caller._post,
    "post up to": Caller._post_up_to,
    "convert": Caller._convert,
    "hold": Caller._hold,
    "increase": Caller._increase,
    "capture": Caller._capture,
    "release": Caller._release,
    "expire": Caller._expire,
    "reverse": Caller._reverse,
    "open": Caller._open,
    "freeze": Caller._freeze,
    "unfreeze": Caller._unfreeze,
    "close": Caller._close,
}
