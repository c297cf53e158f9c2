"""Accounts in the database: found by chart code and party, locked in id order, saved as the book decided."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from ledger.core.account import Account, Status
from ledger.core.chart import CHART, Code, Side, path_of
from ledger.core.commands import Open
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.core.view import Place as Taken
from ledger.store.packing import bigints, instants, integers, uuids
from ledger.store.rows import insert_rows
from ledger.store.schema import accounts, programmes
from ledger.store.tx import Tx

_STATE = tuple(accounts.c[name] for name in Account._fields)
_LOCK = """
    SELECT uuid_send(id), number, uuid_send(programme_id), currency, side, status, min_available_minor,
        max_balance_minor, debits_minor, credits_minor, held_minor, version, recorded_at
    FROM accounts WHERE id = ANY(%s)
    ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_WITH_HELD = """
    SELECT uuid_send(id), number, uuid_send(programme_id), currency, side, status, min_available_minor,
        max_balance_minor, debits_minor, credits_minor, held_minor, version, recorded_at
    FROM accounts WHERE id = ANY(%s || ARRAY(SELECT account_id FROM holds WHERE transfer_id = ANY(%s)))
    ORDER BY id FOR NO KEY UPDATE
"""
_SAVE = """
    UPDATE accounts SET debits_minor = after.debits, credits_minor = after.credits, held_minor = after.held,
        version = after.version, recorded_at = after.recorded_at
    FROM unnest(%s, %s, %s, %s, %s, %s, %s)
        AS after (number, was, version, debits, credits, held, recorded_at)
    WHERE accounts.number = after.number AND accounts.version = after.was
"""
_SIDES = {side.value: side for side in Side}
_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account stands in its programme's chart, with its state."""

    code: Code
    path: str
    party_id: PartyId | None
    pool: str | None
    tags: tuple[str, ...]
    account: Account


def lock_accounts(
    tx: Tx, ids: Collection[AccountId], *, held_by: Collection[TransferId] = ()
) -> dict[AccountId, Account]:
    """Locks accounts, and those that these holds are on, in id order: batches over the same wait, never deadlock."""
    wanted = sorted(ids)
    if held_by:
        rows = tx.fetch(_LOCK_WITH_HELD, uuids(wanted), uuids(sorted(held_by)))
    elif wanted:
        rows = tx.fetch(_LOCK, uuids(wanted))
    else:
        return {}
    if held_by or len(rows) < len(wanted):
        wanted = [AccountId(f"acct_{row[0].hex()}") for row in rows]
    programmes = {raw: ProgrammeId(f"prg_{raw.hex()}") for raw in {row[2] for row in rows}}
    locked = {}
    # In id order on both sides; the caller's own texts are kept, because looking them up again is then cheap.
    for account_id, row in zip(wanted, rows, strict=True):
        if account_id != f"acct_{row[0].hex()}":
            continue  # the same bytes behind the prefix of another kind are nobody's
        state = (account_id, row[1], programmes[row[2]], row[3], _SIDES[row[4]], _STATUSES[row[5]], *row[6:])
        locked[account_id] = _account_of(Account, state)
    return locked


# A named tuple's own constructor is a Python function: going past it is worth it on every account of every batch.
_account_of = tuple.__new__


class Moved(NamedTuple):
    """What has become of accounts, packed for the server; and those that take something else now."""

    accounts: int
    columns: tuple[object, ...]
    restated: list[Account]


def pack_accounts(changed: Sequence[tuple[Account, Account]]) -> Moved:
    """Accounts before and after, as `save_accounts` writes them."""
    if not changed:
        return Moved(0, (), [])
    after = dict(zip(Account._fields, zip(*(after for _, after in changed), strict=True), strict=True))
    columns = (
        integers(after["number"]),
        bigints([before.version for before, _ in changed]),
        bigints(after["version"]),
        bigints(after["debits_minor"]),
        bigints(after["credits_minor"]),
        bigints(after["held_minor"]),
        instants(after["recorded_at"]),
    )
    return Moved(len(changed), columns, [now for was, now in changed if was.status is not now.status])


def save_accounts(tx: Tx, moved: Moved) -> None:
    """Writes the counters that the book decided, each on top of the version that was locked and of no other.

    Raises: RuntimeError when one of them is at another version: nothing of the batch may stay.
    """
    if moved.accounts and tx.execute(_SAVE, *moved.columns) != moved.accounts:
        raise RuntimeError("an account is not as it was when it was locked")
    for account in moved.restated:
        _save_status(tx, account)


def _save_status(tx: Tx, account: Account) -> None:
    tx.run(sa.update(accounts).where(accounts.c.id == account.id).values(status=account.status.value))


def draw_numbers(tx: Tx, ids: Sequence[AccountId]) -> dict[AccountId, int]:
    """A number of its own for each account that may be opened."""
    if not ids:
        return {}
    drawn = tx.fetch(
        "SELECT nextval(pg_get_serial_sequence('accounts', 'number'))::int FROM generate_series(1, %s)",
        len(ids),
    )
    return {account_id: number for account_id, (number,) in zip(ids, drawn, strict=True)}


def taken_places(tx: Tx, openings: Collection[Open]) -> set[Taken]:
    """Which of the places where accounts are to be opened have one."""
    if not openings:
        return set()
    query = sa.select(
        accounts.c.programme_id, accounts.c.path, accounts.c.party_id, accounts.c.currency
    ).where(
        accounts.c.programme_id.in_(sorted({command.programme_id for command in openings})),
        accounts.c.path.in_(sorted({path_of(command.code, command.subdivision) for command in openings})),
        sa.or_(
            accounts.c.party_id.is_(None),
            accounts.c.party_id.in_(sorted({command.party_id for command in openings if command.party_id})),
        ),
    )
    return {(row["programme_id"], row["path"], row["party_id"], row["currency"]) for row in tx.rows(query)}


def insert_accounts(tx: Tx, opened: Sequence[tuple[Open, Account]]) -> None:
    """Writes new accounts as they were before anything happened to them, their opening included."""
    rows = [
        {
            "id": account.id,
            "number": account.number,
            "programme_id": account.programme_id,
            "code": command.code.value,
            "path": path_of(command.code, command.subdivision),
            "party_id": command.party_id,
            "currency": account.currency,
            "class": CHART[command.code].account_class.value,
            "side": account.side.value,
            "pool": CHART[command.code].pool,
            "status": account.status.value,
            "min_available_minor": account.min_available_minor,
            "max_balance_minor": account.max_balance_minor,
            "debits_minor": 0,
            "credits_minor": 0,
            "held_minor": 0,
            "version": 0,
            "recorded_at": account.recorded_at,
            "opened_at": account.recorded_at,
        }
        for command, account in opened
    ]
    insert_rows(tx, accounts, rows)
    for command, account in opened:
        if command.tags:
            _save_tags(tx, account.id, command.tags)


def _save_tags(tx: Tx, account_id: AccountId, tags: Sequence[str]) -> None:
    tx.run(sa.update(accounts).where(accounts.c.id == account_id).values(tags=sorted(set(tags))))


def read_accounts(tx: Tx, ids: Collection[AccountId]) -> dict[AccountId, Place]:
    """Accounts with their places in the chart, unlocked."""
    query = _places().where(accounts.c.id.in_(sorted(ids)))
    return {row["id"]: _place(row) for row in tx.rows(query)}


def shared_accounts(
    tx: Tx, programme_ids: Collection[ProgrammeId], code: Code
) -> dict[ProgrammeId, AccountId]:
    """The programme's own account of one code, programme by programme, in the programme's currency."""
    query = sa.select(accounts.c.programme_id, accounts.c.id).where(
        accounts.c.programme_id.in_(sorted(programme_ids)),
        accounts.c.path == path_of(code),
        accounts.c.party_id.is_(None),
        accounts.c.currency == _home_currency(),
    )
    return {row["programme_id"]: row["id"] for row in tx.rows(query)}


def party_accounts(tx: Tx, party_ids: Collection[PartyId]) -> dict[PartyId, AccountId]:
    """The account of each party that it was given when it came in; others that were opened for it are not it."""
    paths = [path_of(code) for code, place in CHART.items() if place.per_party]
    query = sa.select(accounts.c.party_id, accounts.c.id).where(
        accounts.c.party_id.in_(sorted(party_ids)),
        accounts.c.path.in_(paths),
        accounts.c.currency == _home_currency(),
    )
    return {row["party_id"]: row["id"] for row in tx.rows(query.order_by(accounts.c.number.desc()))}


def _home_currency() -> sa.ScalarSelect[str]:
    home = sa.select(programmes.c.currency).where(programmes.c.id == accounts.c.programme_id)
    return home.correlate(accounts).scalar_subquery()


def programme_accounts(tx: Tx, programme_id: ProgrammeId) -> list[Place]:
    """All accounts of a programme, in the order of the chart and then of their opening."""
    query = _places().where(accounts.c.programme_id == programme_id)
    order = list(Code)
    return sorted(map(_place, tx.rows(query)), key=lambda place: (order.index(place.code), place.account.id))


def _places() -> sa.Select[Any]:
    return sa.select(
        accounts.c.code, accounts.c.path, accounts.c.party_id, accounts.c.pool, accounts.c.tags, *_STATE
    )


def _place(row: sa.RowMapping) -> Place:
    return Place(
        Code(row["code"]), row["path"], row["party_id"], row["pool"], tuple(row["tags"]), _account(row)
    )


def _account(row: sa.RowMapping) -> Account:
    state = {name: row[name] for name in Account._fields}
    return Account(**state | {"side": Side(row["side"]), "status": Status(row["status"])})
