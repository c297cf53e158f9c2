"""Tokens, banks' webhooks, the test clock and the health of this process."""

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Doorkeeper, Needs, Scope, basic_credentials
from api.bodies import TestClockBody
from api.parts import Parts
from api.problems import Problem
from api.store import set_clock
from api.strict import StrictRoute
from ledger.store.programmes import all_programmes
from partners.contract import BadSignature, Unreadable

router = APIRouter(tags=["machinery"], route_class=StrictRoute)
Operator = Depends(Needs(Scope.OPERATE))
WEBHOOK_BYTES_MAX = 256 * 1024


@router.post("/oauth/token")
async def issue_token(request: Request) -> Response:
    """An access token for a client's own credentials, by a form with grant_type and scope (RFC 6749 section 4.4)."""
    form = _form(await request.body())
    if form.get("grant_type") != "client_credentials":
        raise Problem(400, "unsupported_grant_type", "Only client_credentials is offered.")
    in_form = (form.get("client_id", ""), form.get("client_secret", ""))
    name, secret = basic_credentials(request.headers.get("authorization")) or in_form
    wanted = frozenset(form.get("scope", "").split())
    keeper: Doorkeeper = request.app.state.doorkeeper
    token, scopes, lifetime_s = await desk.off_loop(lambda: keeper.issue(name, secret, wanted))
    body = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime_s,
        "scope": " ".join(sorted(scopes)),
    }
    return desk.json_response(body, headers={"Cache-Control": "no-store"})


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
    except ValueError:
        raise Problem(400, "invalid_request", "The body is not a form.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Problem(400, "invalid_request", "A field stands twice in the form.")
    return form


@router.post("/webhooks/banks/{connection}")
async def receive_webhook(request: Request, connection: str) -> Response:
    """Takes a bank's notice: verified, kept, promised, and only then acknowledged with our signature."""
    parts: Parts = request.app.state.parts
    bank = parts.banks.get(connection)
    if bank is None:
        raise Problem(404, "not_found", "No bank connection has this name.")
    body = await request.body()
    if len(body) > WEBHOOK_BYTES_MAX:
        raise Problem(413, "too_large", "This is more than a notice can be.")
    headers = [(name, value) for name, value in request.headers.items()]
    try:
        owed = await desk.off_loop(lambda: bank.receive(headers, body))
    except BadSignature:
        raise Problem(400, "webhook_signature_wrong", "The bank has not signed these bytes.") from None
    except Unreadable as error:
        raise Problem(400, "webhook_unreadable", str(error)) from error
    return Response(
        owed.body, status_code=owed.status, media_type="application/json", headers=dict(owed.signed)
    )


@router.get("/v1/test-clock")
async def get_test_clock(request: Request, _caller: Caller = Operator) -> dict[str, Any]:
    """Business time."""
    parts: Parts = request.app.state.parts

    def read() -> datetime:
        with parts.transactions() as tx:
            return tx.now

    return {"now": present.moment(await desk.off_loop(read)), "clock": parts.settings.clock}


@router.post("/v1/test-clock")
async def move_test_clock(
    request: Request, body: TestClockBody, _caller: Caller = Operator
) -> dict[str, Any]:
    """Moves business time, never backwards once a programme exists, where the installation runs on a test clock."""
    parts: Parts = request.app.state.parts
    if parts.settings.clock != "test":
        raise Problem(409, "clock_is_real", "This installation runs on the machine's clock.")

    def move() -> None:
        with parts.transactions() as tx:
            if body.now < tx.now and all_programmes(tx):
                raise Problem(409, "clock_backwards", "Business time does not run backwards.")
            set_clock(tx, now=body.now, system_now=parts.wall_clock())

    await desk.off_loop(move)
    return {"now": present.moment(body.now)}


@router.get("/healthz")
async def health() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}
