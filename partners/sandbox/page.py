"""GET /: the bank at a glance, one HTML page that shows itself anew every few seconds.

No scripts and nothing from elsewhere. All of it is also to be had as JSON under /sandbox or by the dialect.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from partners.sandbox.bank import Bank
from partners.sandbox.clock import read_stamp, stamp
from partners.sandbox.delivery import WEBHOOK_URL
from partners.sandbox.hours import AMSTERDAM, sending_is_open
from partners.sandbox.money import CURRENCY, to_amount
from partners.sandbox.records import Fault, WebhookState
from partners.sandbox.store import accounts, faults, payments, postings, recalls, webhooks
from partners.sandbox.store.database import read_setting

ROWS_MAX = 50
ACCOUNTS_MAX = 1_000
REFRESH_S = 3
# States that somebody still waits for, and states in which something went otherwise than wanted.
_WAITING = frozenset({"received", "clearing", "delayed", "pending", "open", "accepted", "Clearing", "live"})
_BAD = frozenset(
    {"failed", "cancelled", "returned", "given up", "withheld", "rejected", "expired", "Cancelled"}
)
_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem 2rem; color: #1d2430; background: #fbfcfd; }
h1 { font-size: 1.4rem; margin: 0; } header p { margin: .1rem 0 1rem; color: #5a6473; }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2.2rem; margin: 0 0 1.4rem; padding: .7rem 1rem; background: #eef2f7;
  border-radius: 6px; }
dt { font-size: .75rem; color: #5a6473; } dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
section { margin: 0 0 1.6rem; overflow-x: auto; } h2 { font-size: 1rem; margin: 0 0 .3rem; }
table { border-collapse: collapse; background: #fff; }
th, td { text-align: left; padding: .22rem .9rem .22rem .4rem; border-bottom: 1px solid #e1e6ed; white-space: nowrap; }
th { font-size: .75rem; font-weight: 600; color: #5a6473; }
td { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; font-variant-numeric: tabular-nums; }
.money { text-align: right; } .none { color: #5a6473; margin: 0; }
.waiting { color: #8a5a00; font-weight: 600; } .bad { color: #a3212b; font-weight: 600; }
"""
_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox bank</title>
<meta http-equiv="refresh" content="{refresh_s}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head><body>
<header><h1>Sandbox bank</h1><p>A bank to develop against. No money here is real.</p></header>
<dl>{facts}</dl>
{sections}
</body></html>
"""


async def show_page(request: Request) -> HTMLResponse:
    """The clock, the accounts, and the newest of what has happened."""
    bank: Bank = request.app.state.bank
    sections = (
        _accounts(bank),
        _virtual_accounts(bank),
        _payments(bank),
        _recalls(bank),
        _faults(bank),
        _webhooks(bank),
        _postings(bank),
    )
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in _facts(bank)
    )
    page = _FRAME.format(refresh_s=REFRESH_S, style=_STYLE, facts=facts, sections="\n".join(sections))
    return HTMLResponse(page)


def _facts(bank: Bank) -> Iterable[tuple[str, str]]:
    now = bank.clock.now()
    counts = Counter(webhooks.count_by_state(bank.books))
    yield "Test clock, Amsterdam", f"{_moment(stamp(now))} ({now.astimezone(AMSTERDAM):%A})"
    yield "Credit transfers", "open" if sending_is_open(now) else "closed"
    yield "Webhooks go to", read_setting(bank.books, WEBHOOK_URL) or "nowhere yet"
    for state in WebhookState:
        yield f"Webhooks {state}", str(counts[state])
    yield "Faults live", str(sum(fault.times_left > 0 for fault in faults.list_faults(bank.books)))


def _accounts(bank: Bank) -> str:
    rows = (
        (
            account.name,
            account.owner,
            account.kind,
            account.iban,
            _money(account.actual_minor),
            _money(account.actual_minor - account.earmarked_minor),
        )
        for account in accounts.list_accounts(bank.books, limit=ACCOUNTS_MAX, offset=0)
    )
    return _table("Accounts", ("Name", "Owner", "Kind", "IBAN", "Balance", "Available"), rows)


def _virtual_accounts(bank: Bank) -> str:
    names = {one.id: one.name for one in accounts.list_accounts(bank.books, limit=ACCOUNTS_MAX, offset=0)}
    sums = postings.sum_settled_by_virtual_account(bank.books)
    rows = (
        (virtual.owner, virtual.iban, names.get(virtual.account_id, ""), _money(sums.get(virtual.id, 0)))
        for virtual in accounts.list_virtual_accounts(bank.books, limit=ACCOUNTS_MAX)
    )
    return _table("Virtual IBANs", ("Owner", "IBAN", "In account", "Its postings come to"), rows)


def _payments(bank: Bank) -> str:
    rows = (
        (
            _moment(payment.received_at),
            payment.scheme,
            payment.end_to_end_id,
            payment.creditor_name,
            payment.creditor_iban,
            _money(payment.amount_minor),
            payment.status,
            payment.reason or "",
            _money(payment.returned_minor) if payment.returned_minor else "",
        )
        for payment in reversed(payments.list_payments(bank.books, limit=ROWS_MAX))
    )
    heads = (
        "Received",
        "Scheme",
        "End-to-end id",
        "Creditor",
        "IBAN",
        "Amount",
        "State",
        "Reason",
        "Came back",
    )
    return _table("Orders to pay, newest first", heads, rows)


def _recalls(bank: Bank) -> str:
    rows = (
        (
            _moment(recall.asked_at),
            recall.side,
            recall.scheme,
            recall.end_to_end_id,
            _money(recall.amount_minor),
            recall.reason,
            recall.status,
            recall.answer_reason or "",
            _moment(recall.answer_by),
        )
        for recall in reversed(recalls.list_recalls(bank.books, limit=ROWS_MAX))
    )
    heads = ("Asked", "Side", "Scheme", "End-to-end id", "Amount", "Why", "State", "Answer", "Answer by")
    return _table("Recalls, newest first", heads, rows)


def _faults(bank: Bank) -> str:
    rows = (
        (
            fault.kind,
            _match(fault),
            _how(fault),
            str(fault.times_left),
            "live" if fault.times_left else "used up",
        )
        for fault in reversed(faults.list_faults(bank.books)[-ROWS_MAX:])
    )
    return _table("Faults, newest first", ("Fault", "Where", "How", "Times left", "State"), rows)


def _webhooks(bank: Bank) -> str:
    rows = (
        (
            _moment(webhook.created_at),
            webhook.type,
            webhook.end_to_end_id or "",
            webhook.state,
            str(webhook.attempts),
            webhook.last_failure or "",
        )
        for webhook in webhooks.list_latest(bank.books, limit=ROWS_MAX)
    )
    heads = ("Made (wall clock)", "Webhook", "End-to-end id", "State", "Attempts", "Last failure")
    return _table("Webhooks, newest first", heads, rows)


def _postings(bank: Bank) -> str:
    rows = (
        (
            _moment(posting.settled_at or posting.created_at),
            posting.kind,
            posting.channel,
            posting.own_iban,
            posting.other_name or "",
            posting.end_to_end_id,
            posting.reference,
            _money(posting.signed_minor),
            posting.status,
        )
        for posting in postings.list_latest(bank.books, limit=ROWS_MAX)
    )
    heads = (
        "At",
        "Kind",
        "Channel",
        "Account",
        "Other side",
        "End-to-end id",
        "Reference",
        "Amount",
        "State",
    )
    return _table("Postings, newest first", heads, rows)


def _match(fault: Fault) -> str:
    named = (fault.end_to_end_id, fault.creditor_iban, fault.path, fault.webhook_type)
    return ", ".join(text for text in named if text is not None) or "anywhere"


def _how(fault: Fault) -> str:
    seconds = None if fault.seconds is None else f"{fault.seconds:g} s"
    amount = None if fault.amount_minor is None else _money(fault.amount_minor)
    return ", ".join(text for text in (fault.reason, seconds, amount) if text is not None)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    if not lines:
        return f'<section><h2>{escape(title)}</h2><p class="none">none</p></section>'
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<section><h2>{escape(title)}</h2><table><tr>{head}</tr>{lines}</table></section>"


def _cell(text: str) -> str:
    if text.endswith(f" {CURRENCY}"):
        kind = ' class="money"'
    elif text in _WAITING:
        kind = ' class="waiting"'
    else:
        kind = ' class="bad"' if text in _BAD else ""
    return f"<td{kind}>{escape(text)}</td>"


def _moment(text: str) -> str:
    return f"{read_stamp(text).astimezone(AMSTERDAM):%Y-%m-%d %H:%M:%S}"


def _money(minor: int) -> str:
    return f"{to_amount(minor):,} {CURRENCY}"
