"""The bank's front door: who may ask, and the answer to every request of the published API.

Checks come in a fixed order: token (403), request id, request time, signature (400), reused id (409). A
request id is used up only by a request that took effect; a refusal leaves it free. The work and the id are
written in one database transaction, before the answer.

The published pages leave open how the signed text of a GET or DELETE is put together (here: method in
capitals, path with its query as sent, request id, request time, nothing between) and which status a stale
`X-Request-Time` gets (here: 400).

Source: ClearBank EU, "Authentication", "Request signing", "Idempotency".
"""

import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from partners.sandbox import faults
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp, wall_now
from partners.sandbox.records import Facts, FaultKind
from partners.sandbox.signing import verify
from partners.sandbox.store import clients, payments
from partners.sandbox.store.database import Tx, begin
from partners.sandbox.wire import STATUS_TITLES, Reply, RequestRefusedError, encode

BODY_BYTES_MAX = 1_000_000
REQUEST_ID_CHARACTERS_MAX = 83
REQUEST_TIME_DRIFT_S_MAX = 60


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
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class ConnectionLostError(Exception):
    """The bank did as it was told, and its answer gets lost on the way."""


class AnswerHeldError(Exception):
    """The bank did as it was told, and its answer never sets out."""


def behind_door(handler: Handler) -> Endpoint:
    """A handler of the published API as a web endpoint."""

    async def endpoint(request: Request) -> Response:
        bank: Bank = request.app.state.bank
        try:
            call = await read_call(request)
            reply = _answer(bank, call, handler)
        except RequestRefusedError as refusal:
            return respond_refusal(refusal)
        except ConnectionLostError:
            return await _hang_up(request)
        except AnswerHeldError:
            return _NoAnswer()
        finally:
            bank.wake()
        return respond(reply)

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


def respond(reply: Reply) -> Response:
    """A reply as an HTTP response with a correlation id."""
    headers = {"X-Correlation-Id": str(uuid.uuid4())}
    if reply.xml is not None:
        return Response(reply.xml, reply.status, headers, "application/xml")
    if reply.body is None:
        return Response(None, reply.status, headers)
    return Response(encode(reply.body), reply.status, headers, "application/json")


def respond_refusal(refusal: RequestRefusedError) -> Response:
    """A refusal as an HTTP response with a problem body."""
    headers = {"X-Correlation-Id": str(uuid.uuid4())}
    return Response(encode(refusal.problem()), refusal.status, headers, "application/problem+json")


def _answer(bank: Bank, call: Call, handler: Handler) -> Reply:
    _identify(bank, call)
    _require_json(call)
    facts = _facts(call)
    with begin(bank.books) as tx:
        refused_on_command = faults.take(tx, FaultKind.REFUSE_500, facts) is not None
    if refused_on_command:
        raise RequestRefusedError(500, STATUS_TITLES[500])
    with begin(bank.books) as tx:
        is_repeat = clients.count_repeat(tx, call.request_id)
    if is_repeat:
        raise RequestRefusedError(409)
    with begin(bank.books) as tx:
        clients.use_up_request_id(tx, call.request_id, target=call.target, seen_at=stamp(wall_now()))
        reply = handler(Desk(bank, tx), call)
        answer_is_lost = faults.take(tx, FaultKind.LOST_ANSWER, facts) is not None
        if answer_is_lost and reply.payment_id is not None:
            payments.silence(tx, reply.payment_id)
        answer_is_held = faults.take(tx, FaultKind.HELD_ANSWER, facts) is not None
        answers_429 = faults.take(tx, FaultKind.TURNED_AWAY_AFTER, facts) is not None
        answers_500 = faults.take(tx, FaultKind.ERROR_500_AFTER, facts) is not None
    # What was asked is done and durable from here on; only the answer can still go wrong.
    if answer_is_lost:
        raise ConnectionLostError
    if answer_is_held:
        raise AnswerHeldError
    if answers_429:
        return _problem(429)
    return _problem(500) if answers_500 else reply


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
        signed = f"{call.method}{call.target}{call.request_id}{_request_time(call)}".encode("latin-1")
    if not verify(public_key_pem, signed, call.headers.get("digitalsignature", "")):
        raise RequestRefusedError(400, "Invalid DigitalSignature Header")


def _check_request_id(call: Call) -> None:
    if not call.request_id:
        raise RequestRefusedError(400, "Missing X-Request-Id Header")
    if len(call.request_id) > REQUEST_ID_CHARACTERS_MAX:
        raise RequestRefusedError(400, "Invalid X-Request-Id Header")


def _request_time(call: Call) -> str:
    """The request's time as sent; refused when it is not within a minute of the wall clock."""
    text = call.headers.get("x-request-time", "")
    if not text:
        raise RequestRefusedError(400, "Missing X-Request-Time Header")
    plain = text.isascii() and text.isdigit() and len(text) <= 12
    if not plain or abs(time.time() - int(text)) > REQUEST_TIME_DRIFT_S_MAX:
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


async def _hang_up(request: Request) -> Response:
    """Close the connection without a byte of an answer."""
    request.state.hang_up()
    return _NoAnswer()


class _NoAnswer(Response):
    """Sends nothing; ends once the server has seen that the connection is gone."""

    async def __call__(self, _: Scope, receive: Receive, __: Send) -> None:
        await receive()
