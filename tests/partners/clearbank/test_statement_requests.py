"""Statements are asked for by windows that the bank makes."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.core.errors import InvalidValue
from partners.clearbank.adapter import ClearBank
from partners.contract import Signing

BANK = ClearBank()
DAY = datetime(2026, 11, 15, 23, tzinfo=UTC)


def test_window_is_written_in_utc() -> None:
    request = BANK.statement_request(starts_at=DAY, ends_at=DAY + timedelta(hours=24))

    assert request.body == (
        b'{"startDateTimeUtc":"2026-11-15T23:00:00Z","endDateTimeUtc":"2026-11-16T23:00:00Z"}'
    )
    assert (request.method, request.path) == ("POST", "/v1/statementrequests")
    assert (request.signing, request.profile) == (Signing.MESSAGE, "clearbank.statement_request")


def test_longest_day_of_the_year_fits() -> None:
    assert BANK.statement_request(starts_at=DAY, ends_at=DAY + timedelta(hours=25)).body


@pytest.mark.parametrize("span", [timedelta(0), timedelta(hours=-1), timedelta(hours=25, seconds=1)])
def test_window_that_the_bank_refuses_is_not_asked(span: timedelta) -> None:
    with pytest.raises(InvalidValue):
        BANK.statement_request(starts_at=DAY, ends_at=DAY + span)


@pytest.mark.parametrize("start", [DAY.replace(tzinfo=None), DAY.replace(microsecond=1)])
def test_window_needs_a_zone_and_whole_seconds(start: datetime) -> None:
    with pytest.raises(InvalidValue) as refused:
        BANK.statement_request(starts_at=start, ends_at=DAY + timedelta(hours=1))

    assert refused.value.field == "starts_at"


def test_page_is_asked_by_message_id_and_number() -> None:
    request = BANK.statement_page_request("CAMT053_20261115_20261116_a1B2c3D4", 2)

    assert request.path == "/v1/statements/CAMT053_20261115_20261116_a1B2c3D4?pageNumber=2"
    assert (request.method, request.body) == ("GET", None)
    assert (request.signing, request.profile) == (Signing.QUERY, "clearbank.statement_page")


@pytest.mark.parametrize(
    ("message_id", "page"), [("../Accounts", 1), ("", 1), ("a?b=c", 1), ("CAMT053_1", 0)]
)
def test_message_id_cannot_change_the_path(message_id: str, page: int) -> None:
    with pytest.raises(InvalidValue):
        BANK.statement_page_request(message_id, page)
