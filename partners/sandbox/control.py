"""The developer's side of the bank, under /sandbox: who the client is, what time it is, and a look behind
the counter. No authentication; the server listens on the loopback address only.

Nothing here is part of the published dialect.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from partners.sandbox.answers import respond, respond_refusal
from partners.sandbox.bank import Bank, change_key, move_clock, published_keys
from partners.sandbox.clock import read_stamp, stamp, wall_now
from partners.sandbox.control_models import ClientOrder, ClockOrder, KeyOrder, WebhookOrder
from partners.sandbox.control_views import account_view, event_view, payment_view, recall_view
from partners.sandbox.delivery import WEBHOOK_URL
from partners.sandbox.door import Call, Endpoint, read_call
from partners.sandbox.signing import NotAnRsaKeyError, read_public_keys
from partners.sandbox.store import accounts, clients, payments, recalls, webhooks
from partners.sandbox.store.database import begin, read_setting, write_setting
from partners.sandbox.wire import Reply, RequestRefusedError, read_body

PAYMENTS_MAX = 100_000
EVENTS_MAX = 10_000
RECALLS_MAX = 10_000
ACCOUNTS_MAX = 100_000

ControlHandler: TypeAlias = Callable[[Bank, Call], Reply]


def behind_counter(handler: ControlHandler) -> Endpoint:
    """A handler of the control surface as a web endpoint."""

    async def endpoint(request: Request) -> Response:
        bank: Bank = request.app.state.bank
        try:
            return respond(handler(bank, await read_call(request)))
        except RequestRefusedError as refusal:
            return respond_refusal(refusal)
        finally:
            bank.wake()

    return endpoint


def register_client(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/clients: let a token in, with the RSA public keys that verify its signatures."""
    order = read_body(ClientOrder, call.body)
    try:
        read_public_keys(order.public_key_pem)
    except NotAnRsaKeyError as error:
        raise RequestRefusedError(400, "publicKeyPem is not an RSA public key in PEM.") from error
    with begin(bank.books) as tx:
        clients.register_client(
            tx, token=order.token, public_key_pem=order.public_key_pem, registered_at=stamp(wall_now())
        )
    return Reply(200, {"institutionId": bank.institution_id})


def set_webhook_url(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/webhooks: where to send every type of webhook, including those already waiting."""
    order = read_body(WebhookOrder, call.body)
    with begin(bank.books) as tx:
        write_setting(tx, WEBHOOK_URL, order.url)
    return Reply(200, {"url": order.url})


def show_webhook_url(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/webhooks."""
    assert call.method == "GET"
    return Reply(200, {"url": read_setting(bank.books, WEBHOOK_URL)})


def show_clock(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/clock: the bank's present moment."""
    assert call.method == "GET"
    return Reply(200, {"now": stamp(bank.clock.now())})


def set_clock(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/clock: move the test clock; it ticks on from there. It goes back only before the first
    account is opened.

    Raises: RequestRefusedError (400 for no moment, 409 for a moment that has passed).
    """
    order = read_body(ClockOrder, call.body)
    try:
        moment = read_stamp(order.now)
    except ValueError as error:
        raise RequestRefusedError(400, "now is not an ISO 8601 moment.") from error
    now = bank.clock.now()
    if moment < now and accounts.any_account(bank.books):
        raise RequestRefusedError(409, "The clock does not go back once the bank has accounts.", stamp(now))
    move_clock(bank, bank.clock.offset_to(moment))
    return Reply(200, {"now": stamp(bank.clock.now())})


def list_payments(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/payments: every order taken, oldest first; `repeats` counts refused repetitions of its
    request.
    """
    assert call.method == "GET"
    repeats = clients.count_repeats(bank.books)
    found = payments.list_payments(bank.books, limit=PAYMENTS_MAX)
    return Reply(200, {"payments": [payment_view(item, repeats.get(item.request_id, 0)) for item in found]})


def list_events(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/events?after=SEQ: the webhook log, oldest first, at most 10,000 at a time."""
    after = call.query.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) <= 15):
        raise RequestRefusedError(400, "after is not a whole number.")
    found = webhooks.list_webhooks(bank.books, after=int(after), limit=EVENTS_MAX)
    return Reply(200, {"events": [event_view(webhook) for webhook in found]})


def list_accounts(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/accounts: real accounts with balances in cents, each with its virtual accounts."""
    assert call.method == "GET"
    real = accounts.list_accounts(bank.books, limit=ACCOUNTS_MAX, offset=0)
    virtual = accounts.list_virtual_accounts(bank.books, limit=ACCOUNTS_MAX)
    return Reply(200, {"accounts": [account_view(account, virtual) for account in real]})


def list_recalls(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/recalls: the client's and other banks', oldest first."""
    assert call.method == "GET"
    found = recalls.list_recalls(bank.books, limit=RECALLS_MAX)
    return Reply(200, {"recalls": [recall_view(recall) for recall in found]})


def change_webhook_key(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/webhook-key: sign with a new key from now on; the old one stays published for a while."""
    order = read_body(KeyOrder, call.body)
    change_key(bank, timedelta(hours=order.published_for_hours))
    return Reply(200, {"publicKeyPem": bank.keys.current.public_pem()})


async def show_public_key(request: Request) -> Response:
    """GET /sandbox/public-key: the key that verifies the bank's webhooks, in PEM, and for a while after a
    change the one before it, second.
    """
    bank: Bank = request.app.state.bank
    return PlainTextResponse(published_keys(bank), media_type="application/x-pem-file")
