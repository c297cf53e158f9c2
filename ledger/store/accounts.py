"""Accounts in the database: found by chart code and party, locked in one order, saved as the book decided."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ledger.core.account import Account, Status
from ledger.core.chart import CHART, Code, Side, path_of
from ledger.core.commands import Open
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.core.running import Running
from ledger.core.view import Place as Taken
from ledger.store.identities import Identity, identities
from ledger.store.packing import bigints, instants, integers, uuids
from ledger.store.rows import insert_rows
from ledger.store.schema import accounts, programmes, standings
from ledger.store.tx import Tx

MET_AT_FIRST: Final = 256
"""How many accounts of a batch are locked before the others: enough for two that have most accounts in common."""

_NUMBERS_HELD = """
    SELECT accounts.number FROM holds JOIN accounts ON accounts.id = holds.account_id WHERE transfer_id = ANY(%s)
"""
_READ: Final = """
    SELECT number, status, min_available_minor, max_balance_minor,
        debits_minor, credits_minor, held_minor, version, recorded_at
    FROM standings WHERE number = ANY(%s)
"""
_LOCK: Final = _READ + "ORDER BY number FOR NO KEY UPDATE"
_LOCK_UNCHANGED = """
    SELECT count(*) FROM (
        SELECT number, version FROM standings WHERE number = ANY(%s) ORDER BY number FOR NO KEY UPDATE
    ) AS locked JOIN unnest(%s, %s) AS was (number, version) USING (number, version)
"""
_SAVE = """
    UPDATE standings SET debits_minor = after.debits, credits_minor = after.credits, held_minor = after.held,
        version = after.version, recorded_at = after.recorded_at
    FROM unnest(%s, %s, %s, %s, %s, %s, %s)
        AS after (number, was, version, debits, credits, held, recorded_at)
    WHERE standings.number = after.number AND standings.version = after.was
"""
Row = tuple[Any, ...]
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
    """Locks accounts, and those that these holds are on, in one order: batches over the same wait, never deadlock."""
    return _standing(tx, ids, held_by, _lock)


def look_at_accounts(
    tx: Tx, ids: Collection[AccountId], *, held_by: Collection[TransferId] = ()
) -> dict[AccountId, Account]:
    """The same accounts as they stand just now: nothing keeps them so."""
    return _standing(tx, ids, held_by, _look)


def _standing(
    tx: Tx,
    ids: Collection[AccountId],
    held_by: Collection[TransferId],
    read: Callable[[Tx, Collection[int]], Sequence[Row]],
) -> dict[AccountId, Account]:
    known = identities(tx)
    held = {number for (number,) in tx.fetch(_NUMBERS_HELD, uuids(sorted(held_by)))} if held_by else set()
    numbers = known.numbers_of(tx, ids) | held
    rows = read(tx, numbers)
    if len(rows) < len(numbers):
        # Remembered from a transaction that was taken back; the account may have been opened again since.
        known.forget(numbers - {row[0] for row in rows})
        rows = read(tx, known.numbers_of(tx, ids) | held)
    met = known.of(tx, [row[0] for row in rows])
    return {
        identity[0]: _account_of(Account, (*identity, _STATUSES[row[1]], *row[2:]))
        for identity, row in zip(met, rows, strict=True)
    }


def _look(tx: Tx, numbers: Collection[int]) -> Sequence[Row]:
    return tx.fetch(_READ, integers(sorted(numbers))) if numbers else []


class Seen(NamedTuple):
    """Accounts at the versions that they were seen at, packed for the server."""

    accounts: int
    columns: tuple[object, ...]


def pack_seen(accounts: Collection[Account]) -> Seen:
    """Accounts as `lock_unchanged` asks for them."""
    numbers = integers([account.number for account in accounts])
    return Seen(len(accounts), (numbers, numbers, bigints([account.version for account in accounts])))


def lock_unchanged(tx: Tx, seen: Seen) -> bool:
    """Locks accounts, in the one order, and says whether all of them are still at the versions they were seen at.

    Every movement on an account is a version of it, and so is every change of its status and of its holds.
    """
    return not seen.accounts or tx.fetch(_LOCK_UNCHANGED, *seen.columns)[0][0] == seen.accounts


def _lock(tx: Tx, numbers: Collection[int]) -> Sequence[Row]:
    """Locks the first few by a statement of their own: there it is that batches over the same accounts meet.

    Who has waited sees the others as they are by then. In one statement he would have to look at each of them anew.
    """
    ordered = sorted(numbers)
    first, others = ordered[:MET_AT_FIRST], ordered[MET_AT_FIRST:]
    rows = tx.fetch(_LOCK, integers(first)) if first else []
    return rows + tx.fetch(_LOCK, integers(others)) if others else rows


# A named tuple's own constructor is a Python function: going past it is worth it on every account of every batch.
_account_of = tuple.__new__


class Moved(NamedTuple):
    """What has become of accounts, packed for the server; and those that take something else now."""

    accounts: int
    columns: tuple[object, ...]
    restated: list[Running]


def pack_accounts(changed: Sequence[Running]) -> Moved:
    """Accounts as they were and as they are now, as `save_accounts` writes them."""
    columns = (
        integers([running.account.number for running in changed]),
        bigints([running.account.version for running in changed]),
        bigints([running.version for running in changed]),
        bigints([running.debits for running in changed]),
        bigints([running.credits for running in changed]),
        bigints([running.held for running in changed]),
        instants([running.recorded_at for running in changed]),
    )
    restated = [running for running in changed if running.status is not running.account.status]
    return Moved(len(changed), columns, restated)


def save_accounts(tx: Tx, moved: Moved) -> None:
    """Writes the counters that the book decided, each on top of the version that was locked and of no other.

    Raises: RuntimeError when one of them is at another version: nothing of the batch may stay.
    """
    if moved.accounts and tx.execute(_SAVE, *moved.columns) != moved.accounts:
        raise RuntimeError("an account is not as it was when it was locked")
    for running in moved.restated:
        found = standings.c.number == running.account.number
        tx.run(sa.update(standings).where(found).values(status=running.status.value))


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
    insert_rows(tx, accounts, [_identity_row(command, account) for command, account in opened])
    insert_rows(tx, standings, [_standing_row(account) for _, account in opened])


def _identity_row(command: Open, account: Account) -> dict[str, Any]:
    return {
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
        "tags": sorted(set(command.tags)),
        "min_available_minor": account.min_available_minor,
        "max_balance_minor": account.max_balance_minor,
        "opened_at": account.recorded_at,
    }


def _standing_row(account: Account) -> dict[str, Any]:
    row = {column.name: getattr(account, column.name) for column in standings.columns}
    return row | {"side": account.side.value, "status": account.status.value}


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
        *(accounts.c[name] for name in ("code", "path", "party_id", "pool", "tags", *Identity._fields)),
        *(standings.c[name] for name in Account._fields[len(Identity._fields) :]),
    ).join_from(accounts, standings, standings.c.number == accounts.c.number)


def _place(row: sa.RowMapping) -> Place:
    return Place(
        Code(row["code"]), row["path"], row["party_id"], row["pool"], tuple(row["tags"]), _account(row)
    )


def _account(row: sa.RowMapping) -> Account:
    state = {name: row[name] for name in Account._fields}
    return Account(**state | {"side": Side(row["side"]), "status": Status(row["status"])})
