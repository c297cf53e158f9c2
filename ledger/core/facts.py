"""Facts as evidence: what the book recorded, as values that a database row and a line of a file both give.

The canonical bytes of a fact are its leaf in the log, so they hold everything that it means and nothing that
a database could change by itself. Text, integers and times only; no I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from ledger.core.canonical import Canonical, canonical_text

FACT_FORMAT = "tallystick-fact-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFact:
    """A transfer as it was recorded. `asked` is what its command said beyond what its movements show."""

    id: str
    programme_id: str
    kind: str
    reference: str
    hold_id: str | None
    reverses_id: str | None
    clearance_id: str | None
    notice_id: str | None
    effective_at: datetime
    recorded_at: datetime
    asked: Mapping[str, Canonical]
    metadata: Mapping[str, Canonical]


class EntryFact(NamedTuple):
    """What a transfer did to one account, with the account's counters after it. Units: minor units.

    `leg` counts from 1, and both accounts of a leg name it; 0: what the transfer did to this account alone.
    """

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
    """What an account is. Whose it is stands as the party's id and reference: names stay out of the evidence."""

    id: str
    programme_id: str
    code: str
    path: str
    account_class: str
    side: str
    party_id: str | None
    party_reference: str | None
    currency: str
    pool: str | None
    tags: tuple[str, ...]
    min_available_minor: int | None
    max_balance_minor: int | None


class SideFact(NamedTuple):
    """As much of an account as a leg asks for."""

    account_id: str
    programme_id: str
    currency: str
    side: str


class UnitFact(NamedTuple):
    """What a programme counts in besides the currencies of ISO 4217."""

    code: str
    name: str
    decimals: int


def canonical_fact(transfer: TransferFact, entries: Sequence[EntryFact]) -> bytes:
    """The one sequence of bytes of a transfer and all its entries, in whatever order they come.

    The canonical text of an object with the members `entries` (in the order of accounts and versions), `format`
    and `transfer`. It is put together member by member, because a log takes in millions of them.

    Raises: TypeError when what was asked, or the metadata, holds a value that has no canonical form.
    """
    in_order = ",".join(map(_entry, sorted(entries)))
    return f'{{"entries":[{in_order}],"format":"{FACT_FORMAT}","transfer":{_transfer(transfer)}}}'.encode(
        "ascii"
    )


def instant_text(instant: datetime) -> str:
    """An instant as ISO 8601, in UTC, to the microsecond.

    Raises: ValueError when the time does not say its zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant says its time zone")
    # In UTC first: two times in one zone are equal to Python even when the clock was put back between them.
    return _text_of(instant.astimezone(UTC))


@lru_cache(maxsize=4096)
def _text_of(instant: datetime) -> str:
    return f"{instant.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _transfer(transfer: TransferFact) -> str:
    return (
        f'{{"asked":{_object(transfer.asked)}'
        f',"clearance_id":{_optional(transfer.clearance_id)}'
        f',"effective_at":"{instant_text(transfer.effective_at)}"'
        f',"hold_id":{_optional(transfer.hold_id)}'
        f',"id":{_text(transfer.id)}'
        f',"kind":{_text(transfer.kind)}'
        f',"metadata":{_object(transfer.metadata)}'
        f',"notice_id":{_optional(transfer.notice_id)}'
        f',"programme_id":{_text(transfer.programme_id)}'
        f',"recorded_at":"{instant_text(transfer.recorded_at)}"'
        f',"reference":{_text(transfer.reference)}'
        f',"reverses_id":{_optional(transfer.reverses_id)}}}'
    )


def _entry(entry: EntryFact) -> str:
    return (
        f'{{"account_id":{_text(entry.account_id)}'
        f',"amount_minor":{entry.amount_minor}'
        f',"credits_after_minor":{entry.credits_after_minor}'
        f',"debits_after_minor":{entry.debits_after_minor}'
        f',"effective_at":"{instant_text(entry.effective_at)}"'
        f',"held_after_minor":{entry.held_after_minor}'
        f',"leg":{entry.leg}'
        f',"movement":{_text(entry.movement)}'
        f',"recorded_at":"{instant_text(entry.recorded_at)}"'
        f',"transfer_id":{_text(entry.transfer_id)}'
        f',"version":{entry.version}}}'
    )


def _object(value: Mapping[str, Canonical]) -> str:
    return canonical_text(value) if value else "{}"  # most transfers say nothing more


def _text(value: str) -> str:
    return encode_basestring_ascii(value)


def _optional(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)
