"""How far a programme's past is settled: its periods, its horizon, and the lock that writers and askers share.

Whoever posts holds the lock of its programme shared until its commit, and reads the calendar under it. Whoever
changes what the calendar says (closes a period, answers about an instant for the first time) takes it exclusively:
it waits for those who post by the old calendar, and those who come later read the new one. So an answer about the
past is final, in whatever order transactions start and commit (docs/decisions/0012).
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ledger.core.account import Calendar
from ledger.core.ids import ProgrammeId
from ledger.core.period import Period, PeriodState
from ledger.store.packing import bigints, uuids
from ledger.store.rows import Page, insert_rows, page_of, update_rows
from ledger.store.schema import horizons, periods
from ledger.store.tx import Tx

_SHARE = """
    SELECT uuid_send(programme_id), soft_closed_until, closed_until, answered_until FROM share_calendars(%s, %s)
"""
_LOCK = "SELECT count(pg_advisory_xact_lock(key)) FROM unnest(%s) AS key"


@dataclass(frozen=True, slots=True)
class PeriodRecord:
    """A period as it stands."""

    id: str
    programme_id: ProgrammeId
    period: Period


def share_calendars(tx: Tx, programme_ids: Collection[ProgrammeId]) -> dict[ProgrammeId, Calendar]:
    """How far the past of each programme is settled, which stays so until the transaction ends."""
    if not programme_ids:
        return {}
    wanted = set(programme_ids)
    return {
        ProgrammeId(f"prg_{raw_id.hex()}"): Calendar(soft_closed_until, closed_until, answered_until)
        for raw_id, soft_closed_until, closed_until, answered_until in tx.fetch(
            _SHARE, bigints(_lock_keys(wanted)), uuids(wanted)
        )
    }


def settle(tx: Tx, programme_id: ProgrammeId, instant: datetime) -> None:
    """Sees to it that nothing is recorded at or before an instant any more: what the book says of it is then final.

    The first who asks waits until those who are posting have committed; who asks of it again takes no lock. What is
    read afterwards holds from the commit of this transaction on.
    """
    horizon = read_horizon(tx, programme_id)
    if horizon is None or instant > horizon:
        lock_calendars(tx, [programme_id])
        _raise_horizon(tx, programme_id, instant)


def read_horizon(tx: Tx, programme_id: ProgrammeId) -> datetime | None:
    """The latest instant that was ever answered about."""
    row = tx.row(sa.select(horizons.c.answered_until).where(horizons.c.programme_id == programme_id))
    return None if row is None else row["answered_until"]


def lock_calendars(tx: Tx, programme_ids: Collection[ProgrammeId]) -> None:
    """Waits for everybody who is posting in these programmes, and keeps new ones out until the transaction ends."""
    if programme_ids:
        tx.fetch(_LOCK, bigints(_lock_keys(programme_ids)))


def _raise_horizon(tx: Tx, programme_id: ProgrammeId, instant: datetime) -> None:
    statement = postgresql.insert(horizons).values(programme_id=programme_id, answered_until=instant)
    higher = sa.func.greatest(horizons.c.answered_until, statement.excluded.answered_until)
    tx.run(statement.on_conflict_do_update(index_elements=["programme_id"], set_={"answered_until": higher}))


def _lock_keys(programme_ids: Collection[ProgrammeId]) -> list[int]:
    """A 64-bit key for each programme, in one order for everybody: two batches never wait for each other in a ring.

    They come from a digest, so that no other lock is taken by them; two programmes that share one only wait longer.
    """
    digests = (
        hashlib.sha256(b"calendar of " + programme_id.encode()).digest() for programme_id in programme_ids
    )
    return sorted({int.from_bytes(digest[:8], signed=True) for digest in digests})


def insert_periods(tx: Tx, opened: Sequence[PeriodRecord]) -> None:
    """Writes periods that were found to overlap no other, under the calendar's lock."""
    rows = [
        {
            "id": record.id,
            "programme_id": record.programme_id,
            "starts_at": record.period.starts_at,
            "ends_at": record.period.ends_at,
            "state": record.period.state.value,
            "created_at": tx.now,
        }
        for record in opened
    ]
    insert_rows(tx, periods, rows)


def save_periods(tx: Tx, changed: Sequence[PeriodRecord]) -> None:
    """Writes the states that the flow decided, under the calendar's lock."""
    rows = [{"id": record.id, "state": record.period.state.value} for record in changed]
    found = update_rows(tx, periods, ["id"], rows)
    assert found == len(rows), "a period is never taken away"


def read_periods(tx: Tx, programme_ids: Collection[ProgrammeId]) -> list[PeriodRecord]:
    """All periods of some programmes, oldest first: months and years, never many."""
    query = _SELECT.where(periods.c.programme_id.in_(sorted(programme_ids))).order_by(periods.c.starts_at)
    return [_record(row) for row in tx.rows(query)]


def periods_page(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[PeriodRecord]:
    """Periods of a programme, oldest first, page by page."""
    query = _SELECT.where(periods.c.programme_id == programme_id)
    return [_record(row) for row in tx.rows(page_of(query, periods, page, order="starts_at"))]


_SELECT = sa.select(
    periods.c.id, periods.c.programme_id, periods.c.starts_at, periods.c.ends_at, periods.c.state
)


def _record(row: sa.RowMapping) -> PeriodRecord:
    period = Period(row["starts_at"], row["ends_at"], PeriodState(row["state"]))
    return PeriodRecord(row["id"], row["programme_id"], period)
