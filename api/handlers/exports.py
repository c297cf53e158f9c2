"""Wishes that the worker fulfils: a day's statements, an export of the books. Runs on a lane."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from api import present
from api.lanes import Ask, Reply
from api.problems import Problem
from ledger.core.ids import ProgrammeId
from ledger.flows.reconcile import reconcile
from ledger.reports.reconciliation import reconciliation
from ledger.store.evidence import insert_export
from ledger.store.jobs import promise
from ledger.store.statements import StatementRequest, request_statement, settle_statement_request
from ledger.store.tx import Tx

BANK_ZONE = ZoneInfo("Europe/Amsterdam")  # the bank's day: 23 or 25 hours when its clocks change


def request_statements(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Notes that days' statements are wanted, and promises to ask the bank for them."""
    return [_request_day(tx, ask) for ask in asks]


def request_exports(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Notes that exports are wanted, and promises to make them."""
    return [_request_export(tx, ask) for ask in asks]


def run_reconciliations(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Matches what is open and answers with the report."""
    return [_reconcile(tx, ask) for ask in asks]


def wish_for_statement(tx: Tx, programme_id: ProgrammeId, day: date) -> StatementRequest:
    """Notes that a day's statements are wanted, and promises to ask the bank unless that has been done."""
    starts_at, ends_at = day_ends_at(day - timedelta(days=1)), day_ends_at(day)
    wish, new = request_statement(tx, programme_id, day=day, starts_at=starts_at, ends_at=ends_at)
    if new:
        promise(tx, "ask_statement", statement_request_id=wish.id)
    return wish


def day_ends_at(day: date) -> datetime:
    """The end of a day of the bank's, which is the beginning of the next."""
    return datetime.combine(day + timedelta(days=1), time(), BANK_ZONE).astimezone(UTC)


def _request_day(tx: Tx, ask: Ask) -> Reply:
    day = ask.payload[0].day
    if day_ends_at(day) > tx.now:
        return Reply.declined(Problem(409, "day_not_over", "The bank's day is not over yet."))
    wish = wish_for_statement(tx, ask.programme, day)
    if wish.state == "failed":
        settle_statement_request(tx, wish.id, state="requested", detail="")
        promise(tx, "ask_statement", statement_request_id=wish.id)
    state = "imported" if wish.state == "imported" else "requested"
    return Reply(202, {"id": wish.id, "day": day.isoformat(), "state": state})


def _request_export(tx: Tx, ask: Ask) -> Reply:
    export = insert_export(tx, ask.programme)
    promise(tx, "make_export", programme_id=export.programme_id, export_id=export.id)
    return Reply(202, {"id": export.id, "state": export.state.value})


def _reconcile(tx: Tx, ask: Ask) -> Reply:
    reconcile(tx, ask.programme)
    return Reply(201, present.reconciliation(reconciliation(tx, ask.programme)))
