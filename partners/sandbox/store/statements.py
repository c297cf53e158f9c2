"""Statements that were asked for. Their content is read from the postings when a page is fetched."""

from partners.sandbox.records import Statement
from partners.sandbox.store.database import Tx, columns_of, insert

_SELECT = f"SELECT {columns_of(Statement)} FROM statements"  # noqa: S608 - names come from code


def insert_statement(tx: Tx, statement: Statement) -> None:
    insert(tx, "statements", statement)


def find_latest_statement(tx: Tx) -> Statement | None:
    row = tx.execute(f"{_SELECT} ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else Statement(**dict(row))


def find_statement(tx: Tx, message_id: str) -> Statement | None:
    row = tx.execute(f"{_SELECT} WHERE message_id = ?", (message_id,)).fetchone()
    return None if row is None else Statement(**dict(row))
