"""Facts as evidence: what the book recorded, as values that a database row and a line of a file both give.

The canonical bytes of a fact are its leaf in the log, so they hold everything that it means and nothing that
a database could change by itself. Text, integers and times only; no I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ledger.core.canonical import Canonical, canonical_text

FACT_FORMAT = "tallystick-fact-v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFact:
    """A transfer as it was recorded. `content_digest` is the lower-case hex of the digest of its command."""

    id: str
    programme_id: str
    kind: str
    content_digest: str
    reference: str
    hold_id: str | None
    reverses_id: str | None
    clearance_id: str | None
    notice_id: str | None
    effective_at: datetime
    recorded_at: datetime
    metadata: Mapping[str, Canonical]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFact:
    """What a transfer did to one account, with the account's counters after it. Units: minor units."""

    account_id: str
    version: int
    transfer_id: str
    leg: int
    movement: str
    amount_minor: int
    debits_after_minor: int
    credits_after_minor: int
    held_after_minor: int
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFact:
    """What an account is. Whose it is stands as the party's reference: names stay out of the evidence."""

    id: str
    code: str
    account_class: str
    side: str
    party_reference: str | None
    currency: str
    pool: str | None
    min_available_minor: int | None


def canonical_fact(transfer: TransferFact, entries: Sequence[EntryFact]) -> bytes:
    """The one sequence of bytes of a transfer and all its entries, in whatever order they come.

    Raises: TypeError when the metadata holds a value that has no canonical form.
    """
    in_order = sorted(entries, key=lambda entry: (entry.account_id, entry.version))
    fact: dict[str, Canonical] = {
        "format": FACT_FORMAT,
        "transfer": _transfer(transfer),
        "entries": [_entry(entry) for entry in in_order],
    }
    return canonical_text(fact).encode("ascii")


def instant_text(instant: datetime) -> str:
    """An instant as ISO 8601, in UTC, to the microsecond.

    Raises: ValueError when the time does not say its zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant says its time zone")
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _transfer(transfer: TransferFact) -> dict[str, Canonical]:
    return {
        "id": transfer.id,
        "programme_id": transfer.programme_id,
        "kind": transfer.kind,
        "content_digest": transfer.content_digest,
        "reference": transfer.reference,
        "hold_id": transfer.hold_id,
        "reverses_id": transfer.reverses_id,
        "clearance_id": transfer.clearance_id,
        "notice_id": transfer.notice_id,
        "effective_at": instant_text(transfer.effective_at),
        "recorded_at": instant_text(transfer.recorded_at),
        "metadata": transfer.metadata,
    }


def _entry(entry: EntryFact) -> dict[str, Canonical]:
    return {
        "account_id": entry.account_id,
        "version": entry.version,
        "transfer_id": entry.transfer_id,
        "leg": entry.leg,
        "movement": entry.movement,
        "amount_minor": entry.amount_minor,
        "debits_after_minor": entry.debits_after_minor,
        "credits_after_minor": entry.credits_after_minor,
        "held_after_minor": entry.held_after_minor,
        "effective_at": instant_text(entry.effective_at),
        "recorded_at": instant_text(entry.recorded_at),
    }
