"""What a camt.053 means: statements whose entries lead from their opening balance to their closing one.

One message holds many; each is taken or refused for itself. A statement with an entry that could not be read is refused
whole, because nobody could say what it was for. A batch is taken apart where the bank says how much each payment was.
Windows that a bank leaves out are the days of the balances.
Source: ISO 20022 camt.053 (BkToCstmrStmt).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, assert_never

from partners.contract import (
    Informational,
    NoticeMeaning,
    Statement,
    StatementArrived,
    StatementLine,
    Unreadable,
)
from partners.iso20022.bookings import TIME, ZONE, Booking, bookings_of
from partners.messages.account_reports import (
    Balance,
    MessageStarted,
    StatementEnded,
    StatementStarted,
    closing_balance,
    opening_balance,
)
from partners.messages.camt import read_camt_tolerantly
from partners.messages.entries import Entry, RejectedEntry
from partners.messages.xml_stream import Kind

_KIND: Final = Kind(("camt.053",), first=2, last=13)
_LAST_MINUTE: Final = timedelta(minutes=1)  # a day that is said to end at 23:59:59 ends at midnight


@dataclass(frozen=True, slots=True)
class Refused:
    """A statement that is not taken: which in its message, and why, without a word of its content."""

    number: int
    why: str


def read_statement_file(body: bytes) -> tuple[NoticeMeaning, ...]:
    """Everything that a file of statements says. Raises: Unreadable for anything that is no whole such file."""
    read = _read(body)
    taken = tuple(item for item in read if isinstance(item, Statement))
    refused = [item for item in read if isinstance(item, Refused)]
    arrived = (StatementArrived(taken),) if taken else ()
    return (*arrived, *(Informational(f"not read: statement {item.number}: {item.why}") for item in refused))


def parse_statement(document: bytes, *further: bytes) -> tuple[Statement, ...]:
    """Every statement of these files. Raises: Unreadable when one of them is refused."""
    read = [item for body in (document, *further) for item in _read(body)]
    for item in read:
        if isinstance(item, Refused):
            raise Unreadable(f"statement {item.number}: {item.why}")
    return tuple(item for item in read if isinstance(item, Statement))


def _read(body: bytes) -> list[Statement | Refused]:
    read: list[Statement | Refused] = []
    lines: list[StatementLine] = []
    why: str | None = None
    for event in read_camt_tolerantly(body, time=TIME, kind=_KIND):
        match event:
            case StatementStarted():
                lines, why = [], None
            case Entry():
                try:
                    lines.extend(_lines(event))
                except Unreadable as unreadable:
                    why = why or str(unreadable)
            case RejectedEntry(_, place, reason):
                why = why or f"{place}: {reason}"
            case StatementEnded():
                read.append(_statement(event, lines, why, number=len(read) + 1, before=read))
            case MessageStarted():
                pass
            case _:
                assert_never(event)
    return read


def _statement(
    ended: StatementEnded,
    lines: Iterable[StatementLine],
    why: str | None,
    *,
    number: int,
    before: Iterable[Statement | Refused],
) -> Statement | Refused:
    if why is not None:
        return Refused(number, why)
    try:
        read = _whole(ended, tuple(lines))
    except Unreadable as unreadable:
        return Refused(number, str(unreadable))
    windows = {(item.iban, item.starts_at, item.ends_at) for item in before if isinstance(item, Statement)}
    if (read.iban, read.starts_at, read.ends_at) in windows:
        return Refused(number, "another statement in this file covers the same window.")
    return read


def _whole(ended: StatementEnded, lines: tuple[StatementLine, ...]) -> Statement:
    opening, closing = opening_balance(ended.balances), closing_balance(ended.balances)
    if opening is None or closing is None:
        raise Unreadable("the opening or the closing balance is missing.")
    if ended.adds_up is not True or any(line.currency != opening.currency for line in lines):
        raise Unreadable("the opening balance and the entries do not give the closing balance.")
    if ended.id.account.iban is None:
        raise Unreadable("the account is not an IBAN.")
    starts_at, ends_at = _window(ended, opening, closing)
    return Statement(
        statement_id=ended.id.statement_id,
        iban=ended.id.account.iban,
        currency=opening.currency,
        starts_at=starts_at,
        ends_at=ends_at,
        opening_minor=opening.amount_minor,
        closing_minor=closing.amount_minor,
        lines=lines,
    )


def _window(ended: StatementEnded, opening: Balance, closing: Balance) -> tuple[datetime, datetime]:
    starts_at, ends_at = ended.id.starts_at, ended.id.ends_at
    if starts_at is None or ends_at is None:
        if closing.on is None:
            raise Unreadable("neither a window nor the day of the closing balance is printed.")
        first = opening.on if opening.code == "OPBD" and opening.on is not None else closing.on
        starts_at, ends_at = _midnight(first), _midnight(closing.on + timedelta(days=1))
    else:
        ends_at = _rounded(ends_at)
    if starts_at >= ends_at:
        raise Unreadable("the window ends before it starts.")
    return starts_at, ends_at


def _rounded(ends_at: datetime) -> datetime:
    midnight = _midnight(ends_at.astimezone(ZONE).date() + timedelta(days=1))
    return midnight if midnight - ends_at <= _LAST_MINUTE else ends_at


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZONE).astimezone(UTC)


def _lines(entry: Entry) -> list[StatementLine]:
    return (
        [_line(booking, number) for number, booking in enumerate(bookings_of(entry), 1)]
        if entry.is_booked
        else []
    )


def _line(booking: Booking, number: int) -> StatementLine:
    entry, other = booking.entry, booking.counterparty
    if entry.booked_on is None:
        raise Unreadable(f"entry {entry.number} has no BookgDt.")
    return StatementLine(
        # A fee may have no id at the bank; then its place in the statement has to do.
        transaction_id=booking.transaction_id or f"entry {entry.number}.{number}",
        end_to_end_id=booking.detail.end_to_end_id,
        amount_minor=booking.amount_minor,
        currency=entry.currency,
        booked_on=entry.booked_on,
        value_on=entry.value_on or entry.booked_on,
        reversal=entry.reversal,
        bank_code=booking.detail.bank_code or entry.bank_code or entry.own_code or "",
        counterparty_name=other.name,
        counterparty_iban=None if other.account is None else other.account.iban,
        remittance=booking.remittance or None,
    )
