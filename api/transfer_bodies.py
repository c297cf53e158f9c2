"""What requests may say to the book itself: one command, or groups of them. As strict as every other body.

A command is known by its `kind`. What is refused is named as the caller wrote it: which of the kinds a command was
taken for is no part of the name (`api/problems.py`).
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    Tag,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from api.bodies import AccountRef, Body, Minor, Moment, PartyRef, Reference, TransferRef
from api.problems import KIND_TAG
from ledger.core.chart import CHART, Code
from ledger.core.commands import BATCH_MAX, LEGS_MAX
from ledger.core.money import MINOR_MAX

METADATA_MAX = 16
PATH_MAX = 8
TAGS_MAX = 16


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("invalid_text", "holds characters that cannot be printed")
    return text


def _one_batch(groups: object) -> object:
    """Looked at before anything inside is: what is no batch is not read to its end."""
    if isinstance(groups, list) and (
        len(groups) > BATCH_MAX or sum(len(group) for group in groups if isinstance(group, list)) > BATCH_MAX
    ):
        raise PydanticCustomError("too_long", "hold more commands together than a batch may: 8192")
    return groups


MetadataKey = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_printable)]
MetadataValue = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=METADATA_MAX)]
Unit = Annotated[
    str, Field(pattern=r"^[A-Z]([A-Z]{2}|[A-Z0-9]{3,11})$", description="ISO 4217, or a unit of your own")
]
Whole = Annotated[StrictInt, Field(ge=1, le=MINOR_MAX)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class LegBody(Body):
    """One debit, one credit, one amount; with `up_to`, as much of it as the account that gives has available."""

    debit: AccountRef
    credit: AccountRef
    amount_minor: Minor
    up_to: StrictBool = False


class RateBody(Body):
    """The price of a conversion: minor units bought = minor units sold x numerator / denominator, half to even."""

    sold: Unit
    bought: Unit
    numerator: Whole
    denominator: Whole


class PartBody(Body):
    """How much of one leg is reversed; legs count from 1."""

    leg: Annotated[StrictInt, Field(ge=1, le=LEGS_MAX)]
    amount_minor: Minor


Legs = Annotated[list[LegBody], Field(min_length=1, max_length=LEGS_MAX)]


class CommandBody(Body):
    """What every command says. The caller's `id` is the key under which it is carried out once."""

    id: TransferRef
    reference: Reference
    effective_at: Moment | None = None
    metadata: Metadata = Field(default_factory=dict)
    adjusting: StrictBool = False


class PostBody(CommandBody):
    """Move money now."""

    kind: Literal["post"]
    legs: Legs
    rate: RateBody | None = None


class HoldBody(CommandBody):
    """Reserve money on an account, until it is captured, released or expires."""

    kind: Literal["hold"]
    account_id: AccountRef
    amount_minor: Minor
    expires_at: Moment | None = None


class IncreaseBody(CommandBody):
    """Reserve more under a hold."""

    kind: Literal["increase"]
    hold_id: TransferRef
    amount_minor: Minor


class CaptureTransferBody(CommandBody):
    """Take money out of a hold; `final` gives back what is then left of it."""

    kind: Literal["capture"]
    hold_id: TransferRef
    legs: Legs
    final: StrictBool = False


class ReleaseBody(CommandBody):
    """Give reserved money back; without an amount, all that is left of it."""

    kind: Literal["release"]
    hold_id: TransferRef
    # Left out, and only then, it is all: null is no amount. What is made up for it here is never looked at.
    amount_minor: Minor = Field(default_factory=lambda: MINOR_MAX)


class ExpireBody(CommandBody):
    """Give back what is left of a hold whose time has come."""

    kind: Literal["expire"]
    hold_id: TransferRef


class ReverseBody(CommandBody):
    """Undo a transfer, once: in full, or only these parts of its legs."""

    kind: Literal["reverse"]
    transfer_id: TransferRef
    parts: Annotated[list[PartBody], Field(min_length=1, max_length=LEGS_MAX)] | None = None


class OpenAccountBody(CommandBody):
    """Open an account in the chart. A limit that is left out is the chart's own; one that is null is none at all."""

    kind: Literal["open_account"]
    account_id: AccountRef
    code: Code
    subdivision: Annotated[list[Name], Field(max_length=PATH_MAX)] = Field(default_factory=list)
    party_id: Annotated[PartyRef | None, Field(validate_default=True)] = None
    currency: Unit
    min_available_minor: Annotated[StrictInt, Field(ge=-MINOR_MAX, le=0)] | None = None
    max_balance_minor: Annotated[StrictInt, Field(ge=0, le=MINOR_MAX)] | None = None
    tags: Annotated[list[Name], Field(max_length=TAGS_MAX)] = Field(default_factory=list)

    @field_validator("party_id")
    @classmethod
    def _as_the_chart_says(cls, party_id: str | None, known: ValidationInfo) -> str | None:
        code = known.data.get("code")  # missing when it was itself not valid
        if code is not None and CHART[code].per_party != (party_id is not None):
            raise PydanticCustomError(
                "party_mismatch", "stands with the code of a party's account, and with no other"
            )
        return party_id


class FreezeAccountBody(CommandBody):
    """Let nothing leave an account; what comes in still comes in."""

    kind: Literal["freeze_account"]
    account_id: AccountRef


class UnfreezeAccountBody(CommandBody):
    """Let an account give again."""

    kind: Literal["unfreeze_account"]
    account_id: AccountRef


class CloseAccountBody(CommandBody):
    """Close an empty account for good."""

    kind: Literal["close_account"]
    account_id: AccountRef


def _kind(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return KIND_TAG + kind if isinstance(kind, str) else None


AnyCommandBody = (
    PostBody
    | HoldBody
    | IncreaseBody
    | CaptureTransferBody
    | ReleaseBody
    | ExpireBody
    | ReverseBody
    | OpenAccountBody
    | FreezeAccountBody
    | UnfreezeAccountBody
    | CloseAccountBody
)
TransferBody = Annotated[
    Annotated[PostBody, Tag(KIND_TAG + "post")]
    | Annotated[HoldBody, Tag(KIND_TAG + "hold")]
    | Annotated[IncreaseBody, Tag(KIND_TAG + "increase")]
    | Annotated[CaptureTransferBody, Tag(KIND_TAG + "capture")]
    | Annotated[ReleaseBody, Tag(KIND_TAG + "release")]
    | Annotated[ExpireBody, Tag(KIND_TAG + "expire")]
    | Annotated[ReverseBody, Tag(KIND_TAG + "reverse")]
    | Annotated[OpenAccountBody, Tag(KIND_TAG + "open_account")]
    | Annotated[FreezeAccountBody, Tag(KIND_TAG + "freeze_account")]
    | Annotated[UnfreezeAccountBody, Tag(KIND_TAG + "unfreeze_account")]
    | Annotated[CloseAccountBody, Tag(KIND_TAG + "close_account")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message="is post, hold, increase, capture, release, expire, reverse, open_account, "
        "freeze_account, unfreeze_account or close_account",
    ),
]


class BatchBody(Body):
    """Up to 8,192 commands in groups, each all or nothing."""

    groups: Annotated[
        list[Annotated[list[TransferBody], Field(min_length=1, max_length=BATCH_MAX)]],
        Field(min_length=1, max_length=BATCH_MAX),
        BeforeValidator(_one_batch),
    ]
