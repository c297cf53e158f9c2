"""Requests to give a settled payment back, of the client's and of other banks'."""

import sqlite3
from dataclasses import asdict

from partners.sandbox.records import Recall, RecallSide, RecallStatus, Scheme
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Recall)} FROM recalls"  # noqa: S608 - names come from code


def insert_recall(tx: Tx, recall: Recall) -> None:
    insert(tx, "recalls", recall)


def save_recall(tx: Tx, recall: Recall) -> None:
    """Write what may change about a recall: where it stands, its answer, and when to look at it next."""
    tx.execute(
        "UPDATE recalls SET status = :status, answer_reason = :answer_reason, plan_accepts = :plan_accepts,"
        " plan_reason = :plan_reason, plan_at = :plan_at, due_at = :due_at WHERE id = :id",
        asdict(recall),
    )


def find_latest_recall(tx: Tx, payment_id: str, side: RecallSide) -> Recall | None:
    """The newest recall of a payment."""
    row = tx.execute(
        f"{_SELECT} WHERE payment_id = ? AND side = ? ORDER BY seq DESC LIMIT 1", (payment_id, side)
    ).fetchone()
    return None if row is None else _recall(row)


def list_due(tx: Tx, *, now: str, limit: int) -> list[Recall]:
    """Recalls whose time has come, oldest first."""
    rows = tx.execute(
        f"{_SELECT} WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY seq LIMIT ?", (now, limit)
    )
    return [_recall(row) for row in rows]


def list_recalls(tx: Tx, *, limit: int) -> list[Recall]:
    """The newest recalls, oldest of them first."""
    rows = tx.execute(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
    return [_recall(row) for row in reversed(rows)]


def _recall(row: sqlite3.Row) -> Recall:
    values = dict(row)
    values["side"] = RecallSide(values["side"])
    values["scheme"] = Scheme(values["scheme"])
    values["status"] = RecallStatus(values["status"])
    if values["plan_accepts"] is not None:
        values["plan_accepts"] = bool(values["plan_accepts"])
    return Recall(**values)
