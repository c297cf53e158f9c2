"""The window in which a bank is asked for a payment: wide enough for two clocks that disagree. Pure."""

from datetime import datetime, timedelta
from typing import Final

BEFORE: Final = timedelta(minutes=15)  # a bank's clock that is ten minutes slow books before we have asked
AFTER: Final = timedelta(days=1)


def enquiry_window(*, opened_at: datetime, now: datetime) -> tuple[datetime, datetime]:
    """From when to when, by the bank's clock, a payment may have been booked that we began to order at `opened_at`."""
    return opened_at - BEFORE, now + AFTER
