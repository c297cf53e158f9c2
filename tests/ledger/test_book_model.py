"""The book and the model side by side: whatever is asked in whatever order, they give the same results.

After every step all invariants are asked of the book itself: whatever Python believes, the rows must be right.
`make simulate` plays the same for as long as it is let (tests/simulation).
"""

import secrets
from collections import Counter
from random import Random
from typing import ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ledger import book
from ledger.ahead import Ahead
from ledger.core.chart import Side
from ledger.core.commands import Leg, Refusal
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, make_programme
from tests.ledger.world import asker, breaches, open_account
from tests.simulation.play import OFTEN, Play, Stage, play_on
from tests.simulation.stages import BookStage, ShelfStage

pytestmark = pytest.mark.slow

PLAYS = 40
STEPS_A_PLAY = 200


class _Machine(RuleBasedStateMachine):
    """Two programmes, two currencies, a unit, and everything that the book can be asked to do."""

    def stage(self) -> Stage:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.play = Play(self.stage())
        self.play.begin()

    @rule(kind=st.sampled_from(OFTEN), dice=st.randoms(use_true_random=False))
    def step(self, kind: str, dice: Random) -> None:
        self.play.step(dice, kind)


class DecidingMachine(_Machine):
    """The deciding function alone."""

    def stage(self) -> Stage:
        return ShelfStage()


class BookMachine(_Machine):
    """The book on its database."""

    engine: ClassVar[sa.Engine]

    def stage(self) -> Stage:
        return BookStage(self.engine)


class AheadMachine(BookMachine):
    """The same, decided ahead: by what it remembers of the batches before, as long as nothing says otherwise."""

    def stage(self) -> Stage:
        return BookStage(self.engine, Ahead(rest=0).post)


def settings_of(*, examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )


@pytest.mark.timeout(600)  # a failure is shrunk for up to five minutes, and its example is worth the wait
def test_the_book_does_what_the_model_predicts_and_keeps_its_invariants(database: Database) -> None:
    class OnThisDatabase(BookMachine):
        engine = database.app_engine

    run_state_machine_as_test(OnThisDatabase, settings=settings_of(examples=15, steps=40))


@pytest.mark.timeout(600)
def test_what_is_decided_ahead_is_what_the_model_predicts(database: Database) -> None:
    class OnThisDatabase(AheadMachine):
        engine = database.app_engine

    run_state_machine_as_test(OnThisDatabase, settings=settings_of(examples=8, steps=40))


@pytest.mark.timeout(600)
def test_what_is_decided_is_what_the_model_predicts_whatever_is_asked() -> None:
    run_state_machine_as_test(DecidingMachine, settings=settings_of(examples=100, steps=60))


def test_every_answer_there_is_comes_up_in_play() -> None:
    """A game in which some answer is never given would show nothing of it."""
    first_seed = secrets.randbelow(2**31)
    print(f"seeds from {first_seed}")  # noqa: T201 - shown with a failure, so that it can be played again

    answers = sum(
        (
            play_on(ShelfStage(), seed=first_seed + place, steps=STEPS_A_PLAY).answers
            for place in range(PLAYS)
        ),
        Counter[str](),
    )

    assert set(answers) == {"applied", "exists", *(refusal.value for refusal in Refusal)}
    assert answers["applied"] > sum(answers.values()) / 6


def test_the_invariants_are_seen_to_be_broken_when_they_are(database: Database) -> None:
    """The questions of this file are worth asking only if they can be answered with no."""
    with database.app_engine.begin() as connection:
        tx = Tx(connection, MONDAY_MORNING, secrets.token_bytes)
        ask, other = (asker(tx, make_programme(tx, name)) for name in ("pay-eu", "elsewhere"))
        bank = open_account(tx, ask.programme_id, floor_minor=None, side=Side.DEBIT)
        ana, ben = (open_account(tx, ask.programme_id) for _ in range(2))
        dollars = open_account(tx, ask.programme_id, currency="USD")
        strange = open_account(tx, other.programme_id)
        results = book.post(
            tx,
            [
                [ask.post("pay", Leg(bank, ana, 8), Leg(bank, ana, 1))],
                [ask.hold("hold", ana, amount_minor=2)],
                [ask.increase("more", "hold", amount_minor=2)],
                [ask.capture("capture", "hold", Leg(ana, ben, 1))],
                [ask.post("back", Leg(ana, bank, 2))],
                [ask.reverse("undo", "back")],
                [ask.freeze("freeze", ben)],
            ],
        )
        assert [type(result).__name__ for (result,) in results] == ["Applied"] * 7
        assert breaches(tx, [ask.programme_id]) == []

    def number(account_id: str) -> str:
        return f"(SELECT number FROM accounts WHERE id = '{account_id.removeprefix('acct_')}')"

    def of(name: str) -> str:
        return f"'{ask.xfr(name).removeprefix('xfr_')}'"

    on_ana = f"WHERE number = {number(ana)}"
    only_pay, only_hold = f"WHERE id = {of('pay')}", f"WHERE id = {of('hold')}"
    more_of_pay = f"WHERE transfer_id = {of('pay')}"
    running = "7 an entry's counters do not follow from its movements"
    last = "7 the last entry is not what the counters say"
    changes = {
        f"UPDATE standings SET version = version + 1 {on_ana}": {"4 versions have gaps"},
        f"UPDATE standings SET recorded_at = recorded_at + interval '1s' {on_ana}": {
            "4 an account was last seen at another time"
        },
        f"UPDATE standings SET credits_minor = credits_minor + 1 {on_ana}": {
            "6 the counters do not sum to zero",
            last,
        },
        f"UPDATE standings SET held_minor = held_minor - 1 {on_ana}": {
            "7 what is held is not what the holds say",
            last,
        },
        f"UPDATE standings SET status = 'frozen' {on_ana}": {"2 the status is not that of the last step"},
        f"UPDATE transfers SET amount_minor = 7 {only_pay}": {running},
        f"UPDATE transfers SET credit_number = {number(dollars)}, credit_version = 2 {only_pay}": {
            "1 a transfer does not balance",
            "1 a leg crosses programmes or currencies",
            "4 versions have gaps",
            "6 the book did not sum to zero at a past instant",
            "6 the book did not sum to zero at a value date",
            running,
        },
        f"UPDATE transfers SET credit_number = {number(strange)}, credit_version = 2 {only_pay}": {
            "1 a transfer does not balance",
            "1 a leg crosses programmes or currencies",
            "4 versions have gaps",
            "6 the book did not sum to zero at a past instant",
            "6 the book did not sum to zero at a value date",
            running,
        },
        f"UPDATE further_legs SET recorded_at = recorded_at - interval '1s' {more_of_pay}": {
            "1 a transfer has more than one instant",
            "1 a movement is not of its transfer",
            "4 recorded time runs backwards",
        },
        f"UPDATE further_legs SET effective_at = effective_at - interval '1s' {more_of_pay}": {
            "1 a transfer has more than one instant",
            "1 a movement is not of its transfer",
        },
        f"UPDATE further_legs SET leg = 3 {more_of_pay}": {"1 a transfer has not the movements of its kind"},
        f"DELETE FROM further_legs {more_of_pay}": {"4 versions have gaps", running},
        f"DELETE FROM transfers {only_pay}": {
            "1 a movement is not of its transfer",
            "4 versions have gaps",
            running,
        },
        f"UPDATE transfers SET kind = 'hold' {only_pay}": {"1 a transfer has not the movements of its kind"},
        f"UPDATE further_legs SET credit_debits_minor = 10 {more_of_pay}": {"2 a limit is passed", running},
        f"UPDATE transfers SET step_held_minor = 10 {only_hold}": {"2 a limit is passed", running},
        f"UPDATE transfers SET step_amount_minor = 1 WHERE id = {of('more')}": {
            "7 a hold is not what its movements make it",
            running,
        },
        f"UPDATE transfers SET step_version = 9 WHERE id = {of('freeze')}": {"4 versions have gaps"},
        f"UPDATE transfers SET kind = 'close' WHERE id = {of('freeze')}": {
            "2 the status is not that of the last step",
        },
        f"UPDATE transfers SET kind = 'unfreeze' WHERE step_version = 1 AND step_number = {number(ana)}": {
            "4 an account does not begin with its opening",
        },
        f"UPDATE holds SET captured_minor = 0 WHERE transfer_id = {of('hold')}": {
            "7 what is held is not what the holds say",
            "7 a hold is not what its movements make it",
        },
        f"UPDATE transfers SET amount_minor = 3 WHERE id = {of('undo')}": {
            "4 a reversal is not of a transfer that moved as much",
            running,
        },
        f"UPDATE further_legs SET debit_number = credit_number, credit_number = debit_number {more_of_pay}": {
            "2 a limit is passed",
            running,
        },
    }
    for change, expected in changes.items():
        with database.owner_engine.connect() as connection:
            for table in ("transfers", "further_legs"):
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_are_facts"))
            connection.execute(
                sa.text("ALTER TABLE transfers DROP CONSTRAINT transfers_leg, DROP CONSTRAINT transfers_step")
            )
            assert connection.execute(sa.text(change)).rowcount == 1, change
            found = breaches(Tx(connection, MONDAY_MORNING, secrets.token_bytes), [ask.programme_id])
            assert {breach for breach, _ in found} == expected, change
