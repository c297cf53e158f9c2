"""When a rail takes orders: business days of the euro area and the hours that a bank declares. Pure.

A business day is one on which TARGET settles; the Dutch banks keep the same days.
Source: ECB, TARGET closing days since 2002; EPC SEPA rulebooks, "banking business day".
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from partners.contract import Hours

CLOSED_DAYS_MAX: Final = 7  # Easter closes four days in a row; more than a week would be a fault of ours

_FIXED_CLOSING_DAYS = frozenset({(1, 1), (5, 1), (12, 25), (12, 26)})
_SATURDAY = 5


def is_business_day(day: date) -> bool:
    """Whether TARGET settles on this day."""
    if day.weekday() >= _SATURDAY or (day.month, day.day) in _FIXED_CLOSING_DAYS:
        return False
    return day - easter_sunday(day.year) not in {timedelta(days=-2), timedelta(days=1)}


def is_open(hours: Hours | None, now: datetime) -> bool:
    """Whether an order sent at this moment is taken. A rail without hours takes orders day and night."""
    if hours is None:
        return True
    local = now.astimezone(ZoneInfo(hours.zone))
    return _takes_orders_on(hours, local.date()) and hours.opens <= local.time() < hours.closes


def next_opening(hours: Hours | None, now: datetime) -> datetime:
    """The first moment, from now on, at which an order is taken: `now` itself while the rail is open.

    Units: aware UTC.
    """
    if hours is None or is_open(hours, now):
        return now.astimezone(UTC)
    zone = ZoneInfo(hours.zone)
    today = now.astimezone(zone).date()
    for ahead in range(CLOSED_DAYS_MAX + 1):
        day = today + timedelta(days=ahead)
        opening = datetime.combine(day, hours.opens, tzinfo=zone).astimezone(UTC)
        if opening > now and _takes_orders_on(hours, day):
            return opening
    raise AssertionError("no rail stays closed for more than a week")


def easter_sunday(year: int) -> date:
    """Easter in the Gregorian calendar. Source: the anonymous algorithm printed in Nature, 20 April 1876."""
    century, of_century = divmod(year, 100)
    leap_centuries, rest = divmod(century, 4)
    moon_correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * (year % 19) + century - leap_centuries - moon_correction + 15) % 30
    leaps, since_leap = divmod(of_century, 4)
    weekday = (32 + 2 * rest + 2 * leaps - epact - since_leap) % 7
    late = (year % 19 + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _takes_orders_on(hours: Hours, day: date) -> bool:
    return not hours.business_days_only or is_business_day(day)
