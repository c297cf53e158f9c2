"""Events: facts in the past tense, committed with the money that they tell of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledger.core.canonical import Canonical
from ledger.core.ids import ProgrammeId
from ledger.store.rows import insert_rows
from ledger.store.schema import events
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a subject."""

    programme_id: ProgrammeId
    subject_id: str
    type: str
    data: Mapping[str, Canonical]


def record_events(tx: Tx, happened: Sequence[Event]) -> None:
    """Writes events in the order in which they happened."""
    rows = [
        {
            "id": tx.new_id("evt"),
            "programme_id": event.programme_id,
            "subject_id": event.subject_id,
            "type": event.type,
            "data": dict(event.data),
            "occurred_at": tx.now,
        }
        for event in happened
    ]
    insert_rows(tx, events, rows)


def first_event_at(tx: Tx, subject_id: str, type_: str) -> datetime | None:
    """When something first happened to a subject, if it ever did."""
    query = sa.select(sa.func.min(events.c.occurred_at).label("first")).where(
        events.c.subject_id == subject_id, events.c.type == type_
    )
    row = tx.row(query)
    return None if row is None else row["first"]


def events_of(
    tx: Tx, programme_id: ProgrammeId, subject_ids: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """The histories of subjects, each oldest first."""
    query = (
        sa.select(events.c.subject_id, events.c.id, events.c.type, events.c.data, events.c.occurred_at)
        .where(events.c.programme_id == programme_id, events.c.subject_id.in_(sorted(subject_ids)))
        .order_by(events.c.subject_id, events.c.occurred_at, events.c.id)
    )
    found: dict[str, list[dict[str, Any]]] = {subject_id: [] for subject_id in subject_ids}
    for row in tx.rows(query):
        found[row["subject_id"]].append(dict(row))
    return found
