"""What stands around the entries: the message, the account and window of a statement, and its balances.

One message holds statements of several accounts, and of one account several; banks use statement ids again, so
that a statement is known by all of `StatementId` together. Units: signed minor units.
Source: ISO 20022 camt.052 (report), camt.053 (statement), camt.054 (notification); SWIFT MT940.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from partners.messages.details import Account
from partners.messages.entries import Entry, RejectedEntry

_OPENING: Final = (
    "OPBD",
    "PRCD",
    "ITBD",
)  # the first found in this order: a later page opens with an interim
_CLOSING: Final = ("CLBD", "ITBD")


@dataclass(frozen=True, slots=True)
class PageNumber:
    """Which part of a whole this is."""

    number: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """A message begins."""

    name: str  # e.g. camt.053, or mt940
    version: int
    message_id: str | None
    created_at: datetime | None
    page: PageNumber | None


@dataclass(frozen=True, slots=True)
class StatementId:
    """What tells one statement from every other: ids are used again, year by year or account by account."""

    statement_id: str
    electronic_number: str | None  # ElctrncSeqNb
    legal_number: str | None  # LglSeqNb
    account: Account
    currency: str | None
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance as printed; `code` is ISO's, e.g. OPBD, or the bank's own."""

    code: str | None
    amount_minor: int
    currency: str
    on: date | None


@dataclass(frozen=True, slots=True)
class StatementStarted:
    """The entries of a statement follow."""

    number: int  # its place in the message, from 1
    id: StatementId
    page: PageNumber | None


@dataclass(frozen=True, slots=True)
class StatementEnded:
    """A statement is over; its entries were `kept`, or `rejected`.

    `adds_up` is None where nobody can say: balances are missing, in another currency, or an entry was rejected.
    """

    id: StatementId
    balances: tuple[Balance, ...]
    kept: int
    rejected: int
    adds_up: bool | None


ReportEvent = MessageStarted | StatementStarted | Entry | RejectedEntry | StatementEnded


def opening_balance(balances: Sequence[Balance]) -> Balance | None:
    """The balance before the first entry."""
    return _first(balances, _OPENING)


def closing_balance(balances: Sequence[Balance]) -> Balance | None:
    """The balance after the last entry; a balance that is the opening one closes nothing."""
    closing = _first(balances[::-1], _CLOSING)
    return None if closing is opening_balance(balances) else closing


def adds_up(balances: Sequence[Balance], booked_minor: Mapping[str, int], *, rejected: int) -> bool | None:
    """Whether the booked entries, summed by currency, lead from the opening balance to the closing one."""
    opening, closing = opening_balance(balances), closing_balance(balances)
    if opening is None or closing is None or rejected:
        return None
    if {opening.currency, closing.currency} | booked_minor.keys() != {opening.currency}:
        return None
    return opening.amount_minor + booked_minor.get(opening.currency, 0) == closing.amount_minor


def _first(balances: Sequence[Balance], codes: tuple[str, ...]) -> Balance | None:
    for code in codes:
        for balance in balances:
            if balance.code == code:
                return balance
    return None
