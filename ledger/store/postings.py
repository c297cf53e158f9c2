"""Transfers, entries and holds: what the book wrote, and what it must look at before it writes again."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from ledger.core.commands import Capture, Command, Hold, Leg, Release, Reverse, kind_of
from ledger.core.decide import Entry, HoldState, Movement, Posted, Recorded
from ledger.core.ids import AccountId, TransferId
from ledger.store.rows import insert_rows, update_rows
from ledger.store.schema import entries, holds, transfers
from ledger.store.tx import Tx

_REVERSIBLE = ("post", "capture")


def known_transfers(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, bytes]:
    """Which of these ids were used, and the digest of what they were used for."""
    query = sa.select(transfers.c.id, transfers.c.content_digest).where(transfers.c.id.in_(sorted(ids)))
    return {row["id"]: bytes(row["content_digest"]) for row in tx.rows(query)}


def read_holds(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, HoldState]:
    """Holds as they stand. They change only under the lock of their account."""
    if not ids:
        return {}
    query = sa.select(
        holds.c.transfer_id.label("id"),
        holds.c.programme_id,
        holds.c.account_id,
        holds.c.amount_minor,
        holds.c.captured_minor,
        holds.c.released_minor,
        holds.c.expires_at,
    ).where(holds.c.transfer_id.in_(sorted(ids)))
    return {row["id"]: HoldState(**row) for row in tx.rows(query)}


def read_posted(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, Posted]:
    """Transfers of the past with their legs, and whether they were reversed. A reversal is not itself one of them."""
    if not ids:
        return {}
    legs = _legs(tx, ids)
    reversal = transfers.alias("reversal")
    query = (
        sa.select(transfers.c.id, transfers.c.programme_id, reversal.c.id.label("reversal_id"))
        .select_from(transfers.outerjoin(reversal, reversal.c.reverses_id == transfers.c.id))
        .where(transfers.c.id.in_(sorted(ids)), transfers.c.kind.in_(_REVERSIBLE))
    )
    return {
        row["id"]: Posted(
            row["id"], row["programme_id"], legs.get(row["id"], ()), row["reversal_id"] is not None
        )
        for row in tx.rows(query)
    }


def _legs(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, tuple[Leg, ...]]:
    query = (
        sa.select(
            entries.c.transfer_id,
            entries.c.leg,
            entries.c.movement,
            entries.c.account_id,
            entries.c.amount_minor,
        )
        .where(entries.c.transfer_id.in_(sorted(ids)), entries.c.leg > 0)
        .order_by(entries.c.transfer_id, entries.c.leg)
    )
    sides: dict[tuple[TransferId, int], dict[str, tuple[AccountId, int]]] = defaultdict(dict)
    for row in tx.rows(query):
        sides[row["transfer_id"], row["leg"]][row["movement"]] = (row["account_id"], row["amount_minor"])
    found: dict[TransferId, list[Leg]] = defaultdict(list)
    for (transfer_id, _), pair in sides.items():
        debit, credit = pair[Movement.DEBIT], pair[Movement.CREDIT]
        found[transfer_id].append(Leg(debit[0], credit[0], debit[1]))
    return {transfer_id: tuple(legs) for transfer_id, legs in found.items()}


def insert_transfers(tx: Tx, recorded: Sequence[Recorded]) -> None:
    """Writes applied commands. A used id is a key violation: nothing is ever applied twice."""
    insert_rows(tx, transfers, [_transfer_row(item) for item in recorded])


def _transfer_row(item: Recorded) -> dict[str, object]:
    command = item.command
    return {
        "id": command.id,
        "programme_id": command.programme_id,
        "kind": kind_of(command),
        "content_digest": item.content_digest,
        "reference": command.reference,
        "hold_id": command.hold_id if isinstance(command, Capture | Release) else None,
        "reverses_id": command.transfer_id if isinstance(command, Reverse) else None,
        "clearance_id": command.authority.clearance_id if command.authority else None,
        "notice_id": command.authority.notice_id if command.authority else None,
        "effective_at": command.effective_at,
        "recorded_at": item.recorded_at,
        "metadata": dict(command.metadata),
    }


def insert_entries(tx: Tx, added: Sequence[Entry]) -> None:
    """Writes entries. A version that is taken is a key violation: two writers can never both be right."""
    insert_rows(tx, entries, [asdict(entry) | {"movement": entry.movement.value} for entry in added])


def save_holds(tx: Tx, changed: Sequence[HoldState], commands: Sequence[Command]) -> None:
    """Inserts the holds that these commands made, and updates the others."""
    made = {command.id for command in commands if isinstance(command, Hold)}
    rows = [{**asdict(hold), "transfer_id": hold.id} for hold in changed]
    for row in rows:
        del row["id"]
    insert_rows(tx, holds, [row for row in rows if row["transfer_id"] in made])
    update_rows(
        tx,
        holds,
        ["transfer_id"],
        [
            {key: row[key] for key in ("transfer_id", "captured_minor", "released_minor")}
            for row in rows
            if row["transfer_id"] not in made
        ],
    )


def expired_holds(tx: Tx, limit: int) -> list[TransferId]:
    """Holds past their time with something left on them, oldest first."""
    query = (
        sa.select(holds.c.transfer_id)
        .where(
            holds.c.expires_at <= tx.now,
            holds.c.captured_minor + holds.c.released_minor < holds.c.amount_minor,
        )
        .order_by(holds.c.expires_at)
        .limit(limit)
    )
    return [row["transfer_id"] for row in tx.rows(query)]


def entries_page(tx: Tx, account_id: AccountId, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Entries of one account, oldest first, from behind a version."""
    names = (
        "version",
        "transfer_id",
        "leg",
        "movement",
        "amount_minor",
        "debits_after_minor",
        "credits_after_minor",
        "held_after_minor",
        "effective_at",
        "recorded_at",
    )
    query = (
        sa.select(*(entries.c[name] for name in names))
        .where(entries.c.account_id == account_id, entries.c.version > after)
        .order_by(entries.c.version)
        .limit(limit)
    )
    return [dict(row) for row in tx.rows(query)]
