"""Before the first payout to a beneficiary: what its bank said is kept, and so is who paid all the same."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from ledger.core.payee import PayeeAnswer, PayeeCheck, PayeeMatch
from ledger.core.payout import PayoutState
from ledger.flows import payout_desk, payouts
from ledger.flows.payee_checks import asks_in_vain, checks_of, choose, hold_doubtful, keep_answer
from ledger.store.payee_checks import payee_choices_on
from ledger.store.payouts import Payout, read_payouts
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx
from tests.ledger.world import World, build_world, clear, fund, payout_order, told_of

HOLDING = frozenset({PayeeMatch.CLOSE_MATCH, PayeeMatch.NO_MATCH})
CLOSE = PayeeAnswer(PayeeMatch.CLOSE_MATCH, "Hotel am Markt GmbH")


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "hotel", amount_minor=1_000)
        return world


def order_payout(tx: Tx, world: World, reference: str = "payout-1") -> Payout:
    (answer,) = payouts.order(
        tx, [clear(tx, payout_order(tx, world, "hotel", amount_minor=10, reference=reference))]
    )
    assert isinstance(answer, Payout), answer
    return answer


def now_of(tx: Tx, payout: Payout) -> Payout:
    return read_payouts(tx, [payout.id])[payout.id]


def checked(tx: Tx, payout: Payout, answer: PayeeAnswer) -> bool:
    """Whether the answer holds the payout."""
    keep_answer(tx, payout, answer, bank_connection="sandbox")
    return is_held(tx, payout)


def is_held(tx: Tx, payout: Payout) -> bool:
    return hold_doubtful(tx, [payout], checks_of(tx, [payout]), holding=HOLDING) == {payout.id}


def check_of(tx: Tx, payout: Payout) -> PayeeCheck | None:
    return checks_of(tx, [payout]).get(payout.id)


@pytest.mark.parametrize("match", list(PayeeMatch))
def test_a_doubtful_payee_holds_the_payout(open_tx: OpenTx, world: World, match: PayeeMatch) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)

        held = checked(tx, payout, PayeeAnswer(match, None))

        assert held == (match in HOLDING)
        assert now_of(tx, payout).state is (PayoutState.HELD if held else PayoutState.QUEUED)


def test_what_was_said_and_who_chose_is_kept(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        checked(tx, payout, CLOSE)
    with open_tx(MONDAY_MORNING + timedelta(hours=1)) as tx:
        resumed = payout_desk.resume(tx, now_of(tx, payout), reason="its trade name")
        assert isinstance(resumed, Payout)
        choose(tx, resumed, by="cli_desk", reason="its trade name")

        check = check_of(tx, payout)
        assert check is not None
        assert (check.match, check.matched_name, check.asked_at) == (*_said(CLOSE), MONDAY_MORNING)
        choice = payee_choices_on(tx, [check.id])[check.id]
        assert (choice.chosen_by, choice.reason) == ("cli_desk", "its trade name")
        assert not is_held(tx, resumed)
        history = told_of(tx, world.programme_id, payout.id)
        assert history == ["payout.queued", "payout.payee_checked", "payout.held", "payout.queued"]


def _said(answer: PayeeAnswer) -> tuple[PayeeMatch, str | None]:
    return answer.match, answer.matched_name


def test_the_next_payout_to_the_same_payee_is_neither_asked_nor_held(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        first = order_payout(tx, world)
        checked(tx, first, CLOSE)
        payout_desk.resume(tx, now_of(tx, first), reason="its trade name")
        choose(tx, first, by="cli_desk", reason="its trade name")

        second = order_payout(tx, world, "payout-2")

        assert check_of(tx, second) is not None
        assert not is_held(tx, second)


def test_a_choice_needs_a_doubt(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        choose(tx, payout, by="cli_desk", reason="nobody has asked")
        checked(tx, payout, PayeeAnswer(PayeeMatch.MATCH, None))
        choose(tx, payout, by="cli_desk", reason="the name is right")

        check = check_of(tx, payout)
        assert check is not None
        assert payee_choices_on(tx, [check.id]) == {}


def test_the_first_choice_stands(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        checked(tx, payout, CLOSE)
        choose(tx, payout, by="cli_desk", reason="one")
        choose(tx, payout, by="cli_other", reason="two")

        check = check_of(tx, payout)
        assert check is not None
        assert payee_choices_on(tx, [check.id])[check.id].chosen_by == "cli_desk"


def test_a_check_of_another_programme_or_name_says_nothing(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        checked(tx, payout, CLOSE)
        other = build_world(tx, "other")
        fund(tx, other, "hotel", amount_minor=1_000)

        assert check_of(tx, order_payout(tx, other)) is None


@pytest.mark.parametrize("statement", ["UPDATE payee_checks SET match = 'MTCH'", "DELETE FROM payee_choices"])
def test_what_was_said_is_a_fact(open_tx: OpenTx, world: World, database: Database, statement: str) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        checked(tx, payout, CLOSE)
        choose(tx, payout, by="cli_desk", reason="one")

    for engine in (database.app_engine, database.owner_engine):
        with pytest.raises(sa.exc.DBAPIError), engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_a_payout_whose_payee_nobody_answers_for_is_put_off_and_in_the_end_it_cannot_be_known(
    open_tx: OpenTx, world: World
) -> None:
    minute, five = timedelta(minutes=1), timedelta(minutes=5)
    with open_tx() as tx:
        payout = order_payout(tx, world)
        assert not asks_in_vain(tx, payout, again=minute, within=five)
        assert now_of(tx, payout).due_at == MONDAY_MORNING + minute
    with open_tx(MONDAY_MORNING + five - timedelta(seconds=1)) as tx:
        assert not asks_in_vain(tx, payout, again=minute, within=five)
    with open_tx(MONDAY_MORNING + five) as tx:
        assert asks_in_vain(tx, payout, again=minute, within=five)
        assert told_of(tx, world.programme_id, payout.id).count("payout.payee_unanswered") == 1
