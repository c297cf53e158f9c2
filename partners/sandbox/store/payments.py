"""Orders to pay, from the moment they are taken."""

import sqlite3
from dataclasses import asdict

from partners.sandbox.records import Payment, PaymentStatus, Scheme, Script
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Payment)} FROM payments"  # noqa: S608 - names come from code


def insert_payment(tx: Tx, payment: Payment) -> None:
    insert(tx, "payments", payment)


def save_progress(tx: Tx, payment: Payment) -> None:
    """Write what may change about an order: where it stands and when to look at it next."""
    tx.execute(
        "UPDATE payments SET status = :status, posting_id = :posting_id, reason = :reason, due_at = :due_at,"
        " returned_minor = :returned_minor"
        " WHERE id = :id",
        asdict(payment),
    )


def silence(tx: Tx, payment_id: str) -> None:
    """Never send a webhook about this order."""
    tx.execute("UPDATE payments SET silenced = 1 WHERE id = ?", (payment_id,))


def find_payment(tx: Tx, payment_id: str) -> Payment | None:
    row = tx.execute(f"{_SELECT} WHERE id = ?", (payment_id,)).fetchone()
    return None if row is None else _payment(row)


def find_latest_payment(tx: Tx, *, end_to_end_id: str) -> Payment | None:
    """The newest order with this end-to-end id; the schemes do not make it unique."""
    row = tx.execute(
        f"{_SELECT} WHERE end_to_end_id = ? ORDER BY seq DESC LIMIT 1", (end_to_end_id,)
    ).fetchone()
    return None if row is None else _payment(row)


def list_due(tx: Tx, *, now: str, limit: int) -> list[Payment]:
    """Orders whose time has come, oldest first."""
    rows = tx.execute(
        f"{_SELECT} WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY seq LIMIT ?", (now, limit)
    )
    return [_payment(row) for row in rows]


def list_payments(tx: Tx, *, limit: int) -> list[Payment]:
    """The newest orders, in the order in which they were taken."""
    rows = tx.execute(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
    return [_payment(row) for row in reversed(rows)]


def _payment(row: sqlite3.Row) -> Payment:
    values = dict(row)
    values["scheme"] = Scheme(values["scheme"])
    values["status"] = PaymentStatus(values["status"])
    values["script"] = Script(values["script"])
    values["silenced"] = bool(values["silenced"])
    return Payment(**values)
