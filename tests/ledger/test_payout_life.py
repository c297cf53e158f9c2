"""A payout waits, is called off, held back, goes, comes back in parts; the book always says where its money is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.core.declined import Declined
from ledger.core.ids import PayoutId
from ledger.core.payout import (
    APPROVALS_MISSING,
    FINAL,
    REFUSED_BY_ENCLAVE,
    UNSETTLED,
    WAITING,
    PayoutState,
    PayoutTrigger,
    advance,
)
from ledger.flows import payout_desk, payout_sending, payouts
from ledger.flows.payout_sending import Conclusion
from ledger.flows.payouts import News
from ledger.store.payouts import Attempt, Payout, Signed, attempts_of, lock_payouts, read_payouts
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, OpenTx
from tests.ledger.world import (
    World,
    breaches,
    build_world,
    clear,
    earn_commission,
    fund,
    held,
    notice,
    payout_order,
    posted,
    sweep_order,
    told_of,
)

TUESDAY = MONDAY_MORNING + timedelta(days=1)
WEDNESDAY = MONDAY_MORNING + timedelta(days=2)
WHOLE = 10_000
SENDER = 7
LACKING = f"{REFUSED_BY_ENCLAVE}{APPROVALS_MISSING}"
_numbers = count(1)


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "hotel", amount_minor=WHOLE)
        return world


def order_payout(tx: Tx, world: World, *, scheduled: bool = False, amount_minor: int = WHOLE) -> Payout:
    wanted = payout_order(tx, world, "hotel", amount_minor=amount_minor, reference=f"payout-{next(_numbers)}")
    (answer,) = payouts.order(tx, [clear(tx, replace(wanted, send_at=TUESDAY if scheduled else None))])
    assert isinstance(answer, Payout), answer
    return answer


def now_of(tx: Tx, payout: Payout) -> Payout:
    return read_payouts(tx, [payout.id])[payout.id]


def submit(tx: Tx, payout: Payout, *, signed: bool = False) -> Attempt:
    [(_, attempt)] = try_to_submit(tx, payout)
    if signed:
        assert keep_signed(tx, attempt)
    return attempt


def try_to_submit(tx: Tx, payout: Payout) -> list[tuple[Payout, Attempt]]:
    return payout_sending.submit(tx, [now_of(tx, payout)], sender=SENDER)


def keep_signed(tx: Tx, attempt: Attempt) -> bool:
    return bool(payout_sending.keep_signed(tx, [Signed(attempt.id, b"{}", "s")]))


def conclude(tx: Tx, attempt: Attempt, trigger: PayoutTrigger, cause: str = "") -> None:
    payout_sending.conclude(tx, [Conclusion(attempt, trigger, cause)])


def learn(
    tx: Tx, payout: Payout, trigger: PayoutTrigger, *, tag: str = "", amount_minor: int | None = None
) -> Payout:
    news = News(
        payout.end_to_end_id,
        trigger,
        notice(tx, f"{trigger} {next(_numbers)}"),
        f"bank-{trigger}-{payout.id}-{tag}",
        "",
        amount_minor,
    )
    assert payouts.learn(tx, [news]) == (True,)
    return now_of(tx, payout)


def done(answer: Payout | Declined) -> Payout:
    assert isinstance(answer, Payout), answer
    return answer


def code_of(answer: Payout | Declined) -> str:
    assert isinstance(answer, Declined), answer
    return answer.code


def hotel_and_flight(tx: Tx, world: World) -> tuple[int, int]:
    found = posted(tx, world)
    return found.get("hotel", 0), found.get("payouts_in_flight", 0)


# Waiting for a time -----------------------------------------------------------------------------------------------


def test_a_payout_for_tomorrow_is_queued_tomorrow_and_not_before(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world, scheduled=True)
        assert payout.state is PayoutState.SCHEDULED
        assert hotel_and_flight(tx, world) == (0, WHOLE)
        assert try_to_submit(tx, payout) == []
    with open_tx(TUESDAY - timedelta(seconds=1)) as tx:
        assert payout_sending.release_due(tx) == 0
    with open_tx(TUESDAY) as tx:
        assert payout_sending.release_due(tx) == 1
        assert payout_sending.release_due(tx) == 0
        assert now_of(tx, payout).state is PayoutState.QUEUED
        assert told_of(tx, world.programme_id, payout.id) == ["payout.scheduled", "payout.queued"]


def test_a_payout_for_a_time_that_has_passed_is_queued_at_once(open_tx: OpenTx, world: World) -> None:
    with open_tx(WEDNESDAY) as tx:
        assert order_payout(tx, world, scheduled=True).state is PayoutState.QUEUED


def test_a_payout_whose_rail_is_closed_waits_for_its_opening(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        payout_sending.put_off(tx, [(payout, TUESDAY)])

        found = now_of(tx, payout)
        assert (found.state, found.due_at, found.send_at) == (PayoutState.SCHEDULED, TUESDAY, None)


def test_two_workers_release_what_is_due_once(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        first, second = (
            order_payout(tx, world, scheduled=True, amount_minor=1),
            order_payout(tx, world, scheduled=True, amount_minor=1),
        )
    with open_tx(TUESDAY) as here, open_tx(TUESDAY) as there:
        lock_payouts(here, [first.id])
        assert payout_sending.release_due(there) == 1
        assert now_of(there, second).state is PayoutState.QUEUED
        assert payout_sending.release_due(here) == 1


# Waiting for people ------------------------------------------------------------------------------------------------


def test_a_payout_that_lacks_approvals_says_so_and_is_sent_when_it_has_them(
    open_tx: OpenTx, world: World
) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        conclude(tx, submit(tx, payout), PayoutTrigger.NOT_SENT, LACKING)
        assert now_of(tx, payout).state is PayoutState.PENDING_APPROVAL
        assert hotel_and_flight(tx, world) == (0, WHOLE)
    with open_tx(TUESDAY) as tx:
        payout_desk.wake(tx, [now_of(tx, payout)])
        conclude(tx, submit(tx, payout), PayoutTrigger.ACCEPT)
        assert now_of(tx, payout).state is PayoutState.ACCEPTED


def test_a_payout_that_waits_for_people_is_tried_again_and_given_up_in_the_end(
    open_tx: OpenTx, world: World
) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        conclude(tx, submit(tx, payout), PayoutTrigger.NOT_SENT, LACKING)
        assert payout_sending.release_due(tx) == 0
    with open_tx(TUESDAY) as tx:
        assert payout_sending.release_due(tx) == 1
        conclude(tx, submit(tx, payout), PayoutTrigger.NOT_SENT, LACKING)
    with open_tx(MONDAY_MORNING + payout_sending.WAITING_MAX) as tx:
        assert payout_sending.release_due(tx) == 1
        assert try_to_submit(tx, payout) == []
        assert now_of(tx, payout).state is PayoutState.REJECTED
        assert hotel_and_flight(tx, world) == (WHOLE, 0)


def test_a_held_payout_is_not_sent_until_it_is_resumed(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = done(payout_desk.hold(tx, order_payout(tx, world), reason="who is this"))
        assert try_to_submit(tx, payout) == []
        assert done(payout_desk.hold(tx, payout, reason="once more")) == payout
        assert payout_sending.release_due(tx) == 0

        resumed = done(payout_desk.resume(tx, payout, reason="it is right"))
        assert resumed.state is PayoutState.QUEUED
        assert try_to_submit(tx, payout) != []
        assert told_of(tx, world.programme_id, payout.id) == [
            "payout.queued",
            "payout.held",
            "payout.queued",
            "payout.submitted",
        ]


def test_a_held_payout_whose_time_has_not_come_waits_for_it_again(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = done(payout_desk.hold(tx, order_payout(tx, world, scheduled=True), reason="why"))
        assert done(payout_desk.resume(tx, payout, reason="so")).state is PayoutState.SCHEDULED
    with open_tx(TUESDAY) as tx:
        assert payout_sending.release_due(tx) == 1


# Called off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(WAITING))
def test_a_payout_that_waits_is_called_off_and_its_money_is_back(
    open_tx: OpenTx, world: World, state: PayoutState
) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world, scheduled=state is PayoutState.SCHEDULED)
        if state is PayoutState.PENDING_APPROVAL:
            conclude(tx, submit(tx, payout), PayoutTrigger.NOT_SENT, LACKING)
        if state is PayoutState.HELD:
            done(payout_desk.hold(tx, payout, reason="why"))

        called_off = done(payout_desk.cancel(tx, now_of(tx, payout), reason="wrong amount"))

        assert called_off.state is PayoutState.CANCELLED
        assert hotel_and_flight(tx, world) == (WHOLE, 0)
        assert try_to_submit(tx, payout) == []
        assert code_of(payout_desk.cancel(tx, called_off, reason="again")) == "payout_not_waiting"
        assert breaches(tx, [world.programme_id]) == []


def test_a_payout_that_was_signed_once_is_not_called_off(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        conclude(tx, submit(tx, payout, signed=True), PayoutTrigger.NOT_SENT, "no connection")

        assert code_of(payout_desk.cancel(tx, now_of(tx, payout), reason="why")) == "payout_was_signed"
        assert hotel_and_flight(tx, world) == (0, WHOLE)


def test_a_sweep_that_is_called_off_is_the_programmes_to_sweep_again(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        earn_commission(tx, world, amount_minor=500)
        (sweep,) = payouts.order(tx, [clear(tx, sweep_order(tx, world, amount_minor=500))])

        assert done(payout_desk.cancel(tx, done(sweep), reason="not today")).state is PayoutState.CANCELLED
        assert held(tx, world) == {}


@pytest.mark.parametrize("step", [payout_desk.cancel, payout_desk.hold])
def test_a_payout_that_is_on_its_way_is_neither_called_off_nor_held(
    open_tx: OpenTx, world: World, step: Callable[..., Payout | Declined]
) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        submit(tx, payout)

        assert code_of(step(tx, now_of(tx, payout), reason="why")) == "payout_not_waiting"
        assert code_of(payout_desk.resume(tx, now_of(tx, payout), reason="why")) == "payout_not_held"


# On its way, and back ------------------------------------------------------------------------------------------------


def test_a_payout_in_transit_is_further_than_accepted(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        attempt = submit(tx, payout)
        assert learn(tx, payout, PayoutTrigger.PROGRESS).state is PayoutState.IN_TRANSIT
        conclude(tx, attempt, PayoutTrigger.ACCEPT)
        assert learn(tx, payout, PayoutTrigger.PROGRESS).state is PayoutState.IN_TRANSIT
        assert learn(tx, payout, PayoutTrigger.SETTLE).state is PayoutState.SETTLED
        assert "payout.contradicted" not in told_of(tx, world.programme_id, payout.id)


def test_a_payout_comes_back_in_parts_each_of_them_once(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        payout = order_payout(tx, world)
        submit(tx, payout)
        learn(tx, payout, PayoutTrigger.SETTLE)

        first = learn(tx, payout, PayoutTrigger.RETURN, tag="a", amount_minor=2_500)
        again = learn(tx, payout, PayoutTrigger.RETURN, tag="a", amount_minor=2_500)
        without_amount = learn(tx, payout, PayoutTrigger.RETURN, tag="a")
        assert first == again == without_amount
        assert (first.state, first.returned_minor) == (PayoutState.PARTLY_RETURNED, 2_500)
        assert hotel_and_flight(tx, world) == (2_500, 0)

        too_much = learn(tx, payout, PayoutTrigger.RETURN, tag="b", amount_minor=7_501)
        assert too_much == first
        assert told_of(tx, world.programme_id, payout.id)[-1] == "payout.contradicted"

        rest = learn(tx, payout, PayoutTrigger.RETURN, tag="c")
        assert (rest.state, rest.returned_minor) == (PayoutState.RETURNED, WHOLE)
        assert hotel_and_flight(tx, world) == (WHOLE, 0)
        assert breaches(tx, [world.programme_id]) == []


# Whatever happens -----------------------------------------------------------------------------------------------------


def test_the_table_leads_where_money_can_follow() -> None:
    moves = {
        (state, trigger): after
        for state in PayoutState
        for trigger in PayoutTrigger
        if (after := advance(state, trigger)) is not None
    }

    assert {state for state in PayoutState if not any(before is state for before, _ in moves)} == FINAL
    # Only what waits is called off, and only what is on its way is lost sight of, or is not sent.
    assert {before for before, trigger in moves if trigger is PayoutTrigger.CANCEL} == WAITING
    assert {before for before, after in moves.items() if after is PayoutState.SUBMITTED} == {
        (PayoutState.QUEUED, PayoutTrigger.SUBMIT)
    }
    assert not [
        after
        for (before, _), after in moves.items()
        if before in UNSETTLED and after in WAITING | {PayoutState.SUBMITTED, PayoutState.CANCELLED}
    ]


ACTIONS = st.one_of(
    st.sampled_from(["submit", "sign", "keep", "not_sent", "lack", "accept", "reject", "lose_sight"]),
    st.sampled_from(["cancel", "hold", "resume", "put off", "release"]),
    st.tuples(
        st.sampled_from(
            [PayoutTrigger.ACCEPT, PayoutTrigger.PROGRESS, PayoutTrigger.SETTLE, PayoutTrigger.REJECT]
        ),
    ),
    st.tuples(
        st.just(PayoutTrigger.RETURN), st.sampled_from("abc"), st.one_of(st.none(), st.integers(1, WHOLE + 1))
    ),
)


class Life:
    """One payout, to which anything may be done at any time; every step is a transaction of its own."""

    def __init__(self, open_tx: OpenTx, world: World, *, scheduled: bool) -> None:
        self.open_tx = open_tx
        self.world = world
        self.was_signed = False
        with open_tx() as tx:
            self.payout_id: PayoutId = order_payout(tx, world, scheduled=scheduled).id

    def do(self, action: str | tuple[object, ...]) -> None:
        with self.open_tx(TUESDAY) as tx:
            payout = lock_payouts(tx, [self.payout_id])[self.payout_id]
            if isinstance(action, tuple):
                self._hear(tx, payout, *action)
            elif action in _STEPS:
                _STEPS[action](tx, payout)
            else:
                self._try(tx, payout, action)

    def _hear(
        self, tx: Tx, payout: Payout, trigger: object, tag: str = "", amount_minor: int | None = None
    ) -> None:
        assert isinstance(trigger, PayoutTrigger)
        learn(tx, payout, trigger, tag=tag, amount_minor=amount_minor)

    def _try(self, tx: Tx, payout: Payout, action: str) -> None:
        if action == "submit":
            try_to_submit(tx, payout)
            return
        opened = [item for item in attempts_of(tx, [payout.id])[payout.id] if item.outcome is None]
        if not opened:
            return
        if action in {"sign", "keep"}:
            self.was_signed |= keep_signed(tx, opened[-1])
        else:
            conclude(tx, opened[-1], _ENDS[action], LACKING if action == "lack" else "")

    def check(self, before: PayoutState) -> PayoutState:
        with self.open_tx(TUESDAY) as tx:
            payout = now_of(tx, read_payouts(tx, [self.payout_id])[self.payout_id])
            hotel, flight = hotel_and_flight(tx, self.world)
            assert (hotel, flight) == _where_the_money_is(payout)
            assert breaches(tx, [self.world.programme_id]) == []
        if before in FINAL:
            assert payout.state is before
        if payout.state is PayoutState.CANCELLED:
            assert not self.was_signed
        return payout.state


_ENDS = {
    "not_sent": PayoutTrigger.NOT_SENT,
    "lack": PayoutTrigger.NOT_SENT,
    "accept": PayoutTrigger.ACCEPT,
    "reject": PayoutTrigger.REJECT,
    "lose_sight": PayoutTrigger.LOSE_SIGHT,
}


def _put_off(tx: Tx, payout: Payout) -> None:
    if payout.state is PayoutState.QUEUED:
        payout_sending.put_off(tx, [(payout, WEDNESDAY)])


_STEPS: dict[str, Callable[[Tx, Payout], object]] = {
    "cancel": lambda tx, payout: payout_desk.cancel(tx, payout, reason="why"),
    "hold": lambda tx, payout: payout_desk.hold(tx, payout, reason="why"),
    "resume": lambda tx, payout: payout_desk.resume(tx, payout, reason="why"),
    "put off": _put_off,
    "release": lambda tx, _: payout_sending.release_due(tx),
}


def _where_the_money_is(payout: Payout) -> tuple[int, int]:
    """What the hotel has, and what is in flight."""
    match payout.state:
        case PayoutState.REJECTED | PayoutState.CANCELLED:
            return WHOLE, 0
        case PayoutState.SETTLED | PayoutState.PARTLY_RETURNED | PayoutState.RETURNED:
            return payout.returned_minor, 0
        case _:
            return 0, WHOLE


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scheduled=st.booleans(), actions=st.lists(ACTIONS, min_size=4, max_size=25))
def test_whatever_happens_the_money_is_where_the_state_says(
    open_tx: OpenTx, scheduled: bool, actions: list[str | tuple[object, ...]]
) -> None:
    with open_tx() as tx:
        world = build_world(tx, f"life-{next(_numbers)}")
        fund(tx, world, "hotel", amount_minor=WHOLE)
    life = Life(open_tx, world, scheduled=scheduled)
    state = life.check(PayoutState.QUEUED)

    for action in actions:
        life.do(action)
        state = life.check(state)
