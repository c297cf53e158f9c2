"""GET /: the bank at a glance, one HTML page without scripts."""

from collections.abc import Iterable, Sequence
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp
from partners.sandbox.money import CURRENCY, to_amount
from partners.sandbox.store import accounts, payments, webhooks

ROWS_MAX = 50
_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox bank</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1d2430; }}
table {{ border-collapse: collapse; margin: 0 0 2rem; }}
th, td {{ text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #d9dee6; }}
td.money {{ text-align: right; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; padding: .4rem 0; }}
</style></head><body>
<h1>Sandbox bank</h1>
<p>A bank to develop against; no money here is real. Test clock: {now}</p>
{tables}
</body></html>
"""


async def show_page(request: Request) -> HTMLResponse:
    """Accounts with balances, the latest payments and the latest webhooks."""
    bank: Bank = request.app.state.bank
    tables = (_accounts(bank), _payments(bank), _events(bank))
    return HTMLResponse(_FRAME.format(now=escape(stamp(bank.clock.now())), tables="\n".join(tables)))


def _accounts(bank: Bank) -> str:
    rows = (
        (account.name, account.owner, account.kind, account.iban, _money(account.actual_minor))
        for account in accounts.list_accounts(bank.books, limit=ROWS_MAX, offset=0)
    )
    return _table("Accounts", ("Name", "Owner", "Kind", "IBAN", "Balance"), rows)


def _payments(bank: Bank) -> str:
    rows = (
        (
            payment.received_at,
            payment.scheme,
            payment.end_to_end_id,
            payment.creditor_name,
            payment.creditor_iban,
            payment.status,
            _money(payment.amount_minor),
        )
        for payment in reversed(payments.list_payments(bank.books, limit=ROWS_MAX))
    )
    heads = ("Received", "Scheme", "End-to-end id", "Creditor", "IBAN", "Status", "Amount")
    return _table("Payments, newest first", heads, rows)


def _events(bank: Bank) -> str:
    rows = (
        (
            webhook.created_at,
            webhook.type,
            webhook.end_to_end_id or "",
            webhook.state,
            str(webhook.attempts),
            webhook.last_failure or "",
        )
        for webhook in webhooks.list_latest(bank.books, limit=ROWS_MAX)
    )
    heads = ("Made", "Webhook", "End-to-end id", "State", "Attempts", "Last failure")
    return _table("Webhooks, newest first", heads, rows)


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def _cell(text: str) -> str:
    kind = ' class="money"' if text.endswith(f" {CURRENCY}") else ""
    return f"<td{kind}>{escape(text)}</td>"


def _money(minor: int) -> str:
    return f"{to_amount(minor):,} {CURRENCY}"
