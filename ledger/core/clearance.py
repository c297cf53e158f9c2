"""A clearance: the gate's word that one order may move money, good for that order and for once.

Only `compliance.gate` makes clearances (a test reads the code to see to it). A flow redeems the clearance in the
transaction that moves the money: the record is written then, under a unique key, so that a clearance nobody
redeems leaves nothing behind and one that is redeemed twice undoes the second attempt.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ledger.core.canonical import Canonical
from ledger.core.ids import ClearanceId, ProgrammeId
from ledger.core.orders import Order, order_text

O_co = TypeVar("O_co", bound=Order, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """The decision on one order, with what it was decided on."""

    id: ClearanceId
    programme_id: ProgrammeId
    order_kind: str
    order_canonical: str
    decision: Mapping[str, Canonical]

    @property
    def order_digest(self) -> bytes:
        """SHA-256 of the order's canonical text."""
        return hashlib.sha256(self.order_canonical.encode("ascii")).digest()


@dataclass(frozen=True, slots=True)
class Cleared(Generic[O_co]):
    """An order with the clearance that is bound to it. The only form in which a flow takes an order."""

    order: O_co
    clearance: Clearance

    def __post_init__(self) -> None:
        assert self.clearance.order_canonical == order_text(self.order), "the clearance is for another order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found. `source` is the article, requirement or policy that the rule follows."""

    rule: str
    source: str
    version: str
    detail: str

    def as_data(self) -> dict[str, Canonical]:
        """The finding as it is recorded and shown."""
        return {"rule": self.rule, "source": self.source, "version": self.version, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Held(Generic[O_co]):
    """Not now: a person, or the payer's own authentication, has to decide first."""

    order: O_co
    case_id: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Barred(Generic[O_co]):
    """Refused by a rule. The record of it commits."""

    order: O_co
    case_id: str
    findings: tuple[Finding, ...]


Screened = Cleared[O_co] | Held[O_co] | Barred[O_co]
