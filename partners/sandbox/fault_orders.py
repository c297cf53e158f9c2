"""POST /sandbox/faults: which fault strikes what, and what an order for one must say."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from partners.sandbox.control_models import Control, Reason, Text
from partners.sandbox.models import CtAmount, Number
from partners.sandbox.records import FaultKind

_BEFORE = frozenset({FaultKind.DROPPED_REQUEST, FaultKind.REFUSE_429, FaultKind.REFUSE_500})
_AFTER = frozenset(
    {
        FaultKind.LOST_ANSWER,
        FaultKind.HELD_ANSWER,
        FaultKind.LATE_ANSWER,
        FaultKind.TRUNCATED_ANSWER,
        FaultKind.ERROR_500_AFTER,
        FaultKind.TURNED_AWAY_AFTER,
    }
)
_STATEMENTS = frozenset(
    {FaultKind.REPEATED_ENTRY, FaultKind.REUSED_STATEMENT_ID, FaultKind.SWAPPED_PAGES, FaultKind.DOWN}
)
TAKE_A_PATH = _BEFORE | _AFTER | {FaultKind.SKEWED_CLOCK}
TAKE_A_WEBHOOK_TYPE = frozenset(
    {
        FaultKind.LOST_WEBHOOK,
        FaultKind.DUPLICATE_WEBHOOK,
        FaultKind.LATE_WEBHOOK,
        FaultKind.REPLAYED_WEBHOOK,
        FaultKind.WRONG_AMOUNT,
        FaultKind.SKEWED_CLOCK,
        FaultKind.BAD_SIGNATURE,
        FaultKind.WRONG_KEY,
    }
)
# How long, when the order does not say; a clock has no usual error, so that fault must say.
USUAL_SECONDS = {
    FaultKind.DOWN: 1.0,
    FaultKind.REFUSE_429: 1.0,
    FaultKind.LATE_ANSWER: 5.0,
    FaultKind.LATE_WEBHOOK: 2.0,
    FaultKind.RETURN: 0.0,
}
_TAKE_A_REASON = frozenset({FaultKind.REJECT, FaultKind.RETURN})
# A bank that is down cannot be told to come back, and an answer that is late must come while somebody waits.
SECONDS_MAX = {FaultKind.DOWN: 60, FaultKind.LATE_ANSWER: 60}
_YEAR_S = 366 * 86_400

Times = Annotated[int, Field(ge=1, le=1_000_000)]


class FaultMatch(Control):
    """Where a fault applies; what is left out applies everywhere."""

    creditor_iban: Text | None = None
    end_to_end_id: Text | None = None
    path: Text | None = None
    webhook_type: Text | None = None


class FaultOrder(Control):
    """POST /sandbox/faults."""

    kind: Annotated[FaultKind, Field(strict=False)]
    match: FaultMatch = FaultMatch()
    times: Times = 1
    reason: Reason | None = None
    seconds: Number | None = None
    amount: CtAmount | None = None

    @model_validator(mode="after")
    def _can_ever_strike(self) -> Self:
        if self.match.path is not None and self.kind not in TAKE_A_PATH:
            raise ValueError(f"{self.kind} does not strike requests, so it takes no path")
        if self.match.webhook_type is not None and self.kind not in TAKE_A_WEBHOOK_TYPE:
            raise ValueError(f"{self.kind} does not strike webhooks, so it takes no webhookType")
        if self.match.path is not None and self.match.webhook_type is not None:
            raise ValueError("a fault strikes requests or webhooks, so it takes a path or a webhookType")
        if self.kind in _STATEMENTS and self.match != FaultMatch():
            raise ValueError(f"{self.kind} strikes wherever it can, so it takes no match")
        return self

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if self.reason is None and self.kind is FaultKind.REJECT:
            raise ValueError("reject needs a reason")
        if self.reason is not None and self.kind not in _TAKE_A_REASON:
            raise ValueError(f"{self.kind} takes no reason")
        if self.amount is not None and self.kind is not FaultKind.RETURN:
            raise ValueError(f"{self.kind} takes no amount")
        return self

    @model_validator(mode="after")
    def _says_how_long(self) -> Self:
        if self.kind is FaultKind.SKEWED_CLOCK:
            if self.seconds is None or abs(self.seconds) > _YEAR_S:
                raise ValueError("skewed_clock needs seconds, of either sign, within a year")
            return self
        if self.seconds is None:
            return self
        if self.kind not in USUAL_SECONDS:
            raise ValueError(f"{self.kind} takes no seconds")
        most = SECONDS_MAX.get(self.kind, _YEAR_S)
        if not 0 <= self.seconds <= most:
            raise ValueError(f"seconds must be between 0 and {most}")
        return self

    @property
    def lasting_s(self) -> float | None:
        """How long, told or usual."""
        return USUAL_SECONDS.get(self.kind) if self.seconds is None else float(self.seconds)
