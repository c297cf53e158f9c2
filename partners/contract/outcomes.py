"""What an answer means. Silence is never among it: the host alone says what silence is."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

# Whose doing a refusal is. "payer" is the side that the money leaves, "payee" the side it was meant for, "bank" any
# bank or scheme between them, "us" our own set-up.
Fault: TypeAlias = Literal["payer", "payee", "bank", "us", "unknown"]


class Elsewhere(StrEnum):
    """Whether what was refused may be tried in another way, with its bank's word that it will never settle here."""

    NO = "no"
    OTHER_RAIL = "other_rail"  # at the same bank or any other
    OTHER_BANK = "other_bank"  # on any rail


@dataclass(frozen=True, slots=True)
class Reason:
    """A bank's code with what it means to us and to people. Source: ISO 20022 external status reason codes."""

    namespace: str
    code: str
    text: str
    fault: Fault
    elsewhere: Elsewhere = Elsewhere.NO

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


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
    """Not delivered, or turned away: it may be asked again, under the same request id, which the bank takes once.

    `retry_after_s`: how long the bank asked us to wait, if it did.
    """

    cause: str
    retry_after_s: int | None = None


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
