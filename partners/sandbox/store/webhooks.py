"""The queue of messages to the client, which is also their log."""

import sqlite3
from dataclasses import asdict

from partners.sandbox.records import Webhook, WebhookState
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Webhook)} FROM webhooks"  # noqa: S608 - names come from code


def insert_webhook(tx: Tx, webhook: Webhook) -> None:
    """Queue a webhook; its place in the order is given here, `seq` of the value is not read."""
    insert(tx, "webhooks", webhook, without="seq")


def save_attempt(tx: Tx, webhook: Webhook) -> None:
    """Write how the latest attempt ended."""
    tx.execute(
        "UPDATE webhooks SET state = :state, attempts = :attempts, last_failure = :last_failure,"
        " next_attempt_at = :next_attempt_at, delivered_at = :delivered_at WHERE seq = :seq",
        asdict(webhook),
    )


def list_due(tx: Tx, *, now: str, limit: int) -> list[Webhook]:
    """Webhooks to try now, in the order in which they were made."""
    rows = tx.execute(
        f"{_SELECT} WHERE state = 'pending' AND next_attempt_at <= ? ORDER BY seq LIMIT ?", (now, limit)
    )
    return [_webhook(row) for row in rows]


def list_webhooks(tx: Tx, *, after: int, limit: int) -> list[Webhook]:
    """The log past a position, oldest first."""
    rows = tx.execute(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
    return [_webhook(row) for row in rows]


def any_untried(tx: Tx, payment_id: str) -> bool:
    """Whether a webhook about this payment has never been sent yet."""
    row = tx.execute(
        "SELECT 1 FROM webhooks WHERE payment_id = ? AND state = 'pending' AND attempts = 0 LIMIT 1",
        (payment_id,),
    ).fetchone()
    return row is not None


def hurry_held_back(tx: Tx, webhook: Webhook, *, now: str) -> None:
    """What was held back until after this webhook goes next: earlier ones about the same thing, never tried."""
    tx.execute(
        "UPDATE webhooks SET next_attempt_at = min(next_attempt_at, ?)"
        " WHERE state = 'pending' AND attempts = 0 AND seq < ? AND end_to_end_id IS ?",
        (now, webhook.seq, webhook.end_to_end_id),
    )


def list_latest(tx: Tx, *, limit: int) -> list[Webhook]:
    """The end of the log, newest first."""
    return [_webhook(row) for row in tx.execute(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (limit,))]


def count_by_state(tx: Tx) -> dict[WebhookState, int]:
    rows = tx.execute("SELECT state, count(*) AS n FROM webhooks GROUP BY state")
    return {WebhookState(row["state"]): int(row["n"]) for row in rows}


def _webhook(row: sqlite3.Row) -> Webhook:
    values = dict(row)
    values["state"] = WebhookState(values["state"])
    return Webhook(**values)
