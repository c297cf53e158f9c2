"""How bodies are read: JSON that is JSON (RFC 8259, no member twice), never more of it than a request can be, no card
number in the clear, and nobody's before it is known that he may send one.

Every router is made with `StrictRoute`: FastAPI asks a router for its route class when a route is declared, so
setting the class later would change nothing.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.auth import Needs
from api.card_gate import refuse_card_numbers
from api.problems import Problem

BODY_BYTES_MAX = 32 * 1024 * 1024


class StrictRequest(Request):
    """A request whose JSON is JSON: no NaN or Infinity, no member twice, no card number."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes, counted, whatever length was announced. Raises: Problem `too_large`."""
        read = 0
        async for chunk in super().stream():
            read += len(chunk)
            if read > BODY_BYTES_MAX:
                raise too_large()
            yield chunk

    async def json(self) -> Any:
        """The parsed body. Raises: Problem `invalid_json` or `card_number_in_clear`."""
        if not hasattr(self, "_strict_json"):
            body = await self.body()
            parsed = parse_json(body)
            refuse_card_numbers(body, parsed)
            self._strict_json = parsed
        return self._strict_json


class StrictRoute(APIRoute):
    """A route that reads bodies strictly."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # a coroutine is an awaitable
        """FastAPI's own handler, over a strict request."""
        handler = super().get_route_handler()
        guards = [item.call for item in self.dependant.dependencies if isinstance(item.call, Needs)]

        async def strict(request: Request) -> Response:
            for guard in guards:  # nobody's body is read who may not send it
                await guard(request)
            try:
                return await handler(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                # FastAPI makes a 400 of its own of whatever goes wrong while a body is read: ours says what it was.
                if isinstance(error.__cause__, Problem):
                    raise error.__cause__ from None
                raise

        return strict


def parse_json(body: bytes) -> Any:
    """Strict JSON. Raises: Problem `invalid_json`."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid_json", f"The body is not valid JSON: {str(error)[:120]}.") from error


def too_large() -> Problem:
    """A body is larger than any request of ours can be."""
    return Problem(413, "too_large", "This is more than a request can be.")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _object(members: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member stands twice in one object")
    return found
