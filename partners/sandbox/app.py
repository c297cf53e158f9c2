"""The bank's web application: its routes, and what happens around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from partners.sandbox import (
    accounts,
    control,
    emulator,
    fault_desk,
    lookups,
    orders,
    payees,
    recall_desk,
    simulations,
    statements,
)
from partners.sandbox.answers import respond_refusal
from partners.sandbox.bank import Bank
from partners.sandbox.control import ControlHandler, behind_counter
from partners.sandbox.door import Handler, behind_door
from partners.sandbox.page import show_page
from partners.sandbox.wire import STATUS_TITLES, RequestRefusedError
from partners.sandbox.workers import working

_PUBLISHED: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/mccy/v2/Accounts", accounts.open_account),
    ("GET", "/mccy/v1/Accounts", accounts.list_accounts),
    ("GET", "/mccy/v1/Accounts/{account_id}", accounts.show_account),
    ("GET", "/mccy/v1/Accounts/{account_id}/balances", accounts.show_balances),
    ("GET", "/mccy/v1/Accounts/{account_id}/transactions", lookups.list_postings),
    ("GET", "/mccy/v1/Transactions/{posting_id}", lookups.show_posting),
    ("POST", "/mccy/v1/VirtualAccounts", accounts.open_virtual_account),
    ("GET", "/mccy/v1/VirtualAccounts/{virtual_account_id}", accounts.show_virtual_account),
    ("POST", "/payments/sepa-ct/v1/customer-payments", orders.order_credit_transfer),
    ("POST", "/v1/payments/sepa-instant", orders.order_instant),
    ("POST", "/payments/sepa-ct/v1/payment-returns", recall_desk.return_incoming),
    ("POST", "/payments/sepa-ct/v1/recall", recall_desk.recall_credit_transfer),
    ("POST", "/payments/sepa-ct/v1/recall-response", recall_desk.answer_credit_transfer_recall),
    ("POST", "/v1/payments/sepa-instant/{payment_id}/recall", recall_desk.recall_instant),
    ("POST", "/v1/payments/sepa-instant/{payment_id}/recall-response", recall_desk.answer_instant_recall),
    ("POST", "/open-banking/vop/v1/payees/single", payees.verify_payee),
    ("POST", "/v1/payments/sepa-ct/emulator/inbound/payment", emulator.emulate_inbound),
    ("POST", "/v1/statementrequests", statements.request_statement),
    ("GET", "/v1/statements/{message_id}", statements.fetch_statement),
)
CONTROL: tuple[tuple[str, str, ControlHandler], ...] = (
    ("POST", "/sandbox/clients", control.register_client),
    ("POST", "/sandbox/webhooks", control.set_webhook_url),
    ("GET", "/sandbox/webhooks", control.show_webhook_url),
    ("GET", "/sandbox/clock", control.show_clock),
    ("POST", "/sandbox/clock", control.set_clock),
    ("POST", "/sandbox/webhook-key", control.change_webhook_key),
    ("POST", "/sandbox/simulations/incoming-payments", simulations.receive_payment),
    ("POST", "/sandbox/simulations/incoming-batches", simulations.receive_batch),
    ("POST", "/sandbox/simulations/returns", simulations.return_payment),
    ("POST", "/sandbox/simulations/incoming-recalls", simulations.recall_incoming),
    ("POST", "/sandbox/simulations/recall-answers", simulations.answer_recall),
    ("POST", "/sandbox/simulations/fees", simulations.charge_fee),
    # The shorter names that came first.
    ("POST", "/sandbox/inbound", simulations.receive_payment),
    ("POST", "/sandbox/returns", simulations.return_payment),
    ("POST", "/sandbox/fees", simulations.charge_fee),
    ("POST", "/sandbox/faults", fault_desk.order_fault),
    ("GET", "/sandbox/faults", fault_desk.list_faults),
    ("GET", "/sandbox/payments", control.list_payments),
    ("GET", "/sandbox/recalls", control.list_recalls),
    ("GET", "/sandbox/events", control.list_events),
    ("GET", "/sandbox/accounts", control.list_accounts),
)


def make_app(bank: Bank) -> Starlette:
    """The application over an open bank; its workers run while it is served."""
    routes = [
        *(Route(path, behind_door(handler), methods=[method]) for method, path, handler in _PUBLISHED),
        *(Route(path, behind_counter(handler), methods=[method]) for method, path, handler in CONTROL),
        Route("/sandbox/public-key", control.show_public_key, methods=["GET"]),
        Route("/", show_page, methods=["GET"]),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with working(bank):
            yield

    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _respond_http_error})
    app.state.bank = bank
    return app


async def _respond_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = STATUS_TITLES.get(error.status_code, error.detail)
    return respond_refusal(RequestRefusedError(error.status_code, title))
