"""POST /v1/statementrequests and GET /v1/statements/{messageId}: what an account looked like over past hours.

A window runs from its start, included, to its end, excluded (the published wording leaves the boundaries
open; this way adjoining windows neither lose nor repeat a posting). It is at most 25 hours long, lies in
the past, and touches only days that the bank has reconciled: a day, in Amsterdam, from 02:00 of the next
one on.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from partners.sandbox import faults, notices
from partners.sandbox.bank import Bank
from partners.sandbox.camt053 import AccountSection, Page, write_page
from partners.sandbox.clock import read_stamp, stamp
from partners.sandbox.door import Call, Desk
from partners.sandbox.hours import bank_day, day_is_reconciled
from partners.sandbox.lookups import creditor_iban
from partners.sandbox.models import StatementOrder
from partners.sandbox.queries import read_page_number
from partners.sandbox.records import Account, Facts, FaultKind, Posting, Statement
from partners.sandbox.store import accounts, postings
from partners.sandbox.store import statements as store
from partners.sandbox.store.database import Tx
from partners.sandbox.wire import STATUS_TITLES, Reply, RequestRefusedError, read_body

SPAN_MAX = timedelta(hours=25)
AGE_MAX = timedelta(days=730)
KEPT = timedelta(days=14)
ACCOUNTS_MAX = 1_000


def request_statement(desk: Desk, call: Call) -> Reply:
    """Take an order for a statement; the webhook Statements.ReadyForDownload follows.

    Raises: RequestRefusedError (422) when the window is incomplete, reversed, too long, too old, not past,
    or not reconciled yet.
    """
    order = read_body(StatementOrder, call.body)
    start = _read_moment(order.start_date_time_utc, "startDateTimeUtc")
    end = _read_moment(order.end_date_time_utc, "endDateTimeUtc")
    now = desk.bank.clock.now()
    _check_window(start=start, end=end, now=now)
    statement = _draft(desk.bank, desk.tx, start=start, end=end)
    store.insert_statement(desk.tx, statement)
    notices.tell_statement_ready(desk.tx, statement)
    return Reply(202)


def fetch_statement(desk: Desk, call: Call) -> Reply:
    """One page of a statement, as XML. A statement is kept for two weeks.

    Raises: RequestRefusedError (404) for an unknown message or page.
    """
    statement = store.find_statement(desk.tx, call.path_values["message_id"])
    number = read_page_number(call, "pageNumber")
    if statement is None or number > statement.total_pages:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    if read_stamp(statement.made_at) + KEPT < desk.bank.clock.now():
        raise RequestRefusedError(404, STATUS_TITLES[404])
    number = _page_behind(desk.tx, statement, number)
    page = Page(
        statement=statement,
        number=number,
        recipient_id=desk.bank.institution_id,
        recipient_name="Sandbox client",
        sections=list(_sections(desk.tx, statement, number)),
    )
    return Reply(200, xml=write_page(page))


def _read_moment(text: str | None, field: str) -> datetime:
    try:
        return read_stamp(text or "")
    except ValueError as error:
        raise RequestRefusedError(
            422, "The statement window is not valid.", errors={field: ["must be a date-time in UTC"]}
        ) from error


def _check_window(*, start: datetime, end: datetime, now: datetime) -> None:
    last_day = bank_day(end - timedelta(microseconds=1))
    if not start < end:
        problem = "The start must lie before the end."
    elif end - start > SPAN_MAX:
        problem = "The window is longer than 25 hours."
    elif end > now:
        problem = "The window must lie in the past."
    elif start < now - AGE_MAX:
        problem = "The window is older than 24 months."
    elif not day_is_reconciled(last_day, now):
        problem = "The day has not been reconciled yet."
    else:
        return
    raise RequestRefusedError(422, "The statement window is not valid.", problem)


def _draft(bank: Bank, tx: Tx, *, start: datetime, end: datetime) -> Statement:
    message_id = f"CAMT053_{start:%Y%m%d}_{end:%Y%m%d}_{secrets.token_hex(4).upper()}"
    statement = Statement(
        message_id=message_id,
        start_at=stamp(start),
        end_at=stamp(end),
        first_at=stamp(start),
        shown_id=message_id,
        shown_day=f"{start:%Y-%m-%d}",
        page_entries=bank.settings.statement_page_entries,
        total_pages=1,
        made_at=stamp(bank.clock.now()),
    )
    return _paged(tx, _spoilt(tx, statement))


def _spoilt(tx: Tx, statement: Statement) -> Statement:
    """The statement as faults have it: beginning one entry early, or calling itself as the last one did."""
    if faults.take(tx, FaultKind.REPEATED_ENTRY, Facts()) is not None:
        first_at = postings.latest_settled_before(tx, statement.start_at)
        statement = replace(statement, first_at=first_at or statement.first_at)
    latest = store.find_latest_statement(tx)
    if latest is not None and faults.take(tx, FaultKind.REUSED_STATEMENT_ID, Facts()) is not None:
        statement = replace(statement, shown_id=latest.shown_id, shown_day=latest.shown_day)
    return statement


def _paged(tx: Tx, statement: Statement) -> Statement:
    entries = sum(_count(tx, account, statement) for account in _accounts(tx, statement.end_at))
    return replace(statement, total_pages=max(1, -(-entries // statement.page_entries)))


def _count(tx: Tx, account: Account, statement: Statement) -> int:
    return postings.count_entries(tx, account.id, start_at=statement.first_at, end_at=statement.end_at)


def _accounts(tx: Tx, end_at: str) -> list[Account]:
    """The accounts that were open before the window's end: a fixed list, however late the page is read."""
    return [
        account
        for account in accounts.list_accounts(tx, limit=ACCOUNTS_MAX, offset=0)
        if account.opened_at < end_at
    ]


def _sections(tx: Tx, statement: Statement, number: int) -> Iterator[AccountSection]:
    """What a page shows: all entries of all accounts form one row, and a page is a cut out of it.

    An account without entries shows on the page on which its turn comes.
    """
    page_start = (number - 1) * statement.page_entries
    page_end = page_start + statement.page_entries
    before = 0
    for account in _accounts(tx, statement.end_at):
        count = _count(tx, account, statement)
        first, after = max(before, page_start), min(before + count, page_end)
        turn = min(before // statement.page_entries + 1, statement.total_pages)
        if first < after or (count == 0 and turn == number):
            yield _section(tx, account, statement, offset=first - before, limit=max(0, after - first))
        before += count


def _section(tx: Tx, account: Account, statement: Statement, *, offset: int, limit: int) -> AccountSection:
    found = postings.list_entries(
        tx, account.id, start_at=statement.first_at, end_at=statement.end_at, limit=limit, offset=offset
    )
    return AccountSection(
        account=account,
        opening_minor=postings.sum_settled_before(tx, account.id, statement.first_at),
        closing_minor=postings.sum_settled_before(tx, account.id, statement.end_at),
        postings=[_stated(tx, posting) for posting in found],
    )


def _stated(tx: Tx, posting: Posting) -> Posting:
    """A posting as a statement shows it; a fault may make it a cent too high, and the balances do not follow."""
    facts = Facts(end_to_end_id=posting.end_to_end_id, creditor_iban=creditor_iban(posting))
    lies = faults.take(tx, FaultKind.WRONG_AMOUNT_STATED, facts) is not None
    return replace(posting, amount_minor=posting.amount_minor + 1) if lies else posting


def _page_behind(tx: Tx, statement: Statement, number: int) -> int:
    """The page that is given for a number: with the fault, the second for the first and the first for the second."""
    is_of_the_first_two = number <= 2 <= statement.total_pages
    if is_of_the_first_two and faults.take(tx, FaultKind.SWAPPED_PAGES, Facts()) is not None:
        return 3 - number
    return number
