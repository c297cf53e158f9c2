"""The reconciliation report: what matched, what is open, and how far the bank and the book are apart."""

from dataclasses import dataclass

from ledger.core.chart import Code
from ledger.core.ids import AccountId, ProgrammeId
from ledger.store.accounts import programme_accounts
from ledger.store.statements import Break, closings, count_matches, programme_breaks
from ledger.store.tx import Tx

KINDS = {
    "unknown_bank_entry": "bank entry the ledger does not know",
    "unmatched_ledger_movement": "ledger movement the bank does not know",
}


@dataclass(frozen=True, slots=True)
class BankAccount:
    """One account at the bank. Units: minor units."""

    account_id: AccountId
    code: Code
    currency: str
    book_minor: int
    statement_opening_minor: int | None
    statement_closing_minor: int | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The state of reconciliation of one programme."""

    accounts: tuple[BankAccount, ...]
    matched: int
    open_breaks: tuple[Break, ...]


def reconciliation(tx: Tx, programme_id: ProgrammeId) -> Reconciliation:
    """The report as it stands after the last run of matching."""
    closing = closings(tx, programme_id)
    banks = [
        place
        for place in programme_accounts(tx, programme_id)
        if place.code in {Code.SAFEGUARDING, Code.OPERATING}
    ]
    accounts = tuple(
        BankAccount(
            account_id=place.account.id,
            code=place.code,
            currency=place.account.currency,
            book_minor=place.account.posted_minor,
            statement_opening_minor=closing[place.account.id].first_opening_minor
            if place.account.id in closing
            else None,
            statement_closing_minor=closing[place.account.id].closing_minor
            if place.account.id in closing
            else None,
        )
        for place in banks
    )
    breaks = tuple(item for item in programme_breaks(tx, programme_id) if item.state == "open")
    return Reconciliation(accounts, count_matches(tx, programme_id), breaks)
