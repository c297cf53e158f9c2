"""How endpoints reach the book: writes go to the lane under an idempotency key, reads take one hop to a pool thread."""

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.auth import Caller
from api.card_gate import card_number_in_clear, looks_like_card_number
from api.gathering import LaneFull
from api.handlers import Handlers
from api.lanes import Ask, Lane, Work
from api.parts import Parts
from api.problems import MEDIA_TYPE, Problem
from api.store import KeyUse
from ledger.core.ids import is_id
from ledger.store.rows import Page
from ledger.store.tx import Tx

T = TypeVar("T")
PAGE_MAX = 200

_KEY = re.compile(r"\A[\x21-\x7e]{1,255}\Z")


async def write(
    request: Request, caller: Caller, work: Work, payload: BaseModel | None, *subject: str
) -> Response:
    """Puts one write on the lane and gives the answer that was committed.

    `subject` are the ids in the path: they belong to what the idempotency key stands for.
    Raises: Problem when the key is missing or malformed, or the lane is full.
    """
    return await _put(request.app.state.lane, request, caller, work, payload, *subject)


async def write_bulk(request: Request, caller: Caller, work: Work, payload: BaseModel | None) -> Response:
    """The same for work that takes its time, on a lane of its own: nobody's payment waits behind it."""
    return await _put(request.app.state.bulk_lane, request, caller, work, payload)


async def write_by_id(request: Request, caller: Caller, work: Work, payload: BaseModel) -> Response:
    """Puts a write on the lane that needs no idempotency key: what it asks for has an id that its caller chose."""
    return await _submit(request.app.state.lane, work, Ask(caller.programme, None, (payload,)))


async def write_bulk_by_id(
    request: Request, caller: Caller, work: Work, payload: BaseModel, *, weight: int
) -> Response:
    """The same for many at once, on the lane for what takes its time. Units of weight: one command."""
    return await _submit(
        request.app.state.bulk_lane, work, Ask(caller.programme, None, (payload,)), weight=weight
    )


async def _put(
    lane: Lane, request: Request, caller: Caller, work: Work, payload: BaseModel | None, *subject: str
) -> Response:
    key = _idempotency_key(request)
    endpoint = f"{request.method} {request.scope['route'].path}"
    content = payload.model_dump(mode="json") if payload is not None else None
    text = json.dumps([endpoint, subject, content], sort_keys=True)
    use = KeyUse(caller.client_id, endpoint, key, hashlib.sha256(text.encode()).digest())
    return await _submit(lane, work, Ask(caller.programme, use, (payload, *subject)))


async def _submit(lane: Lane, work: Work, ask: Ask, *, weight: int = 1) -> Response:
    try:
        answer = await lane.submit(work, ask, weight=weight)
    except LaneFull:
        headers = {"Retry-After": "1"}
        raise Problem(503, "busy", "More is waiting than fits.", retry="same_key", headers=headers) from None
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    media_type = MEDIA_TYPE if answer.status >= 400 else "application/json"
    return Response(answer.text, status_code=answer.status, media_type=media_type, headers=headers)


async def off_loop(call: Callable[[], T]) -> T:
    """Runs something that blocks on a pool thread."""
    return await asyncio.to_thread(call)


def page(prefix: str) -> Callable[..., Awaitable[Page]]:
    """The dependency of a list endpoint: a cursor (the id of the last item seen) and how many items are wanted."""

    async def asked(
        after: Annotated[str | None, Query(max_length=64, description="the id of the last item seen")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> Page:
        if after is not None and not is_id(prefix, after):
            raise Problem(422, "invalid_cursor", f"A cursor of this list is an id of the kind {prefix}_.")
        return Page(after, limit + 1)  # one more, to know whether there are more

    return asked


def paged(items: Sequence[Mapping[str, object]], page: Page) -> dict[str, object]:
    """A page as callers see it."""
    return {"data": list(items[: page.limit - 1]), "has_more": len(items) == page.limit}


def json_response(body: Mapping[str, object], *, headers: Mapping[str, str]) -> Response:
    """A JSON answer with headers of its own."""
    return Response(json.dumps(body), media_type="application/json", headers=dict(headers))


async def read(request: Request, reader: Callable[[Tx], T]) -> T:
    """Reads the book at one moment, on a pool thread."""
    parts: Parts = request.app.state.parts

    def run() -> T:
        with parts.snapshots() as tx:
            return reader(tx)

    return await off_loop(run)


def handlers(request: Request) -> Handlers:
    """The handlers that need the gate."""
    found: Handlers = request.app.state.handlers
    return found


def _idempotency_key(request: Request) -> str:
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        raise Problem(400, "idempotency_key_invalid", "An Idempotency-Key stands once in a request.")
    key = "".join(keys).strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key:
        raise Problem(
            400, "idempotency_key_missing", "Every write needs an Idempotency-Key header.", retry="new_key"
        )
    if not _KEY.match(key):
        raise Problem(
            400, "idempotency_key_invalid", "An Idempotency-Key is 1 to 255 visible ASCII characters."
        )
    if looks_like_card_number(key):
        raise card_number_in_clear()
    return key
