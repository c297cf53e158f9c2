"""Periods: which steps there are, what the calendar never becomes, and what a closed day does to a posting."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise, product

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.account import Calendar
from ledger.core.chart import Code
from ledger.core.commands import Applied, Refusal, Refused, Result
from ledger.core.declined import Declined
from ledger.core.errors import InvalidValue
from ledger.core.ids import ProgrammeId
from ledger.core.period import (
    TRANSITIONS,
    Objection,
    Period,
    PeriodState,
    closedness,
    objection_to_opening,
    objection_to_transition,
)
from ledger.core.unit import Unit, check_unit
from ledger.flows.periods import MovePeriod, OpenPeriod, move_periods, open_periods
from ledger.flows.units import DefineUnit, define_units
from ledger.store.events import events_of
from ledger.store.periods import PeriodRecord, periods_page, settle, share_calendars
from ledger.store.rows import Page
from ledger.store.tx import Tx
from ledger.store.units import unit_codes, units_page
from tests.conftest import MONDAY_MORNING, Database, OpenTx, make_programme
from tests.ledger.chronicle import Chronicle, ask, begin, minutes, opening
from tests.ledger.world import wait_until_blocked

OPEN, SOFT, CLOSED, SEALED = PeriodState
LEAST = timedelta(microseconds=1)
WAIT_S = 30


def day(number: int) -> datetime:
    """Days before the Monday: day(0) is its midnight, day(-1) the beginning of the Sunday."""
    return MONDAY_MORNING.replace(hour=0) + timedelta(days=number)


def period(start: int, end: int, state: PeriodState = OPEN) -> Period:
    return Period(day(start), day(end), state)


# The table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "to"), list(product(PeriodState, PeriodState)))
def test_a_period_goes_the_steps_of_the_table_and_no_others(state: PeriodState, to: PeriodState) -> None:
    allowed = {(OPEN, SOFT), (SOFT, CLOSED), (CLOSED, SEALED), (CLOSED, SOFT), (SOFT, OPEN)}

    objection = objection_to_transition(period(-2, -1, state), to, others=[], now=day(0))

    assert objection == (None if (state, to) in allowed else Objection.TRANSITION_NOT_ALLOWED)


def test_nothing_leads_out_of_sealed() -> None:
    assert not [step for step in TRANSITIONS if step[0] is SEALED]


@pytest.mark.parametrize(
    ("other", "objection"),
    [
        (period(-4, -2), None),  # ends where ours starts
        (period(0, 2), None),  # starts where ours ends
        (Period(day(-4), day(-2) + LEAST, OPEN), Objection.PERIOD_OVERLAPS),
        (Period(day(0) - LEAST, day(2), OPEN), Objection.PERIOD_OVERLAPS),
        (period(-2, 0), Objection.PERIOD_OVERLAPS),
        (period(-3, 1), Objection.PERIOD_OVERLAPS),
        (Period(day(-1), day(-1) + LEAST, OPEN), Objection.PERIOD_OVERLAPS),
        (period(1, 2, SOFT), Objection.PERIOD_IN_CLOSED_PAST),
        (period(1, 2, SEALED), Objection.PERIOD_IN_CLOSED_PAST),
        (period(-4, -2, SEALED), None),
    ],
)
def test_periods_do_not_overlap_and_do_not_open_in_a_closed_past(
    other: Period, objection: Objection | None
) -> None:
    assert objection_to_opening(period(-2, 0), [other]) == objection


@pytest.mark.parametrize("state", list(PeriodState))
def test_a_period_is_closed_no_further_than_every_earlier_one(state: PeriodState) -> None:
    earlier = period(-4, -3, state)

    objection = objection_to_transition(period(-2, -1, SOFT), CLOSED, others=[earlier], now=day(0))

    assert (objection is None) == (state in {CLOSED, SEALED})
    assert objection in {None, Objection.EARLIER_PERIOD_LESS_CLOSED}


@pytest.mark.parametrize("state", list(PeriodState))
def test_a_period_is_opened_no_further_than_every_later_one(state: PeriodState) -> None:
    later = period(-1, 0, state)

    objection = objection_to_transition(period(-3, -2, CLOSED), SOFT, others=[later], now=day(0))

    assert (objection is None) == (state in {OPEN, SOFT})
    assert objection in {None, Objection.LATER_PERIOD_MORE_CLOSED}


@pytest.mark.parametrize(
    ("now", "objection"),
    [(day(0) - LEAST, Objection.PERIOD_NOT_OVER), (day(0), None), (day(0) + LEAST, None)],
)
def test_only_what_is_over_is_closed(now: datetime, objection: Objection | None) -> None:
    assert objection_to_transition(period(-1, 0), SOFT, others=[], now=now) == objection


def test_what_was_closed_is_opened_whenever_one_likes() -> None:
    assert objection_to_transition(period(-1, 1, SOFT), OPEN, others=[], now=day(0)) is None


Step = tuple[str, int, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("a new one"), st.integers(-12, -1), st.integers(1, 3)),
        st.tuples(st.sampled_from([state.value for state in PeriodState]), st.integers(0, 7), st.just(0)),
    ),
    max_size=40,
)


@given(asked=steps)
def test_whatever_is_asked_the_calendar_closes_from_its_beginning_and_never_overlaps(
    asked: list[Step],
) -> None:
    standing: list[Period] = []

    for what, where, length in asked:
        if what == "a new one":
            new = period(where, min(where + length, 0))
            if objection_to_opening(new, standing) is None:
                standing.append(new)
        elif where < len(standing):
            old = standing[where]
            others = [other for other in standing if other is not old]
            to = PeriodState(what)
            if objection_to_transition(old, to, others=others, now=day(0)) is None:
                assert old.state is not SEALED
                standing[where] = old._replace(state=to)

        in_order = sorted(standing)
        assert all(one.ends_at <= next_.starts_at for one, next_ in pairwise(in_order))
        assert all(closedness(one.state) >= closedness(next_.state) for one, next_ in pairwise(in_order))


# In the book -----------------------------------------------------------------------------------------------------


def opened(tx: Tx, programme_id: ProgrammeId, *spans: tuple[int, int]) -> list[PeriodRecord]:
    orders = [
        OpenPeriod(programme_id=programme_id, starts_at=day(start), ends_at=day(end)) for start, end in spans
    ]
    results = open_periods(tx, orders)
    assert not [result for result in results if isinstance(result, Declined)]
    return [result for result in results if isinstance(result, PeriodRecord)]


def moved(tx: Tx, record: PeriodRecord, *states: PeriodState) -> None:
    for state in states:
        (result,) = move_periods(
            tx, [MovePeriod(programme_id=record.programme_id, period_id=record.id, to=state)]
        )
        assert isinstance(result, PeriodRecord), result
        assert result.period.state is state


def posted(tx: Tx, ours: Chronicle, effective_at: datetime, *, adjusting: bool = False) -> Result:
    return ask(tx, ours.transfer(tx, (0, 1, 1), effective_at=effective_at, adjusting=adjusting))


def refusals(results: Sequence[Result]) -> list[Refusal | None]:
    return [result.refusal if isinstance(result, Refused) else None for result in results]


@pytest.mark.parametrize(
    ("states", "refusal"),
    [
        ((), None),
        ((SOFT,), Refusal.PERIOD_SOFT_CLOSED),
        ((SOFT, CLOSED), Refusal.PERIOD_CLOSED),
        ((SOFT, CLOSED, SEALED), Refusal.PERIOD_CLOSED),
        ((SOFT, CLOSED, SOFT), Refusal.PERIOD_SOFT_CLOSED),
        ((SOFT, CLOSED, SOFT, OPEN), None),
    ],
)
def test_a_day_takes_what_its_period_lets_in(
    open_tx: OpenTx, states: tuple[PeriodState, ...], refusal: Refusal | None
) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        (record,) = opened(tx, ours.programme_id, (-3, -1))
        moved(tx, record, *states)

        edges = [posted(tx, ours, at) for at in (day(-3), day(-1) - LEAST, day(-1), day(0))]

    assert refusals(edges) == [refusal, refusal, None, None]


def test_an_adjustment_goes_into_a_soft_closed_period_and_into_no_closed_one(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        (record,) = opened(tx, ours.programme_id, (-3, -1))
        moved(tx, record, SOFT)
        soft = posted(tx, ours, day(-2), adjusting=True)
        moved(tx, record, CLOSED)

        closed = posted(tx, ours, day(-2), adjusting=True)

    assert refusals([soft, closed]) == [None, Refusal.PERIOD_CLOSED]


def test_what_lies_before_a_closed_period_is_closed_with_it(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        (record,) = opened(tx, ours.programme_id, (-3, -1))
        moved(tx, record, SOFT, CLOSED)

        assert refusals([posted(tx, ours, day(-100))]) == [Refusal.PERIOD_CLOSED]


def test_the_calendar_says_how_far_the_past_is_settled(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id, other = make_programme(tx), make_programme(tx, "pay-uk")
        first, second, _ = opened(tx, programme_id, (-30, -20), (-20, -10), (-10, 20))
        moved(tx, first, SOFT)
        moved(tx, second, SOFT)
        moved(tx, first, CLOSED, SEALED)
        settle(tx, programme_id, day(-5))

        found = share_calendars(tx, [programme_id, other])

    assert found == {programme_id: Calendar(day(-10), day(-20), day(-5)), other: Calendar(None, None, None)}


def test_what_is_sealed_or_was_answered_stays_so_by_the_database_too(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        (record,) = opened(tx, ours.programme_id, (-3, -1))
        moved(tx, record, SOFT, CLOSED, SEALED)
        settle(tx, ours.programme_id, day(-2))

    for change in (
        "periods SET state = 'open'",
        "horizons SET answered_until = answered_until - interval '1 us'",
    ):
        with pytest.raises(sa.exc.IntegrityError, match="is settled"), open_tx() as tx:
            tx.run(sa.text(f"UPDATE {change}"))


def test_no_programme_has_no_calendar(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        assert share_calendars(tx, []) == {}


def test_each_order_sees_what_those_before_it_did(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
        orders = [
            OpenPeriod(programme_id=programme_id, starts_at=day(start), ends_at=day(end))
            for start, end in ((-3, -2), (-3, -2), (-2, -1))
        ]

        first, again, second = open_periods(tx, orders)

        assert isinstance(first, PeriodRecord)
        assert isinstance(again, Declined)
        assert isinstance(second, PeriodRecord)
        assert again.code == "period_overlaps"
        steps_ = [
            MovePeriod(programme_id=programme_id, period_id=record.id, to=to)
            for record, to in ((second, SOFT), (first, SOFT), (second, SOFT), (first, CLOSED), (first, OPEN))
        ]
        results = move_periods(tx, steps_)

    assert [result.code if isinstance(result, Declined) else result.period.state for result in results] == [
        "earlier_period_less_closed",
        SOFT,
        SOFT,
        CLOSED,
        "transition_not_allowed",
    ]


def test_what_is_declined_leaves_nothing(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
        (record,) = opened(tx, programme_id, (-3, 3))

        (early,) = move_periods(tx, [MovePeriod(programme_id=programme_id, period_id=record.id, to=SOFT)])

        assert isinstance(early, Declined)
        assert (early.code, early.field) == ("period_not_over", "to")
        assert periods_page(tx, programme_id, Page(None, 10)) == [record]
        told = events_of(tx, programme_id, [record.id])[record.id]
        assert [event["type"] for event in told] == ["period.opened"]


def test_every_step_is_told(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
        (record,) = opened(tx, programme_id, (-3, -1))
        moved(tx, record, SOFT, OPEN, SOFT, CLOSED, SEALED)

        told = events_of(tx, programme_id, [record.id])[record.id]

    assert [event["type"] for event in told] == [
        "period.opened",
        "period.soft_closed",
        "period.reopened",
        "period.soft_closed",
        "period.closed",
        "period.sealed",
    ]


def test_a_period_of_another_programme_is_unknown(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours, theirs = make_programme(tx), make_programme(tx, "pay-uk")
        (record,) = opened(tx, theirs, (-3, -1))

        (result,) = move_periods(tx, [MovePeriod(programme_id=ours, period_id=record.id, to=SOFT)])

        assert isinstance(result, Declined)
        assert result.code == "period_unknown"
        assert periods_page(tx, ours, Page(None, 10)) == []


def test_a_period_that_ends_before_it_starts_is_no_period(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
        order = OpenPeriod(programme_id=programme_id, starts_at=day(-1), ends_at=day(-1))

        with pytest.raises(InvalidValue) as refused:
            open_periods(tx, [order])

    assert refused.value.field == "ends_at"


def test_closing_waits_for_who_is_posting_by_the_old_calendar(open_tx: OpenTx, database: Database) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
        (record,) = opened(tx, ours.programme_id, (-3, -1))

    def close() -> None:
        with open_tx(minutes(2)) as closing:
            moved(closing, record, SOFT, CLOSED)

    with ThreadPoolExecutor(1) as pool:
        with open_tx(minutes(1)) as writer:
            first = posted(writer, ours, day(-2))
            closing = pool.submit(close)
            wait_until_blocked(database.app_engine)
            second = posted(writer, ours, day(-2))  # the same transaction still posts by what it has read
        closing.result(WAIT_S)
    with open_tx(minutes(3)) as tx:
        third = posted(tx, ours, day(-2))

    assert refusals([first, second, third]) == [None, None, Refusal.PERIOD_CLOSED]


def test_who_posts_waits_for_the_closing_and_is_refused_by_it(open_tx: OpenTx, database: Database) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
        (record,) = opened(tx, ours.programme_id, (-3, -1))

    def post() -> Result:
        with open_tx(minutes(1)) as writer:
            return posted(writer, ours, day(-2))

    with ThreadPoolExecutor(1) as pool:
        with open_tx(minutes(2)) as closing:
            moved(closing, record, SOFT, CLOSED)
            posting = pool.submit(post)
            wait_until_blocked(database.app_engine)
        assert refusals([posting.result(WAIT_S)]) == [Refusal.PERIOD_CLOSED]


def test_two_who_open_the_same_period_at_once_open_it_once(open_tx: OpenTx, database: Database) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
    order = OpenPeriod(programme_id=programme_id, starts_at=day(-2), ends_at=day(-1))

    def second() -> object:
        with open_tx() as tx:
            (result,) = open_periods(tx, [order])
            return result

    with ThreadPoolExecutor(1) as pool:
        with open_tx() as tx:
            (first,) = open_periods(tx, [order])
            waiting = pool.submit(second)
            wait_until_blocked(database.app_engine)
        late = waiting.result(WAIT_S)

    assert isinstance(first, PeriodRecord)
    assert isinstance(late, Declined)
    assert late.code == "period_overlaps"


# Units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "field"),
    [
        (Unit("COIN", "Coins", 0), None),
        (Unit("POINTS123456", "Points", 18), None),
        (Unit("EUR", "Euro", 2), "code"),
        (Unit("ABC", "Three", 2), "code"),
        (Unit("POINTS1234567", "Thirteen", 2), "code"),
        (Unit("1COIN", "Digit first", 2), "code"),
        (Unit("coin", "Small", 2), "code"),
        (Unit("COIN\n", "Line", 2), "code"),
        (Unit("COIN", "", 2), "name"),
        (Unit("COIN", "x" * 71, 2), "name"),
        (Unit("COIN", "Coins", -1), "decimals"),
        (Unit("COIN", "Coins", 19), "decimals"),
    ],
)
def test_a_unit_is_never_taken_for_a_currency(unit: Unit, field: str | None) -> None:
    if field is None:
        check_unit(unit)
        return
    with pytest.raises(InvalidValue) as refused:
        check_unit(unit)
    assert refused.value.field == field


def test_a_unit_is_defined_once_in_each_programme(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours, theirs = make_programme(tx), make_programme(tx, "pay-uk")
        coins = Unit("COIN", "Coins", 0)

        first, again, elsewhere = define_units(
            tx, [DefineUnit(ours, coins), DefineUnit(ours, coins), DefineUnit(theirs, coins)]
        )
        (later,) = define_units(tx, [DefineUnit(ours, Unit("COIN", "Other coins", 2))])

        assert (first, elsewhere) == (coins, coins)
        assert [item.code for item in (again, later) if isinstance(item, Declined)] == ["unit_exists"] * 2
        assert unit_codes(tx, [ours]) == {ours: {"COIN"}}
        assert units_page(tx, ours, after="", limit=10) == [coins]
        assert units_page(tx, ours, after="COIN", limit=10) == []


def test_accounts_are_kept_in_units_of_their_own_programme_only(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours, theirs = make_programme(tx), make_programme(tx, "pay-uk")
        define_units(tx, [DefineUnit(ours, Unit("COIN", "Coins", 0))])

        here, there = (
            ask(tx, opening(tx, programme_id, Code.OWN_FUNDS, currency="COIN"))
            for programme_id in (ours, theirs)
        )

    assert isinstance(here, Applied)
    assert isinstance(there, Refused)
    assert there.refusal is Refusal.CURRENCY_UNKNOWN
