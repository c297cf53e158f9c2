"""The bank's side of a dialect, as pure functions: what a bank that speaks it would say.

A package that brings an adapter brings its rehearsal too, under the entry-point group `tallystick.rehearsals` and the
same name. The certification kit lets the two talk: what the adapter writes the rehearsal reads, and the other way
round. It does no I/O, reads no clock and holds no key: the kit signs. A method that gives None says that this bank
has no such words, which a report shows as "does not apply".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from ledger.core.statement import Statement
from partners.contract.messages import Answer, Instruction, Request
from partners.contract.notices import MoneyArrived, NoticeMeaning, PayoutAdvanced, PayoutReturned
from partners.contract.outcomes import Elsewhere, Fault, Outcome, PaymentState
from partners.contract.rails import Rail

Sign: TypeAlias = Callable[[bytes], bytes]
News: TypeAlias = PayoutAdvanced | PayoutReturned | MoneyArrived


# --- golden cases ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderCase:
    """An instruction and, byte for byte, the request that it becomes."""

    name: str
    instruction: Instruction
    request: Request


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """A recorded answer to an order, and what it means; of NotSent and Unknown the cause is not compared."""

    name: str
    instruction: Instruction
    answer: Answer
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class NoticeCase:
    """A recorded notice, and everything that it says."""

    name: str
    body: bytes
    meanings: tuple[NoticeMeaning, ...]


@dataclass(frozen=True, slots=True)
class StatementCase:
    """The recorded pages of one message, and the statements in it."""

    name: str
    pages: tuple[bytes, ...]
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class ReasonCase:
    """One of the bank's codes: whose doing it is, and whether the payment may be tried elsewhere."""

    code: str
    fault: Fault
    elsewhere: Elsewhere


@dataclass(frozen=True, slots=True)
class Golden:
    """Recorded cases; at least one order for each rail of the manifest."""

    orders: tuple[OrderCase, ...]
    answers: tuple[AnswerCase, ...]
    notices: tuple[NoticeCase, ...]
    statements: tuple[StatementCase, ...]
    reasons: tuple[ReasonCase, ...]


# --- what the bank reads, keeps and says ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderRead:
    """A payment order as the bank reads it. `known_by` is the id by which it recognises a repetition."""

    known_by: str
    rail: Rail
    amount_minor: int
    currency: str
    creditor_name: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    end_to_end_id: str
    remittance: str


@dataclass(frozen=True, slots=True)
class KeptPayment:
    """A payment in the bank's own books. `code` says why it failed; `booked_at` is by the bank's clock."""

    order: OrderRead
    payment_id: str
    transaction_id: str
    state: PaymentState
    code: str | None
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class SignedNotice:
    """A notice as it would reach us: the fields of its head, and its body."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


class NoticeKey(StrEnum):
    """By what kind of key a bank signs its notices."""

    RSA_SHA256 = "rsa_sha256"  # PKCS#1 v1.5
    ECDSA_P256_SHA256 = "ecdsa_p256_sha256"  # the signature in DER
    ED25519 = "ed25519"
    NONE = "none"  # nothing is signed: the channel vouches for it


class Rehearsal(Protocol):
    """One bank's part, for the kit to play. No method has a default body."""

    def golden(self) -> Golden:
        """Recorded cases."""

    def notice_key(self) -> NoticeKey:
        """By what kind of key the bank signs its notices."""

    def read_order(self, *, method: str, path: str, body: bytes, request_id: str) -> OrderRead:
        """The order in a request. Raises: Unreadable when the request is no order."""

    def read_window(self, *, path: str, body: bytes) -> tuple[datetime, datetime] | None:
        """From when to when an enquiry asks for payments, by the bank's clock; None: it does not ask by time."""

    def accepts(self, payment: KeptPayment) -> Answer:
        """The answer that the order was taken; it repeats of the payment what this bank repeats."""

    def refuses(self, order: OrderRead, code: str) -> Answer | None:
        """The answer that the order will never be paid. A bank that gives no codes here leaves `code` out."""

    def has_it_already(self, payment: KeptPayment) -> Answer | None:
        """The answer to a request id that it has had before, without a word on what became of it."""

    def turns_away(self, wait_s: int) -> Answer | None:
        """The answer of a bank that is asked too much: nothing was taken, come back later."""

    def breaks_down(self) -> Answer:
        """The answer of a bank that does not know itself what it has done with the request."""

    def lists(self, payments: Sequence[KeptPayment]) -> Answer | None:
        """The last page of an answer to an enquiry, with these payments."""

    def tells(self, news: News, *, rail: Rail, at: datetime, nonce: int, sign: Sign) -> SignedNotice | None:
        """A notice that says this and no more. `nonce` differs for every delivery."""

    def prints(self, statement: Statement, *, lines_a_page: int) -> tuple[bytes, ...] | None:
        """A statement as the bank writes it, in as many pages as it takes; a bank without pages gives one."""
