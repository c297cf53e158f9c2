"""Bodies of transfer requests made into orders: commands of the book, without any authority yet. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypedDict, assert_never

from api.transfer_bodies import (
    AnyCommandBody,
    CaptureTransferBody,
    CloseAccountBody,
    ExpireBody,
    FreezeAccountBody,
    HoldBody,
    IncreaseBody,
    LegBody,
    OpenAccountBody,
    PostBody,
    RateBody,
    ReleaseBody,
    ReverseBody,
    UnfreezeAccountBody,
)
from ledger.core.chart import CHART
from ledger.core.commands import (
    Capture,
    Close,
    Command,
    Expire,
    Freeze,
    Hold,
    Increase,
    Leg,
    Open,
    Part,
    Post,
    Rate,
    Release,
    Reverse,
    Unfreeze,
)
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.core.orders import TransferOrder


def transfer_order(
    programme_id: ProgrammeId, bodies: Sequence[AnyCommandBody], now: datetime
) -> TransferOrder:
    """One group of commands as an order. What leaves its date open is dated `now`, and known to be undated."""
    return TransferOrder(
        programme_id=programme_id,
        commands=tuple(_command(body, programme_id, now) for body in bodies),
        undated=frozenset(TransferId(body.id) for body in bodies if body.effective_at is None),
    )


class _Said(TypedDict):
    """What every command says."""

    id: TransferId
    programme_id: ProgrammeId
    authority: None
    effective_at: datetime
    reference: str
    metadata: Mapping[str, str]
    adjusting: bool


def _said(body: AnyCommandBody, programme_id: ProgrammeId, now: datetime) -> _Said:
    return _Said(
        id=TransferId(body.id),
        programme_id=programme_id,
        authority=None,
        effective_at=(body.effective_at or now).astimezone(UTC),
        reference=body.reference,
        metadata=body.metadata,
        adjusting=body.adjusting,
    )


def _command(body: AnyCommandBody, programme_id: ProgrammeId, now: datetime) -> Command:
    said = _said(body, programme_id, now)
    match body:
        case PostBody():
            return Post(**said, legs=_legs(body.legs), rate=_rate(body.rate))
        case HoldBody():
            return Hold(
                **said,
                account_id=AccountId(body.account_id),
                amount_minor=body.amount_minor,
                expires_at=body.expires_at and body.expires_at.astimezone(UTC),
            )
        case IncreaseBody() | CaptureTransferBody() | ReleaseBody() | ExpireBody():
            return _on_hold(body, said)
        case ReverseBody():
            return Reverse(**said, transfer_id=TransferId(body.transfer_id), parts=_parts(body))
        case OpenAccountBody() | FreezeAccountBody() | UnfreezeAccountBody() | CloseAccountBody():
            return _on_account(body, said)
        case _:
            assert_never(body)


def _on_hold(body: IncreaseBody | CaptureTransferBody | ReleaseBody | ExpireBody, said: _Said) -> Command:
    hold_id = TransferId(body.hold_id)
    match body:
        case IncreaseBody():
            return Increase(**said, hold_id=hold_id, amount_minor=body.amount_minor)
        case CaptureTransferBody():
            return Capture(**said, hold_id=hold_id, legs=_legs(body.legs), final=body.final)
        case ReleaseBody():
            amount_minor = body.amount_minor if "amount_minor" in body.model_fields_set else None
            return Release(**said, hold_id=hold_id, amount_minor=amount_minor)
        case ExpireBody():
            return Expire(**said, hold_id=hold_id)
        case _:
            assert_never(body)


def _on_account(
    body: OpenAccountBody | FreezeAccountBody | UnfreezeAccountBody | CloseAccountBody, said: _Said
) -> Command:
    account_id = AccountId(body.account_id)
    match body:
        case OpenAccountBody():
            return Open(
                **said,
                account_id=account_id,
                code=body.code,
                subdivision=tuple(body.subdivision),
                party_id=None if body.party_id is None else PartyId(body.party_id),
                currency=body.currency,
                min_available_minor=_floor_minor(body),
                max_balance_minor=body.max_balance_minor,
                tags=tuple(body.tags),
            )
        case FreezeAccountBody():
            return Freeze(**said, account_id=account_id)
        case UnfreezeAccountBody():
            return Unfreeze(**said, account_id=account_id)
        case CloseAccountBody():
            return Close(**said, account_id=account_id)
        case _:
            assert_never(body)


def _floor_minor(body: OpenAccountBody) -> int | None:
    """The chart's own floor, unless the request says otherwise: null is no floor at all."""
    if "min_available_minor" in body.model_fields_set:
        return body.min_available_minor
    return CHART[body.code].min_available_minor


def _legs(legs: Sequence[LegBody]) -> tuple[Leg, ...]:
    return tuple(
        Leg(AccountId(leg.debit), AccountId(leg.credit), leg.amount_minor, leg.up_to) for leg in legs
    )


def _rate(rate: RateBody | None) -> Rate | None:
    return None if rate is None else Rate(rate.sold, rate.bought, rate.numerator, rate.denominator)


def _parts(body: ReverseBody) -> tuple[Part, ...] | None:
    return None if body.parts is None else tuple(Part(part.leg, part.amount_minor) for part in body.parts)
