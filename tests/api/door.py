"""The API's door in this process: real requests through httpx into the application, whose life is this door's."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from fastapi import FastAPI

T = TypeVar("T")
ANSWER_WITHIN_S = 60.0


class Door:
    """An application that is up, on an event loop of its own, for as long as the `with` block runs."""

    def __init__(self, app: FastAPI, base_url: str) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="door")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url=base_url, timeout=ANSWER_WITHIN_S)
        self._life = app.router.lifespan_context(app)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._life.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._http.aclose())
        self.run(self._life.__aexit__(None, None, None))
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs something on the application's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(ANSWER_WITHIN_S)

    def request(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request and its answer."""
        return self.run(self._http.request(method, path, **request))

    def at_once(self, requests: Sequence[Mapping[str, Any]]) -> list[httpx.Response]:
        """Many requests on their way together; their answers in the same order."""

        async def sent() -> list[httpx.Response]:
            return await asyncio.gather(*(self._http.request(**request) for request in requests))

        return self.run(sent())

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self.request("GET", path, **request)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self.request("POST", path, **request)
