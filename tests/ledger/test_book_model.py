"""The book on a real database, driven side by side with a model that knows nothing of its code.

After every step the invariants are asked of the database itself: whatever Python believes, the rows must be right.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger import book
from ledger.core.chart import Side
from ledger.core.commands import Command, Leg
from ledger.core.decide import Status
from ledger.core.ids import AccountId
from ledger.store.accounts import read_accounts
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, make_programme
from tests.ledger.model import Model, Purse, answer_of
from tests.ledger.world import Asker, asker, breaches, open_account, set_status

T = TypeVar("T")
AMOUNT = st.integers(1, 60)
GROUPS_MAX = 3


class BookMachine(RuleBasedStateMachine):
    """Two programmes, two currencies, and everything that the book can be asked to do."""

    engine: ClassVar[sa.Engine]

    def __init__(self) -> None:
        super().__init__()
        self.now = MONDAY_MORNING
        self.model = Model({}, {}, {}, set(), {})
        self.askers: list[Asker] = []
        self.names = 0
        self.hold_names: list[str] = []
        self.moved_names: list[str] = []
        self.reversal_names: list[str] = []
        self.sent: list[Command] = []

    # What there is

    @initialize()
    def found_programmes(self) -> None:
        with self.engine.begin() as connection:
            tx = Tx(connection, self.now, secrets.token_bytes)
            for place in range(2):
                programme_id = make_programme(tx, f"p{place}-{secrets.token_hex(6)}")
                self.askers.append(asker(tx, programme_id))
                self._open(tx, place, floor=None, side=Side.DEBIT)
                self._open(tx, place)
                self._open(tx, place, floor=-30)
            self._open(tx, 0, cap=150)
            self._open(tx, 0, currency="USD", floor=None)
            self._open(tx, 0, currency="USD")
        bank, ana = self._accounts(0)[:2]
        self.moved_names.append(self._name())
        self._send([[self.askers[0].post(self.moved_names[0], Leg(bank, ana, 120))]])

    def _open(
        self,
        tx: Tx,
        place: int,
        *,
        currency: str = "EUR",
        floor: int | None = 0,
        cap: int | None = None,
        side: Side = Side.CREDIT,
    ) -> None:
        programme_id = self.askers[place].programme_id
        account_id = open_account(
            tx, programme_id, currency=currency, side=side, floor_minor=floor, cap_minor=cap
        )
        self.model.purses[account_id] = Purse(programme_id, currency, side is Side.DEBIT, floor, cap)

    @rule(
        place=st.integers(0, 1),
        currency=st.sampled_from(["EUR", "USD"]),
        floor=st.sampled_from([None, 0, -20]),
    )
    def open_another_account(self, place: int, currency: str, floor: int | None) -> None:
        with self.engine.begin() as connection:
            self._open(Tx(connection, self.now, secrets.token_bytes), place, currency=currency, floor=floor)

    @rule(data=st.data(), status=st.sampled_from([*Status, Status.OPEN]))
    def open_freeze_or_close(self, data: st.DataObject, status: Status) -> None:
        account_id = data.draw(st.sampled_from(self._accounts(0)[2:]))
        with self.engine.begin() as connection:
            set_status(Tx(connection, self.now, secrets.token_bytes), account_id, status)
        self.model.purses[account_id].status = status.value

    @rule(seconds=st.integers(-40, 120))
    def time_passes_or_the_clock_is_set_back(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # What is asked

    @rule(data=st.data())
    def post(self, data: st.DataObject) -> None:
        self._send([[self._post(data)]])

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        self._send([[self._hold(data)]])

    @precondition(lambda self: self.hold_names)
    @rule(data=st.data())
    def capture(self, data: st.DataObject) -> None:
        self._send([[self._capture(data)]])

    @precondition(lambda self: self.hold_names)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self._send([[self._release(data)]])

    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        self._send([[self._reverse(data)]])

    @precondition(lambda self: self.model.undone)
    @rule(data=st.data())
    def reverse_a_reversal(self, data: st.DataObject) -> None:
        done = [ask.xfr(name) for ask in self.askers for name in self.reversal_names]
        transfer_id = data.draw(st.sampled_from([item for item in done if item in self.model.said]))
        command = replace(self.askers[0].reverse(self._name(), "another's"), transfer_id=transfer_id)
        self._send([[command]])

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        self._send([[data.draw(st.sampled_from(self.sent))]])

    @rule(data=st.data())
    def reuse_an_id(self, data: st.DataObject) -> None:
        self._send([[self._post(data, data.draw(st.sampled_from(self.moved_names)))]])

    @rule(data=st.data(), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=GROUPS_MAX))
    def send_groups(self, data: st.DataObject, sizes: list[int]) -> None:
        kinds = [self._post, self._hold, self._capture, self._release, self._reverse]
        if not self.hold_names:
            kinds = [self._post, self._hold, self._reverse]
        self._send([[data.draw(st.sampled_from(kinds))(data) for _ in range(size)] for size in sizes])

    def _post(self, data: st.DataObject, name: str | None = None) -> Command:
        ask = self._asker(data)
        name = name or self._name()
        own = self._accounts(self.askers.index(ask))
        legs = [self._leg(data, own) for _ in range(data.draw(st.integers(1, 4)))]
        self.moved_names.append(name)
        return ask.post(name, *legs)

    def _leg(self, data: st.DataObject, own: list[AccountId]) -> Leg:
        debit = self._usually(data, own[:3], own)
        others = [account_id for account_id in own[:4] if account_id != debit]
        return Leg(debit, self._usually(data, others, own), data.draw(AMOUNT))

    def _hold(self, data: st.DataObject) -> Command:
        ask, name = self._asker(data), self._name()
        own = self._accounts(self.askers.index(ask))
        late = data.draw(st.none() | st.integers(-10, 400))
        self.hold_names.append(name)
        return ask.hold(
            name,
            self._usually(data, own[:3], own),
            amount_minor=data.draw(AMOUNT),
            expires_at=None if late is None else self.now + timedelta(seconds=late),
        )

    def _capture(self, data: st.DataObject) -> Command:
        ask, hold = self._asker_and_hold(data)
        own, name = self._accounts(self.askers.index(ask)), self._name()
        pledge = self.model.pledges.get(ask.xfr(hold))
        held = AccountId(pledge.account_id) if pledge else own[1]
        legs = []
        for _ in range(data.draw(st.integers(1, 3))):
            other = self._usually(data, [account_id for account_id in own[:4] if account_id != held], own)
            on_debit = self.model.purses[held].grows_on_debit
            pair = (other, held) if on_debit else (held, other)
            legs.append(Leg(*pair, data.draw(st.integers(1, 20))))
        self.moved_names.append(name)
        return ask.capture(name, hold, *legs, final=data.draw(st.booleans()))

    def _release(self, data: st.DataObject) -> Command:
        ask, hold = self._asker_and_hold(data)
        return ask.release(self._name(), hold, amount_minor=data.draw(st.none() | st.integers(1, 30)))

    def _asker_and_hold(self, data: st.DataObject) -> tuple[Asker, str]:
        open_holds = [
            (ask, name)
            for ask in self.askers
            for name in self.hold_names
            if (pledge := self.model.pledges.get(ask.xfr(name))) is not None and pledge.left
        ]
        every = [(ask, name) for ask in self.askers for name in self.hold_names]
        return self._usually(data, open_holds or every, every)

    def _reverse(self, data: st.DataObject) -> Command:
        ask, name = self._asker(data), self._name()
        fresh = [
            other
            for other in self.moved_names
            if ask.xfr(other) in self.model.moved and ask.xfr(other) not in self.model.undone
        ]
        every = [*self.moved_names, *self.hold_names]
        self.reversal_names.append(name)
        return ask.reverse(name, self._usually(data, fresh or every, every))

    def _usually(self, data: st.DataObject, usual: Sequence[T], every: Sequence[T]) -> T:
        """Mostly what is likely to work, and one time in six whatever there is."""
        return data.draw(st.sampled_from(every if data.draw(st.integers(0, 5)) == 5 else usual))

    def _asker(self, data: st.DataObject) -> Asker:
        return data.draw(st.sampled_from([self.askers[0], self.askers[0], self.askers[0], self.askers[1]]))

    def _accounts(self, place: int) -> list[AccountId]:
        """A programme's own accounts in the order of their opening, and at the end one that is not its own."""
        programme_id = self.askers[place].programme_id
        own = [key for key, purse in self.model.purses.items() if purse.programme_id == programme_id]
        strange = [key for key, purse in self.model.purses.items() if purse.programme_id != programme_id]
        return [AccountId(key) for key in [*own, *strange[:1]]]

    def _name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def _send(self, groups: Sequence[Sequence[Command]]) -> None:
        predicted = [self.model.carry_out(group, self.now) for group in groups]
        with self.engine.begin() as connection:
            results = book.post(Tx(connection, self.now, secrets.token_bytes), groups)

        assert [[answer_of(result) for result in group] for group in results] == predicted
        self.sent += [command for group in groups for command in group]

    # What must be true

    @invariant()
    def the_database_keeps_every_invariant(self) -> None:
        with self.engine.begin() as connection:
            tx = Tx(connection, self.now, secrets.token_bytes)
            assert breaches(tx, [ask.programme_id for ask in self.askers]) == []

    @invariant()
    def the_balances_are_the_models(self) -> None:
        with self.engine.begin() as connection:
            places = read_accounts(
                Tx(connection, self.now, secrets.token_bytes), set(map(AccountId, self.model.purses))
            )
        states = {key: place.account for key, place in places.items()}
        assert {key: (item.posted_minor, item.available_minor) for key, item in states.items()} == {
            key: (purse.posted, purse.posted - purse.held) for key, purse in self.model.purses.items()
        }


@pytest.mark.timeout(600)  # a failure is shrunk for up to five minutes, and its example is worth the wait
def test_the_book_does_what_the_model_predicts_and_keeps_its_invariants(database: Database) -> None:
    class OnThisDatabase(BookMachine):
        engine = database.app_engine

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_the_invariants_are_seen_to_be_broken_when_they_are(database: Database) -> None:
    """The questions of this file are worth asking only if they can be answered with no."""
    with database.app_engine.begin() as connection:
        tx = Tx(connection, MONDAY_MORNING, secrets.token_bytes)
        ask = asker(tx, make_programme(tx))
        bank = open_account(tx, ask.programme_id, floor_minor=None, side=Side.DEBIT)
        ana = open_account(tx, ask.programme_id)
        book.post(tx, [[ask.post("pay", Leg(bank, ana, 5))], [ask.hold("hold", ana, amount_minor=2)]])
        assert breaches(tx, [ask.programme_id]) == []

    changes = {
        "UPDATE accounts SET version = version + 1": {"4 versions have gaps"},
        "UPDATE accounts SET credits_minor = credits_minor + 1": {
            "6 the counters do not sum to zero",
            "7 the last entry is not what the counters say",
        },
        "UPDATE accounts SET held_minor = held_minor - 1": {
            "7 what is held is not what the holds say",
            "7 the last entry is not what the counters say",
        },
        "UPDATE entries SET amount_minor = 4 WHERE movement = 'credit'": {
            "1 a transfer does not balance",
            "6 the book did not sum to zero at a past instant",
            "7 an entry's counters do not follow from its movements",
        },
        "UPDATE entries SET recorded_at = recorded_at + interval '1s' WHERE movement = 'credit'": {
            "1 a transfer has more than one instant",
            "4 recorded time runs backwards",
            "6 the book did not sum to zero at a past instant",
        },
        "UPDATE entries SET held_after_minor = 6 WHERE movement = 'hold'": {
            "2 a limit is passed",
            "7 the last entry is not what the counters say",
            "7 an entry's counters do not follow from its movements",
        },
    }  # fmt: skip
    for change, expected in changes.items():
        with database.owner_engine.connect() as connection:
            connection.execute(sa.text("ALTER TABLE entries DISABLE TRIGGER entries_are_facts"))
            only = "" if "WHERE" in change else f" WHERE id = '{ana.removeprefix('acct_')}'"
            connection.execute(sa.text(change + only))
            found = breaches(Tx(connection, MONDAY_MORNING, secrets.token_bytes), [ask.programme_id])
            assert {breach for breach, _ in found} == expected, change
