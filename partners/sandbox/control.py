"""The developer's side of the bank, under /sandbox: who the client is, what time it is, what goes wrong,
and a look behind the counter. No authentication; the server listens on the loopback address only.

Nothing here is part of the published dialect.
"""

import uuid
from collections.abc import Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from partners.sandbox import settlement
from partners.sandbox.bank import Bank, move_clock
from partners.sandbox.clock import read_stamp, stamp, wall_now
from partners.sandbox.control_models import (
    ClientOrder,
    ClockOrder,
    FaultOrder,
    FeeOrder,
    InboundOrder,
    ReturnOrder,
    WebhookOrder,
)
from partners.sandbox.control_views import account_view, event_view, fault_view, payment_view
from partners.sandbox.delivery import WEBHOOK_URL
from partners.sandbox.door import Call, Endpoint, read_call, respond, respond_refusal
from partners.sandbox.money import to_minor
from partners.sandbox.records import Fault, Party, Payment, Place
from partners.sandbox.signing import NotAnRsaKeyError, read_public_keys
from partners.sandbox.store import accounts, clients, payments, webhooks
from partners.sandbox.store import faults as fault_store
from partners.sandbox.store.database import Tx, begin, read_setting, write_setting
from partners.sandbox.wire import STATUS_TITLES, Reply, RequestRefusedError, read_body

PAYMENTS_MAX = 100_000
EVENTS_MAX = 10_000
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


def receive_inbound(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/inbound: money from a named payer arrives at one of the bank's IBANs.

    Raises: RequestRefusedError (400 for a broken rule, 404 for an IBAN that is not the bank's).
    """
    order = read_body(InboundOrder, call.body)
    payer = Party(name=order.debtor_name, iban=order.debtor_iban, bic=order.debtor_bic)
    with begin(bank.books) as tx:
        credit = settlement.receive(
            bank,
            tx,
            _require_place(tx, order.creditor_iban),
            payer,
            scheme=order.scheme,
            amount_minor=to_minor(order.amount),
            end_to_end_id=order.end_to_end_id,
            reference=order.reference,
        )
    return Reply(201, {"paymentId": credit.payment_id, "transactionId": credit.id})


def return_payment(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/returns: a settled credit transfer comes back, in full.

    Raises: RequestRefusedError (400, 404 for an unknown order, 409 for one that cannot come back).
    """
    order = read_body(ReturnOrder, call.body)
    with begin(bank.books) as tx:
        payment = _require_payment(tx, order)
        try:
            credit = settlement.give_back(bank, tx, payment, reason=order.reason)
        except settlement.NotReturnableError as error:
            raise RequestRefusedError(
                409, f"A payment that is {payment.status} cannot be returned."
            ) from error
    return Reply(201, {"paymentId": payment.id, "transactionId": credit.id})


def charge_fee(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/fees: the bank helps itself; no webhook tells.

    Raises: RequestRefusedError (400, 404 for an IBAN that is not the bank's).
    """
    order = read_body(FeeOrder, call.body)
    with begin(bank.books) as tx:
        place = _require_place(tx, order.iban)
        fee = settlement.charge_fee(bank, tx, place, amount_minor=to_minor(order.amount), text=order.text)
    return Reply(201, {"transactionId": fee.id})


def order_fault(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/faults: misbehave, so many times, where the match applies.

    `lost_answer`, `held_answer`, `error_500_after` and `refuse_500` strike requests: orders to pay, or any
    path that begins as the match says. A held answer never comes, but its webhooks do; the connection stays
    open until the caller goes away. `turned_away_after` strikes alike: the order is taken, and something on the
    way back answers 429. `reject` strikes an order when it is taken up. The others strike webhooks,
    each counted: one order causes several, and `webhookType` picks among them; `bad_signature` counts
    attempts to deliver.
    """
    order = read_body(FaultOrder, call.body)
    fault = Fault(
        id=str(uuid.uuid4()),
        kind=order.kind,
        end_to_end_id=order.match.end_to_end_id,
        creditor_iban=order.match.creditor_iban,
        path=order.match.path,
        webhook_type=order.match.webhook_type,
        reason=order.reason,
        times_left=order.times,
        created_at=stamp(wall_now()),
    )
    with begin(bank.books) as tx:
        fault_store.insert_fault(tx, fault)
    return Reply(201, fault_view(fault))


def list_faults(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/faults: every fault ever ordered, with how often it may still strike."""
    assert call.method == "GET"
    return Reply(200, {"faults": [fault_view(fault) for fault in fault_store.list_faults(bank.books)]})


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


async def show_public_key(request: Request) -> Response:
    """GET /sandbox/public-key: the key that verifies the bank's webhooks, in PEM."""
    bank: Bank = request.app.state.bank
    return PlainTextResponse(bank.key.public_pem(), media_type="application/x-pem-file")


def _require_place(tx: Tx, iban: str) -> Place:
    place = accounts.find_place(tx, iban)
    if place is None:
        raise RequestRefusedError(404, STATUS_TITLES[404], "The IBAN is not an account here.")
    return place


def _require_payment(tx: Tx, order: ReturnOrder) -> Payment:
    if order.payment_id is not None:
        found = payments.find_payment(tx, order.payment_id)
    else:
        found = payments.find_latest_payment(tx, end_to_end_id=order.end_to_end_id or "")
    if found is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    return found
