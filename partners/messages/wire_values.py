"""Amounts, days and times as messages print them: read exactly, or not at all.

ISO 20022 prints amounts with up to five decimals whatever the currency has. Zeros past those of the currency
say nothing; any other digit there is an amount that nobody can book.
Source: ISO 20022 (ActiveOrHistoricCurrencyAndAmount, ISODate, ISODateTime); ISO 4217.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Final

from ledger.core.money import MINOR_MAX
from partners.amounts import exponent_of
from partners.contract import Unreadable

_AMOUNT: Final = re.compile(r"\A([0-9]{1,18})(?:\.([0-9]{1,5}))?\Z")
_CURRENCY: Final = re.compile(r"\A[A-Z]{3}\Z")
_DATE: Final = re.compile(r"\A([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?\Z")


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of a currency. Units: minor units."""

    minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class BankTime:
    """How a bank tells the time: where it has its days, and where it is when it prints no offset.

    `days` is None where a time counts on the day that it prints.
    """

    days: tzinfo | None = None
    unzoned: tzinfo = UTC


def read_minor(text: str | None, currency: str) -> int:
    """A printed amount in minor units.

    Raises: Unreadable when it is none, or more exact than its currency, or does not fit in 63 bits.
    """
    found = _AMOUNT.match(text or "")
    if found is None or not _CURRENCY.match(currency):
        raise Unreadable("Amt is missing or is not an amount.")
    exponent = exponent_of(currency)
    whole, fraction = found[1], found[2] or ""
    if len(fraction) > exponent:
        if fraction[exponent:].strip("0"):
            raise Unreadable(f"Amt has more decimals than {currency}.")
        fraction = fraction[:exponent]
    minor = int(whole + fraction.ljust(exponent, "0"))
    if minor > MINOR_MAX:
        raise Unreadable("Amt does not fit in 63 bits.")
    return minor


@lru_cache(maxsize=1024)  # a statement prints the same few days over and over
def read_date(text: str) -> date:
    """A printed date; an offset behind it changes nothing. Raises: Unreadable."""
    found = _DATE.match(text)
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError as broken:
        raise Unreadable("A date is none.") from broken


def read_moment(text: str, time: BankTime) -> datetime:
    """A printed time in UTC. Raises: Unreadable."""
    return _aware(_parsed(text), time).astimezone(UTC)


def read_day(text: str, time: BankTime) -> tuple[date, datetime]:
    """The day that a printed time counts on at its bank, and the time in UTC. Raises: Unreadable."""
    printed = _parsed(text)
    try:
        if printed.tzinfo is None or time.days is None:
            return printed.date(), _aware(printed, time).astimezone(UTC)
        return printed.astimezone(time.days).date(), printed.astimezone(UTC)
    except OverflowError as broken:
        raise Unreadable("A time is none.") from broken


def _parsed(text: str) -> datetime:
    try:
        printed = datetime.fromisoformat(text if text[10:11] == "T" else "")
        printed.replace(tzinfo=printed.tzinfo or UTC).astimezone(UTC)  # or the end of time passes unseen
    except (ValueError, OverflowError) as broken:
        raise Unreadable("A time is none.") from broken
    return printed


def _aware(printed: datetime, time: BankTime) -> datetime:
    return printed.replace(tzinfo=time.unzoned) if printed.tzinfo is None else printed
