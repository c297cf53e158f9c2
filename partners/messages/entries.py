"""A line that a bank printed about an account: booked, or only said to be coming.

`amount_minor` is what was booked, whatever the details add up to, and `CdtDbtInd` alone gives its sign. In a
reversal the two sides keep the roles that they had in the entry which it takes back.
Source: ISO 20022 ReportEntry; SWIFT MT940 field 61.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from partners.messages.details import Charge, Detail, Party


class EntryStatus(StrEnum):
    """Whether it is money yet. Only `BOOKED` is."""

    BOOKED = "BOOK"
    PENDING = "PDNG"
    INFORMATION = "INFO"
    FUTURE = "FUTR"
    OWN = "own"  # a status of the bank's own making


@dataclass(frozen=True, slots=True)
class Batch:
    """What the bank says of payments that it booked as one."""

    message_id: str | None
    payment_information_id: str | None
    count: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. Units: signed minor units, positive is a credit to the account."""

    number: int  # its place in its statement, from 1, rejected ones counted
    status: EntryStatus
    amount_minor: int
    currency: str
    reversal: bool
    booked_on: date | None
    booked_at: datetime | None  # where the bank prints a time
    value_on: date | None
    bank_reference: str | None  # AcctSvcrRef
    entry_reference: str | None
    bank_code: str  # BkTxCd, e.g. PMNT/RCDT/ESCT
    own_code: str | None  # the bank's own code
    charges: tuple[Charge, ...]
    batch: Batch | None
    details: tuple[Detail, ...]
    additional: str | None

    @property
    def is_booked(self) -> bool:
        """Whether the account's balance has it."""
        return self.status is EntryStatus.BOOKED

    @property
    def only_detail(self) -> Detail | None:
        """The one payment that this is; None of a batch, for which no one payment speaks."""
        return self.details[0] if len(self.details) == 1 else None

    def counterparty_of(self, detail: Detail) -> Party | None:
        """The other side of one of its payments."""
        return detail.debtor if (self.amount_minor > 0) is not self.reversal else detail.creditor


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """An entry that could not be read: where it stands, and why, in words without a word of its content."""

    number: int
    place: str
    why: str
