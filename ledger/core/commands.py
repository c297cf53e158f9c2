"""What the book can be asked to do, and what it answers. Values only.

Each command has an id that its caller chose: the same id with the same content is the same command, whenever
and however often it comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ledger.core.canonical import Canonical, digest
from ledger.core.ids import AccountId, ClearanceId, NoticeId, ProgrammeId, TransferId

LEGS_MAX = 1000
BATCH_MAX = 8192


@dataclass(frozen=True, slots=True)
class Authority:
    """Why money may move: a redeemed clearance, or a bank's word that it already has. Exactly one of the two."""

    clearance_id: ClearanceId | None = None
    notice_id: NoticeId | None = None

    def __post_init__(self) -> None:
        assert (self.clearance_id is None) != (self.notice_id is None), "one authority, and only one"


@dataclass(frozen=True, slots=True)
class Leg:
    """One debit, one credit, one amount. Units: minor units of both accounts' currency."""

    debit: AccountId
    credit: AccountId
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    id: TransferId
    programme_id: ProgrammeId
    authority: Authority | None
    effective_at: datetime
    reference: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(_Command):
    """Move money now."""

    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(_Command):
    """Reserve money on one account until it is captured, released or expires."""

    account_id: AccountId
    amount_minor: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture(_Command):
    """Take money out of a hold; `final` releases whatever is then left of it."""

    hold_id: TransferId
    legs: tuple[Leg, ...]
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(_Command):
    """Give reserved money back; without an amount, all that is left."""

    hold_id: TransferId
    amount_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse(_Command):
    """Undo a transfer, once: the same legs the other way."""

    transfer_id: TransferId


Command = Post | Hold | Capture | Release | Reverse


class Refusal(StrEnum):
    """Why the book will not do it, in the order in which it looks: the first that applies is the answer."""

    ID_REUSED = "id_reused"
    TOO_MANY_LEGS = "too_many_legs"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    SAME_ACCOUNT = "same_account"
    HOLD_UNKNOWN = "hold_unknown"
    HOLD_CLOSED = "hold_closed"
    HOLD_EXPIRED = "hold_expired"
    LEG_NOT_FROM_HOLD = "leg_not_from_hold"
    EXCEEDS_HOLD = "exceeds_hold"
    TRANSFER_UNKNOWN = "transfer_unknown"
    ALREADY_REVERSED = "already_reversed"
    ACCOUNT_UNKNOWN = "account_unknown"
    CURRENCY_DIFFERS = "currency_differs"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    OVERFLOW = "overflow"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_CAP = "balance_cap"
    GROUP_REFUSED = "group_refused"


@dataclass(frozen=True, slots=True)
class Applied:
    """Done, now."""

    id: TransferId


@dataclass(frozen=True, slots=True)
class Exists:
    """Done before: the same command with the same content."""

    id: TransferId


@dataclass(frozen=True, slots=True)
class Refused:
    """Not done; nothing of it is left behind."""

    id: TransferId
    refusal: Refusal
    detail: str


Result = Applied | Exists | Refused


def content_digest(command: Command) -> bytes:
    """The digest of everything a command says but its id: what makes two commands the same."""
    common: dict[str, Canonical] = {
        "kind": kind_of(command),
        "programme_id": command.programme_id,
        "effective_at": command.effective_at.isoformat(),
        "reference": command.reference,
        "metadata": dict(command.metadata),
    }
    return digest(common | _particulars(command))


def kind_of(command: Command) -> str:
    """The word under which a command is kept: post, hold, capture, release, reverse."""
    return type(command).__name__.lower()


def _particulars(command: Command) -> dict[str, Canonical]:
    match command:
        case Post():
            return {"legs": _legs(command.legs)}
        case Hold():
            expires = command.expires_at.isoformat() if command.expires_at else None
            return {"account": command.account_id, "amount": command.amount_minor, "expires_at": expires}
        case Capture():
            return {"hold": command.hold_id, "legs": _legs(command.legs), "final": command.final}
        case Release():
            return {"hold": command.hold_id, "amount": command.amount_minor}
        case Reverse():
            return {"transfer": command.transfer_id}


def _legs(legs: tuple[Leg, ...]) -> list[Canonical]:
    return [[leg.debit, leg.credit, leg.amount_minor] for leg in legs]
