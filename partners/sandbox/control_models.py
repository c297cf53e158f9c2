"""The bodies that the developer's side of the bank takes."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from partners.sandbox.models import CtAmount, Iban, Str35, Str140
from partners.sandbox.records import FaultKind, Scheme

WEBHOOK_FAULTS = frozenset(
    {FaultKind.LOST_WEBHOOK, FaultKind.DUPLICATE_WEBHOOK, FaultKind.WRONG_AMOUNT, FaultKind.BAD_SIGNATURE}
)
REQUEST_FAULTS = frozenset(
    {
        FaultKind.LOST_ANSWER,
        FaultKind.HELD_ANSWER,
        FaultKind.ERROR_500_AFTER,
        FaultKind.TURNED_AWAY_AFTER,
        FaultKind.REFUSE_500,
    }
)

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Reason = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,4}\Z")]
Times = Annotated[int, Field(ge=1, le=1_000_000)]


class _Control(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, regex_engine="python-re"
    )


class ClientOrder(_Control):
    """POST /sandbox/clients."""

    token: Text
    public_key_pem: Text


class WebhookOrder(_Control):
    """POST /sandbox/webhooks."""

    url: Annotated[str, Field(pattern=r"^https?://\S+\Z", max_length=2_000)]


class ClockOrder(_Control):
    """POST /sandbox/clock."""

    now: Text


class InboundOrder(_Control):
    """POST /sandbox/inbound."""

    creditor_iban: Iban
    amount: CtAmount
    end_to_end_id: Str35
    reference: Str140
    debtor_name: Str140
    debtor_iban: Iban
    debtor_bic: Text | None = None
    scheme: Annotated[Scheme, Field(strict=False)] = Scheme.CT


class ReturnOrder(_Control):
    """POST /sandbox/returns: one of the two ids."""

    end_to_end_id: Text | None = None
    payment_id: Text | None = None
    reason: Reason = "AC04"

    @model_validator(mode="after")
    def _names_one_payment(self) -> Self:
        if (self.end_to_end_id is None) == (self.payment_id is None):
            raise ValueError("exactly one of endToEndId and paymentId is needed")
        return self


class FeeOrder(_Control):
    """POST /sandbox/fees."""

    iban: Iban
    amount: CtAmount
    text: Str140


class FaultMatch(_Control):
    """Where a fault applies; what is left out applies everywhere."""

    creditor_iban: Text | None = None
    end_to_end_id: Text | None = None
    path: Text | None = None
    webhook_type: Text | None = None


class FaultOrder(_Control):
    """POST /sandbox/faults."""

    kind: Annotated[FaultKind, Field(strict=False)]
    match: FaultMatch = FaultMatch()
    times: Times = 1
    reason: Reason | None = None

    @model_validator(mode="after")
    def _can_ever_strike(self) -> Self:
        if self.match.path is not None and self.kind not in REQUEST_FAULTS:
            raise ValueError(f"{self.kind} does not strike requests, so it takes no path")
        if self.match.webhook_type is not None and self.kind not in WEBHOOK_FAULTS:
            raise ValueError(f"{self.kind} does not strike webhooks, so it takes no webhookType")
        if (self.reason is not None) != (self.kind is FaultKind.REJECT):
            raise ValueError("a reason belongs to reject, and reject needs one")
        return self
