"""Bank statements as imported, their lines, and what was matched or is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ledger.core.account import Movement
from ledger.core.ids import AccountId, ProgrammeId
from ledger.core.matching import BankLine, BookMovement, Match
from ledger.core.statement import Statement
from ledger.store.rows import insert_rows, update_rows
from ledger.store.schema import (
    accounts,
    breaks,
    entries,
    matches,
    statement_lines,
    statement_requests,
    statements,
    transfers,
)
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference between the bank and the book. Units: signed minor units, positive is money into the account."""

    id: str
    kind: str
    account_id: AccountId
    line_id: str | None
    version: int | None
    amount_minor: int
    state: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What a bank said an account held at the end of its newest statement, and at the start of its first."""

    account_id: AccountId
    currency: str
    first_opening_minor: int
    closing_minor: int
    ends_at: datetime


def insert_statements(
    tx: Tx, programme_id: ProgrammeId, received: Sequence[tuple[AccountId, Statement]], document_digest: bytes
) -> list[str]:
    """Writes statements with their lines; a window that an account already has is left as it is."""
    rows = [
        {
            "id": tx.new_id("stm"),
            "programme_id": programme_id,
            "account_id": account_id,
            "bank_statement_id": statement.statement_id,
            "iban": statement.iban,
            "currency": statement.currency,
            "starts_at": statement.starts_at,
            "ends_at": statement.ends_at,
            "opening_minor": statement.opening_minor,
            "closing_minor": statement.closing_minor,
            "document_digest": document_digest,
            "imported_at": tx.now,
        }
        for account_id, statement in received
    ]
    insert_rows(tx, statements, rows, ignore_conflicts=True)
    query = sa.select(statements.c.id).where(statements.c.id.in_([row["id"] for row in rows]))
    written = {row["id"] for row in tx.rows(query)}
    lines = [
        _line_row(tx, str(row["id"]), account_id, number, statement)
        for row, (account_id, statement) in zip(rows, received, strict=True)
        if row["id"] in written
        for number in range(len(statement.lines))
    ]
    insert_rows(tx, statement_lines, lines)
    return sorted(written)


def _line_row(
    tx: Tx, statement_id: str, account_id: AccountId, number: int, statement: Statement
) -> dict[str, Any]:
    line = statement.lines[number]
    return {
        "id": tx.new_id("sln"),
        "statement_id": statement_id,
        "account_id": account_id,
        "line_no": number + 1,
        "transaction_id": line.transaction_id,
        "end_to_end_id": line.end_to_end_id,
        "amount_minor": line.amount_minor,
        "booked_on": line.booked_on,
        "value_on": line.value_on,
        "bank_code": line.bank_code,
        "counterparty": line.counterparty_name,
        "remittance": line.remittance,
    }


def unmatched_lines(tx: Tx, programme_id: ProgrammeId) -> list[BankLine]:
    """Statement lines that no match names."""
    query = (
        sa.select(
            statement_lines.c.id,
            statement_lines.c.account_id,
            statement_lines.c.transaction_id,
            statement_lines.c.end_to_end_id,
            statement_lines.c.amount_minor,
        )
        .select_from(
            statement_lines.join(statements, statements.c.id == statement_lines.c.statement_id).outerjoin(
                matches, matches.c.line_id == statement_lines.c.id
            )
        )
        .where(statements.c.programme_id == programme_id, matches.c.line_id.is_(None))
        .order_by(statement_lines.c.id)
    )
    return [BankLine(**row) for row in tx.rows(query)]


def unmatched_movements(tx: Tx, programme_id: ProgrammeId) -> list[BookMovement]:
    """Entries on accounts that have statements, up to the end of the newest one, that no match names."""
    covered = (
        sa.select(accounts.c.id, accounts.c.number, sa.func.max(statements.c.ends_at).label("until"))
        .select_from(statements.join(accounts, accounts.c.id == statements.c.account_id))
        .where(statements.c.programme_id == programme_id)
        .group_by(accounts.c.id)
        .subquery()
    )
    sign = sa.case((entries.c.movement == Movement.DEBIT.value, 1), else_=-1)
    query = (
        sa.select(
            covered.c.id.label("account_id"),
            entries.c.version,
            transfers.c.reference,
            transfers.c.metadata["end_to_end_id"].astext.label("end_to_end_id"),
            (entries.c.amount_minor * sign).label("amount_minor"),
        )
        .select_from(
            entries.join(covered, covered.c.number == entries.c.account_number)
            .join(transfers, transfers.c.id == entries.c.transfer_id)
            .outerjoin(
                matches,
                sa.and_(matches.c.account_id == covered.c.id, matches.c.version == entries.c.version),
            )
        )
        .where(entries.c.leg > 0, entries.c.effective_at < covered.c.until, matches.c.line_id.is_(None))
        .order_by(covered.c.id, entries.c.version)
    )
    return [BookMovement(**row) for row in tx.rows(query)]


def insert_matches(tx: Tx, found: Sequence[Match]) -> None:
    """Writes matches. A line or an entry is matched once (unique keys)."""
    rows = [
        {
            "line_id": pair.line.id,
            "account_id": pair.movement.account_id,
            "version": pair.movement.version,
            "rule": pair.rule.value,
            "matched_at": tx.now,
        }
        for pair in found
    ]
    insert_rows(tx, matches, rows)


def open_breaks(
    tx: Tx, programme_id: ProgrammeId, lines: Sequence[BankLine], movements: Sequence[BookMovement]
) -> None:
    """Opens a break for each line and movement that is left over and has none yet."""
    common = {"programme_id": programme_id, "state": "open", "opened_at": tx.now}
    rows: list[dict[str, Any]] = [
        common
        | {
            "id": tx.new_id("brk"),
            "kind": "unknown_bank_entry",
            "account_id": line.account_id,
            "line_id": line.id,
            "version": None,
            "amount_minor": line.amount_minor,
        }
        for line in lines
    ] + [
        common
        | {
            "id": tx.new_id("brk"),
            "kind": "unmatched_ledger_movement",
            "account_id": movement.account_id,
            "line_id": None,
            "version": movement.version,
            "amount_minor": movement.amount_minor,
        }
        for movement in movements
    ]
    insert_rows(tx, breaks, rows, ignore_conflicts=True)


def close_breaks(tx: Tx, found: Sequence[Match]) -> None:
    """Closes the breaks whose line or movement has found its match."""
    if not found:
        return
    named = sa.or_(
        breaks.c.line_id.in_([pair.line.id for pair in found]),
        sa.tuple_(breaks.c.account_id, breaks.c.version).in_(
            [(pair.movement.account_id, pair.movement.version) for pair in found]
        ),
    )
    tx.run(sa.update(breaks).where(named, breaks.c.state == "open").values(state="closed", closed_at=tx.now))


def programme_breaks(tx: Tx, programme_id: ProgrammeId) -> list[Break]:
    """All breaks of a programme, oldest first."""
    query = (
        sa.select(*(breaks.c[name] for name in Break.__slots__))
        .where(breaks.c.programme_id == programme_id)
        .order_by(breaks.c.opened_at, breaks.c.id)
    )
    return [Break(**row) for row in tx.rows(query)]


def count_matches(tx: Tx, programme_id: ProgrammeId) -> int:
    """How many lines of a programme's statements are matched."""
    query = (
        sa.select(sa.func.count().label("count"))
        .select_from(matches.join(accounts, accounts.c.id == matches.c.account_id))
        .where(accounts.c.programme_id == programme_id)
    )
    row = tx.row(query)
    return int(row["count"]) if row else 0


def closings(tx: Tx, programme_id: ProgrammeId) -> dict[AccountId, Closing]:
    """The newest statement closing of each bank account of a programme."""
    query = sa.select(
        statements.c.account_id,
        statements.c.currency,
        sa.func.first_value(statements.c.opening_minor)
        .over(partition_by=statements.c.account_id, order_by=statements.c.ends_at)
        .label("first_opening_minor"),
        statements.c.closing_minor,
        statements.c.ends_at,
        sa.func.row_number()
        .over(partition_by=statements.c.account_id, order_by=statements.c.ends_at.desc())
        .label("newest"),
    ).where(statements.c.programme_id == programme_id)
    newest = sa.select(query.subquery()).where(sa.column("newest") == 1)
    return {
        row["account_id"]: Closing(**{name: row[name] for name in Closing.__slots__})
        for row in tx.rows(newest)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRequest:
    """The wish for a day's statements, and what became of it."""

    id: str
    programme_id: ProgrammeId
    day: date
    state: str
    detail: str | None
    starts_at: datetime
    ends_at: datetime


_REQUEST_COLUMNS = tuple(statement_requests.c[name] for name in StatementRequest.__slots__)


def request_statement(
    tx: Tx, programme_id: ProgrammeId, *, day: date, starts_at: datetime, ends_at: datetime
) -> tuple[StatementRequest, bool]:
    """Notes that the statements of a day are wanted, and says whether that is new; asking again is the same wish."""
    row = {
        "id": tx.new_id("srq"),
        "programme_id": programme_id,
        "day": day,
        "state": "requested",
        "requested_at": tx.now,
        "starts_at": starts_at,
        "ends_at": ends_at,
    }
    new = insert_rows(tx, statement_requests, [row], ignore_conflicts=True) == 1
    query = sa.select(*_REQUEST_COLUMNS).where(
        statement_requests.c.programme_id == programme_id, statement_requests.c.day == day
    )
    found = tx.row(query)
    assert found is not None, "it was written above or before"
    return StatementRequest(**found), new


def read_statement_request(tx: Tx, request_id: str) -> StatementRequest | None:
    """One request."""
    row = tx.row(sa.select(*_REQUEST_COLUMNS).where(statement_requests.c.id == request_id))
    return None if row is None else StatementRequest(**row)


def settle_statement_request(tx: Tx, request_id: str, *, state: str, detail: str) -> None:
    """Notes what became of a request."""
    update_rows(tx, statement_requests, ["id"], [{"id": request_id, "state": state, "detail": detail}])


def fulfil_statement_requests(
    tx: Tx, programme_id: ProgrammeId, starts_at: datetime, ends_at: datetime
) -> None:
    """Notes that the statements of a window have been imported."""
    tx.run(
        sa.update(statement_requests)
        .where(
            statement_requests.c.programme_id == programme_id,
            statement_requests.c.starts_at == starts_at,
            statement_requests.c.ends_at == ends_at,
        )
        .values(state="imported", detail=None)
    )
