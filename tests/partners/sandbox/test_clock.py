"""The test clock, and what runs on it: sending hours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.sandbox.hours import bank_day, day_is_reconciled, is_business_day, sending_is_open
from tests.partners.sandbox.bank_process import BankProcess, SigningClient
from tests.partners.sandbox.customers import CT_PATH, INST_PATH, ct_order, fresh_id, inst_order, open_customer


@pytest.fixture
def own_bank(tmp_path: Path) -> Iterator[SigningClient]:
    with BankProcess() as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        yield client


def read_clock(client: SigningClient) -> datetime:
    return datetime.fromisoformat(client.http.get("/sandbox/clock").json()["now"])


def test_clock_starts_with_the_wall_and_ticks_after_it_is_set(own_bank: SigningClient) -> None:
    drift = abs(read_clock(own_bank) - datetime.now(UTC))
    own_bank.control("clock", {"now": "2031-03-04T09:00:00Z"})

    shown = [read_clock(own_bank) for _ in range(2)]

    assert drift < timedelta(seconds=30)
    start = datetime(2031, 3, 4, 9, tzinfo=UTC)
    assert start < shown[0] < shown[1] < start + timedelta(minutes=2)


def test_clock_goes_back_only_before_the_first_account(own_bank: SigningClient) -> None:
    own_bank.control("clock", {"now": "2031-03-04T09:00:00Z"})
    own_bank.control("clock", {"now": "2026-11-16T09:00:00+01:00"})
    open_customer(own_bank, funds="0")

    back = own_bank.http.post("/sandbox/clock", json={"now": "2026-11-16T07:00:00Z"})
    forward = own_bank.http.post("/sandbox/clock", json={"now": "2026-11-17T07:00:00Z"})

    assert (back.status_code, forward.status_code) == (409, 200)
    assert read_clock(own_bank).date() == date(2026, 11, 17)


def test_credit_transfers_are_taken_in_sending_hours_only(own_bank: SigningClient) -> None:
    own_bank.control("clock", {"now": "2031-03-04T05:59:00Z"})
    customer = open_customer(own_bank, funds="1000.00")
    tried: dict[str, int] = {}
    for moment in (
        "2031-03-04T05:59:30Z",
        "2031-03-04T06:00:00Z",
        "2031-03-04T15:00:00Z",
        "2031-03-08T10:00:00Z",
    ):
        own_bank.control("clock", {"now": moment})
        tried[moment] = own_bank.post(CT_PATH, ct_order(customer, fresh_id())).status_code

    instant = own_bank.post(INST_PATH, inst_order(customer, fresh_id()))
    refused = own_bank.post(CT_PATH, ct_order(customer, fresh_id()))

    assert list(tried.values()) == [422, 202, 422, 422]
    assert instant.status_code == 202
    assert refused.json()["title"] == "SEPA credit transfers are closed."


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 1, 1),
        date(2026, 4, 3),
        date(2026, 4, 6),
        date(2026, 5, 1),
        date(2026, 12, 25),
        date(2026, 11, 21),
        date(2027, 3, 26),
        date(2027, 3, 29),
    ],
)
def test_holidays_and_weekends_are_no_business_days(day: date) -> None:
    assert not is_business_day(day)


@pytest.mark.parametrize("day", [date(2026, 4, 2), date(2026, 4, 7), date(2026, 11, 16), date(2026, 12, 24)])
def test_working_days_are_business_days(day: date) -> None:
    assert is_business_day(day)


@given(st.integers(min_value=1990, max_value=2190))
def test_easter_closes_friday_and_monday_around_one_sunday(year: int) -> None:
    spring = [date(year, 3, 20) + timedelta(days=n) for n in range(40)]
    closed = [day for day in spring if day.weekday() < 5 and not is_business_day(day)]

    assert [day.weekday() for day in closed] == [4, 0]
    assert closed[1] - closed[0] == timedelta(days=3)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the strategy adds the zone
def test_no_day_is_reconciled_before_it_is_over(moment: datetime) -> None:
    day = bank_day(moment)

    assert not day_is_reconciled(day, moment)
    assert day_is_reconciled(day, moment + timedelta(hours=27))


def test_sending_hours_follow_summer_time() -> None:
    assert not sending_is_open(datetime(2026, 7, 1, 4, 59, tzinfo=UTC))
    assert sending_is_open(datetime(2026, 7, 1, 5, 0, tzinfo=UTC))
    assert not sending_is_open(datetime(2026, 7, 1, 14, 0, tzinfo=UTC))
