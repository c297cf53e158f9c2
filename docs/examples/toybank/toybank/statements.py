"""Toybank's statements: one JSON object for one account and one window."""

from collections.abc import Mapping
from datetime import UTC, datetime

from partners.contract import Statement, StatementLine, Unreadable
from toybank.reading import cents, rows, text


def statement(said: Mapping[str, object]) -> Statement:
    """A statement that adds up. Raises: Unreadable for any other."""
    lines = tuple(_line(row, text(said, "currency")) for row in rows(said, "bookings"))
    opening_minor, closing_minor = cents(said, "opening"), cents(said, "closing")
    if opening_minor + sum(line.amount_minor for line in lines) != closing_minor:
        raise Unreadable("The opening balance and the bookings do not give the closing balance.")
    return Statement(
        text(said, "id"),
        text(said, "account"),
        text(said, "currency"),
        starts_at=_moment(said, "from"),
        ends_at=_moment(said, "until"),
        opening_minor=opening_minor,
        closing_minor=closing_minor,
        lines=lines,
    )


def _line(row: Mapping[str, object], currency: str) -> StatementLine:
    return StatementLine(
        transaction_id=text(row, "booking"),
        end_to_end_id=text(row, "reference"),
        amount_minor=cents(row, "cents"),
        currency=currency,
        booked_on=_moment(row, "day").date(),
        value_on=_moment(row, "day").date(),
        reversal=row.get("undone") is True,
        bank_code="",
        counterparty_name=text(row, "name"),
        counterparty_iban=text(row, "iban"),
        remittance=text(row, "text"),
    )


def _moment(row: Mapping[str, object], name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text(row, name))
    except ValueError as broken:
        raise Unreadable(f"{name} is no time.") from broken
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
