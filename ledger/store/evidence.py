"""The log of evidence in the database: leaves in a commit-safe order, checkpoints, sealed facts and exports.

Nothing here is on the way of a posting: only sealers wait for one another, and they lock no row.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from ledger.core.facts import AccountFact, EntryFact, TransferFact
from ledger.core.ids import ProgrammeId, TransferId
from ledger.store.rows import insert_rows
from ledger.store.schema import accounts, checkpoints, entries, exports, log_leaves, parties, transfers
from ledger.store.tx import Tx

UNSEALED_PAGE: Final = 1000
SEALED_PAGE: Final = 1000
LEAVES_PAGE: Final = 50_000


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a sealer has looked through the unsealed transfers. `xid` is PostgreSQL's id of theirs."""

    xid: str
    transfer_id: TransferId


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A committed transfer without a leaf, and the unsealed ones that its accounts saw just before it."""

    seen: Seen
    transfer: TransferFact
    entries: tuple[EntryFact, ...]
    after: frozenset[TransferId]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A transfer in the log: its row as it stands today, and the hash that was taken at its sealing."""

    position: int
    leaf_hash: bytes
    transfer: TransferFact
    entries: tuple[EntryFact, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A size and root of the log that was signed and published as `note`."""

    size: int
    root: bytes
    note: str


class ExportState(StrEnum):
    """How far an export has come."""

    REQUESTED = "requested"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was asked for. `directory` is set when it is ready, `detail` when it failed."""

    id: str
    programme_id: ProgrammeId
    state: ExportState
    directory: str | None
    detail: str | None


_TRANSFER = tuple(transfers.c[name] for name in TransferFact.__slots__)
_ENTRY = tuple(entries.c[name] for name in EntryFact.__slots__)
_EXPORT = tuple(exports.c[name] for name in Export.__slots__)


def lock_log(tx: Tx, programme_id: ProgrammeId) -> None:
    """Makes the sealers of one programme wait for one another until the transaction ends, and nobody else."""
    tx.run(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"ledger.log:{programme_id}"},
    )


def log_size(tx: Tx, programme_id: ProgrammeId) -> int:
    """How many leaves the log has."""
    query = sa.select(sa.func.coalesce(sa.func.max(log_leaves.c.position) + 1, 0).label("size"))
    row = tx.row(query.where(log_leaves.c.programme_id == programme_id))
    assert row is not None, "an aggregate always has a row"
    return int(row["size"])


def unsealed_page(tx: Tx, programme_id: ProgrammeId, seen: Seen | None) -> list[Unsealed]:
    """The next unsealed transfers behind `seen` that nothing still in progress can come before, by (xid, id).

    Every transaction below the snapshot's horizon has ended, so none of them can bring another later.
    A page shorter than UNSEALED_PAGE is the last.
    """
    found = _unsealed_transfers(tx, programme_id, seen)
    ids = [row["id"] for row in found]
    entries_of, after = _entries_of(tx, ids), _unsealed_before(tx, ids)
    return [
        Unsealed(
            seen=Seen(str(row["xid"]), row["id"]),
            transfer=_transfer(row),
            entries=tuple(entries_of[row["id"]]),
            after=frozenset(after[row["id"]]),
        )
        for row in found
    ]


def _unsealed_transfers(tx: Tx, programme_id: ProgrammeId, seen: Seen | None) -> Sequence[sa.RowMapping]:
    horizon = sa.func.pg_snapshot_xmin(sa.func.pg_current_snapshot())
    sealed = sa.exists().where(log_leaves.c.transfer_id == transfers.c.id)
    query = (
        sa.select(sa.cast(transfers.c.xid, sa.Text).label("xid"), *_TRANSFER)
        .where(transfers.c.programme_id == programme_id, transfers.c.xid < horizon, ~sealed)
        .order_by(transfers.c.xid, transfers.c.id)
        .limit(UNSEALED_PAGE)
    )
    if seen is not None:
        behind = sa.tuple_(
            sa.text("CAST(:seen_xid AS xid8)"), sa.bindparam("seen_id", type_=transfers.c.id.type)
        )
        query = query.where(sa.tuple_(transfers.c.xid, transfers.c.id) > behind)
        return tx.rows(query, {"seen_xid": seen.xid, "seen_id": seen.transfer_id})
    return tx.rows(query)


def _unsealed_before(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, set[TransferId]]:
    """For each of these transfers, the unsealed ones that wrote the versions just before its own."""
    own, before = entries.alias("own"), entries.alias("before")
    sealed = sa.exists().where(log_leaves.c.transfer_id == before.c.transfer_id)
    query = (
        sa.select(own.c.transfer_id, before.c.transfer_id.label("before_id"))
        .distinct()
        .join_from(
            own,
            before,
            sa.and_(before.c.account_id == own.c.account_id, before.c.version == own.c.version - 1),
        )
        .where(own.c.transfer_id.in_(ids), before.c.transfer_id != own.c.transfer_id, ~sealed)
    )
    found: dict[TransferId, set[TransferId]] = defaultdict(set)
    for row in tx.rows(query):
        found[row["transfer_id"]].add(row["before_id"])
    return found


def insert_leaves(
    tx: Tx, programme_id: ProgrammeId, start: int, leaves: Sequence[tuple[TransferId, bytes]]
) -> None:
    """Appends leaves from position `start` on. A taken position, or a second leaf, is a key violation."""
    rows = [
        {
            "programme_id": programme_id,
            "position": position,
            "transfer_id": transfer_id,
            "leaf_hash": leaf,
        }
        for position, (transfer_id, leaf) in enumerate(leaves, start=start)
    ]
    insert_rows(tx, log_leaves, rows)


def leaf_hashes(tx: Tx, programme_id: ProgrammeId, size: int) -> Iterator[bytes]:
    """The hashes of the first `size` leaves, in the log's order, page by page."""
    for start in range(0, size, LEAVES_PAGE):
        query = (
            sa.select(log_leaves.c.leaf_hash)
            .where(
                log_leaves.c.programme_id == programme_id,
                log_leaves.c.position >= start,
                log_leaves.c.position < min(start + LEAVES_PAGE, size),
            )
            .order_by(log_leaves.c.position)
        )
        yield from (bytes(row["leaf_hash"]) for row in tx.rows(query))


def insert_checkpoint(tx: Tx, programme_id: ProgrammeId, checkpoint: Checkpoint) -> None:
    """Keeps a checkpoint, unless one of this size is kept already."""
    row = {
        "programme_id": programme_id,
        "size": checkpoint.size,
        "root": checkpoint.root,
        "note": checkpoint.note,
        "sealed_at": tx.now,
    }
    insert_rows(tx, checkpoints, [row], ignore_conflicts=True)


def read_checkpoint(tx: Tx, programme_id: ProgrammeId, size: int) -> Checkpoint | None:
    """The checkpoint of one size."""
    row = tx.row(_checkpoints(programme_id).where(checkpoints.c.size == size))
    return None if row is None else _checkpoint(row)


def latest_checkpoint(tx: Tx, programme_id: ProgrammeId) -> Checkpoint | None:
    """The checkpoint of the greatest size."""
    row = tx.row(_checkpoints(programme_id).order_by(checkpoints.c.size.desc()).limit(1))
    return None if row is None else _checkpoint(row)


def _checkpoints(programme_id: ProgrammeId) -> sa.Select[tuple[int, bytes, str]]:
    query = sa.select(checkpoints.c.size, checkpoints.c.root, checkpoints.c.note)
    return query.where(checkpoints.c.programme_id == programme_id)


def sealed_facts(tx: Tx, programme_id: ProgrammeId, size: int) -> Iterator[Sealed]:
    """The transfers behind the first `size` leaves with their entries, in the log's order, page by page."""
    for start in range(0, size, SEALED_PAGE):
        yield from _sealed_page(tx, programme_id, start, min(start + SEALED_PAGE, size))


def _sealed_page(tx: Tx, programme_id: ProgrammeId, start: int, end: int) -> Iterator[Sealed]:
    query = (
        sa.select(log_leaves.c.position, log_leaves.c.leaf_hash, *_TRANSFER)
        .join_from(log_leaves, transfers, transfers.c.id == log_leaves.c.transfer_id)
        .where(
            log_leaves.c.programme_id == programme_id,
            log_leaves.c.position >= start,
            log_leaves.c.position < end,
        )
        .order_by(log_leaves.c.position)
    )
    found = tx.rows(query)
    entries_of = _entries_of(tx, [row["id"] for row in found])
    for row in found:
        yield Sealed(row["position"], bytes(row["leaf_hash"]), _transfer(row), tuple(entries_of[row["id"]]))


def _entries_of(tx: Tx, ids: Collection[TransferId]) -> dict[str, list[EntryFact]]:
    query = (
        sa.select(*_ENTRY)
        .where(entries.c.transfer_id.in_(ids))
        .order_by(entries.c.transfer_id, entries.c.account_id, entries.c.version)
    )
    found: dict[str, list[EntryFact]] = defaultdict(list)
    for row in tx.rows(query):
        found[row["transfer_id"]].append(EntryFact(**row))
    return found


def account_facts(tx: Tx, programme_id: ProgrammeId) -> list[AccountFact]:
    """All accounts of a programme, by id, each with its party's reference."""
    query = (
        sa.select(
            accounts.c.id,
            accounts.c.code,
            accounts.c["class"].label("account_class"),
            accounts.c.side,
            parties.c.reference.label("party_reference"),
            accounts.c.currency,
            accounts.c.pool,
            accounts.c.min_available_minor,
        )
        .join_from(accounts, parties, parties.c.id == accounts.c.party_id, isouter=True)
        .where(accounts.c.programme_id == programme_id)
        .order_by(accounts.c.id)
    )
    return [AccountFact(**row) for row in tx.rows(query)]


def insert_export(tx: Tx, programme_id: ProgrammeId) -> Export:
    """Writes down that an export was asked for."""
    export = Export(tx.new_id("exp"), programme_id, ExportState.REQUESTED, directory=None, detail=None)
    row = {
        "id": export.id,
        "programme_id": programme_id,
        "state": export.state.value,
        "directory": None,
        "detail": None,
        "requested_at": tx.now,
    }
    insert_rows(tx, exports, [row])
    return export


def save_export_ready(tx: Tx, export_id: str, *, directory: str) -> bool:
    """Notes where a requested export now lies; says False when it was not waiting for that."""
    return _save_export(tx, export_id, {"state": ExportState.READY.value, "directory": directory})


def save_export_failed(tx: Tx, export_id: str, *, detail: str) -> bool:
    """Notes why a requested export will not come; says False when it was not waiting for that."""
    return _save_export(tx, export_id, {"state": ExportState.FAILED.value, "detail": detail})


def _save_export(tx: Tx, export_id: str, changes: dict[str, str]) -> bool:
    waiting = sa.and_(exports.c.id == export_id, exports.c.state == ExportState.REQUESTED.value)
    return tx.run(sa.update(exports).where(waiting).values(changes)) == 1


def read_export(tx: Tx, programme_id: ProgrammeId, export_id: str) -> Export | None:
    """One export of this programme."""
    query = sa.select(*_EXPORT).where(exports.c.programme_id == programme_id, exports.c.id == export_id)
    row = tx.row(query)
    return None if row is None else Export(**{**row, "state": ExportState(row["state"])})


def _checkpoint(row: sa.RowMapping) -> Checkpoint:
    return Checkpoint(row["size"], bytes(row["root"]), row["note"])


def _transfer(row: sa.RowMapping) -> TransferFact:
    return TransferFact(
        id=row["id"],
        programme_id=row["programme_id"],
        kind=row["kind"],
        content_digest=bytes(row["content_digest"]).hex(),
        reference=row["reference"],
        hold_id=row["hold_id"],
        reverses_id=row["reverses_id"],
        clearance_id=row["clearance_id"],
        notice_id=row["notice_id"],
        effective_at=row["effective_at"],
        recorded_at=row["recorded_at"],
        metadata=row["metadata"],
    )
