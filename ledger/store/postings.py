"""What the book writes, and what it must look at before it writes again: transfers, their legs, and holds.

The row of a transfer holds its first leg and its step; further legs come right behind it, in the same transaction:
once a transfer stands, nothing is added to it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from struct import Struct
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ledger.core.account import Entry, HoldState, LegRecord, Movement, StepRecord
from ledger.core.canonical import canonical_text
from ledger.core.commands import (
    Capture,
    Command,
    Content,
    Expire,
    Hold,
    Increase,
    Leg,
    Post,
    Release,
    Reverse,
    asked_of,
    kind_of,
)
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, ProgrammeId, TransferId
from ledger.core.view import Posted, Recorded
from ledger.store.packing import (
    NULL,
    UUID_LENGTH,
    bigints,
    id_bytes,
    id_field,
    json_field,
    microseconds,
    text_field,
    time_fields,
    uuids,
)
from ledger.store.schema import accounts, entries, holds, transfers
from ledger.store.tx import Tx

REFERENCE_BYTES_MAX: Final = 1_024
METADATA_BYTES_MAX: Final = 131_072
_REVERSIBLE = ("post", "capture")

# What mostly is the same of neighbours comes first, then what never is; the legs behind the first have their own rows.
_COPY_TRANSFERS = """
    COPY transfers (programme_id, kind, clearance_id, notice_id, effective_at, recorded_at, hold_id, reverses_id,
        id,
        amount_minor, debit_version, credit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
        credit_debits_minor, credit_credits_minor, credit_held_minor, debit_number, credit_number,
        step_version, step_amount_minor, step_debits_minor, step_credits_minor, step_held_minor, step_number,
        reference, asked, metadata)
    FROM STDIN (FORMAT BINARY)
"""
_TRANSFER = Struct(">h").pack(29)
_LEG = Struct(">" + 9 * "iq" + "iiii").pack
_NO_LEG = 11 * NULL
_STEP = Struct(">" + 5 * "iq" + "ii").pack
_NO_STEP = 6 * NULL
_WITHOUT_SUBJECT = frozenset({Post, Hold})
_NO_SUBJECT = NULL + NULL
_COPY_FURTHER_LEGS = """
    COPY further_legs (effective_at, recorded_at, transfer_id, leg,
        amount_minor, debit_version, credit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
        credit_debits_minor, credit_credits_minor, credit_held_minor, debit_number, credit_number)
    FROM STDIN (FORMAT BINARY)
"""
_FURTHER_LEG_COUNT = Struct(">h").pack(15)
_FURTHER_LEG = Struct(">i16sih").pack
_COPY_HOLDS = """
    COPY holds (amount_minor, captured_minor, released_minor, transfer_id, programme_id, account_id,
        expires_at, is_open)
    FROM STDIN (FORMAT BINARY)
"""
_HOLD = Struct(">hiqiqiqi16si16si16s").pack
_READ_HOLDS = """
    SELECT uuid_send(transfer_id), uuid_send(programme_id), uuid_send(account_id),
        amount_minor, captured_minor, released_minor, expires_at
    FROM holds WHERE transfer_id = ANY(%s)
"""
_SAVE_HOLDS = """
    UPDATE holds SET amount_minor = after.amount, captured_minor = after.captured, released_minor = after.released,
        is_open = after.captured + after.released < after.amount
    FROM unnest(%s, %s, %s, %s) AS after (id, amount, captured, released)
    WHERE holds.transfer_id = after.id
"""


# What was before ---------------------------------------------------------------------------------------------


def legs_of(movements: Sequence[Entry]) -> tuple[Leg, ...]:
    """The legs behind the entries of one transfer, in their order."""
    debits = {entry.leg: entry for entry in movements if entry.movement is Movement.DEBIT}
    credits_ = {entry.leg: entry for entry in movements if entry.movement is Movement.CREDIT}
    return tuple(
        Leg(debits[number].account_id, credits_[number].account_id, debits[number].amount_minor)
        for number in sorted(debits)
    )


def entries_of(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, list[Entry]]:
    """All movements of these transfers, as their accounts saw them."""
    query = (
        sa.select(accounts.c.id.label("account_id"), *(entries.c[name] for name in Entry._fields[1:]))
        .join_from(entries, accounts, accounts.c.number == entries.c.account_number)
        .where(entries.c.transfer_id.in_(sorted(ids)))
        .order_by(entries.c.transfer_id, entries.c.leg, accounts.c.id, entries.c.version)
    )
    found: dict[TransferId, list[Entry]] = defaultdict(list)
    for row in tx.rows(query):
        found[row["transfer_id"]].append(Entry(**{**row, "movement": Movement(row["movement"])}))
    return found


def read_holds(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, HoldState]:
    """Holds as they stand. They change only under the lock of their account."""
    if not ids:
        return {}
    rows = tx.fetch(_READ_HOLDS, uuids(sorted(ids)))
    states = (
        HoldState(
            TransferId(f"xfr_{raw_id.hex()}"),
            ProgrammeId(f"prg_{raw_programme.hex()}"),
            AccountId(f"acct_{raw_account.hex()}"),
            *rest,
        )
        for raw_id, raw_programme, raw_account, *rest in rows
    )
    return {hold.id: hold for hold in states}


def read_posted(tx: Tx, ids: Collection[TransferId]) -> dict[TransferId, Posted]:
    """Transfers of the past with their legs, and whether they were reversed. A reversal is not itself one of them."""
    if not ids:
        return {}
    movements = entries_of(tx, ids)
    reversal = transfers.alias("reversal")
    query = (
        sa.select(transfers.c.id, transfers.c.programme_id, reversal.c.id.label("reversal_id"))
        .select_from(transfers.outerjoin(reversal, reversal.c.reverses_id == transfers.c.id))
        .where(transfers.c.id.in_(sorted(ids)), transfers.c.kind.in_(_REVERSIBLE))
    )
    return {
        row["id"]: Posted(
            row["id"], row["programme_id"], legs_of(movements[row["id"]]), row["reversal_id"] is not None
        )
        for row in tx.rows(query)
    }


# What is written ---------------------------------------------------------------------------------------------


@contextmanager
def writing_transfers(tx: Tx) -> Iterator[Callable[[bytes], None]]:
    """Takes packed transfers, a piece at a time; the server writes what it has while the next piece is made.

    A used id, or a version of an account that is taken, is a key violation: nothing is ever applied twice, and two
    writers can never both be right.
    """
    with tx.copy_in(_COPY_TRANSFERS) as write:
        yield write


def pack_transfers(recorded: Sequence[Recorded]) -> bytes:
    """Applied commands as rows of their own."""
    return b"".join(_transfer_rows(recorded))


def _transfer_rows(recorded: Sequence[Recorded]) -> Iterator[bytes]:
    """The rows; what neighbours have in common is packed once."""
    kind, programme_id, authority, effective_at, recorded_at = None, None, None, None, None
    said: Content = {}
    shared, said_field = b"", NULL
    for command, at, legs, step in recorded:
        if not (
            type(command) is kind
            and command.programme_id is programme_id
            and command.authority is authority
            and command.effective_at is effective_at
            and at is recorded_at
        ):
            kind, programme_id, authority = type(command), command.programme_id, command.authority
            effective_at, recorded_at = command.effective_at, at
            shared = _TRANSFER + _shared_fields(command, at)
            if kind in _WITHOUT_SUBJECT:
                shared += _NO_SUBJECT
        asked, metadata = asked_of(command), command.metadata
        if asked != said:
            said, said_field = asked, _json_field(asked) if asked else NULL
        yield b"".join(
            (
                shared if kind in _WITHOUT_SUBJECT else shared + _subject_fields(command),
                UUID_LENGTH,
                bytes.fromhex(command.id[4:]),
                _leg_fields(legs[0]) if legs else _NO_LEG,
                _NO_STEP if step is None else _step_fields(step),
                _reference_field(command.reference),
                said_field,
                _metadata_field(metadata) if metadata else NULL,
            )
        )


def _leg_fields(leg: LegRecord) -> bytes:
    """From amount_minor to credit_number."""
    (
        debit, credit, amount_minor, debit_version, credit_version,
        debit_debits, debit_credits, debit_held, credit_debits, credit_credits, credit_held,
    ) = leg  # fmt: skip
    return _LEG(
        8, amount_minor, 8, debit_version, 8, credit_version, 8, debit_debits, 8, debit_credits, 8, debit_held,
        8, credit_debits, 8, credit_credits, 8, credit_held, 4, debit.number, 4, credit.number,
    )  # fmt: skip


def _step_fields(step: StepRecord) -> bytes:
    """From step_version to step_number."""
    account, _, version, amount_minor, debits, credits_, held = step
    return _STEP(8, version, 8, amount_minor, 8, debits, 8, credits_, 8, held, 4, account.number)


def pack_further_legs(recorded: Sequence[Recorded]) -> bytes:
    """What transfers moved besides their first leg, as rows. What neighbours have in common is packed once."""
    effective_at, recorded_at, times = None, None, b""
    rows = []
    for command, at, legs, _ in recorded:
        if len(legs) > 1:
            if command.effective_at is not effective_at or at is not recorded_at:
                effective_at, recorded_at = command.effective_at, at
                times = _FURTHER_LEG_COUNT + time_fields(effective_at, at)
            transfer_id = bytes.fromhex(command.id[4:])
            rows += [
                times + _FURTHER_LEG(16, transfer_id, 2, number) + _leg_fields(leg)
                for number, leg in enumerate(legs[1:], start=2)
            ]
    return b"".join(rows)


def insert_further_legs(tx: Tx, packed: bytes) -> None:
    """Writes such rows, in the transaction that wrote their transfers."""
    if packed:
        with tx.copy_in(_COPY_FURTHER_LEGS) as write:
            write(packed)


def _shared_fields(command: Command, at: datetime) -> bytes:
    """From programme_id to recorded_at."""
    authority = command.authority
    return b"".join(
        (
            id_field(command.programme_id),
            text_field(kind_of(command)),
            NULL if authority is None else id_field(authority.clearance_id),
            NULL if authority is None else id_field(authority.notice_id),
            time_fields(command.effective_at, at),
        )
    )


def _subject_fields(command: Command) -> bytes:
    """hold_id and reverses_id."""
    if isinstance(command, Increase | Capture | Release | Expire):
        return id_field(command.hold_id) + NULL
    return NULL + id_field(command.transfer_id) if isinstance(command, Reverse) else _NO_SUBJECT


def _reference_field(reference: str) -> bytes:
    if not reference.isascii() or "\0" in reference:
        _check_text(reference, "reference")
    field = text_field(reference)
    if len(field) > REFERENCE_BYTES_MAX:
        raise InvalidValue(f"A reference has at most {REFERENCE_BYTES_MAX} bytes.", field="reference")
    return field


def _metadata_field(metadata: Mapping[str, Any]) -> bytes:
    for text in _texts(metadata):
        _check_text(text, "metadata")
    try:
        field = _json_field(metadata)
    except TypeError as error:
        raise InvalidValue(f"The metadata cannot be kept: {error}.", field="metadata") from None
    if len(field) > METADATA_BYTES_MAX:
        raise InvalidValue(f"Metadata have at most {METADATA_BYTES_MAX} bytes.", field="metadata")
    return field


def _check_text(text: str, field: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue("Half a surrogate pair is no text.", field=field) from None
    if "\0" in text:
        raise InvalidValue("A NUL is no text.", field=field)


def _texts(value: object) -> Iterator[str]:
    """Every text in a value that is to be JSON."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)
        case Sequence():
            for item in value:
                yield from _texts(item)


def _json_field(value: Mapping[str, Any]) -> bytes:
    return json_field(canonical_text(dict(value)))


class Held(NamedTuple):
    """What has become of holds, packed for the server: rows of those that were made, columns of those that stood."""

    made: bytes
    changed: int
    columns: tuple[object, ...]


def pack_holds(holds: Sequence[HoldState], made: Collection[TransferId]) -> Held:
    """Holds as they are now, as `save_holds` writes them. `made`: which of them are new."""
    changed = [hold for hold in holds if hold.id not in made]
    columns = (
        uuids([hold.id for hold in changed]),
        bigints([hold.amount_minor for hold in changed]),
        bigints([hold.captured_minor for hold in changed]),
        bigints([hold.released_minor for hold in changed]),
    )
    return Held(b"".join([_packed_hold(hold) for hold in holds if hold.id in made]), len(changed), columns)


def _packed_hold(hold: HoldState) -> bytes:
    expires = hold.expires_at
    return (
        _HOLD(
            8, 8, hold.amount_minor, 8, hold.captured_minor, 8, hold.released_minor,
            16, id_bytes(hold.id), 16, id_bytes(hold.programme_id), 16, id_bytes(hold.account_id),
        )
        + (NULL if expires is None else _INSTANT(8, microseconds(expires)))
        + (_TRUE if hold.remaining_minor else _FALSE)
    )  # fmt: skip


_INSTANT = Struct(">iq").pack
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"


def save_holds(tx: Tx, held: Held) -> None:
    """Writes new holds, and what has become of those that stand."""
    if held.made:
        with tx.copy_in(_COPY_HOLDS) as write:
            write(held.made)
    if held.changed:
        found = tx.execute(_SAVE_HOLDS, *held.columns)
        assert found == held.changed, "every hold that was read is still there"


# What is looked for ------------------------------------------------------------------------------------------


def expired_holds(tx: Tx, limit: int) -> list[TransferId]:
    """Holds past their time with something left on them, oldest first."""
    query = (
        sa.select(holds.c.transfer_id)
        .where(holds.c.expires_at <= tx.now, holds.c.is_open)
        .order_by(holds.c.expires_at)
        .limit(limit)
    )
    return [row["transfer_id"] for row in tx.rows(query)]
