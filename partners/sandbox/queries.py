"""Reading query parameters of look-ups: page numbers, page sizes and moments."""

from datetime import datetime

from partners.sandbox.clock import read_stamp
from partners.sandbox.door import Call
from partners.sandbox.wire import RequestRefusedError

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1_000
_DIGITS_MAX = 9


def read_page_number(call: Call, name: str) -> int:
    """A page number from 1 on; the first page when it is not given.

    Raises: RequestRefusedError (400).
    """
    return _read_count(call, name, default=1, most=10**_DIGITS_MAX)


def read_page_size(call: Call, name: str) -> int:
    """How many items a page may have, at most 1000.

    Raises: RequestRefusedError (400).
    """
    return _read_count(call, name, default=PAGE_SIZE, most=PAGE_SIZE_MAX)


def read_moment(call: Call, name: str, *, default: datetime) -> datetime:
    """A moment in UTC.

    Raises: RequestRefusedError (400).
    """
    text = call.query.get(name)
    if text is None:
        return default
    try:
        return read_stamp(text)
    except ValueError as error:
        raise _invalid(name, "must be a date-time") from error


def _read_count(call: Call, name: str, *, default: int, most: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    is_plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    if not is_plain or not 1 <= int(text) <= most:
        raise _invalid(name, f"must be a whole number from 1 to {most}")
    return int(text)


def _invalid(name: str, message: str) -> RequestRefusedError:
    return RequestRefusedError(400, "One or more validation errors occurred.", errors={name: [message]})
