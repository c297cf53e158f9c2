"""Orders wait for the hours in which a bank takes them."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.contract import AfterHours, Hours
from partners.host.calendar import easter_sunday, is_business_day, is_open, next_opening

OFFICE = Hours(
    zone="Europe/Amsterdam",
    opens=time(7),
    closes=time(16),
    business_days_only=True,
    after_hours=AfterHours.REFUSED,
)
EVERY_DAY = replace(OFFICE, business_days_only=False)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "open_"),
    [
        ("2026-11-16T05:59:59.999999Z", False),  # winter: Amsterdam is UTC+1
        ("2026-11-16T06:00:00Z", True),
        ("2026-11-16T14:59:59.999999Z", True),
        ("2026-11-16T15:00:00Z", False),
        ("2026-07-13T04:59:59.999999Z", False),  # summer: UTC+2
        ("2026-07-13T05:00:00Z", True),
        ("2026-07-13T13:59:59.999999Z", True),
        ("2026-07-13T14:00:00Z", False),
        ("2026-07-13T16:00:00+02:00", False),
        ("2026-11-14T11:00:00Z", False),  # Saturday
        ("2026-11-15T11:00:00Z", False),  # Sunday
        ("2026-04-03T11:00:00Z", False),  # Good Friday
        ("2026-04-06T11:00:00Z", False),  # Easter Monday
        ("2026-04-07T11:00:00Z", True),
        ("2026-05-01T11:00:00Z", False),
        ("2026-04-27T11:00:00Z", True),  # King's Day: TARGET settles
    ],
)
def test_rail_is_open_from_seven_until_before_four(now: str, open_: bool) -> None:
    assert is_open(OFFICE, at(now)) is open_


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-11-16T10:00:00Z", "2026-11-16T10:00:00Z"),  # open: now
        ("2026-11-16T03:00:00Z", "2026-11-16T06:00:00Z"),  # before the opening of the same day
        ("2026-11-16T15:00:00Z", "2026-11-17T06:00:00Z"),
        ("2026-11-13T15:00:00Z", "2026-11-16T06:00:00Z"),  # Friday evening
        ("2026-04-02T14:00:00Z", "2026-04-07T05:00:00Z"),  # Maundy Thursday to the Tuesday after Easter
        ("2026-03-27T15:00:00Z", "2026-03-30T05:00:00Z"),  # the clocks change on the way
        ("2026-10-23T14:00:00Z", "2026-10-26T06:00:00Z"),
        ("2024-12-31T15:00:00Z", "2025-01-02T06:00:00Z"),  # New Year's Eve on a Tuesday
        ("2026-12-31T15:00:00Z", "2027-01-04T06:00:00Z"),  # on a Thursday: then comes the weekend
        ("2026-12-24T15:00:00Z", "2026-12-28T06:00:00Z"),
        ("2025-12-31T23:30:00Z", "2026-01-02T06:00:00Z"),  # already New Year in Amsterdam
    ],
)
def test_next_opening_is_the_first_moment_that_takes_orders(now: str, opening: str) -> None:
    assert next_opening(OFFICE, at(now)) == at(opening)
    assert next_opening(OFFICE, at(now)).tzinfo is UTC


def test_rail_without_hours_is_always_open() -> None:
    christmas_night = at("2026-12-25T02:00:00Z")

    assert is_open(None, christmas_night)
    assert next_opening(None, christmas_night) == christmas_night


def test_rail_of_every_day_opens_on_sunday() -> None:
    assert is_open(EVERY_DAY, at("2026-11-15T11:00:00Z"))
    assert next_opening(EVERY_DAY, at("2026-11-14T20:00:00Z")) == at("2026-11-15T06:00:00Z")


@pytest.mark.parametrize(
    ("year", "sunday"),
    [
        (2000, date(2000, 4, 23)),
        (2008, date(2008, 3, 23)),
        (2011, date(2011, 4, 24)),
        (2024, date(2024, 3, 31)),
        (2025, date(2025, 4, 20)),
        (2026, date(2026, 4, 5)),
        (2027, date(2027, 3, 28)),
        (2038, date(2038, 4, 25)),
    ],
)
def test_easter_falls_where_it_does(year: int, sunday: date) -> None:
    assert easter_sunday(year) == sunday


@pytest.mark.parametrize("year", [2024, 2025, 2026, 2027, 2028])
def test_target_closes_on_six_days_besides_weekends(year: int) -> None:
    days = [date(year, 1, 1) + timedelta(days=offset) for offset in range(365)]

    closed = {day for day in days if day.weekday() < 5 and not is_business_day(day)}

    good_friday, easter_monday = (
        easter_sunday(year) - timedelta(days=2),
        easter_sunday(year) + timedelta(days=1),
    )
    fixed = {date(year, 1, 1), date(year, 5, 1), date(year, 12, 25), date(year, 12, 26)}
    assert closed == {day for day in fixed if day.weekday() < 5} | {good_friday, easter_monday}


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2060, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_opening_is_open_and_nothing_before_it_is(now: datetime) -> None:
    opening = next_opening(OFFICE, now)

    assert opening >= now
    assert is_open(OFFICE, opening)
    assert opening == now or not is_open(OFFICE, opening - timedelta(microseconds=1))
    assert not is_open(OFFICE, now) or opening == now
