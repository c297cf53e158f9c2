"""How tests talk to the API: a client's session, and what a problem has to look like."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.api.door import Door

Json = dict[str, Any]
PROBLEM = "application/problem+json"
MEMBERS = {"type", "title", "status", "code", "detail", "retry"}


@dataclass(frozen=True, slots=True)
class Session:
    """One client with its token."""

    http: Door
    token: str
    client_id: str = ""

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path, headers=self._headers())

    def read(self, path: str) -> Json:
        """A successful read."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        """A write under a key of its own, unless one is given."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.send(path, content, key=key)

    def make(self, path: str, body: Any = None, *, key: str | None = None) -> Json:
        """A successful write."""
        answer = self.post(path, body, key=key)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def send(
        self,
        path: str,
        content: bytes | str,
        *,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        method: str = "POST",
    ) -> httpx.Response:
        """A write whose body is sent as it stands."""
        usual = {
            "Idempotency-Key": key or secrets.token_hex(16),
            "Content-Type": "application/json",
        }
        said = usual | self._headers() | dict(headers or {})
        return self.http.request(method, path, content=content, headers=said)

    def erase(self, path: str, *, key: str | None = None) -> httpx.Response:
        return self.send(path, b"", key=key, method="DELETE")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Json:
    """The problem in an answer, which must be this one and name these fields."""
    assert answer.headers["content-type"] == PROBLEM, answer.text
    problem: Json = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert set(problem) - {"errors"} == MEMBERS
    assert problem["type"].endswith(f"/{code}")
    assert answer.headers["request-id"].startswith("req_")
    named = [error["field"] for error in problem.get("errors", [])]
    assert set(fields) <= set(named), problem
    return problem
