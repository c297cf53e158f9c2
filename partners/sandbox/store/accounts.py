"""Accounts, their IBANs and their running balances."""

import sqlite3

from partners.sandbox.records import Account, Place, VirtualAccount
from partners.sandbox.store.database import Tx, columns_of, insert

_ACCOUNT = f"SELECT {columns_of(Account)} FROM accounts"  # noqa: S608 - names come from code
_VIRTUAL = f"SELECT {columns_of(VirtualAccount)} FROM virtual_accounts"  # noqa: S608 - names come from code


def insert_account(tx: Tx, account: Account) -> None:
    insert(tx, "accounts", account)


def insert_virtual_account(tx: Tx, account: VirtualAccount) -> None:
    insert(tx, "virtual_accounts", account)


def find_account(tx: Tx, account_id: str) -> Account | None:
    row = tx.execute(f"{_ACCOUNT} WHERE id = ?", (account_id,)).fetchone()
    return None if row is None else _account(row)


def list_accounts(tx: Tx, *, limit: int, offset: int) -> list[Account]:
    """Real accounts in the order in which they were opened."""
    rows = tx.execute(
        f"{_ACCOUNT} ORDER BY opened_at, id LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [_account(row) for row in rows]


def any_account(tx: Tx) -> bool:
    """Whether the bank has ever opened an account."""
    return tx.execute("SELECT 1 FROM accounts LIMIT 1").fetchone() is not None


def find_virtual_account(tx: Tx, account_id: str) -> VirtualAccount | None:
    row = tx.execute(f"{_VIRTUAL} WHERE id = ?", (account_id,)).fetchone()
    return None if row is None else VirtualAccount(**dict(row))


def list_virtual_accounts(tx: Tx, *, limit: int) -> list[VirtualAccount]:
    rows = tx.execute(
        f"{_VIRTUAL} ORDER BY opened_at, id LIMIT ?",
        (limit,),
    )
    return [VirtualAccount(**dict(row)) for row in rows]


def find_place(tx: Tx, iban: str) -> Place | None:
    """Where an IBAN leads inside this bank, or None when it is another bank's."""
    row = tx.execute(
        "SELECT id AS account_id, NULL AS virtual_account_id, iban, owner FROM accounts WHERE iban = :iban"
        " UNION ALL SELECT account_id, id, iban, owner FROM virtual_accounts WHERE iban = :iban",
        {"iban": iban},
    ).fetchone()
    return None if row is None else Place(**dict(row))


def move(tx: Tx, account_id: str, *, actual_minor: int = 0, earmarked_minor: int = 0) -> None:
    """Change an account's running balance by these differences."""
    tx.execute(
        "UPDATE accounts SET actual_minor = actual_minor + ?, earmarked_minor = earmarked_minor + ?"
        " WHERE id = ?",
        (actual_minor, earmarked_minor, account_id),
    )


def _account(row: sqlite3.Row) -> Account:
    return Account(**dict(row))
