"""What a bank reports of payments that we sent in a file: of the file, of a part of it, of one payment.

A status that stands above payments holds for each of them, and is given as it was printed: no payment is made
up that the bank did not name. Statuses are the bank's view, not ours: nothing here says that money has moved.
Source: ISO 20022 pain.002; ISO 20022 external payment group, payment information and transaction status codes.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from partners.messages.details import GivenReason, Party
from partners.messages.wire_values import Amount


class StatusCode(StrEnum):
    """How far a payment, or all in a group, have come."""

    RECEIVED = "RCVD"
    PENDING = "PDNG"
    PRESENTED = "PRES"
    BLOCKED = "BLCK"
    TECHNICALLY_VALID = "ACTC"
    PART_TECHNICALLY_VALID = "PATC"
    CUSTOMER_CHECKED = "ACCP"
    FUNDS_CHECKED = "ACFC"
    WITH_CHANGE = "ACWC"
    WITHOUT_POSTING = "ACWP"
    ISSUED = "ACIS"
    DEBTOR_PENDING = "ACPD"
    IN_PROCESS = "ACSP"
    DEBITED = "ACSC"
    CREDITED = "ACCC"
    PARTLY = "PART"
    CASH_PICKED_UP = "CPUC"
    REJECTED = "RJCT"
    CANCELLED = "CANC"


@dataclass(frozen=True, slots=True)
class ReportStarted:
    """A report begins."""

    version: int
    message_id: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """What holds for a whole file of ours."""

    message_id: str  # ours: OrgnlMsgId
    message_name: str | None  # e.g. pain.001.001.09
    status: StatusCode | None  # None where the bank speaks of the parts only
    reasons: tuple[GivenReason, ...]

    @property
    def rejects_all(self) -> bool:
        """Whether no payment of the file will be made, named or not."""
        return self.status is StatusCode.REJECTED


@dataclass(frozen=True, slots=True)
class PartStatus:
    """What holds for one payment information block of a file of ours."""

    payment_information_id: str | None  # ours: OrgnlPmtInfId
    status: StatusCode | None
    reasons: tuple[GivenReason, ...]

    @property
    def rejects_all(self) -> bool:
        """Whether no payment of the block will be made, named or not."""
        return self.status is StatusCode.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStatus:
    """What holds for one payment, with our ids of it, and of what was ordered as much as the bank repeats."""

    payment_information_id: str | None
    instruction_id: str | None
    end_to_end_id: str | None
    uetr: str | None
    status: StatusCode | None  # None: as the block or the file
    reasons: tuple[GivenReason, ...]
    bank_reference: str | None
    accepted_at: datetime | None
    amount: Amount | None
    creditor: Party | None
    debtor: Party | None


@dataclass(frozen=True, slots=True)
class RejectedStatus:
    """A status that could not be read: where it stands, and why, in words without a word of its content."""

    place: str
    why: str


StatusEvent = ReportStarted | GroupStatus | PartStatus | TransactionStatus | RejectedStatus
