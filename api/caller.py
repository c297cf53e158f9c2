"""A caller of the payments API, as the commerce checkout would write one: credentials, keys, and problems as errors."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
POLL_S = 0.05


class CallFailed(Exception):
    """The API answered with a problem."""

    def __init__(self, what: str, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{what}: {problem.get('code')}: {problem.get('detail')}")
        self.problem = problem


class NotInTime(Exception):
    """Something that was waited for did not come."""


class ApiCaller:
    """One client's session with the API."""

    def __init__(self, url: str, *, client_id: str, secret: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=30)
        form = {"grant_type": "client_credentials"}
        answer = self._http.post("/oauth/token", data=form, auth=(client_id, secret))
        token = _read("POST /oauth/token", answer)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Hangs up."""
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """Reads. Raises: CallFailed."""
        return _read(f"GET {path}", self._http.get(path))

    def download(self, path: str) -> bytes:
        """Reads bytes. Raises: CallFailed."""
        answer = self._http.get(path)
        if not answer.is_success:
            raise CallFailed(f"GET {path}", answer.json())
        return answer.content

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """Writes, under an idempotency key of its own. Raises: CallFailed."""
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return _read(f"POST {path}", self._http.post(path, json=body, headers=headers))


def until(what: str, look: Callable[[], T | None], *, within_s: float) -> T:
    """Waits for something to be there. Raises: NotInTime."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise NotInTime(f"{what} did not come within {within_s:.0f} s")
        time.sleep(POLL_S)
    return found


def _read(what: str, answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if not answer.is_success:
        raise CallFailed(what, body)
    return body
