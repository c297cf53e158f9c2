"""A payment is looked for where either clock may have put it."""

from datetime import UTC, datetime, timedelta

import pytest

from partners.host.enquiries import enquiry_window

OPENED = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("wrong_by", [timedelta(minutes=-10), timedelta(0), timedelta(minutes=10)])
def test_payment_is_looked_for_by_a_clock_that_is_ten_minutes_wrong(wrong_by: timedelta) -> None:
    start, end = enquiry_window(opened_at=OPENED, now=OPENED + timedelta(seconds=2))

    assert start <= OPENED + wrong_by <= end
