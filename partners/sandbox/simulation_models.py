"""The bodies that simulations take: what other banks, or time, would bring about."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from partners.sandbox.control_models import Control, Reason, Text
from partners.sandbox.models import CtAmount, Iban, Str35, Str140
from partners.sandbox.records import Scheme

BATCH_MAX = 1_000
AFTER_DAYS_MAX = 800
Days = Annotated[int, Field(ge=0, le=AFTER_DAYS_MAX)]
Information = Annotated[str, Field(min_length=1, max_length=105)]


class IncomingOrder(Control):
    """POST /sandbox/simulations/incoming-payments. A reference is free text, structured, or left out."""

    creditor_iban: Iban
    amount: CtAmount
    end_to_end_id: Str35
    reference: Str140 | None = None
    creditor_reference: Str35 | None = None
    debtor_name: Str140
    debtor_iban: Iban
    debtor_bic: Text | None = None
    scheme: Annotated[Scheme, Field(strict=False)] = Scheme.CT


class BatchOrder(Control):
    """POST /sandbox/simulations/incoming-batches: several that are booked as one."""

    payments: Annotated[list[IncomingOrder], Field(min_length=1, max_length=BATCH_MAX)]


class _OfOnePayment(Control):
    """Names a payment by one of its two ids."""

    end_to_end_id: Text | None = None
    payment_id: Text | None = None

    @model_validator(mode="after")
    def _names_one_payment(self) -> Self:
        if (self.end_to_end_id is None) == (self.payment_id is None):
            raise ValueError("exactly one of endToEndId and paymentId is needed")
        return self


class ReturnOrder(_OfOnePayment):
    """POST /sandbox/simulations/returns: all that is left, if no amount is told; now, if no days are."""

    reason: Reason = "AC04"
    amount: CtAmount | None = None
    after_days: Days = 0


class IncomingRecallOrder(_OfOnePayment):
    """POST /sandbox/simulations/incoming-recalls: any code, also one that the scheme does not know."""

    reason: Reason = "DUPL"
    information: Information | None = None


class RecallAnswerOrder(_OfOnePayment):
    """POST /sandbox/simulations/recall-answers: how the other bank answers the client's recall."""

    accepts: bool
    reason: Reason | None = None
    after_business_days: Days = 0

    @model_validator(mode="after")
    def _gives_a_reason_for_no(self) -> Self:
        if self.accepts == (self.reason is not None):
            raise ValueError("a reason belongs to a rejection, and a rejection needs one")
        return self


class FeeOrder(Control):
    """POST /sandbox/simulations/fees."""

    iban: Iban
    amount: CtAmount
    text: Str140
