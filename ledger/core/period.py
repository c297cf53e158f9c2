"""Periods: stretches of the programme's calendar that are closed to postings step by step. Pure.

open          takes every posting.
soft_closed   takes only what a finance person posts as an adjustment.
closed        takes nothing, and can be opened again, one step at a time.
sealed        takes nothing, and stays so: the figures are filed.

The calendar closes from its beginning: what lies before the end of a closed period is closed, whether or not some
period covers it. So a period is never more closed than one before it.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class PeriodState(StrEnum):
    """How closed a period is, from the least to the most."""

    OPEN = "open"
    SOFT_CLOSED = "soft_closed"
    CLOSED = "closed"
    SEALED = "sealed"


class Period(NamedTuple):
    """From `starts_at` on, until just before `ends_at`, by effective date."""

    starts_at: datetime
    ends_at: datetime
    state: PeriodState


TRANSITIONS: frozenset[tuple[PeriodState, PeriodState]] = frozenset(
    {
        (PeriodState.OPEN, PeriodState.SOFT_CLOSED),
        (PeriodState.SOFT_CLOSED, PeriodState.CLOSED),
        (PeriodState.CLOSED, PeriodState.SEALED),
        (PeriodState.CLOSED, PeriodState.SOFT_CLOSED),
        (PeriodState.SOFT_CLOSED, PeriodState.OPEN),
    }
)


class Objection(StrEnum):
    """Why a period is not made, or not moved, in the order in which it is looked for."""

    PERIOD_OVERLAPS = "period_overlaps"
    PERIOD_IN_CLOSED_PAST = "period_in_closed_past"
    TRANSITION_NOT_ALLOWED = "transition_not_allowed"
    PERIOD_NOT_OVER = "period_not_over"
    EARLIER_PERIOD_LESS_CLOSED = "earlier_period_less_closed"
    LATER_PERIOD_MORE_CLOSED = "later_period_more_closed"


def objection_to_opening(period: Period, others: Iterable[Period]) -> Objection | None:
    """Why a new period cannot stand beside the others; None when it can."""
    standing = list(others)
    if any(period.starts_at < other.ends_at and other.starts_at < period.ends_at for other in standing):
        return Objection.PERIOD_OVERLAPS
    if any(period.starts_at < other.starts_at and closedness(other.state) > 0 for other in standing):
        return Objection.PERIOD_IN_CLOSED_PAST
    return None


def objection_to_transition(
    period: Period, to: PeriodState, *, others: Iterable[Period], now: datetime
) -> Objection | None:
    """Why a period cannot go into a state beside the others; None when it can.

    Only what is over is closed: otherwise the day that is going on would take no posting.
    """
    standing = list(others)
    if (period.state, to) not in TRANSITIONS:
        return Objection.TRANSITION_NOT_ALLOWED
    if closedness(to) > closedness(period.state) and now < period.ends_at:
        return Objection.PERIOD_NOT_OVER
    if any(
        other.ends_at <= period.starts_at and closedness(other.state) < closedness(to) for other in standing
    ):
        return Objection.EARLIER_PERIOD_LESS_CLOSED
    if any(
        other.starts_at >= period.ends_at and closedness(other.state) > closedness(to) for other in standing
    ):
        return Objection.LATER_PERIOD_MORE_CLOSED
    return None


def closedness(state: PeriodState) -> int:
    """How closed a state is, from 0 (open)."""
    return _ORDER.index(state)


_ORDER = tuple(PeriodState)
