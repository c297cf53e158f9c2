"""The payments API: FastAPI over a synchronous core. An endpoint parses, puts its order on a lane, and awaits it."""

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api import problems
from api.auth import Doorkeeper
from api.handlers import build_handlers
from api.lanes import Lane
from api.parts import Parts
from api.problems import Problem
from api.routes import checkouts, machinery, parties, payouts, programmes, reports, wallets
from ledger.core.errors import TallystickError

BODY_BYTES_MAX = 32 * 1024 * 1024


class StrictRequest(Request):
    """A request whose JSON is JSON: no NaN or Infinity, no member twice."""

    async def json(self) -> Any:
        """The parsed body. Raises: Problem `invalid_json`."""
        if not hasattr(self, "_strict_json"):
            self._strict_json = parse_json(await self.body())
        return self._strict_json


class StrictRoute(APIRoute):
    """A route that reads bodies strictly."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # a coroutine is an awaitable
        """FastAPI's own handler, over a strict request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def parse_json(body: bytes) -> Any:
    """Strict JSON. Raises: Problem `invalid_json`."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid_json", f"The body is not valid JSON: {str(error)[:120]}.") from error


def build_app(parts: Parts) -> FastAPI:
    """The API over these parts. They are closed with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        lane = Lane(parts.transactions)
        lane.start()
        app.state.lane = lane
        yield
        lane.stop()
        parts.close()

    app = FastAPI(title="Tallystick", version="1", lifespan=lifespan, docs_url="/docs", redoc_url=None)
    app.router.route_class = StrictRoute
    app.state.parts = parts
    app.state.doorkeeper = Doorkeeper(parts)
    app.state.handlers = build_handlers(parts)
    for module in (machinery, programmes, parties, wallets, checkouts, payouts, reports):
        module.router.route_class = StrictRoute
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
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        return Problem(413, "too_large", "This is more than a request can be.").response()
    response = await call_next(request)
    response.headers["Request-Id"] = f"req_{secrets.token_hex(16)}"
    return response


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _object(members: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member stands twice in one object")
    return found
