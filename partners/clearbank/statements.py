"""Asking ClearBank for camt.053 statements, and for the pages of one that is ready.

The bank makes a statement of all accounts for a window of at most 25 hours (the longest day of the year in
its own zone) and tells us by notice when it can be fetched. Source: ClearBank EU, camt.053 statements 1.0.
"""

import re
from datetime import UTC, datetime

from ledger.core.errors import InvalidValue
from partners.clearbank.manifest import STATEMENT_SPAN_MAX
from partners.contract import Request, Signing

_MESSAGE_ID = re.compile(r"\A[0-9a-zA-Z_-]{1,35}\Z")


def statement_request(*, starts_at: datetime, ends_at: datetime) -> Request:
    """Asks for the statements of a window.

    Raises: InvalidValue when a time has no zone or parts of a second, or the window is empty or too long.
    """
    start, end = _second(starts_at, "starts_at"), _second(ends_at, "ends_at")
    if not starts_at < ends_at:
        raise InvalidValue("A statement's window ends after it starts.", field="ends_at")
    if ends_at - starts_at > STATEMENT_SPAN_MAX:
        raise InvalidValue("A statement's window is at most 25 hours.", field="ends_at")
    body = f'{{"startDateTimeUtc":"{start}","endDateTimeUtc":"{end}"}}'
    return Request(
        "POST",
        "/v1/statementrequests",
        body.encode("ascii"),
        signing=Signing.MESSAGE,
        profile="clearbank.statement_request",
    )


def statement_page_request(message_id: str, page: int) -> Request:
    """Asks for one page of a ready statement. Raises: InvalidValue for an id or page that cannot be asked."""
    if not is_message_id(message_id):
        raise InvalidValue("This is not the bank's id of a statement.", field="message_id")
    if page < 1:
        raise InvalidValue("Pages are counted from 1.", field="page")
    path = f"/v1/statements/{message_id}?pageNumber={page}"
    return Request("GET", path, None, signing=Signing.QUERY, profile="clearbank.statement_page")


def is_message_id(text: str) -> bool:
    """Whether a text may stand in a path as the id of a statement."""
    return _MESSAGE_ID.match(text) is not None


def _second(moment: datetime, field: str) -> str:
    if moment.tzinfo is None or moment.microsecond:
        raise InvalidValue("A statement's window has a zone and whole seconds.", field=field)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
