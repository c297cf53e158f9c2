"""Reading MT940, the statement that SWIFT had before camt.053, into the same values: a fallback, small files only.

The library reads the fields; what it would pass over in silence is counted before: every field 61 becomes one
entry, and there is one account and one balance at each end. RC takes a credit back, so it is a debit; RD takes a
debit back. Field 86 after the closing balance speaks of the statement and is left out. Some banks have a 30th of
February, which is its last day.

Errors say which statement, never what: the library's own messages and logs quote the file, and are let go.
Source: SWIFT MT940; the German banks' structure of field 86 (business transaction codes, ?20 to ?63).
"""

import logging
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from mt940.models import Amount as PrintedAmount
from mt940.models import Balance as PrintedBalance
from mt940.models import Transaction, Transactions
from mt940.options import Options

from partners.amounts import minor_units
from partners.contract import Unreadable
from partners.messages.account_reports import (
    Balance,
    MessageStarted,
    PageNumber,
    ReportEvent,
    StatementEnded,
    StatementId,
    StatementStarted,
    adds_up,
)
from partners.messages.camt_details import NOT_PROVIDED
from partners.messages.details import Account, Detail, Party
from partners.messages.entries import Entry, EntryStatus

DOCUMENT_BYTES_MAX: Final = 32 * 1024 * 1024

_STATEMENT: Final = re.compile(r"^(?=:20:)", re.MULTILINE)
_ENVELOPE: Final = re.compile(r"^(?:\{[^\n]*|-\}[^\n]*|-)$", re.MULTILINE)  # SWIFT's own around a message
_FIELD: Final = re.compile(r"^:([0-9]{2}[A-Z]?):", re.MULTILINE)
_AFTERWORD: Final = re.compile(r"^(:62[FM]:.*?)^:86:.*\Z", re.MULTILINE | re.DOTALL)
_IBAN: Final = re.compile(r"\A[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}\Z")
_BALANCES: Final = {
    "final_opening_balance": "OPBD",
    "intermediate_opening_balance": "ITBD",
    "final_closing_balance": "CLBD",
    "intermediate_closing_balance": "ITBD",
    "available_balance": "CLAV",
    "forward_available_balance": "FWAV",
}
_NONE: Final = frozenset({"", "NONREF", NOT_PROVIDED})
_LIBRARY_FAULTS: Final = (ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, AttributeError)


def read_mt940(document: bytes) -> Iterator[ReportEvent]:
    """Everything in a file, statement by statement. Raises: Unreadable."""
    if len(document) > DOCUMENT_BYTES_MAX:
        raise Unreadable("The document is larger than any that is taken.")
    head, *blocks = _STATEMENT.split(_ENVELOPE.sub("", _text(document)))
    if head.strip() or not blocks:
        raise Unreadable("The document is no MT940.")
    yield MessageStarted("mt940", version=0, message_id=None, created_at=None, page=None)
    for number, block in enumerate(blocks, start=1):
        try:
            yield from _statement(block, number)
        except _LIBRARY_FAULTS:
            raise Unreadable(f"Statement {number} is no MT940.") from None  # its message quotes the file


def _text(document: bytes) -> str:
    if b"\0" in document:
        raise Unreadable("The document is no text.")
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = document.decode("iso-8859-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _statement(block: str, number: int) -> Iterator[ReportEvent]:
    block = _AFTERWORD.sub(r"\1", block)
    fields = _FIELD.findall(block)
    _check_fields(fields, number)
    read = _fields_of(block)
    if len(read.transactions) != fields.count("61"):
        raise Unreadable(f"Statement {number} has an entry without its kind.")
    balances = tuple(_balances(read))
    currency = balances[0].currency
    entries = [_entry(line, number, currency) for number, line in enumerate(read.transactions, start=1)]
    started = StatementStarted(number, _id(read, currency), _page(read, is_last="62F" in fields))
    yield started
    yield from entries
    yield StatementEnded(
        id=started.id,
        balances=balances,
        kept=len(entries),
        rejected=0,
        adds_up=adds_up(balances, {currency: sum(entry.amount_minor for entry in entries)}, rejected=0),
    )


def _check_fields(fields: list[str], number: int) -> None:
    """The library keeps the last of what it finds twice, and says nothing of what it does not find."""
    for wanted in (("20",), ("25", "25P"), ("60F", "60M"), ("62F", "62M")):
        if sum(fields.count(field) for field in wanted) != 1:
            raise Unreadable(
                f"Statement {number} has not exactly one field {wanted[0]}: it may be cut short."
            )


def _fields_of(block: str) -> Transactions:
    logging.getLogger("mt940").setLevel(logging.CRITICAL)  # it logs lines that it cannot read
    read = Transactions(options=Options.all())
    read.parse(block)
    return read


def _id(read: Transactions, currency: str) -> StatementId:
    printed = str(read.data["account_identification"]).replace(" ", "")
    is_iban = _IBAN.match(printed) is not None
    return StatementId(
        statement_id=str(read.data["transaction_reference"]),
        electronic_number=_word(read.data.get("statement_number")),
        legal_number=None,
        account=Account(printed if is_iban else None, None if is_iban else printed),
        currency=currency,
        starts_at=None,
        ends_at=None,
    )


def _page(read: Transactions, *, is_last: bool) -> PageNumber | None:
    sequence = _word(read.data.get("sequence_number"))
    return None if sequence is None else PageNumber(int(sequence), is_last)


def _balances(read: Transactions) -> Iterator[Balance]:
    for name, code in _BALANCES.items():
        printed = read.data.get(name)
        if isinstance(printed, PrintedBalance):
            assert isinstance(printed.amount, PrintedAmount), "the library reads the amounts of balances"
            assert printed.date is not None, "and their dates"
            amount, currency = printed.amount.amount, str(printed.amount.currency)
            yield Balance(code, minor_units(amount, currency), currency, _date(printed.date))


def _entry(line: Transaction, number: int, currency: str) -> Entry:
    data = line.data
    printed = data["amount"].amount
    assert isinstance(printed, Decimal), "the library reads amounts exactly"
    amount_minor, reversal = minor_units(printed, currency), str(data["status"]).upper().startswith("R")
    value_on, booked_on = _date(data["date"]), data.get("entry_date")
    return Entry(
        number=number,
        status=EntryStatus.BOOKED,
        amount_minor=amount_minor,
        currency=currency,
        reversal=reversal,
        booked_on=_date(booked_on) if isinstance(booked_on, date) else value_on,
        booked_at=None,
        value_on=value_on,
        bank_reference=_word(data.get("bank_reference")),
        entry_reference=_word(data.get("customer_reference")),
        bank_code="",
        own_code=_word(data.get("id")),
        charges=(),
        batch=None,
        details=(_detail(data, from_debtor=(amount_minor > 0) is not reversal),),
        additional=_word(data.get("extra_details")),
    )


def _detail(data: dict[str, object], *, from_debtor: bool) -> Detail:
    """What field 86 says, in its structured form or as it stands."""
    party = _party(data)
    remittance = _word(data.get("purpose")) or _word(data.get("transaction_details"))
    return Detail(
        end_to_end_id=_word(data.get("end_to_end_reference")),
        mandate_id=_word(data.get("additional_position_reference")),
        own_code=_word(data.get("transaction_code")),
        debtor=party if from_debtor else None,
        creditor=None if from_debtor else party,
        purpose=_word(data.get("purpose_code")),
        remittance=() if remittance is None else (remittance,),
        additional=_word(data.get("posting_text")),
    )


def _party(data: dict[str, object]) -> Party | None:
    printed = _word(data.get("gvc_applicant_iban")) or _word(data.get("applicant_iban"))
    is_iban = printed is not None and _IBAN.match(printed) is not None
    account = Account(printed, None) if is_iban else Account(None, printed)
    name = _word(data.get("applicant_name"))
    bic = _word(data.get("gvc_applicant_bin")) or _word(data.get("applicant_bin"))
    return Party(name, account if printed else None, bic) if name or printed or bic else None


def _date(printed: date) -> date:
    return date(printed.year, printed.month, printed.day)  # the library has a class of its own


def _word(printed: object) -> str | None:
    text = str(printed or "").strip()
    return None if text in _NONE else text
