"""The programme's calendar: periods are opened and closed step by step, and what was answered about the past stands.

Whatever changes what the calendar says is done under its lock, which waits for everybody who is posting by what it
said before (ledger/store/periods.py). Moves no money.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.core.declined import Declined
from ledger.core.errors import InvalidValue
from ledger.core.ids import ProgrammeId
from ledger.core.period import Objection, Period, PeriodState, objection_to_opening, objection_to_transition
from ledger.store.events import Event, record_events
from ledger.store.periods import (
    PeriodRecord,
    insert_periods,
    lock_calendars,
    read_periods,
    save_periods,
    settle,
)
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPeriod:
    """A new period is wanted, from `starts_at` until just before `ends_at`."""

    programme_id: ProgrammeId
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MovePeriod:
    """A period is to go into another state."""

    programme_id: ProgrammeId
    period_id: str
    to: PeriodState


_OBJECTIONS = {
    Objection.PERIOD_OVERLAPS: Declined("period_overlaps", "Another period covers part of this time."),
    Objection.PERIOD_IN_CLOSED_PAST: Declined(
        "period_in_closed_past", "A later period is closed, and everything before it with it.", "starts_at"
    ),
    Objection.TRANSITION_NOT_ALLOWED: Declined(
        "transition_not_allowed", "A period does not go from its state into this one.", "to"
    ),
    Objection.PERIOD_NOT_OVER: Declined("period_not_over", "Only a period that is over can be closed.", "to"),
    Objection.EARLIER_PERIOD_LESS_CLOSED: Declined(
        "earlier_period_less_closed", "An earlier period is less closed than that: close it first.", "to"
    ),
    Objection.LATER_PERIOD_MORE_CLOSED: Declined(
        "later_period_more_closed", "A later period is more closed than that: open it first.", "to"
    ),
}

_HAPPENED = {
    PeriodState.OPEN: "period.reopened",
    PeriodState.SOFT_CLOSED: "period.soft_closed",
    PeriodState.CLOSED: "period.closed",
    PeriodState.SEALED: "period.sealed",
}


def open_periods(tx: Tx, orders: Sequence[OpenPeriod]) -> tuple[PeriodRecord | Declined, ...]:
    """Opens periods. Declines one that overlaps another, or that lies in a past that is closed.

    Raises: InvalidValue when a period ends before it starts.
    """
    standing = _locked(tx, (order.programme_id for order in orders))
    results: list[PeriodRecord | Declined] = []
    for order in orders:
        period = Period(order.starts_at, order.ends_at, PeriodState.OPEN)
        if period.ends_at <= period.starts_at:
            raise InvalidValue("A period ends after it starts.", field="ends_at")
        objection = objection_to_opening(period, _others(standing, order.programme_id))
        if objection is None:
            record = PeriodRecord(tx.new_id("prd"), order.programme_id, period)
            standing[record.id] = record
            results.append(record)
        else:
            results.append(_OBJECTIONS[objection])
    opened = [record for record in results if isinstance(record, PeriodRecord)]
    insert_periods(tx, opened)
    record_events(tx, [_event(record, "period.opened") for record in opened])
    return tuple(results)


def move_periods(tx: Tx, orders: Sequence[MovePeriod]) -> tuple[PeriodRecord | Declined, ...]:
    """Closes periods, or opens them again, one step at a time.

    Declines a step that the table does not have, one that would leave an earlier period less closed than a later one,
    and the closing of a period that is not over.
    """
    standing = _locked(tx, (order.programme_id for order in orders))
    results = tuple(_move(standing, order, tx.now) for order in orders)
    moved = [record for record in results if isinstance(record, PeriodRecord)]
    save_periods(tx, [standing[period_id] for period_id in {record.id for record in moved}])
    record_events(tx, [_event(record, _HAPPENED[record.period.state]) for record in moved])
    return results


def settle_past(tx: Tx, programme_id: ProgrammeId, instant: datetime, *, field: str) -> None:
    """Makes what the book says of an instant final, before it says it.

    Raises: InvalidValue when the instant has not come yet: nobody knows what will be recorded until then.
    """
    if instant > tx.now:
        raise InvalidValue("What is to come has not been recorded yet.", field=field)
    settle(tx, programme_id, instant)


def _locked(tx: Tx, programme_ids: Iterable[ProgrammeId]) -> dict[str, PeriodRecord]:
    """The periods as they stand, and will stand until the transaction ends unless it changes them itself."""
    wanted = set(programme_ids)
    lock_calendars(tx, wanted)
    return {record.id: record for record in read_periods(tx, wanted)}


def _others(
    standing: dict[str, PeriodRecord], programme_id: ProgrammeId, *, but: str | None = None
) -> list[Period]:
    return [
        record.period
        for record in standing.values()
        if record.programme_id == programme_id and record.id != but
    ]


def _move(standing: dict[str, PeriodRecord], order: MovePeriod, now: datetime) -> PeriodRecord | Declined:
    record = standing.get(order.period_id)
    if record is None or record.programme_id != order.programme_id:
        return Declined("period_unknown", "There is no such period in this programme.")
    others = _others(standing, order.programme_id, but=record.id)
    objection = objection_to_transition(record.period, order.to, others=others, now=now)
    if objection is not None:
        return _OBJECTIONS[objection]
    standing[record.id] = replace(record, period=record.period._replace(state=order.to))
    return standing[record.id]


def _event(record: PeriodRecord, type_: str) -> Event:
    data = {"starts_at": record.period.starts_at.isoformat(), "ends_at": record.period.ends_at.isoformat()}
    return Event(record.programme_id, record.id, type_, data)
