"""The book as an auditor reads it: every row of the fact tables and of what is derived from them, in streams.

Reads only, and only tables: a view could have been told to lie. Each stream is one statement in one order, fetched
page by page, so that no more than a page of it is ever in memory; the server sorts. With a programme, only what
belongs to it. Needs no more than SELECT.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import psycopg
import sqlalchemy as sa
from psycopg.abc import AdaptContext, Buffer
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import JsonbLoader

from ledger.core.facts import AccountFact, EntryFact, SideFact, TransferFact
from ledger.core.ids import ProgrammeId, to_uuid
from ledger.store.evidence import MOVEMENT_OF_STEP
from ledger.store.tx import Tx

PAGE: Final = 5000
INSTANTS_MAX: Final = 10_000

T = TypeVar("T")


class StandingRow(NamedTuple):
    """Where an account stands, and the limits that hold for it. Units: minor units."""

    status: str
    debits_minor: int
    credits_minor: int
    held_minor: int
    version: int
    recorded_at: datetime
    side: str
    min_available_minor: int | None
    max_balance_minor: int | None


class AccountRow(NamedTuple):
    """An account with where it stands, and the transfer whose step opened it. No fact: there is only a standing."""

    number: int
    fact: AccountFact | None
    standing: StandingRow | None
    opened_at: datetime
    opening: TransferFact | None


class EntryRow(NamedTuple):
    """A leg as one of its accounts saw it, or a step. `position`: where its transfer stands in the log."""

    number: int
    entry: EntryFact
    position: int | None


class TransferRow(NamedTuple):
    """A transfer, the transaction that wrote its row, its leaf, and what became of what it names."""

    fact: TransferFact
    null_where_empty: bool
    xid: int
    written_by: int
    position: int | None
    leaf_hash: bytes | None
    has_clearance: bool
    has_notice: bool
    has_programme: bool


class LegRow(NamedTuple):
    """A leg with both its accounts. Empty texts of an account: there is none of its number."""

    transfer_id: str
    number: int
    amount_minor: int
    debit_number: int
    debit: SideFact
    credit_number: int
    credit: SideFact
    entries: tuple[EntryFact, EntryFact]


class StepRow(NamedTuple):
    """A step with its account. Empty texts of the account: there is none of its number."""

    transfer_id: str
    number: int
    account: SideFact
    entry: EntryFact


class HoldStepRow(NamedTuple):
    """What a transfer did under a hold; `moved_minor` is what its legs come to. Units: minor units."""

    hold_id: str
    transfer_id: str
    programme_id: str
    kind: str
    asked: dict[str, Any]
    recorded_at: datetime
    account_id: str
    amount_minor: int
    moved_minor: int


class HoldRow(NamedTuple):
    """A hold as it stands in its table. Units: minor units."""

    hold_id: str
    programme_id: str
    account_id: str
    amount_minor: int
    captured_minor: int
    released_minor: int
    expires_at: datetime | None
    is_open: bool


class ReversalRow(NamedTuple):
    """One leg of a reversal (`own`) or of the transfer that it names; a reversal without either has no leg."""

    reverses_id: str
    transfer: TransferFact
    original_kind: str | None
    own: bool
    leg: int | None
    debit_number: int
    credit_number: int
    amount_minor: int


class LeafRow(NamedTuple):
    """A leaf of a programme's log, and when its transfer was recorded. None: there is no such transfer."""

    programme_id: str
    position: int
    transfer_id: str
    leaf_hash: bytes
    written_by: int
    of_programme_id: str | None
    recorded_at: datetime | None


class CheckpointRow(NamedTuple):
    """A checkpoint as it stands in its table, with the name of its programme and when that began."""

    programme_id: str
    size: int
    root: bytes
    peaks: bytes
    note: str
    sealed_at: datetime
    programme_name: str | None
    created_at: datetime | None


# A first leg or a step of which anything is there is there; what of it is not is -1, which nothing ever is.
_LEG_COLUMNS: Final = (
    "amount_minor",
    "debit_number", "debit_version", "debit_debits_minor", "debit_credits_minor", "debit_held_minor",
    "credit_number", "credit_version", "credit_debits_minor", "credit_credits_minor", "credit_held_minor",
)  # fmt: skip
_STEP_COLUMNS: Final = (
    "step_number", "step_version", "step_amount_minor", "step_debits_minor", "step_credits_minor", "step_held_minor",
)  # fmt: skip


def _there(columns: Sequence[str]) -> str:
    return ", ".join(f"coalesce({name}, -1) AS {name}" for name in columns)


_ALL_LEGS: Final = f"""
    SELECT id AS transfer_id, programme_id, 1 AS leg, {_there(_LEG_COLUMNS)}, effective_at, recorded_at
    FROM transfers WHERE num_nonnulls({", ".join(_LEG_COLUMNS)}) > 0
    UNION ALL
    SELECT transfer_id, transfers.programme_id, leg, {", ".join(f"further_legs.{name}" for name in _LEG_COLUMNS)},
        further_legs.effective_at, further_legs.recorded_at
    FROM further_legs LEFT JOIN transfers ON transfers.id = transfer_id
"""  # noqa: S608 - the columns are this file's own
_ALL_STEPS: Final = f"""
    SELECT id AS transfer_id, hold_id, programme_id, kind, asked, {MOVEMENT_OF_STEP} AS movement,
        {_there(_STEP_COLUMNS)}, effective_at, recorded_at
    FROM transfers WHERE num_nonnulls({", ".join(_STEP_COLUMNS)}) > 0
"""  # noqa: S608 - the columns are this file's own
_ACCOUNTS: Final = """
    SELECT number, accounts.id, accounts.programme_id, code, path, class, accounts.side, party_id, currency, pool, tags,
        accounts.min_available_minor, accounts.max_balance_minor, opened_at,
        transfers.id, transfers.programme_id, transfers.recorded_at, transfers.asked,
        status, debits_minor, credits_minor, held_minor, standings.version, standings.recorded_at, standings.side,
        standings.min_available_minor, standings.max_balance_minor
    FROM accounts FULL JOIN standings USING (number)
        LEFT JOIN transfers ON step_number = number AND step_version = 1 AND kind = 'open'
    WHERE CAST(:programme AS uuid) IS NULL OR accounts.programme_id = :programme
    ORDER BY number
"""
_ENTRIES: Final = f"""
    SELECT number, version, transfer_id, leg, movement, amount_minor, debits, credits, held,
        effective_at, recorded_at, accounts.id, log_leaves.position
    FROM (
        SELECT debit_number AS number, debit_version AS version, transfer_id, leg, 'debit' AS movement, amount_minor,
            debit_debits_minor AS debits, debit_credits_minor AS credits, debit_held_minor AS held,
            effective_at, recorded_at, programme_id
        FROM ({_ALL_LEGS}) AS legs
        UNION ALL
        SELECT credit_number, credit_version, transfer_id, leg, 'credit', amount_minor,
            credit_debits_minor, credit_credits_minor, credit_held_minor, effective_at, recorded_at, programme_id
        FROM ({_ALL_LEGS}) AS legs
        UNION ALL
        SELECT step_number, step_version, transfer_id, 0, movement, step_amount_minor,
            step_debits_minor, step_credits_minor, step_held_minor, effective_at, recorded_at, programme_id
        FROM ({_ALL_STEPS}) AS steps
    ) AS entry
        LEFT JOIN accounts USING (number)
        LEFT JOIN log_leaves USING (transfer_id)
    WHERE CAST(:programme AS uuid) IS NULL OR :programme IN (accounts.programme_id, entry.programme_id)
    ORDER BY number, version
"""  # noqa: S608 - the columns are this file's own
_TRANSFERS: Final = """
    SELECT transfers.id, transfers.programme_id, kind, reference, hold_id, reverses_id, clearance_id, notice_id,
        effective_at, recorded_at, asked, metadata,
        asked IS DISTINCT FROM '{}' AND metadata IS DISTINCT FROM '{}',
        CAST(CAST(xid AS text) AS numeric), CAST(CAST(transfers.xmin AS text) AS bigint),
        log_leaves.position, leaf_hash,
        EXISTS (SELECT FROM clearances WHERE clearances.id = clearance_id
            AND clearances.programme_id = transfers.programme_id),
        EXISTS (SELECT FROM notices WHERE notices.id = notice_id),
        EXISTS (SELECT FROM programmes WHERE programmes.id = transfers.programme_id)
    FROM transfers LEFT JOIN log_leaves ON log_leaves.transfer_id = transfers.id
    WHERE CAST(:programme AS uuid) IS NULL OR transfers.programme_id = :programme
    ORDER BY transfers.id
"""
_LEGS: Final = f"""
    SELECT transfer_id, leg, amount_minor, effective_at, recorded_at,
        debit_number, debit.id, debit.programme_id, debit.currency, debit.side,
        debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
        credit_number, credit.id, credit.programme_id, credit.currency, credit.side,
        credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor
    FROM ({_ALL_LEGS}) AS legs
        LEFT JOIN accounts AS debit ON debit.number = debit_number
        LEFT JOIN accounts AS credit ON credit.number = credit_number
    WHERE CAST(:programme AS uuid) IS NULL
        OR :programme IN (legs.programme_id, debit.programme_id, credit.programme_id)
    ORDER BY transfer_id, leg
"""  # noqa: S608 - the columns are this file's own
_STEPS: Final = f"""
    SELECT transfer_id, step_number, accounts.id, accounts.programme_id, accounts.currency, accounts.side,
        step_version, movement, step_amount_minor, step_debits_minor, step_credits_minor, step_held_minor,
        effective_at, recorded_at
    FROM ({_ALL_STEPS}) AS steps LEFT JOIN accounts ON accounts.number = step_number
    WHERE CAST(:programme AS uuid) IS NULL OR :programme IN (steps.programme_id, accounts.programme_id)
    ORDER BY transfer_id, step_number, step_version
"""  # noqa: S608 - the columns are this file's own
_HOLD_STEPS: Final = f"""
    SELECT coalesce(hold_id, transfer_id) AS held, transfer_id, steps.programme_id, kind, asked,
        recorded_at, accounts.id, step_amount_minor, CASE kind WHEN 'capture' THEN (
            SELECT coalesce(sum(amount_minor), 0) FROM ({_ALL_LEGS}) AS legs
            WHERE legs.transfer_id = steps.transfer_id
        ) ELSE 0 END
    FROM ({_ALL_STEPS}) AS steps LEFT JOIN accounts ON accounts.number = step_number
    WHERE movement IN ('hold', 'release')
        AND (CAST(:programme AS uuid) IS NULL OR steps.programme_id = :programme)
    ORDER BY held, step_version, transfer_id
"""  # noqa: S608 - the columns are this file's own
_HOLDS: Final = """
    SELECT transfer_id, programme_id, account_id, amount_minor, captured_minor, released_minor, expires_at, is_open
    FROM holds WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme
    ORDER BY transfer_id
"""
_REVERSALS: Final = f"""
    SELECT reversal.reverses_id, reversal.id, reversal.programme_id, reversal.recorded_at, reversal.asked,
        original.kind, own, moved.leg, moved.debit_number, moved.credit_number, moved.amount_minor
    FROM transfers AS reversal
        LEFT JOIN transfers AS original
            ON original.id = reversal.reverses_id AND original.programme_id = reversal.programme_id
        CROSS JOIN (VALUES (true), (false)) AS whose (own)
        LEFT JOIN ({_ALL_LEGS}) AS moved
            ON moved.transfer_id = CASE WHEN own THEN reversal.id ELSE reversal.reverses_id END
    WHERE reversal.reverses_id IS NOT NULL
        AND (CAST(:programme AS uuid) IS NULL OR reversal.programme_id = :programme)
    ORDER BY reversal.reverses_id, reversal.id, own, moved.leg
"""  # noqa: S608 - the columns are this file's own
_LEAVES: Final = """
    SELECT log_leaves.programme_id, log_leaves.position, transfer_id, leaf_hash,
        CAST(CAST(log_leaves.xmin AS text) AS bigint), transfers.programme_id, transfers.recorded_at
    FROM log_leaves LEFT JOIN transfers ON transfers.id = transfer_id
    WHERE CAST(:programme AS uuid) IS NULL OR log_leaves.programme_id = :programme
    ORDER BY log_leaves.programme_id, log_leaves.position
"""
_CHECKPOINTS: Final = """
    SELECT programme_id, size, root, peaks, note, sealed_at, programmes.name, programmes.created_at
    FROM checkpoints LEFT JOIN programmes ON programmes.id = programme_id
    WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme
    ORDER BY programme_id, size
"""
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def accounts_by_number(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[AccountRow]:
    """Every account with where it stands, by the number under which its entries are kept."""
    return _stream(tx, _ACCOUNTS, programme_id, _account)


def entries_by_account(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[EntryRow]:
    """Every entry, by account number and version."""
    return _stream(tx, _ENTRIES, programme_id, _entry)


def transfers_by_id(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[TransferRow]:
    """Every transfer, by id."""
    return _stream(tx, _TRANSFERS, programme_id, _transfer)


def legs_by_transfer(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[LegRow]:
    """Every leg, by transfer id and number."""
    return _stream(tx, _LEGS, programme_id, _leg)


def steps_by_transfer(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[StepRow]:
    """Every step, by transfer id."""
    return _stream(tx, _STEPS, programme_id, _step)


def hold_steps(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[HoldStepRow]:
    """Everything that was done under holds, by hold and then in the order in which its account saw it."""
    return _stream(tx, _HOLD_STEPS, programme_id, _hold_step)


def holds_by_id(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[HoldRow]:
    """Every hold, by id."""
    return _stream(tx, _HOLDS, programme_id, _hold)


def reversals(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[ReversalRow]:
    """Every reversal, by what it reverses: first the legs of the transfer that it names, then its own."""
    return _stream(tx, _REVERSALS, programme_id, _reversal)


def leaves_by_position(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[LeafRow]:
    """Every leaf, by programme and position."""
    return _stream(tx, _LEAVES, programme_id, _leaf)


def checkpoints_by_size(tx: Tx, programme_id: ProgrammeId | None) -> Iterator[CheckpointRow]:
    """Every checkpoint, by programme and size."""
    return _stream(tx, _CHECKPOINTS, programme_id, _checkpoint)


def _stream(tx: Tx, statement: str, programme_id: ProgrammeId | None, make: Callable[..., T]) -> Iterator[T]:
    programme = None if programme_id is None else to_uuid("prg", programme_id)
    driver = tx.connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection), "the engine is made for psycopg"
    driver.adapters.register_loader("timestamptz", _AnyInstant)
    driver.adapters.register_loader("jsonb", _AnyDocument)
    result = tx.connection.execute(
        sa.text(statement),
        {"programme": programme},
        execution_options={"stream_results": True, "yield_per": PAGE},
    )
    try:
        for row in result:
            yield make(*row)
    finally:
        result.close()


class _AnyInstant(TimestamptzLoader):
    """Reads also the times that Python has none for, as the last one that it has: no fact was recorded then.

    Remembers what it has read: the rows of one transfer share their times, and reading them is most of the work.
    """

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._known: dict[bytes, datetime] = {}

    def load(self, data: Buffer) -> datetime:
        """The instant."""
        raw = bytes(data)
        known = self._known.get(raw)
        if known is None:
            if len(self._known) >= INSTANTS_MAX:
                self._known.clear()
            known = self._known[raw] = self._load_any(data)
        return known

    def _load_any(self, data: Buffer) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            return _NEVER


class _AnyDocument(JsonbLoader):
    """Reads also documents that Python cannot hold, as a text, which no fact has in the place of one."""

    def load(self, data: Buffer) -> Any:
        """The document."""
        try:
            return super().load(data)
        except (ValueError, RecursionError):
            return "no document of ours"


def _id(prefix: str, value: UUID | None) -> str:
    return "" if value is None else f"{prefix}_{value.hex}"


def _optional_id(prefix: str, value: UUID | None) -> str | None:
    return None if value is None else f"{prefix}_{value.hex}"


_xfr = partial(_id, "xfr")
_prg = partial(_id, "prg")
_acct = partial(_id, "acct")


def _account(number: int, *row: Any) -> AccountRow:
    raw_id, programme, code, path, class_, side, party, currency, pool, tags, floor, cap, *rest = row
    opened_at, *opening = rest[:5]
    fact = AccountFact(
        id=_acct(raw_id),
        programme_id=_prg(programme),
        code=code,
        path=path,
        account_class=class_,
        side=side,
        party_id=_optional_id("pty", party),
        party_reference=None,
        currency=currency,
        pool=pool,
        tags=tuple(tags or ()),
        min_available_minor=floor,
        max_balance_minor=cap,
    )
    return AccountRow(
        number,
        None if raw_id is None else fact,
        None if rest[5] is None else StandingRow(*rest[5:]),
        opened_at,
        None if opening[0] is None else _small_fact("open", *opening),
    )


def _small_fact(
    kind: str, raw_id: UUID, programme: UUID, recorded_at: datetime, asked: Any, reverses: UUID | None = None
) -> TransferFact:
    """As much of a transfer as its kind's own checks ask for."""
    return TransferFact(
        id=_xfr(raw_id),
        programme_id=_prg(programme),
        kind=kind,
        reference="",
        hold_id=None,
        reverses_id=_optional_id("xfr", reverses),
        clearance_id=None,
        notice_id=None,
        effective_at=_BEGINNING,
        recorded_at=recorded_at,
        asked=_object(asked),
        metadata={},
    )


def _object(value: Any) -> dict[str, Any]:
    """What should be an object or nothing; anything else stands under a name that no fact knows."""
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"": value}


def _entry(
    number: int, version: int, transfer: UUID, leg: int, movement: str, amount_minor: int, *row: Any
) -> EntryRow:
    debits, credits_, held, effective_at, recorded_at, account, position = row
    entry = EntryFact(
        _acct(account), version, _xfr(transfer), leg, movement, amount_minor, debits, credits_, held,
        effective_at, recorded_at,
    )  # fmt: skip
    return EntryRow(number, entry, position)


def _transfer(raw_id: UUID, programme: UUID, kind: str, reference: str, *row: Any) -> TransferRow:
    hold, reverses, clearance, notice, effective_at, recorded_at, asked, metadata, *rest = row
    fact = TransferFact(
        id=_xfr(raw_id),
        programme_id=_prg(programme),
        kind=kind,
        reference=reference,
        hold_id=_optional_id("xfr", hold),
        reverses_id=_optional_id("xfr", reverses),
        clearance_id=_optional_id("clr", clearance),
        notice_id=_optional_id("ntc", notice),
        effective_at=effective_at,
        recorded_at=recorded_at,
        asked=_object(asked),
        metadata=_object(metadata),
    )
    null_where_empty, xid, *others = rest
    return TransferRow(fact, null_where_empty, int(xid), *others)


def _side(account: UUID | None, programme: UUID | None, currency: str | None, side: str | None) -> SideFact:
    return SideFact(_acct(account), _prg(programme), currency or "", side or "")


def _leg(
    transfer: UUID, leg: int, amount_minor: int, effective_at: datetime, recorded_at: datetime, *row: Any
) -> LegRow:
    transfer_id = _xfr(transfer)
    debit, credit = _side(*row[1:5]), _side(*row[10:14])
    times = (effective_at, recorded_at)
    debited = (debit.account_id, row[5], transfer_id, leg, "debit", amount_minor, *row[6:9], *times)
    credited = (credit.account_id, row[14], transfer_id, leg, "credit", amount_minor, *row[15:18], *times)
    entries = EntryFact._make(debited), EntryFact._make(credited)
    return LegRow(transfer_id, leg, amount_minor, row[0], debit, row[9], credit, entries)


def _step(transfer: UUID, number: int, *row: Any) -> StepRow:
    account, (version, movement, *rest) = _side(*row[:4]), row[4:]
    transfer_id = _xfr(transfer)
    entry = EntryFact(account.account_id, version, transfer_id, 0, movement, *rest)
    return StepRow(transfer_id, number, account, entry)


def _hold_step(hold: UUID, transfer: UUID, programme: UUID, kind: str, *row: Any) -> HoldStepRow:
    asked, recorded_at, account, amount_minor, moved_minor = row
    return HoldStepRow(
        _xfr(hold), _xfr(transfer), _prg(programme), kind, _object(asked), recorded_at, _acct(account),
        amount_minor, int(moved_minor),
    )  # fmt: skip


def _hold(transfer: UUID, programme: UUID, account: UUID, *row: Any) -> HoldRow:
    return HoldRow(_xfr(transfer), _prg(programme), _acct(account), *row)


def _reversal(
    reverses: UUID, raw_id: UUID, programme: UUID, recorded_at: datetime, asked: Any, *row: Any
) -> ReversalRow:
    fact = _small_fact("reverse", raw_id, programme, recorded_at, asked, reverses)
    return ReversalRow(_xfr(reverses), fact, *row)


def _leaf(programme: UUID, position: int, transfer: UUID, leaf_hash: bytes, *row: Any) -> LeafRow:
    written_by, of_programme, recorded_at = row
    return LeafRow(
        _prg(programme), position, _xfr(transfer), bytes(leaf_hash), written_by,
        _optional_id("prg", of_programme), recorded_at,
    )  # fmt: skip


def _checkpoint(programme: UUID, size: int, root: bytes, peaks: bytes, *row: Any) -> CheckpointRow:
    return CheckpointRow(_prg(programme), size, bytes(root), bytes(peaks), *row)
