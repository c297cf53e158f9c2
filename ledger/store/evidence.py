"""The log of evidence in the database: leaves in a commit-safe order, checkpoints, sealed facts and exports.

Nothing here is on the way of a posting: only sealers wait for one another, and they lock no row. Facts are read from
their tables, never through a view.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from ledger.core.facts import AccountFact, EntryFact, TransferFact, UnitFact
from ledger.core.ids import ProgrammeId, TransferId, to_uuid
from ledger.store.packing import uuids
from ledger.store.rows import insert_rows
from ledger.store.schema import (
    accounts,
    checkpoints,
    exports,
    log_leaves,
    parties,
    programmes,
    transfers,
    units,
)
from ledger.store.tx import Tx

UNSEALED_PAGE: Final = 4000
SEALED_PAGE: Final = 4000
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
    """A size and root of the log that was signed and published as `note`. `peaks`: from where the log goes on."""

    size: int
    root: bytes
    peaks: bytes
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


# The columns of a transfer, and of its movements, as the facts below are made of them.
_TRANSFER: Final = """
    uuid_send(transfers.id), uuid_send(transfers.programme_id), transfers.kind, transfers.reference,
    uuid_send(transfers.hold_id), uuid_send(transfers.reverses_id), uuid_send(transfers.clearance_id),
    uuid_send(transfers.notice_id), transfers.effective_at, transfers.recorded_at, transfers.asked, transfers.metadata
"""
# Without a condition in its branches: only such ones are looked up row by row in a join. What has no leg joins nothing.
_ALL_LEGS: Final = """
    SELECT id AS transfer_id, 1::smallint AS leg, amount_minor, effective_at, recorded_at,
        debit_number, debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
        credit_number, credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor
    FROM transfers
    UNION ALL
    SELECT transfer_id, leg, amount_minor, effective_at, recorded_at,
        debit_number, debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
        credit_number, credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor
    FROM further_legs
"""
_LEGS: Final = f"""
    SELECT uuid_send(transfer_id), leg, amount_minor, effective_at, recorded_at,
        uuid_send(debit.id), debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
        uuid_send(credit.id), credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor
    FROM ({_ALL_LEGS}) AS legs JOIN accounts AS debit ON debit.number = debit_number
        JOIN accounts AS credit ON credit.number = credit_number
    WHERE transfer_id = ANY(%s)
"""  # noqa: S608 - the columns are this file's own
# The movement that the step of a transfer is, by its kind; said here and not by a function that could be replaced.
MOVEMENT_OF_STEP: Final = """
    CASE kind WHEN 'increase' THEN 'hold' WHEN 'capture' THEN 'release' WHEN 'expire' THEN 'release' ELSE kind END
"""
_STEPS: Final = f"""
    SELECT uuid_send(transfers.id), uuid_send(accounts.id), step_version,
        {MOVEMENT_OF_STEP},
        step_amount_minor, step_debits_minor, step_credits_minor, step_held_minor, effective_at, recorded_at
    FROM transfers JOIN accounts ON accounts.number = step_number
    WHERE transfers.id = ANY(%s)
"""  # noqa: S608 - the columns are this file's own
# What is unsealed was written by no transaction before that of the last leaf: the log closes over whole transactions,
# oldest first (ledger.evidence.log). A book that was restored from a dump has transactions of another server.
_UNSEALED: Final = f"""
    WITH last AS (
        SELECT transfers.xid FROM log_leaves JOIN transfers ON transfers.id = log_leaves.transfer_id
        WHERE log_leaves.programme_id = %s ORDER BY log_leaves.position DESC LIMIT 1
    )
    SELECT xid::text, {_TRANSFER} FROM transfers
    WHERE programme_id = %s AND transfers.xid < pg_snapshot_xmin(pg_current_snapshot())
        AND transfers.xid >= coalesce((SELECT xid FROM last WHERE xid < pg_snapshot_xmin(pg_current_snapshot())), '0')
        AND (transfers.xid, transfers.id) > (%s::xid8, %s)
        AND NOT EXISTS (SELECT FROM log_leaves WHERE transfer_id = transfers.id)
    ORDER BY transfers.xid, transfers.id LIMIT %s
"""  # noqa: S608 - the columns are this file's own
# The entry just before an account's first one of a transfer is of a transfer that has to stand in the log first.
_UNSEALED_BEFORE: Final = f"""
    WITH own AS (
        SELECT transfer_id, number, min(version) - 1 AS before FROM (
            SELECT transfer_id, debit_number AS number, debit_version AS version FROM ({_ALL_LEGS}) AS legs
            WHERE transfer_id = ANY(%s)
            UNION ALL
            SELECT transfer_id, credit_number, credit_version FROM ({_ALL_LEGS}) AS legs WHERE transfer_id = ANY(%s)
            UNION ALL
            SELECT id, step_number, step_version FROM transfers WHERE id = ANY(%s)
        ) AS movements WHERE number IS NOT NULL GROUP BY transfer_id, number
    ), preceding AS (
        SELECT own.transfer_id, legs.transfer_id AS before_id
        FROM own JOIN ({_ALL_LEGS}) AS legs ON debit_number = number AND debit_version = before
        UNION ALL
        SELECT own.transfer_id, legs.transfer_id
        FROM own JOIN ({_ALL_LEGS}) AS legs ON credit_number = number AND credit_version = before
        UNION ALL
        SELECT own.transfer_id, transfers.id
        FROM own JOIN transfers ON step_number = number AND step_version = before
    )
    SELECT DISTINCT uuid_send(transfer_id), uuid_send(before_id) FROM preceding
    WHERE before_id <> transfer_id AND NOT EXISTS (SELECT FROM log_leaves WHERE transfer_id = before_id)
"""  # noqa: S608 - the columns are this file's own
_SEALED: Final = f"""
    SELECT log_leaves.position, log_leaves.leaf_hash, {_TRANSFER}
    FROM log_leaves JOIN transfers ON transfers.id = log_leaves.transfer_id
    WHERE log_leaves.programme_id = %s AND log_leaves.position >= %s AND log_leaves.position < %s
    ORDER BY log_leaves.position
"""  # noqa: S608 - the columns are this file's own
_NOTHING_SEEN: Final = "0", UUID(int=0)
_EXPORT = tuple(exports.c[name] for name in Export.__slots__)


# The log -----------------------------------------------------------------------------------------------------


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
    programme = to_uuid("prg", programme_id)
    xid, after = _NOTHING_SEEN if seen is None else (seen.xid, to_uuid("xfr", seen.transfer_id))
    rows = tx.fetch(_UNSEALED, programme, programme, xid, after, UNSEALED_PAGE)
    facts = [_transfer(row[1:]) for row in rows]
    ids = [TransferId(fact.id) for fact in facts]
    entries, before = _entries_of(tx, ids), _unsealed_before(tx, ids)
    return [
        Unsealed(
            seen=Seen(row[0], transfer_id),
            transfer=fact,
            entries=tuple(entries[fact.id]),
            after=frozenset(before[transfer_id]),
        )
        for row, fact, transfer_id in zip(rows, facts, ids, strict=True)
    ]


def _unsealed_before(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, set[TransferId]]:
    """For each of these transfers, the unsealed ones that wrote the versions just before its own."""
    found: dict[TransferId, set[TransferId]] = defaultdict(set)
    if ids:
        packed = uuids(ids)
        for transfer_id, before_id in tx.fetch(_UNSEALED_BEFORE, packed, packed, packed):
            found[TransferId(f"xfr_{transfer_id.hex()}")].add(TransferId(f"xfr_{before_id.hex()}"))
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


def leaf_hashes(tx: Tx, programme_id: ProgrammeId, *, start: int = 0, end: int) -> Iterator[bytes]:
    """The hashes of the leaves from one position until just before another, in the log's order, page by page."""
    for page in range(start, end, LEAVES_PAGE):
        query = (
            sa.select(log_leaves.c.leaf_hash)
            .where(
                log_leaves.c.programme_id == programme_id,
                log_leaves.c.position >= page,
                log_leaves.c.position < min(page + LEAVES_PAGE, end),
            )
            .order_by(log_leaves.c.position)
        )
        yield from (bytes(row["leaf_hash"]) for row in tx.rows(query))


def read_position(tx: Tx, programme_id: ProgrammeId, transfer_id: TransferId) -> int | None:
    """Where a transfer stands in the programme's log."""
    query = sa.select(log_leaves.c.position).where(
        log_leaves.c.programme_id == programme_id, log_leaves.c.transfer_id == transfer_id
    )
    row = tx.row(query)
    return None if row is None else int(row["position"])


# Checkpoints -------------------------------------------------------------------------------------------------


def insert_checkpoint(tx: Tx, programme_id: ProgrammeId, checkpoint: Checkpoint) -> None:
    """Keeps a checkpoint, unless one of this size is kept already."""
    row = {
        "programme_id": programme_id,
        "size": checkpoint.size,
        "root": checkpoint.root,
        "peaks": checkpoint.peaks,
        "note": checkpoint.note,
        "sealed_at": _sealed_at(tx, programme_id, checkpoint.size),
    }
    insert_rows(tx, checkpoints, [row], ignore_conflicts=True)


def _sealed_at(tx: Tx, programme_id: ProgrammeId, size: int) -> datetime:
    """The time that a log of this size reaches: when the newest of its facts was recorded, or the programme began.

    Not when it was signed, which only a clock of ours would say: every column of a checkpoint follows from the facts.
    """
    before = (
        sa.select(checkpoints.c.size, checkpoints.c.sealed_at)
        .where(checkpoints.c.programme_id == programme_id, checkpoints.c.size < size)
        .order_by(checkpoints.c.size.desc())
        .limit(1)
        .cte("before")
    )
    newest = (
        sa.select(sa.func.max(transfers.c.recorded_at))
        .join_from(log_leaves, transfers, transfers.c.id == log_leaves.c.transfer_id)
        .where(
            log_leaves.c.programme_id == programme_id,
            log_leaves.c.position >= sa.func.coalesce(sa.select(before.c.size).scalar_subquery(), 0),
            log_leaves.c.position < size,
        )
        .scalar_subquery()
    )
    reached = sa.func.greatest(
        programmes.c.created_at, sa.select(before.c.sealed_at).scalar_subquery(), newest
    )
    row = tx.row(sa.select(reached.label("sealed_at")).where(programmes.c.id == programme_id))
    assert row is not None, "a log belongs to a programme"
    found: datetime = row["sealed_at"]
    return found


def read_checkpoint(tx: Tx, programme_id: ProgrammeId, size: int) -> Checkpoint | None:
    """The checkpoint of one size."""
    row = tx.row(_checkpoints(programme_id).where(checkpoints.c.size == size))
    return None if row is None else _checkpoint(row)


def latest_checkpoint(tx: Tx, programme_id: ProgrammeId, *, below: int | None = None) -> Checkpoint | None:
    """The checkpoint of the greatest size, or of the greatest one below a size."""
    query = _checkpoints(programme_id).order_by(checkpoints.c.size.desc()).limit(1)
    row = tx.row(query if below is None else query.where(checkpoints.c.size < below))
    return None if row is None else _checkpoint(row)


def _checkpoints(programme_id: ProgrammeId) -> sa.Select[Any]:
    query = sa.select(checkpoints.c.size, checkpoints.c.root, checkpoints.c.peaks, checkpoints.c.note)
    return query.where(checkpoints.c.programme_id == programme_id)


# Facts -------------------------------------------------------------------------------------------------------


def sealed_facts(tx: Tx, programme_id: ProgrammeId, *, start: int = 0, end: int) -> Iterator[Sealed]:
    """The transfers behind the leaves from one position until just before another, with their entries, in order."""
    programme = to_uuid("prg", programme_id)
    for page in range(start, end, SEALED_PAGE):
        rows = tx.fetch(_SEALED, programme, page, min(page + SEALED_PAGE, end))
        facts = [_transfer(row[2:]) for row in rows]
        entries = _entries_of(tx, [TransferId(fact.id) for fact in facts])
        for (position, leaf_hash, *_), fact in zip(rows, facts, strict=True):
            yield Sealed(position, leaf_hash, fact, tuple(entries[fact.id]))


def _transfer(row: Sequence[Any]) -> TransferFact:
    (
        raw_id,
        programme,
        kind,
        reference,
        hold,
        reverses,
        clearance,
        notice,
        effective_at,
        recorded_at,
        *said,
    ) = row
    return TransferFact(
        id=f"xfr_{raw_id.hex()}",
        programme_id=f"prg_{programme.hex()}",
        kind=kind,
        reference=reference,
        hold_id=None if hold is None else f"xfr_{hold.hex()}",
        reverses_id=None if reverses is None else f"xfr_{reverses.hex()}",
        clearance_id=None if clearance is None else f"clr_{clearance.hex()}",
        notice_id=None if notice is None else f"ntc_{notice.hex()}",
        effective_at=effective_at,
        recorded_at=recorded_at,
        asked=said[0] or {},
        metadata=said[1] or {},
    )


def _entries_of(tx: Tx, ids: Collection[TransferId]) -> dict[str, list[EntryFact]]:
    found: dict[str, list[EntryFact]] = defaultdict(list)
    if not ids:
        return found
    for raw_id, leg, amount_minor, *times, debit, v1, d1, c1, h1, credit, v2, d2, c2, h2 in tx.fetch(
        _LEGS, uuids(ids)
    ):
        own = f"xfr_{raw_id.hex()}"
        for movement, account, version, *after in (
            ("debit", debit, v1, d1, c1, h1),
            ("credit", credit, v2, d2, c2, h2),
        ):
            account_id = f"acct_{account.hex()}"
            found[own].append(
                EntryFact(account_id, version, own, leg, movement, amount_minor, *after, *times)
            )
    for raw_id, account, version, *rest in tx.fetch(_STEPS, uuids(ids)):
        own = f"xfr_{raw_id.hex()}"
        found[own].append(EntryFact(f"acct_{account.hex()}", version, own, 0, *rest))
    return found


def account_facts(tx: Tx, programme_id: ProgrammeId) -> list[AccountFact]:
    """All accounts of a programme, by id, each with its party's reference."""
    query = (
        sa.select(
            *(accounts.c[name] for name in _ACCOUNT),
            accounts.c["class"].label("account_class"),
            parties.c.reference.label("party_reference"),
        )
        .join_from(accounts, parties, parties.c.id == accounts.c.party_id, isouter=True)
        .where(accounts.c.programme_id == programme_id)
        .order_by(accounts.c.id)
    )
    return [AccountFact(**{**row, "tags": tuple(row["tags"])}) for row in tx.rows(query)]


_ACCOUNT: Final = tuple(
    name for name in AccountFact.__slots__ if name not in {"account_class", "party_reference"}
)


def unit_facts(tx: Tx, programme_id: ProgrammeId) -> list[UnitFact]:
    """A programme's own units, by code."""
    query = sa.select(units.c.code, units.c.name, units.c.decimals).where(
        units.c.programme_id == programme_id
    )
    return [UnitFact(**row) for row in tx.rows(query.order_by(units.c.code))]


# Exports -----------------------------------------------------------------------------------------------------


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
    return Checkpoint(row["size"], bytes(row["root"]), bytes(row["peaks"]), row["note"])
