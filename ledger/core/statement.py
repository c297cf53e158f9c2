"""A bank statement as facts: who was credited and debited, in the bank's own words and numbers."""

from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One booked entry as the bank printed it. Units: signed minor units, positive is a credit to the account."""

    transaction_id: str  # AcctSvcrRef
    end_to_end_id: str | None
    amount_minor: int
    currency: str
    booked_on: date
    value_on: date
    reversal: bool
    bank_code: str  # BkTxCd, e.g. PMNT/RCDT/ESCT
    counterparty_name: str | None
    counterparty_iban: str | None
    remittance: str | None


@dataclass(frozen=True, slots=True)
class Statement:
    """One account over one window. Opening plus lines equals closing; a parser refuses anything else."""

    statement_id: str
    iban: str
    currency: str
    starts_at: datetime
    ends_at: datetime
    opening_minor: int
    closing_minor: int
    lines: tuple[StatementLine, ...] = field(default=())
