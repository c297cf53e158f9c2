"""Replies as HTTP responses, whole or spoilt on their way back."""

import uuid

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from partners.sandbox.wire import Reply, RequestRefusedError, encode


def respond(reply: Reply) -> Response:
    """A reply as an HTTP response with a correlation id."""
    headers = _headers()
    if reply.xml is not None:
        return Response(reply.xml, reply.status, headers, "application/xml")
    if reply.body is None:
        return Response(None, reply.status, headers)
    return Response(encode(reply.body), reply.status, headers, "application/json")


def respond_refusal(refusal: RequestRefusedError) -> Response:
    """A refusal as an HTTP response with a problem body."""
    headers = _headers()
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return Response(encode(refusal.problem()), refusal.status, headers, "application/problem+json")


def _headers() -> dict[str, str]:
    return {"X-Correlation-Id": str(uuid.uuid4())}


class Silence(Response):
    """Sends nothing; ends once the server has seen that the connection is gone."""

    async def __call__(self, _: Scope, receive: Receive, __: Send) -> None:
        await receive()


class CutShort:
    """Promises a whole answer by its Content-Length, sends half of it, and closes the connection."""

    def __init__(self, whole: Response) -> None:
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self._whole.body)
        await send(
            {
                "type": "http.response.start",
                "status": self._whole.status_code,
                "headers": self._whole.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        scope["state"]["close"]()
        await receive()
