"""What we ask a bank, and what came back: one order, one signed request, one answer."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from partners.contract.rails import Rail


@dataclass(frozen=True, slots=True)
class Instruction:
    """One payment order as the book approved it. Units: minor units; aware UTC.

    `ordered_at` is the time that it was ordered for: the same however often it is tried, and so the time that a
    message says it was made at.
    """

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
    ordered_at: datetime


class Signing(StrEnum):
    """What kind of signature a request needs; the enclave has a policy of its own for each."""

    PAYOUT = "payout"  # moves money: signed only for an approved payout
    QUERY = "query"  # reads
    MESSAGE = "message"  # writes something that is not money


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the host will sign and send, over HTTP or as a file.

    `profile` names the message for the enclave. `path` begins with "/" and holds the query string; of a file it is
    where the bank picks it up.
    """

    method: str
    path: str
    body: bytes | None
    signing: Signing
    profile: str
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: never built for silence."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Unreadable(Exception):
    """Bytes from a bank that are not what they should be; the text says where."""
