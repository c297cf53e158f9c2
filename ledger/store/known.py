"""What was said before: a command as it can be read off what it did, to be compared with one that uses its id again."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ledger.core.account import Entry, Movement
from ledger.core.commands import ASKED
from ledger.core.facts import instant_text
from ledger.core.ids import TransferId
from ledger.core.view import Known
from ledger.store.packing import uuids
from ledger.store.postings import entries_of, legs_of
from ledger.store.schema import transfers
from ledger.store.tx import Tx

_KEPT = (
    "id",
    "programme_id",
    "kind",
    "reference",
    "hold_id",
    "reverses_id",
    "effective_at",
    "recorded_at",
    "asked",
    "metadata",
)
_RESERVING = frozenset({"hold", "increase", "release", "expire"})


def known_transfers(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, Known]:
    """What was said before under these ids, and with what result."""
    used = tx.fetch("SELECT uuid_send(id) FROM transfers WHERE id = ANY(%s)", uuids(ids))
    if not used:
        return {}
    found = [TransferId(f"xfr_{raw.hex()}") for (raw,) in used]
    movements = entries_of(tx, found)
    query = sa.select(*(transfers.c[name] for name in _KEPT)).where(transfers.c.id.in_(found))
    return {row["id"]: _known(row, movements[row["id"]]) for row in tx.rows(query)}


def _known(row: sa.RowMapping, movements: Sequence[Entry]) -> Known:
    asked = row["asked"] or {}
    content = {
        "programme_id": row["programme_id"],
        "kind": row["kind"],
        "effective_at": instant_text(row["effective_at"]),
        "reference": row["reference"],
        "metadata": row["metadata"] or {},
        **_particulars(row, asked, movements),
        **{name: asked[name] for name in ASKED if name in asked},
    }
    return Known(content, row["recorded_at"], moved_minor(row["kind"], movements))


def _particulars(row: sa.RowMapping, asked: Mapping[str, Any], movements: Sequence[Entry]) -> dict[str, Any]:
    """What a command of this kind says besides, read off what it did."""
    up_to = asked.get("up_to", {})
    legs = [
        [leg.debit, leg.credit, None if str(place) in up_to else leg.amount_minor]
        for place, leg in enumerate(legs_of(movements), start=1)
    ]
    account_id, amount_minor = movements[0].account_id, movements[0].amount_minor
    released_minor = None if asked.get("all") else amount_minor
    said: dict[str, dict[str, Any]] = {
        "post": {"legs": legs},
        "hold": {"account_id": account_id, "amount_minor": amount_minor},
        "increase": {"hold_id": row["hold_id"], "amount_minor": amount_minor},
        "capture": {"hold_id": row["hold_id"], "legs": legs},
        "release": {"hold_id": row["hold_id"], "amount_minor": released_minor},
        "expire": {"hold_id": row["hold_id"]},
        "reverse": {"transfer_id": row["reverses_id"]},
    }
    return said.get(row["kind"]) or {"account_id": account_id}


def moved_minor(kind: str, movements: Sequence[Entry]) -> int:
    """What a command moved, held or gave back, all legs together. Units: minor units."""
    if kind in _RESERVING:
        return sum(entry.amount_minor for entry in movements)
    return sum(entry.amount_minor for entry in movements if entry.movement is Movement.DEBIT)
