"""The one door to a bank's network: sends one signed request and says what came of it.

Here alone silence is classified. A failure before a byte of the request was written (name look-up, refused
connection, connect time-out, TLS, no free connection) is NotSent; anything after that is Unknown, whatever it
looks like. No retries, no redirects, no proxies, no cookies and nothing from the environment: what was signed
is what is written, once.
"""

import ipaddress
import re
import ssl
import time
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Final, Protocol, Self

import httpx

from partners.contract import Answer, NotSent, Request, Unknown

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
WRITE_TIMEOUT_S: Final = 10.0
POOL_TIMEOUT_S: Final = 5.0
BODY_TIMEOUT_S: Final = 60.0  # for the whole body: a bank that trickles is as silent as one that says nothing
ANSWER_BYTES_MAX: Final = 20 * 1024 * 1024
CONNECTIONS_MAX: Final = 20
KEEP_ALIVE_S: Final = 5.0  # short: a request on a connection that the bank has just closed ends as Unknown

_BEFORE_A_BYTE: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
_HEADER_TEXT = re.compile(r"\A[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_TARGET = re.compile(r"\A/[\x21-\x7e]*\Z")
_REDACTED = b"[redacted]"


class Direction(StrEnum):
    """Whose bytes these are."""

    SENT = "sent"
    RECEIVED = "received"


class Record(Protocol):
    """Keeps the bytes of an exchange: called before anything is written, and again with what came back."""

    def __call__(self, direction: Direction, *, request_id: str, content: bytes) -> None:
        """Must not raise: after a request was written there is no one left to undo it."""


class Wire(Protocol):
    """How requests reach one bank."""

    def send(
        self,
        *,
        base_url: str,
        token: str,
        request: Request,
        request_id: str,
        request_time: int,
        signed: Mapping[str, str],
    ) -> Answer | NotSent | Unknown:
        """One request, sent at most once. `signed` are the fields that carry its signature."""


class BankTransport:
    """A pool of connections to banks; one object serves all threads of a process."""

    def __init__(
        self,
        *,
        record: Record | None = None,
        tls: ssl.SSLContext | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._record = record
        self._body_timeout_s = body_timeout_s
        self._timeouts: Mapping[str, float] = {
            "connect": connect_timeout_s,
            "read": read_timeout_s,
            "write": WRITE_TIMEOUT_S,
            "pool": POOL_TIMEOUT_S,
        }
        limits = httpx.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEP_ALIVE_S,
        )
        # httpx's transport without its client: the client adds cookies, redirects and headers of its own.
        self._http = httpx.HTTPTransport(
            verify=True if tls is None else tls, trust_env=False, http2=False, retries=0, limits=limits
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection."""
        self._http.close()

    def send(
        self,
        *,
        base_url: str,
        token: str,
        request: Request,
        request_id: str,
        request_time: int,
        signed: Mapping[str, str],
    ) -> Answer | NotSent | Unknown:
        """One request, written at most once. `signed` are the fields that carry its signature.

        Units: `request_time` is UNIX time in whole seconds, the one that was signed.
        Raises: ValueError for a base URL that may not be used at all: no host, a path, or another machine
        without TLS.
        """
        base = _base(base_url)
        headers = _headers(request, token=token, request_id=request_id, signed=signed, at=request_time)
        fault = _unwritable(request, headers)
        if fault is not None:
            return NotSent(fault)
        progress = _Progress()
        outgoing = httpx.Request(
            request.method,
            base.copy_with(raw_path=request.path.encode("ascii")),
            headers=headers,
            content=request.body,
            # The target as it was signed: no library may spell its percent signs anew.
            extensions={
                "timeout": dict(self._timeouts),
                "target": request.path.encode("ascii"),
                "trace": progress.note,
            },
        )
        self._keep(Direction.SENT, request_id, _written(outgoing, request))
        return self._exchange(outgoing, request_id=request_id, progress=progress)

    def _exchange(
        self, outgoing: httpx.Request, *, request_id: str, progress: "_Progress"
    ) -> Answer | NotSent | Unknown:
        try:
            response = self._http.handle_request(outgoing)
        except httpx.TransportError as failure:
            cause = type(failure).__name__
            if isinstance(failure, _BEFORE_A_BYTE) and not progress.writing:
                return NotSent(f"no connection to the bank ({cause})")
            return Unknown(f"the bank did not answer ({cause})")
        received = bytearray()
        try:
            fault = self._read(response, received)
        finally:
            response.close()
            self._keep(Direction.RECEIVED, request_id, _head(response) + bytes(received))
        if fault is not None:
            return Unknown(fault)
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw
        )
        return Answer(response.status_code, headers, bytes(received))

    def _read(self, response: httpx.Response, received: bytearray) -> str | None:
        """Reads the body into `received`; says why it cannot be used, or None."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            return "the answer is compressed, though that was not asked for"
        deadline = time.monotonic() + self._body_timeout_s
        try:
            for part in response.iter_raw():
                room = ANSWER_BYTES_MAX - len(received)
                received += part[:room]
                if len(part) > room:
                    return "the answer is larger than any that is expected"
                if time.monotonic() > deadline:
                    return "the answer did not end in time"
        except httpx.TransportError as failure:
            return f"the answer broke off ({type(failure).__name__})"
        return None

    def _keep(self, direction: Direction, request_id: str, content: bytes) -> None:
        if self._record is not None:
            self._record(direction, request_id=request_id, content=content)


class _Progress:
    """Whether the writing of the request has begun."""

    def __init__(self) -> None:
        self.writing = False

    def note(self, event: str, _: Mapping[str, object]) -> None:
        if event.endswith("send_request_headers.started"):
            self.writing = True


def _base(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as broken:
        raise ValueError("A bank's base URL must be a URL.") from broken
    if not url.host or url.raw_path != b"/" or url.userinfo:
        raise ValueError("A bank's base URL is a scheme and a host, without path or password.")
    if url.scheme != "https" and not (url.scheme == "http" and _is_this_machine(url.host)):
        raise ValueError("A bank on another machine is reached through TLS only.")
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _headers(
    request: Request, *, token: str, request_id: str, signed: Mapping[str, str], at: int
) -> list[tuple[str, str]]:
    headers = [
        ("Authorization", f"Bearer {token}"),
        *signed.items(),
        ("X-Request-Id", request_id),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "tallystick"),
    ]
    if request.method in {"GET", "DELETE"}:
        headers.append(("X-Request-Time", str(at)))
    if request.body is not None:
        headers.append(("Content-Type", "application/json"))
    return headers


def _unwritable(request: Request, headers: list[tuple[str, str]]) -> str | None:
    """Why a request cannot be written to the wire as it is, or None."""
    if not _TARGET.match(request.path):
        return "the request's path cannot be written"
    for name, value in headers:
        if not _HEADER_TEXT.match(value):
            return f"the header {name} cannot be written"
    return None


def _written(outgoing: httpx.Request, request: Request) -> bytes:
    lines = [f"{request.method} {request.path} HTTP/1.1".encode("ascii")]
    for name, value in outgoing.headers.raw:
        lines.append(name + b": " + (_REDACTED if name.lower() == b"authorization" else value))
    return b"\r\n".join((*lines, b"", request.body or b""))


def _head(response: httpx.Response) -> bytes:
    lines = [b"HTTP/1.1 %d" % response.status_code]
    lines.extend(name + b": " + value for name, value in response.headers.raw)
    return b"\r\n".join((*lines, b"", b""))
