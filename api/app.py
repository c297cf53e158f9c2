"""The payments API: FastAPI over a synchronous core. An endpoint parses, puts its order on a lane, and awaits it."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api import problems
from api.auth import Doorkeeper
from api.handlers import build_handlers
from api.lanes import Lane
from api.parts import Parts
from api.problems import Problem
from api.routes import (
    balances,
    cards,
    checkouts,
    log,
    machinery,
    parties,
    payout_accounts,
    payouts,
    periods,
    programmes,
    reports,
    transfers,
    wallets,
)
from api.strict import BODY_BYTES_MAX, too_large
from ledger.core.commands import BATCH_MAX
from ledger.core.errors import TallystickError

BULK_QUEUED_MAX = 4 * BATCH_MAX


def build_app(parts: Parts) -> FastAPI:
    """The API over these parts. They are closed with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lane = Lane(parts.transactions)
        bulk_lane = Lane(parts.transactions, queued_max=BULK_QUEUED_MAX)
        for one in (lane, bulk_lane):
            one.start()
        app.state.lane, app.state.bulk_lane = lane, bulk_lane
        yield
        for one in (lane, bulk_lane):
            one.stop()
        parts.close()

    # No documentation page: it would run scripts from elsewhere beside a payments API. /openapi.json says it all.
    app = FastAPI(
        title="Tallystick",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a write is never sent on to somewhere else
    )
    app.state.parts = parts
    app.state.doorkeeper = Doorkeeper(parts)
    app.state.handlers = build_handlers(parts)
    for module in (
        machinery,
        programmes,
        parties,
        wallets,
        balances,
        periods,
        checkouts,
        payout_accounts,
        cards,
        payouts,
        transfers,
        reports,
        log,
    ):
        app.include_router(module.router)
    app.add_exception_handler(Problem, problems.on_problem)
    app.add_exception_handler(TallystickError, problems.on_domain_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(Exception, problems.on_unexpected)
    app.middleware("http")(_with_request_id)
    return app


async def _with_request_id(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    length = request.headers.get("content-length", "0")
    fits = length.isascii() and length.isdigit() and int(length) <= BODY_BYTES_MAX
    response = await call_next(request) if fits else too_large().response()
    response.headers["Request-Id"] = f"req_{secrets.token_hex(16)}"
    return response
