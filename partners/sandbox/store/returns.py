"""Returns that are still to come."""

from partners.sandbox.records import PlannedReturn
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(PlannedReturn)} FROM planned_returns"  # noqa: S608 - names come from code


def insert_planned(tx: Tx, planned: PlannedReturn) -> None:
    insert(tx, "planned_returns", planned)


def list_due(tx: Tx, *, now: str, limit: int) -> list[PlannedReturn]:
    """Returns whose time has come, oldest order first."""
    rows = tx.execute(f"{_SELECT} WHERE due_at <= ? ORDER BY seq LIMIT ?", (now, limit))
    return [PlannedReturn(**dict(row)) for row in rows]


def forget_planned(tx: Tx, planned_id: str) -> None:
    """It is carried out, or has become impossible."""
    tx.execute("DELETE FROM planned_returns WHERE id = ?", (planned_id,))
