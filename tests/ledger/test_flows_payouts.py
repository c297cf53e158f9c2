"""Money out: asked of a bank once, followed until everybody knows, and given back when it comes back."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ledger.core.chart import Code
from ledger.core.commands import Leg
from ledger.core.declined import Declined
from ledger.core.errors import ClearanceSpent
from ledger.core.ids import AttemptId
from ledger.core.orders import PayoutOrder, SweepOrder
from ledger.core.payout import PayoutState, PayoutTrigger
from ledger.flows import payout_sending, payouts
from ledger.flows.payout_sending import Conclusion
from ledger.flows.payouts import News
from ledger.store.events import events_of
from ledger.store.payouts import (
    Attempt,
    Payout,
    Signed,
    attempts_of,
    lock_payouts,
    lock_queued,
    open_attempts,
    read_payouts,
    read_queued,
)
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx
from tests.ledger.world import (
    World,
    asker,
    breaches,
    build_world,
    clear,
    done,
    earn_commission,
    fund,
    held,
    notice,
    payout_order,
    posted,
    sweep_order,
    table_counts,
    told_of,
)

SENDER = 7
TUESDAY = MONDAY_MORNING + timedelta(days=1)
WEDNESDAY = MONDAY_MORNING + timedelta(days=2)
BEFORE = {"safeguarding_bank": 25_206, "hotel": 13_596, "soundbar": 11_610}
IN_FLIGHT = {"safeguarding_bank": 25_206, "payouts_in_flight": 13_596, "soundbar": 11_610}
SETTLED = {"safeguarding_bank": 11_610, "soundbar": 11_610}


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "hotel", amount_minor=13_596)
        fund(tx, world, "soundbar", amount_minor=11_610)
        return world


@pytest.fixture
def ordered(open_tx: OpenTx, world: World) -> Payout:
    with open_tx() as tx:
        return order_payout(tx, world)


@pytest.fixture
def submitted(open_tx: OpenTx, ordered: Payout) -> Attempt:
    with open_tx(MONDAY_MORNING + timedelta(hours=1)) as tx:
        return submit(tx, ordered)


def order_payout(
    tx: Tx, world: World, who: str = "hotel", *, amount_minor: int = 13_596, **other: str
) -> Payout:
    (answer,) = payouts.order(
        tx, [clear(tx, payout_order(tx, world, who, amount_minor=amount_minor, **other))]
    )
    assert isinstance(answer, Payout), answer
    return answer


def submit(tx: Tx, payout: Payout) -> Attempt:
    [(_, attempt)] = try_to_submit(tx, payout)
    return attempt


def try_to_submit(tx: Tx, payout: Payout) -> list[tuple[Payout, Attempt]]:
    return payout_sending.submit(tx, list(lock_payouts(tx, [payout.id]).values()), sender=SENDER)


def keep_signed(tx: Tx, attempt: Attempt, *, body: bytes = b"{}", signature: str = "s") -> bool:
    return bool(payout_sending.keep_signed(tx, [Signed(attempt.id, body, signature)]))


def conclude(tx: Tx, attempt: Attempt, trigger: PayoutTrigger, cause: str = "") -> None:
    payout_sending.conclude(tx, [Conclusion(attempt, trigger, cause, {"bank": "b-1"})])


def news(tx: Tx, payout: Payout, trigger: PayoutTrigger, reason: str = "") -> News:
    return News(
        end_to_end_id=payout.end_to_end_id,
        trigger=trigger,
        notice_id=notice(tx, f"{trigger} of {payout.id}"),
        transaction_id=f"bank-{trigger}",
        reason=reason,
    )


def learn(tx: Tx, payout: Payout, trigger: PayoutTrigger, reason: str = "") -> None:
    assert payouts.learn(tx, [news(tx, payout, trigger, reason)]) == (True,)


def state_of(tx: Tx, payout: Payout) -> PayoutState:
    return read_payouts(tx, [payout.id])[payout.id].state


def history_of(tx: Tx, payout: Payout) -> list[str]:
    return [told.removeprefix("payout.") for told in told_of(tx, payout.programme_id, payout.id)]


def promises(tx: Tx, payout: Payout) -> dict[str, int]:
    """How many jobs of each kind were promised for a payout."""
    query = sa.text(
        "SELECT task_name, count(*) AS count FROM procrastinate_jobs WHERE args ->> 'payout_id' = :id GROUP BY 1"
    )
    return {row["task_name"]: row["count"] for row in tx.rows(query, {"id": payout.id})}


def code_of(answer: object) -> str:
    assert isinstance(answer, Declined), answer
    return answer.code


# The straight way -------------------------------------------------------------------------------------------


def test_an_ordered_payout_is_in_flight_with_the_promise_to_send_it(
    open_tx: OpenTx, world: World, ordered: Payout
) -> None:
    with open_tx() as tx:
        assert posted(tx, world) == IN_FLIGHT
        assert state_of(tx, ordered) is PayoutState.QUEUED
        assert history_of(tx, ordered) == ["queued"]


def test_a_payout_is_submitted_accepted_settled_and_returned(
    open_tx: OpenTx, world: World, ordered: Payout
) -> None:
    with open_tx(TUESDAY) as tx:
        attempt = submit(tx, ordered)
        assert (attempt.attempt_no, attempt.outcome, attempt.request_id) == (1, None, ordered.id)
        assert keep_signed(tx, attempt)
    with open_tx(TUESDAY + timedelta(seconds=1)) as tx:
        conclude(tx, attempt, PayoutTrigger.ACCEPT)
        assert state_of(tx, ordered) is PayoutState.ACCEPTED
        assert posted(tx, world) == IN_FLIGHT
    with open_tx(TUESDAY + timedelta(seconds=2)) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)
        assert state_of(tx, ordered) is PayoutState.SETTLED
        assert posted(tx, world) == SETTLED
    with open_tx(WEDNESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.RETURN, "AC04")

        assert state_of(tx, ordered) is PayoutState.RETURNED
        assert posted(tx, world) == BEFORE
        assert history_of(tx, ordered) == ["queued", "submitted", "accepted", "settled", "returned"]
        (kept,) = attempts_of(tx, [ordered.id])[ordered.id]
        assert (kept.outcome, kept.request_body, kept.bank_references) == ("accepted", b"{}", {"bank": "b-1"})
        assert breaches(tx, [world.programme_id]) == []


def test_every_movement_at_the_bank_carries_the_banks_own_reference_and_word(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)
        (row,) = tx.rows(
            sa.text(
                "SELECT reference, metadata, clearance_id, notice_id FROM transfers WHERE reference = 'bank-settle'"
            )
        )

    assert row["metadata"] == {"payout": ordered.id, "end_to_end_id": ordered.end_to_end_id}
    assert row["clearance_id"] is None
    assert row["notice_id"] is not None


def test_a_rejected_payout_gives_the_money_back(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.REJECT, "AC01")

        assert state_of(tx, ordered) is PayoutState.REJECTED
        assert posted(tx, world) == BEFORE
        assert breaches(tx, [world.programme_id]) == []


def test_an_accepted_payout_may_still_be_rejected(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.ACCEPT)
        learn(tx, ordered, PayoutTrigger.REJECT, "AM04")

        assert posted(tx, world) == BEFORE


# Silence ----------------------------------------------------------------------------------------------------


def test_a_lost_answer_leaves_the_money_in_flight_until_the_bank_says_settled(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.LOSE_SIGHT, "read timeout")
        assert state_of(tx, ordered) is PayoutState.UNKNOWN
        assert posted(tx, world) == IN_FLIGHT
        assert promises(tx, ordered) == {"enquire": 1}
        assert try_to_submit(tx, ordered) == []

    with open_tx(WEDNESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)

        assert posted(tx, world) == SETTLED
        assert promises(tx, ordered) == {"enquire": 1}
        assert len(attempts_of(tx, [ordered.id])[ordered.id]) == 1


@pytest.mark.parametrize(
    ("trigger", "state", "balances"),
    [
        (PayoutTrigger.ACCEPT, PayoutState.ACCEPTED, IN_FLIGHT),
        (PayoutTrigger.REJECT, PayoutState.REJECTED, BEFORE),
        (PayoutTrigger.SETTLE, PayoutState.SETTLED, SETTLED),
    ],
)
def test_an_unknown_payout_ends_as_the_bank_says(
    open_tx: OpenTx,
    world: World,
    ordered: Payout,
    submitted: Attempt,
    trigger: PayoutTrigger,
    state: PayoutState,
    balances: Mapping[str, int],
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.LOSE_SIGHT)
        learn(tx, ordered, trigger)

        assert state_of(tx, ordered) is state
        assert posted(tx, world) == balances


def test_a_payout_that_provably_reached_nobody_is_tried_again_under_a_new_attempt(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.NOT_SENT, "connection refused")
        assert state_of(tx, ordered) is PayoutState.QUEUED
        assert posted(tx, world) == IN_FLIGHT

        second = submit(tx, ordered)

        assert (second.attempt_no, second.id != submitted.id) == (2, True)
        assert [item.outcome for item in attempts_of(tx, [ordered.id])[ordered.id]] == ["not_sent", None]


def test_not_sent_after_all_counts_as_unknown_once_the_bank_has_spoken_of_it(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)
        conclude(tx, submitted, PayoutTrigger.NOT_SENT, "connection refused")

        assert state_of(tx, ordered) is PayoutState.SETTLED
        assert [item.outcome for item in attempts_of(tx, [ordered.id])[ordered.id]] == ["unknown"]
        assert try_to_submit(tx, ordered) == []
        assert posted(tx, world) == SETTLED


@pytest.mark.parametrize("trigger", [PayoutTrigger.ACCEPT, PayoutTrigger.SETTLE, PayoutTrigger.REJECT])
def test_a_payout_that_the_bank_knows_of_is_not_sent_again(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt, trigger: PayoutTrigger
) -> None:
    """Something between us and the bank turned us away after the bank had taken the order."""
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.NOT_SENT, "turned away with status 429")
        learn(tx, ordered, trigger)

        assert state_of(tx, ordered) in {PayoutState.ACCEPTED, PayoutState.SETTLED, PayoutState.REJECTED}
        assert try_to_submit(tx, ordered) == []


def test_every_attempt_has_the_same_request_id_so_that_the_bank_takes_one(
    open_tx: OpenTx, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.NOT_SENT, "turned away with status 403")

        assert submit(tx, ordered).request_id == submitted.request_id == ordered.id


def test_a_payout_that_was_turned_away_too_often_waits_for_a_person(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        attempt = submitted
        for _ in range(payout_sending.ATTEMPTS_MAX - 1):
            keep_signed(tx, attempt)
            conclude(tx, attempt, PayoutTrigger.NOT_SENT, "connection refused")
            attempt = submit(tx, ordered)
        keep_signed(tx, attempt)
        conclude(tx, attempt, PayoutTrigger.NOT_SENT, "connection refused")

        assert try_to_submit(tx, ordered) == []

        assert state_of(tx, ordered) is PayoutState.UNKNOWN
        assert posted(tx, world) == IN_FLIGHT


REFUSED = "the enclave refused: beneficiary_unverified"
HOUR = timedelta(hours=1)
A_WEEK_ON = MONDAY_MORNING + timedelta(hours=1) + payout_sending.WAITING_MAX
MOMENT = timedelta(microseconds=1)


def test_a_payout_that_nobody_signs_is_tried_for_a_week_and_its_money_goes_back(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.NOT_SENT, REFUSED)
    with open_tx(A_WEEK_ON - MOMENT) as tx:
        conclude(tx, submit(tx, ordered), PayoutTrigger.NOT_SENT, REFUSED)
        assert posted(tx, world) == IN_FLIGHT
    with open_tx(A_WEEK_ON) as tx:
        assert try_to_submit(tx, ordered) == []

        assert state_of(tx, ordered) is PayoutState.REJECTED
        assert posted(tx, world) == BEFORE
        assert breaches(tx, [world.programme_id]) == []


def test_a_payout_that_was_once_signed_never_gives_its_money_back_by_waiting(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        keep_signed(tx, submitted)
        conclude(tx, submitted, PayoutTrigger.NOT_SENT, "connection refused")
        conclude(tx, submit(tx, ordered), PayoutTrigger.NOT_SENT, REFUSED)
    with open_tx(A_WEEK_ON) as tx:
        assert try_to_submit(tx, ordered) == []

        assert state_of(tx, ordered) is PayoutState.UNKNOWN
        assert posted(tx, world) == IN_FLIGHT


@pytest.mark.parametrize(
    ("tried", "delay_s"), [(1, 10), (2, 20), (3, 40), (9, 2_560), (10, 3_600), (100, 3_600)]
)
def test_a_payout_waits_twice_as_long_after_each_try(tried: int, delay_s: int) -> None:
    assert payout_sending.retry_delay(tried) == timedelta(seconds=delay_s)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(None, timedelta(seconds=10)), (timedelta(seconds=3), timedelta(seconds=10)), (HOUR, HOUR)],
)
def test_a_payout_that_reached_nobody_is_due_after_its_delay_and_after_what_the_bank_asked_for(
    open_tx: OpenTx, ordered: Payout, submitted: Attempt, asked: timedelta | None, waits: timedelta
) -> None:
    with open_tx(TUESDAY) as tx:
        payout_sending.conclude(
            tx, [Conclusion(submitted, PayoutTrigger.NOT_SENT, "busy", retry_after=asked)]
        )
        assert read_payouts(tx, [ordered.id])[ordered.id].due_at == TUESDAY + waits
    for moment, found in ((TUESDAY + waits - MOMENT, []), (TUESDAY + waits, [ordered.id])):
        with open_tx(moment) as tx:
            assert [item.id for item in lock_queued(tx, "sandbox", limit=10)] == found
            assert [item.id for item in read_queued(tx, "sandbox", limit=10)] == found
            assert lock_queued(tx, "another bank", limit=10) == []


def test_what_one_takes_up_another_does_not_see(open_tx: OpenTx, world: World, ordered: Payout) -> None:
    with open_tx() as tx:
        order_payout(tx, world, "soundbar", amount_minor=1, reference="payout-2")
    with open_tx() as here, open_tx() as there:
        [mine] = lock_queued(here, "sandbox", limit=1)
        [theirs] = lock_queued(there, "sandbox", limit=2)

        assert mine.id != theirs.id


def test_what_was_sent_and_what_became_of_it_is_said_once(
    database: Database, open_tx: OpenTx, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        keep_signed(tx, submitted)
        conclude(tx, submitted, PayoutTrigger.ACCEPT)

    for change in ("outcome = 'not_sent'", "request_body = 'other'", "signature = 'other'"):
        with pytest.raises(sa.exc.DBAPIError, match="attempt"), database.app_engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE attempts SET {change}"))


# Never twice ------------------------------------------------------------------------------------------------


def test_submitting_again_opens_no_second_attempt(
    open_tx: OpenTx, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        assert try_to_submit(tx, ordered) == []
        assert [item.id for item in attempts_of(tx, [ordered.id])[ordered.id]] == [submitted.id]


@pytest.mark.parametrize(
    "trigger", [None, PayoutTrigger.ACCEPT, PayoutTrigger.LOSE_SIGHT, PayoutTrigger.REJECT]
)
def test_a_second_attempt_while_the_first_might_stand_is_a_key_violation(
    open_tx: OpenTx, ordered: Payout, submitted: Attempt, trigger: PayoutTrigger | None
) -> None:
    if trigger is not None:
        with open_tx(TUESDAY) as tx:
            conclude(tx, submitted, trigger)

    second = AttemptId(submitted.id[:-4] + "5ec0")

    with pytest.raises(sa.exc.IntegrityError, match="attempts_one_might_stand"), open_tx(TUESDAY) as tx:
        open_attempts(tx, [replace(submitted, id=second, request_id=second, attempt_no=2)], sender=SENDER)


def test_a_signed_request_is_kept_once_and_the_second_worker_must_not_send(
    open_tx: OpenTx, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        assert keep_signed(tx, submitted, body=b"first", signature="1")
    with open_tx(TUESDAY) as tx:
        assert not keep_signed(tx, submitted, body=b"second", signature="2")

        (kept,) = attempts_of(tx, [ordered.id])[ordered.id]
        assert (kept.request_body, kept.signature) == (b"first", "1")


@pytest.mark.parametrize(
    ("trigger", "balances"),
    [(PayoutTrigger.SETTLE, SETTLED), (PayoutTrigger.REJECT, BEFORE), (PayoutTrigger.ACCEPT, IN_FLIGHT)],
)
def test_the_same_news_twice_changes_nothing(
    open_tx: OpenTx,
    world: World,
    ordered: Payout,
    submitted: Attempt,
    trigger: PayoutTrigger,
    balances: Mapping[str, int],
) -> None:
    with open_tx(TUESDAY) as tx:
        learn(tx, ordered, trigger)
        told = news(tx, ordered, trigger)
        before = table_counts(tx)

    with open_tx(WEDNESDAY) as tx:
        assert payouts.learn(tx, [told, told]) == (True, True)

        assert table_counts(tx) == before
        assert posted(tx, world) == balances


def test_an_attempt_is_concluded_once(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.ACCEPT)
        conclude(tx, submitted, PayoutTrigger.REJECT)

        assert state_of(tx, ordered) is PayoutState.ACCEPTED
        assert [item.outcome for item in attempts_of(tx, [ordered.id])[ordered.id]] == ["accepted"]
        assert posted(tx, world) == IN_FLIGHT


def test_a_finished_attempt_says_nothing_about_the_next_one(
    open_tx: OpenTx, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.NOT_SENT)
        submit(tx, ordered)
        conclude(tx, submitted, PayoutTrigger.REJECT)

        assert state_of(tx, ordered) is PayoutState.SUBMITTED


def test_the_same_clearance_orders_one_payout(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        cleared = clear(tx, payout_order(tx, world, "hotel", amount_minor=1))
        assert isinstance(payouts.order(tx, [cleared])[0], Payout)
        other = clear(tx, payout_order(tx, world, "hotel", amount_minor=2, reference="payout-2"))
        spent = replace(other, clearance=replace(other.clearance, id=cleared.clearance.id))

        assert code_of(payouts.order(tx, [cleared])[0]) == "reference_taken"
    with pytest.raises(ClearanceSpent), open_tx() as tx:
        payouts.order(tx, [spent])


def test_nothing_is_sent_for_a_payout_that_does_not_exist(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        assert payout_sending.submit(tx, [], sender=SENDER) == []
        assert lock_queued(tx, "sandbox", limit=1) == []


# News that does not fit -------------------------------------------------------------------------------------


def test_contradicting_news_leaves_an_event_and_moves_nothing(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)
        before = table_counts(tx)

    with open_tx(WEDNESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.REJECT, "AM04")

        assert state_of(tx, ordered) is PayoutState.SETTLED
        assert posted(tx, world) == SETTLED
        after = table_counts(tx)
        assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
            "events": 1,
            "notices": 1,
        }
        assert events_of(tx, world.programme_id, [ordered.id])[ordered.id][-1]["data"]["trigger"] == "reject"
        assert history_of(tx, ordered) == ["queued", "submitted", "settled", "contradicted"]


@pytest.mark.parametrize("trigger", [PayoutTrigger.SETTLE, PayoutTrigger.RETURN])
def test_news_of_a_rejected_payout_moves_nothing(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt, trigger: PayoutTrigger
) -> None:
    with open_tx(TUESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.REJECT)
    with open_tx(WEDNESDAY) as tx:
        learn(tx, ordered, trigger)

        assert state_of(tx, ordered) is PayoutState.REJECTED
        assert posted(tx, world) == BEFORE
        assert history_of(tx, ordered)[-1] == "contradicted"


def test_an_answer_that_the_notice_has_overtaken_is_no_contradiction(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)
    with open_tx(WEDNESDAY) as tx:
        conclude(tx, submitted, PayoutTrigger.ACCEPT)

        assert state_of(tx, ordered) is PayoutState.SETTLED
        assert history_of(tx, ordered) == ["queued", "submitted", "settled"]
        assert posted(tx, world) == SETTLED


def test_a_return_that_overtakes_the_settlement_is_both(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.RETURN, "AC04")
    with open_tx(WEDNESDAY) as tx:
        learn(tx, ordered, PayoutTrigger.SETTLE)

        assert state_of(tx, ordered) is PayoutState.RETURNED
        assert posted(tx, world) == BEFORE
        assert history_of(tx, ordered) == ["queued", "submitted", "settled", "returned"]


def test_news_of_somebody_elses_payment_is_not_ours(open_tx: OpenTx, world: World, ordered: Payout) -> None:
    with open_tx(TUESDAY) as tx:
        strange = replace(news(tx, ordered, PayoutTrigger.SETTLE), end_to_end_id="NOTPROVIDED")

        assert payouts.learn(tx, [strange]) == (False,)
        assert posted(tx, world) == IN_FLIGHT


@pytest.mark.parametrize("trigger", [PayoutTrigger.SETTLE, PayoutTrigger.REJECT, PayoutTrigger.RETURN])
def test_a_bank_is_not_believed_about_another_banks_payout(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt, trigger: PayoutTrigger
) -> None:
    with open_tx(TUESDAY) as tx:
        lie = replace(
            news(tx, ordered, trigger), notice_id=notice(tx, "a lie", bank_connection="another bank")
        )

        assert payouts.learn(tx, [lie]) == (False,)
        assert state_of(tx, ordered) is PayoutState.SUBMITTED
        assert posted(tx, world) == IN_FLIGHT


def test_news_of_one_call_is_taken_in_its_order(
    open_tx: OpenTx, world: World, ordered: Payout, submitted: Attempt
) -> None:
    with open_tx(TUESDAY) as tx:
        triggers = (PayoutTrigger.ACCEPT, PayoutTrigger.SETTLE, PayoutTrigger.RETURN)

        assert payouts.learn(tx, [news(tx, ordered, trigger) for trigger in triggers]) == (True, True, True)
        assert state_of(tx, ordered) is PayoutState.RETURNED
        assert posted(tx, world) == BEFORE


# Declined ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "code"), [(13_595, None), (13_596, None), (13_597, "insufficient_funds")]
)
def test_a_payout_takes_what_is_there(
    open_tx: OpenTx, world: World, amount_minor: int, code: str | None
) -> None:
    with open_tx() as tx:
        before = table_counts(tx)
        (answer,) = payouts.order(
            tx, [clear(tx, payout_order(tx, world, "hotel", amount_minor=amount_minor))]
        )

        assert (answer.code if isinstance(answer, Declined) else None) == code
        if code is not None:
            assert table_counts(tx) == before
            assert posted(tx, world) == BEFORE


def test_a_reference_is_paid_out_once(open_tx: OpenTx, world: World, ordered: Payout) -> None:
    with open_tx() as tx:
        before = table_counts(tx)
        second = payout_order(tx, world, "soundbar", amount_minor=1, reference=ordered.reference)

        assert code_of(payouts.order(tx, [clear(tx, second)])[0]) == "reference_taken"
        assert table_counts(tx) == before


# Sweeps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "code"), [(3_423, None), (3_424, None), (3_425, "exceeds_own_money")]
)
def test_a_sweep_takes_the_programmes_own_money_and_no_more(
    open_tx: OpenTx, world: World, amount_minor: int, code: str | None
) -> None:
    with open_tx() as tx:
        earn_commission(tx, world, amount_minor=3_424)
        before = table_counts(tx)

        (answer,) = payouts.order(tx, [clear(tx, sweep_order(tx, world, amount_minor=amount_minor))])

        assert (answer.code if isinstance(answer, Declined) else None) == code
        if code is not None:
            assert table_counts(tx) == before


def test_a_sweep_is_held_then_settles_to_the_operating_account_and_may_come_back(
    open_tx: OpenTx, world: World
) -> None:
    with open_tx() as tx:
        earn_commission(tx, world, amount_minor=3_424)
        (sweep,) = payouts.order(tx, [clear(tx, sweep_order(tx, world, amount_minor=3_424))])
        assert isinstance(sweep, Payout)
        assert (sweep.kind, sweep.party_id) == ("sweep", None)
        assert held(tx, world) == {"safeguarding_bank": 3_424}
        assert posted(tx, world) == {**BEFORE, "safeguarding_bank": 28_630, "commission_income": 3_424}

    with open_tx(TUESDAY) as tx:
        conclude(tx, submit(tx, sweep), PayoutTrigger.ACCEPT)
        learn(tx, sweep, PayoutTrigger.SETTLE)
        assert held(tx, world) == {}
        assert posted(tx, world) == {**BEFORE, "operating_bank": 3_424, "commission_income": 3_424}

    with open_tx(WEDNESDAY) as tx:
        learn(tx, sweep, PayoutTrigger.RETURN)
        assert posted(tx, world) == {**BEFORE, "safeguarding_bank": 28_630, "commission_income": 3_424}
        assert breaches(tx, [world.programme_id]) == []


def test_a_rejected_sweep_is_the_programmes_to_sweep_again(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        earn_commission(tx, world, amount_minor=3_424)
        (sweep,) = payouts.order(tx, [clear(tx, sweep_order(tx, world, amount_minor=3_424))])
        assert isinstance(sweep, Payout)
        conclude(tx, submit(tx, sweep), PayoutTrigger.REJECT)

        assert held(tx, world) == {}
        again = clear(tx, sweep_order(tx, world, amount_minor=3_424, reference="sweep-2"))
        assert isinstance(payouts.order(tx, [again])[0], Payout)


@pytest.mark.parametrize("together", [True, False])
def test_two_sweeps_together_take_no_more_than_the_programmes_own_money(
    open_tx: OpenTx, world: World, *, together: bool
) -> None:
    with open_tx() as tx:
        earn_commission(tx, world, amount_minor=3_424)
        orders = [
            clear(tx, sweep_order(tx, world, amount_minor=amount_minor, reference=f"sweep-{amount_minor}"))
            for amount_minor in (2_000, 1_425, 1_424)
        ]

        answers = payouts.order(tx, orders) if together else [payouts.order(tx, [item])[0] for item in orders]

        assert isinstance(answers[0], Payout)
        assert code_of(answers[1]) == "exceeds_own_money"
        assert isinstance(answers[2], Payout)
        assert held(tx, world) == {"safeguarding_bank": 3_424}


def test_one_customers_debt_is_not_set_against_anothers_money(open_tx: OpenTx, world: World) -> None:
    # Own funds that cover nothing: what customers are owed is counted one by one.
    with open_tx() as tx:
        own = Leg(world.accounts[Code.SAFEGUARDING.value], world.accounts[Code.OWN_FUNDS.value], 500)
        done(tx, asker(tx, world.programme_id).post("own funds", own))

        (over,) = payouts.order(tx, [clear(tx, sweep_order(tx, world, amount_minor=501))])
        (exact,) = payouts.order(tx, [clear(tx, sweep_order(tx, world, amount_minor=500))])

        assert code_of(over) == "exceeds_own_money"
        assert isinstance(exact, Payout)


# Many at once -----------------------------------------------------------------------------------------------


def day_of_payouts(tx: Tx, world: World, tag: str, *, together: bool) -> tuple[list[str], dict[str, int]]:
    """Fifteen payouts and a sweep, in one call or one order a call; then the bank's news of them."""
    orders: list[PayoutOrder | SweepOrder] = [
        payout_order(
            tx,
            world,
            ("hotel", "soundbar")[place % 2],
            amount_minor=place * 311,
            reference=f"{tag}{place % 14}",
        )
        for place in range(1, 16)
    ]
    orders.append(sweep_order(tx, world, amount_minor=10, reference=f"{tag}s"))
    cleared = [clear(tx, item) for item in orders]
    answers = payouts.order(tx, cleared) if together else [payouts.order(tx, [item])[0] for item in cleared]
    paid = [answer for answer in answers if isinstance(answer, Payout)]
    for payout in paid:
        submit(tx, payout)
    triggers = (PayoutTrigger.SETTLE, PayoutTrigger.REJECT, PayoutTrigger.ACCEPT)
    told = [news(tx, payout, triggers[place % 3]) for place, payout in enumerate(paid)]
    for batch in [told] if together else [[item] for item in told]:
        assert all(payouts.learn(tx, batch))
    return [answer.code if isinstance(answer, Declined) else "ok" for answer in answers], posted(tx, world)


def test_many_payouts_in_one_call_are_what_they_are_one_by_one(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        other = build_world(tx, "one-by-one")
        fund(tx, other, "hotel", amount_minor=13_596)
        fund(tx, other, "soundbar", amount_minor=11_610)

        together = day_of_payouts(tx, world, "t", together=True)
        alone = day_of_payouts(tx, other, "a", together=False)

        assert together == alone
        assert {"ok", "insufficient_funds", "reference_taken", "exceeds_own_money"} == set(together[0])
        assert breaches(tx, [world.programme_id, other.programme_id]) == []
