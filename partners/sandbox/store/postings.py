"""Movements on accounts. A posting's amount never changes; only its status moves on, once."""

import sqlite3
from dataclasses import asdict

from partners.sandbox.records import Direction, Posting, PostingKind, PostingStatus
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Posting)} FROM postings"  # noqa: S608 - names come from code
_SIGNED = "CASE direction WHEN 'Credit' THEN amount_minor ELSE -amount_minor END"


def insert_posting(tx: Tx, posting: Posting) -> None:
    insert(tx, "postings", posting)


def save_outcome(tx: Tx, posting: Posting) -> None:
    """Write how a posting under way has ended."""
    tx.execute(
        "UPDATE postings SET status = :status, settled_at = :settled_at, cancelled_at = :cancelled_at"
        " WHERE id = :id AND status = 'Clearing'",
        asdict(posting),
    )


def find_posting(tx: Tx, posting_id: str) -> Posting | None:
    row = tx.execute(f"{_SELECT} WHERE id = ?", (posting_id,)).fetchone()
    return None if row is None else _posting(row)


def list_created(
    tx: Tx, account_id: str, *, start_at: str, end_at: str, limit: int, offset: int
) -> list[Posting]:
    """An account's postings made between two moments, both included, oldest first."""
    rows = tx.execute(
        f"{_SELECT} WHERE account_id = ? AND created_at >= ? AND created_at <= ?"
        " ORDER BY created_at, seq LIMIT ? OFFSET ?",
        (account_id, start_at, end_at, limit, offset),
    )
    return [_posting(row) for row in rows]


def list_settled(
    tx: Tx, account_id: str, *, start_at: str, end_at: str, limit: int, offset: int
) -> list[Posting]:
    """An account's postings settled from a moment on and before another, in order of settlement."""
    rows = tx.execute(
        f"{_SELECT} WHERE account_id = ? AND settled_at >= ? AND settled_at < ?"
        " ORDER BY settled_at, seq LIMIT ? OFFSET ?",
        (account_id, start_at, end_at, limit, offset),
    )
    return [_posting(row) for row in rows]


def count_settled(tx: Tx, account_id: str, *, start_at: str, end_at: str) -> int:
    row = tx.execute(
        "SELECT count(*) AS n FROM postings WHERE account_id = ? AND settled_at >= ? AND settled_at < ?",
        (account_id, start_at, end_at),
    ).fetchone()
    return int(row["n"])


def sum_settled_before(tx: Tx, account_id: str, moment: str) -> int:
    """An account's booked balance just before a moment, from its postings alone."""
    row = tx.execute(
        f"SELECT coalesce(sum({_SIGNED}), 0) AS minor FROM postings WHERE account_id = ? AND settled_at < ?",  # noqa: S608 - the expression stands above
        (account_id, moment),
    ).fetchone()
    return int(row["minor"])


def _posting(row: sqlite3.Row) -> Posting:
    values = dict(row)
    values["kind"] = PostingKind(values["kind"])
    values["direction"] = Direction(values["direction"])
    values["status"] = PostingStatus(values["status"])
    return Posting(**values)
