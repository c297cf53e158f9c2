"""What an adapter is: it declares what differs between banks, and translates both ways. It does no I/O.

An adapter never opens a socket, reads a clock or holds a key. It turns an instruction into a request and an
answer into an outcome; the host (`partners.host`) owns transport, signing, retries, clocks and logging, and it
alone classifies silence. No method here has a default body: forgetting one does not type-check.

Units: amounts are integer minor units; times are aware UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias, get_args

from ledger.core.statement import Statement, StatementLine

__all__ = [
    "Accepted",
    "Acknowledgement",
    "Adapter",
    "Answer",
    "BadSignature",
    "Hours",
    "Informational",
    "Instruction",
    "Manifest",
    "MoneyArrived",
    "NotSent",
    "Notice",
    "NoticeMeaning",
    "Outcome",
    "PaymentState",
    "PaymentStatus",
    "PayoutAdvanced",
    "PayoutReturned",
    "Rail",
    "RailFacts",
    "Reason",
    "Rejected",
    "Request",
    "SignatureScheme",
    "Signing",
    "Statement",
    "StatementLine",
    "StatementReady",
    "Unknown",
    "Unreadable",
    "VirtualIban",
]


class Rail(StrEnum):
    """A payment scheme."""

    SCT = "SCT"
    SCT_INST = "SCT_INST"


# --- what an adapter declares -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rail takes orders, in the bank's own zone; `None` for day and night."""

    zone: str
    opens: time
    closes: time
    business_days_only: bool


@dataclass(frozen=True, slots=True)
class RailFacts:
    """What is true of one rail at one bank. Units: minor units of the rail's currency."""

    rail: Rail
    currencies: frozenset[str]
    amount_min_minor: int
    amount_max_minor: int | None
    hours: Hours | None
    return_window: timedelta
    poll_schedule: tuple[timedelta, ...]  # after an unknown outcome, counted from the send
    name_max: int
    remittance_max: int


# How a bank wants requests signed: the body by RSA, an HTTP message signature (RFC 9421), or a detached JWS.
SignatureScheme: TypeAlias = Literal["body_rsa_sha256", "http_message", "detached_jws"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the host must know about a bank before it may use it.

    Raises: ValueError for a signature scheme that the enclave does not have.
    """

    adapter: str
    version: str
    contract: int
    rails: tuple[RailFacts, ...]
    request_id_max: int
    request_id_window: timedelta
    stable_references: frozenset[str]  # which of the bank's ids never change over a payment's life
    webhook_deadline: timedelta
    statement_span_max: timedelta
    signature_scheme: SignatureScheme

    def __post_init__(self) -> None:
        if self.signature_scheme not in get_args(SignatureScheme):
            raise ValueError(f"{self.adapter} wants requests signed in a way that nobody knows")

    def rail(self, rail: Rail) -> RailFacts:
        """The facts of one rail. Raises: KeyError when this bank does not offer it."""
        for facts in self.rails:
            if facts.rail is rail:
                return facts
        raise KeyError(rail)


# --- what we ask ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instruction:
    """One payment order as the book approved it."""

    payout_id: str
    rail: Rail
    amount_minor: int
    currency: str
    creditor_name: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    end_to_end_id: str
    remittance: str


class Signing(StrEnum):
    """What kind of signature a request needs; the enclave has a policy of its own for each."""

    PAYOUT = "payout"  # moves money: signed only for an approved payout
    QUERY = "query"  # reads
    MESSAGE = "message"  # writes something that is not money


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request that the host will sign and send. `profile` names the message for the enclave."""

    method: str
    path: str  # with its query string, beginning with "/"
    body: bytes | None
    signing: Signing
    profile: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: never built for silence."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


# --- what it means -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """A bank's code with what it means to us and to people. Source: ISO 20022 external status reason codes."""

    namespace: str
    code: str
    text: str
    fault: str  # payer | payee | bank | us | unknown


@dataclass(frozen=True, slots=True)
class Accepted:
    """The bank took the order. It is not settled."""

    bank_references: tuple[tuple[str, str], ...]  # (kind, value), e.g. ("payment_id", "…")


@dataclass(frozen=True, slots=True)
class Rejected:
    """The bank refused the order explicitly: it will never settle."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class NotSent:
    """Not delivered, or turned away: it may be asked again, under the same request id, which the bank takes once."""

    cause: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows. The money stays in flight; only a status, a notice or a statement line resolves it."""

    cause: str


Outcome = Accepted | Rejected | NotSent | Unknown


class PaymentState(StrEnum):
    """Where the bank says a payment stands."""

    PENDING = "pending"
    SETTLED = "settled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PaymentStatus:
    """One payment found in the bank's own records, to be compared with what was asked."""

    end_to_end_id: str
    state: PaymentState
    amount_minor: int
    currency: str
    creditor_iban: str | None
    transaction_id: str
    reason: Reason | None


# --- what a bank tells us ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MoneyArrived:
    """A credit on one of our accounts or virtual IBANs."""

    transaction_id: str
    end_to_end_id: str
    amount_minor: int
    currency: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    remittance: str


@dataclass(frozen=True, slots=True)
class PayoutAdvanced:
    """News of a payment that we ordered: pending, settled or failed."""

    end_to_end_id: str
    payment_id: str
    state: PaymentState
    transaction_id: str | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class PayoutReturned:
    """A settled payment came back, in full."""

    end_to_end_id: str
    payment_id: str
    transaction_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class StatementReady:
    """A statement can be fetched, page by page."""

    message_id: str
    pages: int


@dataclass(frozen=True, slots=True)
class Informational:
    """A notice that changes nothing in the book: kept, confirmed, not acted on."""

    about: str


NoticeMeaning = MoneyArrived | PayoutAdvanced | PayoutReturned | StatementReady | Informational


@dataclass(frozen=True, slots=True)
class Notice:
    """A verified webhook. `key` is the same for every repetition of the same news."""

    key: str
    type: str
    meaning: NoticeMeaning


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer that the bank expects to a webhook; the host has `body` signed."""

    status: int
    body: bytes
    profile: str


class BadSignature(Exception):
    """A webhook whose signature does not verify: nothing in it may be believed."""


class Unreadable(Exception):
    """Bytes from a bank that are not what they should be; the text says where."""


# --- statements ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VirtualIban:
    """An IBAN of its own under the safeguarding account."""

    bank_id: str
    iban: str


# --- the port ------------------------------------------------------------------------------------------------


class Adapter(Protocol):
    """One bank's dialect, as pure functions."""

    def manifest(self) -> Manifest:
        """What is true of this bank."""

    def prepare(self, instruction: Instruction) -> Request:
        """The order in the bank's words: the same instruction always gives the same bytes.

        Raises: InvalidValue when the instruction cannot be said in this dialect (naming the field).
        """

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        """What the bank's answer to an order means. Anything not explicit is Unknown."""

    def status_request(
        self, instruction: Instruction, *, account_id: str, since: datetime, until: datetime, page: int
    ) -> Request:
        """The enquiry that may find a payment again by our own reference. `account_id` is the bank's id."""

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
        """Every payment in the answer that carries our reference. Raises: Unreadable."""

    def status_continues(self, answer: Answer) -> bool:
        """Whether a further page may follow: a payment is not found only when the last page is read.

        Raises: Unreadable.
        """

    def verify_notice(
        self, *, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes
    ) -> None:
        """Raises: BadSignature unless the bank signed exactly these bytes."""

    def parse_notice(self, body: bytes) -> Notice:
        """What a verified webhook says. Raises: Unreadable."""

    def acknowledge(self, body: bytes) -> Acknowledgement:
        """The answer owed to a verified webhook. Raises: Unreadable."""

    def statement_request(self, *, starts_at: datetime, ends_at: datetime) -> Request:
        """Asks for the statements of a window."""

    def statement_page_request(self, message_id: str, page: int) -> Request:
        """Asks for one page of a ready statement."""

    def parse_statement(self, document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
        """Every statement of one message, given all of its pages in any order. Raises: Unreadable."""

    def virtual_iban_request(self, *, account_id: str, owner: str) -> Request:
        """Asks for a virtual IBAN under the safeguarding account."""

    def interpret_virtual_iban(self, answer: Answer) -> VirtualIban:
        """The new virtual IBAN. Raises: Unreadable."""

    def explain(self, code: str) -> Reason:
        """What one of this bank's codes means; an unlisted code has fault "unknown"."""
