"""What a bank may offer beyond sending payments: one protocol for each purpose, and which of them it takes.

An adapter that has the methods of a protocol declares the operation in its manifest, and the other way round; the
host holds the two against each other when the adapter is loaded, and asks for nothing that was not declared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from ledger.core.payee import PayeeAnswer
from partners.contract.manifest import Operation
from partners.contract.messages import Answer, Instruction, Request
from partners.contract.outcomes import Outcome
from partners.contract.rails import Rail

# --- Verification of Payee ------------------------------------------------------------------------------------


@runtime_checkable
class VerifyPayee(Protocol):
    """Asks the payee's bank whether an account has this name."""

    def payee_request(self, *, name: str, iban: str) -> Request:
        """Raises: InvalidValue when it cannot be asked (naming the field)."""

    def interpret_payee(self, answer: Answer) -> PayeeAnswer:
        """What was said. Raises: Unreadable for anything that is not an explicit answer."""


# --- recalls and returns ----------------------------------------------------------------------------------------


class RecallReason(StrEnum):
    """Why a payment is asked back. Source: EPC125-05, SEPA credit transfer rulebook, recall and request for recall."""

    DUPLICATE = "DUPL"
    TECHNICAL = "TECH"
    FRAUD = "FRAD"
    WRONG_ACCOUNT = "AC03"
    WRONG_AMOUNT = "AM09"
    CUSTOMER = "CUST"


class RecallRefusal(StrEnum):
    """Why money is not given back. Source: EPC125-05, negative answers to a recall."""

    ACCOUNT_CLOSED = "AC04"
    NOT_ENOUGH_MONEY = "AM04"
    RETURNED_ALREADY = "ARDT"
    CUSTOMER = "CUST"
    LEGAL = "LEGL"
    NO_ANSWER = "NOAS"
    NEVER_RECEIVED = "NOOR"


@dataclass(frozen=True, slots=True)
class BankPayment:
    """A payment as a bank knows it. `bank_reference` is of a kind that the manifest calls stable."""

    rail: Rail
    bank_reference: str
    end_to_end_id: str
    amount_minor: int
    currency: str
    settled_on: date


@runtime_checkable
class Recalls(Protocol):
    """Asks a payment back that has settled."""

    def recall_request(self, payment: BankPayment, reason: RecallReason) -> Request:
        """Raises: InvalidValue when it cannot be asked (naming the field)."""

    def interpret_recall(self, answer: Answer) -> Outcome:
        """Whether the recall is on its way; the answer to it comes as a notice."""


@runtime_checkable
class RecallAnswers(Protocol):
    """Answers a recall of a payment that we received."""

    def recall_answer_request(self, payment: BankPayment, refusal: RecallRefusal | None) -> Request:
        """Gives the money back, or says why not."""

    def interpret_recall_answer(self, answer: Answer) -> Outcome:
        """Whether the bank took the answer."""


@runtime_checkable
class Returns(Protocol):
    """Sends back a payment that we received and cannot keep."""

    def return_request(self, payment: BankPayment) -> Request:
        """Raises: InvalidValue when it cannot be sent back (naming the field)."""

    def interpret_return(self, answer: Answer) -> Outcome:
        """Whether the return is on its way; what became of it comes as a notice."""


# --- accounts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VirtualIban:
    """An IBAN of its own under the safeguarding account."""

    bank_id: str
    iban: str


@runtime_checkable
class VirtualIbans(Protocol):
    """Opens account numbers for customers under the safeguarding account."""

    def virtual_iban_request(self, *, account_id: str, owner: str) -> Request:
        """Asks for a virtual IBAN. Raises: InvalidValue for an owner's name that the bank does not take."""

    def interpret_virtual_iban(self, answer: Answer) -> VirtualIban:
        """The new virtual IBAN. Raises: Unreadable."""


# --- batches and files ----------------------------------------------------------------------------------------


@runtime_checkable
class Batches(Protocol):
    """Sends many orders as one request."""

    def prepare_batch(self, instructions: Sequence[Instruction], *, batch_id: str) -> Request:
        """The orders in the bank's words, in this order: the same input always gives the same bytes.

        Raises: InvalidValue when one of them cannot be said in this dialect (naming the field).
        """

    def interpret_batch(self, instructions: Sequence[Instruction], answer: Answer) -> Mapping[str, Outcome]:
        """What the bank's answer means for each order, by its payout's id."""


@runtime_checkable
class Files(Protocol):
    """Takes orders as files and leaves its notices as files."""

    def is_notice(self, name: str) -> bool:
        """Whether a file that lies in our inbox is a notice; others are left where they are."""


PROTOCOLS: Final[Mapping[Operation, type]] = {
    Operation.VERIFY_PAYEE: VerifyPayee,
    Operation.RECALL: Recalls,
    Operation.ANSWER_RECALL: RecallAnswers,
    Operation.RETURN: Returns,
    Operation.VIRTUAL_IBAN: VirtualIbans,
    Operation.BATCH: Batches,
    Operation.FILES: Files,
}
