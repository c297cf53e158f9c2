"""Orders to misbehave, kept until they are used up."""

import sqlite3

from partners.sandbox.records import Fault, FaultKind
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Fault)} FROM faults"  # noqa: S608 - names come from code


def insert_fault(tx: Tx, fault: Fault) -> None:
    insert(tx, "faults", fault)


def list_faults(tx: Tx) -> list[Fault]:
    """Every fault ever ordered, used up or not, oldest first."""
    return [_fault(row) for row in tx.execute(f"{_SELECT} ORDER BY seq")]


def list_live_faults(tx: Tx, kind: FaultKind) -> list[Fault]:
    """Faults of a kind that have not been used up, oldest first."""
    rows = tx.execute(f"{_SELECT} WHERE kind = ? AND times_left > 0 ORDER BY seq", (kind,))
    return [_fault(row) for row in rows]


def use_fault(tx: Tx, fault_id: str) -> None:
    tx.execute("UPDATE faults SET times_left = times_left - 1 WHERE id = ? AND times_left > 0", (fault_id,))


def _fault(row: sqlite3.Row) -> Fault:
    values = dict(row)
    values["kind"] = FaultKind(values["kind"])
    return Fault(**values)
