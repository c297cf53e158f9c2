"""What a bank tells us of its own accord, by a webhook or by a file that it leaves for us."""

from dataclasses import dataclass

from ledger.core.statement import Statement
from partners.contract.outcomes import PaymentState, Reason


@dataclass(frozen=True, slots=True)
class MoneyArrived:
    """A credit on one of our accounts or virtual IBANs.

    `account_iban` is the account that it was booked to, where the bank tells that apart from what the payer wrote.
    """

    transaction_id: str
    end_to_end_id: str
    amount_minor: int
    currency: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    remittance: str
    account_iban: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutAdvanced:
    """News of a payment that we ordered: pending, settled or failed."""

    end_to_end_id: str
    payment_id: str
    state: PaymentState
    transaction_id: str | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class RequestAdvanced:
    """News of all that one request of ours ordered, by the request's id, where a bank speaks of no payment in it."""

    request_id: str
    state: PaymentState
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class PayoutReturned:
    """A settled payment came back. `amount_minor` None: all of it that had not come back before."""

    end_to_end_id: str
    payment_id: str
    transaction_id: str
    reason: Reason
    amount_minor: int | None


@dataclass(frozen=True, slots=True)
class StatementReady:
    """A statement can be fetched, page by page."""

    message_id: str
    pages: int


@dataclass(frozen=True, slots=True)
class StatementArrived:
    """Statements that the bank has left with us, whole."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Informational:
    """A notice that changes nothing in the book: kept, confirmed, not acted on."""

    about: str


NoticeMeaning = (
    MoneyArrived
    | PayoutAdvanced
    | RequestAdvanced
    | PayoutReturned
    | StatementReady
    | StatementArrived
    | Informational
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A verified notice. `key` is the same for every repetition of the same news; a file may bring much of it."""

    key: str
    type: str
    meanings: tuple[NoticeMeaning, ...]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer that the bank expects to a webhook; the host has `body` signed."""

    status: int
    body: bytes
    profile: str


class BadSignature(Exception):
    """A notice whose signature does not verify: nothing in it may be believed."""
