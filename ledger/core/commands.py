"""What the book can be asked to do, and what it answers. Values only.

Each command has an id that its caller chose: the same id with the same content is the same command, whenever
and however often it comes. Its content is everything it says but the authority under which it says it: who asks
again is cleared again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from ledger.core.canonical import Canonical
from ledger.core.chart import Code
from ledger.core.facts import instant_text
from ledger.core.ids import AccountId, ClearanceId, NoticeId, PartyId, ProgrammeId, TransferId

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
    """One debit, one credit, one amount. Units: minor units of both accounts' currency.

    `up_to`: the amount is the most that is moved; less when the account that gives has less available.
    """

    debit: AccountId
    credit: AccountId
    amount_minor: int
    up_to: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of a conversion: `bought` minor units = `sold` minor units x numerator / denominator, half to even."""

    sold: str
    bought: str
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Part:
    """How much of one leg is reversed. Units: minor units; legs count from 1."""

    leg: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    id: TransferId
    programme_id: ProgrammeId
    authority: Authority | None
    effective_at: datetime
    reference: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    adjusting: bool = False
    """Whether a finance person posts this into a period that is already closed to everybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(_Command):
    """Move money now. Each leg is within one currency; a conversion has legs in two, and says at which rate."""

    legs: tuple[Leg, ...]
    rate: Rate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(_Command):
    """Reserve money on one account until it is captured, released or expires."""

    account_id: AccountId
    amount_minor: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Increase(_Command):
    """Reserve more under a hold that is still open."""

    hold_id: TransferId
    amount_minor: int


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
class Expire(_Command):
    """Give back all that is left of a hold whose time has come."""

    hold_id: TransferId


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse(_Command):
    """Undo a transfer, once: its legs the other way, all of them in full or only these parts."""

    transfer_id: TransferId
    parts: tuple[Part, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(_Command):
    """Open an account at a place in the chart. Limits None: unbounded."""

    account_id: AccountId
    code: Code
    subdivision: tuple[str, ...] = ()
    party_id: PartyId | None
    currency: str
    min_available_minor: int | None
    max_balance_minor: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze(_Command):
    """Let nothing leave an account. What comes in still comes in."""

    account_id: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfreeze(_Command):
    """Let an account give again."""

    account_id: AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(_Command):
    """Close an empty account for good."""

    account_id: AccountId


OnHold = Increase | Capture | Release | Expire
OnAccount = Open | Freeze | Unfreeze | Close
Command = Post | Hold | OnHold | Reverse | OnAccount


class Refusal(StrEnum):
    """Why the book will not do it, in the order in which it looks: the first that applies is the answer."""

    ID_REUSED = "id_reused"
    TOO_MANY_LEGS = "too_many_legs"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    SAME_ACCOUNT = "same_account"
    PERIOD_CLOSED = "period_closed"
    PERIOD_SOFT_CLOSED = "period_soft_closed"
    HOLD_UNKNOWN = "hold_unknown"
    HOLD_CLOSED = "hold_closed"
    HOLD_EXPIRED = "hold_expired"
    HOLD_NOT_EXPIRED = "hold_not_expired"
    LEG_NOT_FROM_HOLD = "leg_not_from_hold"
    EXCEEDS_HOLD = "exceeds_hold"
    TRANSFER_UNKNOWN = "transfer_unknown"
    ALREADY_REVERSED = "already_reversed"
    LEG_UNKNOWN = "leg_unknown"
    EXCEEDS_LEG = "exceeds_leg"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_EXISTS = "account_exists"
    CURRENCY_UNKNOWN = "currency_unknown"
    CURRENCY_DIFFERS = "currency_differs"
    RATE_DIFFERS = "rate_differs"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_NOT_FROZEN = "account_not_frozen"
    ACCOUNT_NOT_EMPTY = "account_not_empty"
    NOTHING_AVAILABLE = "nothing_available"
    OVERFLOW = "overflow"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_CAP = "balance_cap"
    GROUP_REFUSED = "group_refused"


class Applied(NamedTuple):
    """Done, now. `moved_minor` is what it moved, held or gave back, all legs together. Units: minor units."""

    id: TransferId
    recorded_at: datetime
    moved_minor: int


class Exists(NamedTuple):
    """Done before: the same command with the same content, and the result that it had then."""

    id: TransferId
    recorded_at: datetime
    moved_minor: int


class Refused(NamedTuple):
    """Not done; nothing of it is left behind. `field` names what differs when an id was reused."""

    id: TransferId
    refusal: Refusal
    detail: str
    field: str | None = None


Result = Applied | Exists | Refused

Content = Mapping[str, Canonical]
"""What a command says, field by field, in the order in which differences are looked for."""


def kind_of(command: Command) -> str:
    """The word under which a command is kept: post, hold, capture, reverse, open, and so on."""
    return _KINDS[type(command)]


_KINDS: dict[type, str] = {
    kind: kind.__name__.lower()
    for kind in (Post, Hold, Increase, Capture, Release, Expire, Reverse, Open, Freeze, Unfreeze, Close)
}


def content_of(command: Command) -> Content:
    """Everything a command says but its id and its authority: what makes two commands the same."""
    return {
        # First, so that who uses another programme's id again learns nothing of what it stands for.
        "programme_id": command.programme_id,
        "kind": kind_of(command),
        "effective_at": instant_text(command.effective_at),
        "reference": command.reference,
        "metadata": dict(command.metadata),
        **dict(_particulars(command)),
        **asked_of(command),
    }


def first_difference(before: Content, now: Content) -> str | None:
    """The first field in which two contents differ; None when they are the same."""
    return next((name for name in {**now, **before} if before.get(name) != now.get(name)), None)


def _particulars(command: Command) -> Iterator[tuple[str, Canonical]]:
    match command:
        case Post():
            yield "legs", [_asked_leg(leg) for leg in command.legs]
        case Hold():
            yield "account_id", command.account_id
            yield "amount_minor", command.amount_minor
        case Increase():
            yield "hold_id", command.hold_id
            yield "amount_minor", command.amount_minor
        case Capture():
            yield "hold_id", command.hold_id
            yield "legs", [_asked_leg(leg) for leg in command.legs]
        case Release():
            yield "hold_id", command.hold_id
            yield "amount_minor", command.amount_minor
        case Expire():
            yield "hold_id", command.hold_id
        case Reverse():
            yield "transfer_id", command.transfer_id
        case Open() | Freeze() | Unfreeze() | Close():
            yield "account_id", command.account_id


def _asked_leg(leg: Leg) -> Canonical:
    return [leg.debit, leg.credit, None if leg.up_to else leg.amount_minor]


ASKED = (
    "up_to", "rate", "expires_at", "final", "all", "parts", "code", "subdivision", "party_id", "currency",
    "min_available_minor", "max_balance_minor", "tags", "adjusting",
)  # fmt: skip
"""What can stand in the words of `asked_of`, in their order: the database keeps them in another one."""


def asked_of(command: Command) -> Content:
    """What a command asked beyond what its movements will show; most ask nothing of the kind."""
    match command:
        case Post():
            asked = _asked_of_post(command)
        case Hold() if command.expires_at is not None:
            asked = {"expires_at": instant_text(command.expires_at)}
        case Capture() if command.final:
            asked = {"final": True}
        case Release() if command.amount_minor is None:
            asked = {"all": True}
        case Reverse() if command.parts is not None:
            asked = {"parts": [[part.leg, part.amount_minor] for part in command.parts]}
        case Open():
            asked = _asked_of_open(command)
        case _:
            asked = {}
    return asked | {"adjusting": True} if command.adjusting else asked


def _asked_of_post(command: Post) -> dict[str, Canonical]:
    asked: dict[str, Canonical] = {}
    if [leg for leg in command.legs if leg.up_to]:
        places = enumerate(command.legs, start=1)
        asked["up_to"] = {str(place): leg.amount_minor for place, leg in places if leg.up_to}
    if command.rate is not None:
        rate = command.rate
        asked["rate"] = [rate.sold, rate.bought, rate.numerator, rate.denominator]
    return asked


def _asked_of_open(command: Open) -> dict[str, Canonical]:
    return {
        "code": command.code.value,
        "subdivision": list(command.subdivision),
        "party_id": command.party_id,
        "currency": command.currency,
        "min_available_minor": command.min_available_minor,
        "max_balance_minor": command.max_balance_minor,
        "tags": list(command.tags),
    }
