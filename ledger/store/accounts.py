"""Accounts in the database: found by chart code and party, locked in id order, saved as the book decided."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ledger.core.chart import CHART, Code, Side
from ledger.core.decide import Account, Status
from ledger.core.ids import AccountId, PartyId, ProgrammeId
from ledger.store.rows import insert_rows, update_rows
from ledger.store.schema import accounts
from ledger.store.tx import Tx

_STATE = (
    accounts.c.id,
    accounts.c.programme_id,
    accounts.c.currency,
    accounts.c.side,
    accounts.c.status,
    accounts.c.min_available_minor,
    accounts.c.max_balance_minor,
    accounts.c.debits_minor,
    accounts.c.credits_minor,
    accounts.c.held_minor,
    accounts.c.version,
    accounts.c.recorded_at,
)


@dataclass(frozen=True, slots=True)
class Opening:
    """An account to be opened: a place in the chart, for a party or for the programme itself."""

    programme_id: ProgrammeId
    code: Code
    party_id: PartyId | None
    currency: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account stands in its programme's chart, with its state."""

    code: Code
    party_id: PartyId | None
    pool: str | None
    account: Account


def open_accounts(tx: Tx, openings: Sequence[Opening]) -> None:
    """Opens accounts that are not open yet."""
    rows = [
        {
            "id": tx.new_id("acct"),
            "programme_id": opening.programme_id,
            "code": opening.code.value,
            "party_id": opening.party_id,
            "currency": opening.currency,
            "class": CHART[opening.code].account_class.value,
            "side": CHART[opening.code].side.value,
            "pool": CHART[opening.code].pool,
            "status": Status.OPEN.value,
            "min_available_minor": CHART[opening.code].min_available_minor,
            "max_balance_minor": None,
            "debits_minor": 0,
            "credits_minor": 0,
            "held_minor": 0,
            "version": 0,
            "recorded_at": tx.now,
            "opened_at": tx.now,
        }
        for opening in openings
    ]
    insert_rows(tx, accounts, rows, ignore_conflicts=True)


def lock_accounts(tx: Tx, ids: Collection[AccountId]) -> dict[AccountId, Account]:
    """Locks accounts in id order, so that two batches over the same accounts wait and never deadlock."""
    if not ids:
        return {}
    query = sa.select(*_STATE).where(accounts.c.id.in_(sorted(ids))).order_by(accounts.c.id)
    rows = tx.rows(query.with_for_update(key_share=True))
    return {account.id: account for account in map(_account, rows)}


def read_accounts(tx: Tx, ids: Collection[AccountId]) -> dict[AccountId, Place]:
    """Accounts with their places in the chart, unlocked."""
    query = sa.select(accounts.c.code, accounts.c.party_id, accounts.c.pool, *_STATE)
    return {row["id"]: _place(row) for row in tx.rows(query.where(accounts.c.id.in_(sorted(ids))))}


def shared_accounts(
    tx: Tx, programme_ids: Collection[ProgrammeId], code: Code
) -> dict[ProgrammeId, AccountId]:
    """The programme's own account of one code, programme by programme."""
    query = sa.select(accounts.c.programme_id, accounts.c.id).where(
        accounts.c.programme_id.in_(sorted(programme_ids)),
        accounts.c.code == code.value,
        accounts.c.party_id.is_(None),
    )
    return {row["programme_id"]: row["id"] for row in tx.rows(query)}


def party_accounts(tx: Tx, party_ids: Collection[PartyId]) -> dict[PartyId, AccountId]:
    """The one account of each party."""
    query = sa.select(accounts.c.party_id, accounts.c.id).where(accounts.c.party_id.in_(sorted(party_ids)))
    return {row["party_id"]: row["id"] for row in tx.rows(query)}


def programme_accounts(tx: Tx, programme_id: ProgrammeId) -> list[Place]:
    """All accounts of a programme, in the order of the chart and then of their opening."""
    query = sa.select(accounts.c.code, accounts.c.party_id, accounts.c.pool, *_STATE).where(
        accounts.c.programme_id == programme_id
    )
    order = list(Code)
    return sorted(map(_place, tx.rows(query)), key=lambda place: (order.index(place.code), place.account.id))


def save_accounts(tx: Tx, changed: Sequence[Account]) -> None:
    """Writes the counters that the book decided."""
    rows = [
        {
            "id": account.id,
            "debits_minor": account.debits_minor,
            "credits_minor": account.credits_minor,
            "held_minor": account.held_minor,
            "version": account.version,
            "recorded_at": account.recorded_at,
        }
        for account in changed
    ]
    found = update_rows(tx, accounts, ["id"], rows)
    assert found == len(rows), "every account that was locked is still there"


def _place(row: sa.RowMapping) -> Place:
    return Place(Code(row["code"]), row["party_id"], row["pool"], _account(row))


def _account(row: sa.RowMapping) -> Account:
    return Account(
        id=row["id"],
        programme_id=row["programme_id"],
        currency=row["currency"],
        side=Side(row["side"]),
        status=Status(row["status"]),
        min_available_minor=row["min_available_minor"],
        max_balance_minor=row["max_balance_minor"],
        debits_minor=row["debits_minor"],
        credits_minor=row["credits_minor"],
        held_minor=row["held_minor"],
        version=row["version"],
        recorded_at=row["recorded_at"],
    )
