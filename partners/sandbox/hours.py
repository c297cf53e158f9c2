"""When the bank works: sending hours of SEPA credit transfers, and the day a statement covers.

The bank publishes "Netherlands business days", sending from 07:00 to 16:00. Which holidays count is not
published; the closing days of T2 are used, because SEPA credit transfers settle on no other days.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
SENDING_OPENS = time(7)
SENDING_CLOSES = time(16)
STATEMENT_READY = time(2)
_SATURDAY = 5


def sending_is_open(now: datetime) -> bool:
    """Whether a credit transfer handed in now is taken.

    Source: SEPA CT page, "Netherlands business days, sending 07:00-16:00 CET".
    """
    local = now.astimezone(AMSTERDAM)
    return is_business_day(local.date()) and SENDING_OPENS <= local.time() < SENDING_CLOSES


def is_business_day(day: date) -> bool:
    """Monday to Friday, except the closing days of T2."""
    return day.weekday() < _SATURDAY and day not in _closing_days(day.year)


def after_business_days(moment: datetime, days: int) -> datetime:
    """The same time of day so many business days later.

    Source: SEPA schemes count the time to answer a recall in inter-bank business days.
    """
    local = moment.astimezone(AMSTERDAM)
    day = local.date()
    while days > 0:
        day += timedelta(days=1)
        days -= is_business_day(day)
    return datetime.combine(day, local.time(), AMSTERDAM).astimezone(UTC)


def after_months(moment: datetime, months: int) -> datetime:
    """The same time so many calendar months later, on the month's last day if it is shorter."""
    local = moment.astimezone(AMSTERDAM)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    return datetime.combine(date(year, month + 1, day), local.time(), AMSTERDAM).astimezone(UTC)


def bank_day(moment: datetime) -> date:
    """The bank's day a moment falls on: a calendar day in Amsterdam, 23 to 25 hours long."""
    return moment.astimezone(AMSTERDAM).date()


def day_is_reconciled(day: date, now: datetime) -> bool:
    """Whether a day's statement may be asked for: from the early hours of the day after it."""
    ready_at = datetime.combine(day + timedelta(days=1), STATEMENT_READY, AMSTERDAM)
    return now >= ready_at.astimezone(UTC)


def _closing_days(year: int) -> frozenset[date]:
    easter = _easter_sunday(year)
    return frozenset(
        {
            date(year, 1, 1),
            easter - timedelta(days=2),
            easter + timedelta(days=1),
            date(year, 5, 1),
            date(year, 12, 25),
            date(year, 12, 26),
        }
    )


def _easter_sunday(year: int) -> date:
    """Gregorian Easter by the Meeus/Jones/Butcher method."""
    golden = year % 19
    century, in_century = divmod(year, 100)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - correction + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (in_century // 4) - epact - in_century % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
