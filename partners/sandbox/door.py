"""The bank's front door: who may ask, and the answer to every request of the published API.

Checks come in a fixed order: token (403), request id, request time, signature (400), reused id (409). A
request id is used up only by a request that took effect; a refusal leaves it free. The work and the id are
written in one database transaction, before the answer.

The published pages leave open how the signed text of a GET or DELETE is put together (here: method in
capitals, path with its query as sent, request id, request time, nothing between) and which status a stale
`X-Request-Time` gets (here: 400).

Source: ClearBank EU, "Authentication", "Request signing", "Idempotency".
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from partners.sandbox import faults
from partners.sandbox.answers import CutShort, Silence, respond, respond_refusal
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp, wall_now
from partners.sandbox.records import Facts, Fault, FaultKind
from partners.sandbox.signing import verify
from partners.sandbox.store import clients, payments, webhooks
from partners.sandbox.store.database import Tx, begin
from partners.sandbox.wire import STATUS_TITLES, Reply, RequestRefusedError

BODY_BYTES_MAX = 1_000_000
REQUEST_ID_CHARACTERS_MAX = 83
REQUEST_TIME_DRIFT_S_MAX = 60
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as the bank's business sees it."""

    method: str
    path: str
    target: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path_values: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a request is served: the bank, and the database transaction that its whole effect goes into."""

    bank: Bank
    tx: Tx


Handler: TypeAlias = Callable[[Desk, Call], Reply]
Endpoint: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]


# At most one of these spoils an answer: the first of which a live fault is found.
_SPOILERS = (
    FaultKind.LOST_ANSWER,
    FaultKind.HELD_ANSWER,
    FaultKind.LATE_ANSWER,
    FaultKind.TRUNCATED_ANSWER,
    FaultKind.TURNED_AWAY_AFTER,
    FaultKind.ERROR_500_AFTER,
)


class RequestDroppedError(Exception):
    """The bank hangs up before it has done anything."""


def behind_door(handler: Handler) -> Endpoint:
    """A handler of the published API as a web endpoint."""

    async def endpoint(request: Request) -> ASGIApp:
        bank: Bank = request.app.state.bank
        try:
            reply, spoiler = _answer(bank, await read_call(request), handler)
        except RequestRefusedError as refusal:
            return respond_refusal(refusal)
        except RequestDroppedError:
            return _hang_up(request)
        finally:
            bank.wake()
        return respond(reply) if spoiler is None else await _spoil(bank, request, reply, spoiler)

    return endpoint


async def read_call(request: Request) -> Call:
    """The whole request, its body bounded."""
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > BODY_BYTES_MAX:
            raise RequestRefusedError(400, "The request body is too large.")
    raw_path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return Call(
        method=request.method,
        path=request.url.path,
        target=(raw_path + (b"?" + query if query else b"")).decode("latin-1"),
        headers=request.headers,
        query=request.query_params,
        path_values=request.path_params,
        body=bytes(chunks),
    )


def _answer(bank: Bank, call: Call, handler: Handler) -> tuple[Reply, Fault | None]:
    """The reply, and the fault that spoils it on its way back."""
    _identify(bank, call)
    _require_json(call)
    facts = _facts(call)
    _turn_away_on_command(bank, facts)
    with begin(bank.books) as tx:
        is_repeat = clients.count_repeat(tx, call.request_id)
    if is_repeat:
        raise RequestRefusedError(409)
    with begin(bank.books) as tx:
        clients.use_up_request_id(tx, call.request_id, target=call.target, seen_at=stamp(wall_now()))
        reply = handler(Desk(bank, tx), call)
        found = (faults.take(tx, kind, facts) for kind in _SPOILERS)
        spoiler = next((fault for fault in found if fault is not None), None)
        if spoiler is not None and spoiler.kind is FaultKind.LOST_ANSWER and reply.payment_id is not None:
            payments.silence(tx, reply.payment_id)
    # What was asked is done and durable from here on; only the answer can still go wrong.
    return reply, spoiler


def _turn_away_on_command(bank: Bank, facts: Facts) -> None:
    with begin(bank.books) as tx:
        if faults.take(tx, FaultKind.DROPPED_REQUEST, facts) is not None:
            dropped, busy, broken = True, None, False
        else:
            dropped = False
            busy = faults.take(tx, FaultKind.REFUSE_429, facts)
            broken = busy is None and faults.take(tx, FaultKind.REFUSE_500, facts) is not None
    if dropped:
        raise RequestDroppedError
    if busy is not None:
        raise RequestRefusedError(429, STATUS_TITLES[429], retry_after_s=math.ceil(busy.seconds or 0))
    if broken:
        raise RequestRefusedError(500, STATUS_TITLES[500])


async def _spoil(bank: Bank, request: Request, reply: Reply, fault: Fault) -> ASGIApp:
    match fault.kind:
        case FaultKind.LOST_ANSWER:
            return _hang_up(request)
        case FaultKind.HELD_ANSWER:
            return Silence()
        case FaultKind.LATE_ANSWER:
            await _let_webhooks_go_first(bank, reply, within_s=fault.seconds or 0.0)
            return respond(reply)
        case FaultKind.TRUNCATED_ANSWER:
            return CutShort(respond(reply))
        case FaultKind.TURNED_AWAY_AFTER:
            return respond(_problem(429))
        case _:
            assert fault.kind is FaultKind.ERROR_500_AFTER
            return respond(_problem(500))


async def _let_webhooks_go_first(bank: Bank, reply: Reply, *, within_s: float) -> None:
    """Wait until the order has come to its end and its webhooks have been sent, but not for ever."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if reply.payment_id is not None and _all_is_told(bank, reply.payment_id):
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


def _all_is_told(bank: Bank, payment_id: str) -> bool:
    payment = payments.find_payment(bank.books, payment_id)
    is_moving = payment is not None and payment.due_at is not None
    return not is_moving and not webhooks.any_untried(bank.books, payment_id)


def _problem(status: int) -> Reply:
    return Reply(status, RequestRefusedError(status, STATUS_TITLES[status]).problem())


def _identify(bank: Bank, call: Call) -> None:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    public_key_pem = clients.find_client_key(bank.books, token.strip())
    if scheme.lower() != "bearer" or public_key_pem is None:
        raise RequestRefusedError(403)
    _check_request_id(call)
    signed = call.body
    if call.method in {"GET", "DELETE"}:
        sent_at = _request_time(call, skew_s=_skew_s(bank, call))
        signed = f"{call.method}{call.target}{call.request_id}{sent_at}".encode("latin-1")
    if not verify(public_key_pem, signed, call.headers.get("digitalsignature", "")):
        raise RequestRefusedError(400, "Invalid DigitalSignature Header")


def _check_request_id(call: Call) -> None:
    if not call.request_id:
        raise RequestRefusedError(400, "Missing X-Request-Id Header")
    if len(call.request_id) > REQUEST_ID_CHARACTERS_MAX:
        raise RequestRefusedError(400, "Invalid X-Request-Id Header")


def _skew_s(bank: Bank, call: Call) -> float:
    """By how much a fault has put the bank's wall clock wrong for this look-up."""
    with begin(bank.books) as tx:
        fault = faults.take(tx, FaultKind.SKEWED_CLOCK, Facts(path=call.path))
    return 0.0 if fault is None or fault.seconds is None else fault.seconds


def _request_time(call: Call, *, skew_s: float) -> str:
    """The request's time as sent; refused when it is not within a minute of the bank's wall clock."""
    text = call.headers.get("x-request-time", "")
    if not text:
        raise RequestRefusedError(400, "Missing X-Request-Time Header")
    plain = text.isascii() and text.isdigit() and len(text) <= 12
    if not plain or abs(time.time() + skew_s - int(text)) > REQUEST_TIME_DRIFT_S_MAX:
        raise RequestRefusedError(400, "Invalid X-Request-Time Header")
    return text


def _require_json(call: Call) -> None:
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if call.method not in {"GET", "DELETE"} and media_type != "application/json":
        raise RequestRefusedError(415, "Unsupported Media Type")


def _facts(call: Call) -> Facts:
    """What faults may match on; a body that cannot be read yields nothing, and is refused later."""
    try:
        body = json.loads(call.body) if call.body else {}
    except (ValueError, RecursionError):
        body = {}
    creditor = body.get("creditor") if isinstance(body, dict) else None
    return Facts(
        path=call.path,
        end_to_end_id=_text_in(body, "endToEndId"),
        creditor_iban=_text_in(creditor, "accountIban") or _text_in(body, "creditorAccount"),
    )


def _text_in(holder: object, name: str) -> str | None:
    found = holder.get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, str) else None


def _hang_up(request: Request) -> Response:
    """Close the connection without a byte of an answer."""
    request.state.hang_up()
    return Silence()
