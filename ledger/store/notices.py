"""Notices: everything a bank told us, kept raw before it is read, once each."""

from collections.abc import Collection

import sqlalchemy as sa

from ledger.core.ids import NoticeId
from ledger.store.rows import insert_rows, update_rows
from ledger.store.schema import notices
from ledger.store.tx import Tx


def keep_notice(
    tx: Tx, *, bank_connection: str, source: str, key: str, type_: str, body: bytes
) -> tuple[NoticeId, bool]:
    """Keeps a notice; says which one it is, and whether it is new. The same news again is the first notice."""
    row = {
        "id": tx.new_id("ntc"),
        "bank_connection": bank_connection,
        "source": source,
        "key": key,
        "type": type_,
        "body": body,
        "received_at": tx.now,
    }
    if insert_rows(tx, notices, [row], ignore_conflicts=True):
        return NoticeId(row["id"]), True  # type: ignore[arg-type]  # minted as text three lines above
    found = tx.row(
        sa.select(notices.c.id).where(notices.c.bank_connection == bank_connection, notices.c.key == key)
    )
    assert found is not None, "a conflict means that it is there"
    return found["id"], False


def connections_of(tx: Tx, notice_ids: Collection[NoticeId]) -> dict[NoticeId, str]:
    """Which bank connection each of these notices came through."""
    query = sa.select(notices.c.id, notices.c.bank_connection).where(notices.c.id.in_(sorted(notice_ids)))
    return {row["id"]: row["bank_connection"] for row in tx.rows(query)}


def lock_unprocessed(tx: Tx, notice_id: NoticeId) -> tuple[str, bytes] | None:
    """The bank connection and body of a notice that waits; None when it has been processed."""
    row = tx.row(
        sa.select(notices.c.bank_connection, notices.c.body)
        .where(notices.c.id == notice_id, notices.c.processed_at.is_(None))
        .with_for_update()
    )
    return None if row is None else (row["bank_connection"], bytes(row["body"]))


def unheeded_notices(tx: Tx, *, limit: int) -> list[NoticeId]:
    """Webhooks and files that have had no effect yet, oldest first."""
    query = (
        sa.select(notices.c.id)
        .where(notices.c.source.in_(("webhook", "file")), notices.c.processed_at.is_(None))
        .order_by(notices.c.id)
        .limit(limit)
    )
    return [row["id"] for row in tx.rows(query)]


def mark_processed(tx: Tx, notice_id: NoticeId) -> None:
    """Notes that a notice has had its effect."""
    update_rows(tx, notices, ["id"], [{"id": notice_id, "processed_at": tx.now}])
