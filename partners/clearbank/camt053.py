"""One page of ClearBank's camt.053 statements: what is the bank's own about them.

Its days are Amsterdam's and its windows UTC; every booked entry has the bank's id of it, a GUID that loses its
hyphens in an element of 35 characters; every statement has a window and both balances. The rest is read as of
any bank (`partners.messages`). Whether balances and entries agree is judged where the pages come together
(`statement_pages`), for one page may hold a part only.

Errors say where, never what: statements hold names and account numbers.
Source: ClearBank EU camt.053 statements; ISO 20022 camt.053.001.02 to .11.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from partners.clearbank.manifest import ZONE
from partners.clearbank.references import bank_id
from partners.contract import Statement, StatementLine, Unreadable
from partners.messages.account_reports import (
    Balance,
    MessageStarted,
    PageNumber,
    StatementEnded,
    StatementStarted,
    closing_balance,
    opening_balance,
)
from partners.messages.camt import read_camt
from partners.messages.details import Detail
from partners.messages.entries import Entry, RejectedEntry
from partners.messages.wire_values import BankTime
from partners.messages.xml_stream import Kind, Limits

DOCUMENT_BYTES_MAX: Final = 32 * 1024 * 1024

_KIND: Final = Kind(("camt.053",), first=2, last=11)
_LIMITS: Final = Limits(bytes_max=DOCUMENT_BYTES_MAX)
_IBAN: Final = re.compile(r"\A[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}\Z")


@dataclass(frozen=True, slots=True)
class Page:
    """One document: its place among the pages of its message, and its share of each statement."""

    message_id: str | None
    number: int
    is_last: bool
    statements: tuple[Statement, ...]


def read_page(document: bytes) -> Page:
    """What one document holds; a document that does not number itself is the only one. Raises: Unreadable."""
    page, message_id = PageNumber(1, is_last=True), None
    statements: list[Statement] = []
    lines: list[StatementLine] = []
    time = BankTime(days=ZoneInfo(ZONE), unzoned=UTC)
    for event in read_camt(document, time=time, kind=_KIND, limits=_LIMITS):
        match event:
            case MessageStarted():
                page, message_id = event.page or page, event.message_id
            case StatementStarted():
                lines = []
            case Entry():
                lines.extend([_line(event)] if event.is_booked else [])
            case StatementEnded():
                statements.append(_statement(event, tuple(lines)))
            case RejectedEntry():
                raise AssertionError("strict reading rejects nothing")
            case _:
                assert_never(event)
    return Page(message_id, page.number, is_last=page.is_last, statements=tuple(statements))


# --- one statement ------------------------------------------------------------------------------------------


def _statement(ended: StatementEnded, lines: tuple[StatementLine, ...]) -> Statement:
    opening, closing = _ends(ended.balances)
    if any(line.currency != opening.currency for line in lines):
        raise Unreadable("An entry is not in the currency of its statement.")
    return Statement(
        statement_id=ended.id.statement_id,
        iban=_iban(ended.id.account.iban),
        currency=opening.currency,
        starts_at=_present(ended.id.starts_at, "FrToDt/FrDtTm"),
        ends_at=_present(ended.id.ends_at, "FrToDt/ToDtTm"),
        opening_minor=opening.amount_minor,
        closing_minor=closing.amount_minor,
        lines=lines,
    )


def _ends(balances: tuple[Balance, ...]) -> tuple[Balance, Balance]:
    opening, closing = opening_balance(balances), closing_balance(balances)
    if opening is None or closing is None:
        raise Unreadable("The statement has no opening or no closing balance.")
    codes = [balance.code for balance in balances]
    if any(codes.count(code) > 1 for code in ("OPBD", "PRCD", "CLBD")):
        raise Unreadable("The statement prints a balance twice.")
    if opening.currency != closing.currency:
        raise Unreadable("The balances of the statement are in two currencies.")
    return opening, closing


def _iban(iban: str | None) -> str:
    if iban is None or not _IBAN.match(iban):
        raise Unreadable("The statement's account is not an IBAN.")
    return iban


def _present(moment: datetime | None, name: str) -> datetime:
    if moment is None:
        raise Unreadable(f"{name} is missing in the statement.")
    return moment


# --- one entry ----------------------------------------------------------------------------------------------


def _line(entry: Entry) -> StatementLine:
    detail = entry.only_detail or Detail()  # a batch is one line: no one reference speaks for it
    party = entry.counterparty_of(detail)
    booked_on = _booked_on(entry)
    return StatementLine(
        transaction_id=_transaction_id(entry, detail),
        end_to_end_id=detail.end_to_end_id,
        amount_minor=entry.amount_minor,
        currency=entry.currency,
        booked_on=booked_on,
        value_on=entry.value_on or booked_on,
        reversal=entry.reversal,
        bank_code=entry.bank_code or entry.own_code or "",
        counterparty_name=None if party is None else party.name,
        counterparty_iban=None if party is None or party.account is None else party.account.iban,
        remittance=" ".join(detail.remittance) or next(iter(detail.references), None),
    )


def _transaction_id(entry: Entry, detail: Detail) -> str:
    found = entry.bank_reference or detail.bank_reference
    if found is None:
        raise Unreadable(f"AcctSvcrRef is missing in entry {entry.number}.")
    return bank_id(found)


def _booked_on(entry: Entry) -> date:
    if entry.booked_on is None:
        raise Unreadable(f"BookgDt is missing in entry {entry.number}.")
    return entry.booked_on
