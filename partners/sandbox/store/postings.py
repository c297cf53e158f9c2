"""Movements on accounts. A posting's amount never changes; only its status moves on, once."""

import sqlite3
from dataclasses import asdict

from partners.sandbox.records import Direction, Posting, PostingKind, PostingStatus
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Posting)} FROM postings"  # noqa: S608 - names come from code
_ENTRY = "coalesce(batch_id, id)"
_SETTLED_BETWEEN = "account_id = :account AND settled_at >= :start AND settled_at < :end"
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


def find_inbound(tx: Tx, *, payment_id: str) -> Posting | None:
    """The credit of a payment that came in."""
    row = tx.execute(
        f"{_SELECT} WHERE payment_id = ? AND kind = 'Transfer' AND direction = 'Credit'", (payment_id,)
    ).fetchone()
    return None if row is None else _posting(row)


def find_latest_inbound(tx: Tx, *, end_to_end_id: str) -> Posting | None:
    """The newest credit with this end-to-end id that came in; the schemes do not make it unique."""
    row = tx.execute(
        f"{_SELECT} WHERE end_to_end_id = ? AND kind = 'Transfer' AND direction = 'Credit'"
        " ORDER BY seq DESC LIMIT 1",
        (end_to_end_id,),
    ).fetchone()
    return None if row is None else _posting(row)


def was_sent_back(tx: Tx, *, payment_id: str) -> bool:
    """Whether a payment that came in has been returned by this bank."""
    row = tx.execute(
        "SELECT 1 FROM postings WHERE payment_id = ? AND kind = 'Return' AND direction = 'Debit'",
        (payment_id,),
    ).fetchone()
    return row is not None


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


def list_entries(
    tx: Tx, account_id: str, *, start_at: str, end_at: str, limit: int, offset: int
) -> list[Posting]:
    """The postings of some entries settled from a moment on and before another, in order of settlement.

    Limit and offset count entries: the postings of a batch are one.
    """
    window = {"account": account_id, "start": start_at, "end": end_at, "limit": limit, "offset": offset}
    rows = tx.execute(
        f"WITH entries AS (SELECT {_ENTRY} AS entry, min(settled_at) AS at, min(seq) AS first"  # noqa: S608 - names come from code
        f" FROM postings WHERE {_SETTLED_BETWEEN} GROUP BY entry ORDER BY at, first"
        " LIMIT :limit OFFSET :offset)"
        f" SELECT {columns_of(Posting)} FROM postings JOIN entries ON entry = {_ENTRY}"
        f" WHERE {_SETTLED_BETWEEN} ORDER BY at, first, seq",
        window,
    )
    return [_posting(row) for row in rows]


def count_entries(tx: Tx, account_id: str, *, start_at: str, end_at: str) -> int:
    """How many entries a statement of the window has."""
    row = tx.execute(
        f"SELECT count(DISTINCT {_ENTRY}) AS n FROM postings WHERE {_SETTLED_BETWEEN}",  # noqa: S608 - the expressions stand above
        {"account": account_id, "start": start_at, "end": end_at},
    ).fetchone()
    return int(row["n"])


def latest_settled_before(tx: Tx, moment: str) -> str | None:
    """When the last posting of any account before a moment settled."""
    row = tx.execute("SELECT max(settled_at) AS at FROM postings WHERE settled_at < ?", (moment,)).fetchone()
    return None if row["at"] is None else str(row["at"])


def sum_settled_before(tx: Tx, account_id: str, moment: str) -> int:
    """An account's booked balance just before a moment, from its postings alone."""
    row = tx.execute(
        f"SELECT coalesce(sum({_SIGNED}), 0) AS minor FROM postings WHERE account_id = ? AND settled_at < ?",  # noqa: S608 - the expression stands above
        (account_id, moment),
    ).fetchone()
    return int(row["minor"])


def sum_settled_by_virtual_account(tx: Tx) -> dict[str, int]:
    """What has come to each virtual account and gone from it, taken together."""
    rows = tx.execute(
        f"SELECT virtual_account_id AS id, sum({_SIGNED}) AS minor FROM postings"  # noqa: S608 - the expression stands above
        " WHERE virtual_account_id IS NOT NULL AND status = 'Settled' GROUP BY virtual_account_id"
    )
    return {str(row["id"]): int(row["minor"]) for row in rows}


def list_latest(tx: Tx, *, limit: int) -> list[Posting]:
    """The newest postings of all accounts, newest first."""
    return [_posting(row) for row in tx.execute(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (limit,))]


def _posting(row: sqlite3.Row) -> Posting:
    values = dict(row)
    values["kind"] = PostingKind(values["kind"])
    values["direction"] = Direction(values["direction"])
    values["status"] = PostingStatus(values["status"])
    return Posting(**values)
