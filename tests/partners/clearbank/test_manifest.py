"""The facts that the host relies on."""

from datetime import time, timedelta
from itertools import pairwise

import pytest

from partners.clearbank.adapter import ClearBank
from partners.contract import Rail

MANIFEST = ClearBank().manifest()


def test_credit_transfers_go_out_in_dutch_office_hours_only() -> None:
    hours = MANIFEST.rail(Rail.SCT).hours

    assert hours is not None
    assert (hours.zone, hours.opens, hours.closes) == ("Europe/Amsterdam", time(7), time(16))
    assert hours.business_days_only


def test_instant_payments_go_out_day_and_night() -> None:
    assert MANIFEST.rail(Rail.SCT_INST).hours is None


@pytest.mark.parametrize(("rail", "first_s"), [(Rail.SCT, 5), (Rail.SCT_INST, 2)])
def test_polls_begin_soon_and_grow_apart(rail: Rail, first_s: int) -> None:
    schedule = MANIFEST.rail(rail).poll_schedule

    assert schedule[0] == timedelta(seconds=first_s)
    assert all(earlier < later for earlier, later in pairwise(schedule))
    assert timedelta(hours=2) in schedule


def test_only_the_payment_id_is_stable() -> None:
    assert MANIFEST.stable_references == {"payment_id"}
    assert MANIFEST.request_ids.length_max == 83
    assert MANIFEST.statement_span_max == timedelta(hours=25)
