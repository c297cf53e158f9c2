"""What is true of the rails that a bank offers: limits, hours, finality, and how often to ask.

Facts only. Units: amounts are integer minor units of the rail's currency; times are aware UTC.
"""

from dataclasses import dataclass
from datetime import time, timedelta
from enum import StrEnum


class Rail(StrEnum):
    """A payment scheme."""

    SCT = "SCT"
    SCT_INST = "SCT_INST"


class Finality(StrEnum):
    """What a settled payment means to whoever was paid."""

    INSTANT = "instant"  # it is there, and comes back only if its receiver agrees
    PROVISIONAL = "provisional"  # the receiver's bank may send it back within the return window


class AfterHours(StrEnum):
    """What becomes of an order that reaches the bank while its rail is closed."""

    REFUSED = "refused"
    QUEUED = "queued"


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rail takes orders, in the bank's own zone; a rail without hours takes them day and night."""

    zone: str
    opens: time
    closes: time
    business_days_only: bool
    after_hours: AfterHours


@dataclass(frozen=True, slots=True)
class RailFacts:
    """What is true of one rail at one bank."""

    rail: Rail
    currencies: frozenset[str]
    countries: frozenset[str]  # of the creditor's account, as its IBAN begins
    amount_min_minor: int
    amount_max_minor: int | None
    hours: Hours | None
    finality: Finality
    settles_within: timedelta  # counted from the moment at which an open rail takes the order
    return_window: timedelta
    poll_schedule: tuple[timedelta, ...]  # after an unknown outcome, counted from the send
    name_max: int
    remittance_max: int
    batch_max: int  # payments in one request; 1 for a bank that takes no batches
