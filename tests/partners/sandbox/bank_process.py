"""The sandbox bank as a process of its own, and a client that signs as a bank's client must.

For every test that needs a bank, here and elsewhere. It speaks to the bank over HTTP only.
"""

import base64
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

START_S_MAX = 30.0
STOP_S_MAX = 10.0
POLL_S = 0.02
TOKEN = "sandbox-token"
Found = TypeVar("Found")


class NotInTimeError(AssertionError):
    """Something that should have happened did not, within the bound."""


def wait_for(what: str, look: Callable[[], Found | None], *, within_s: float = 10.0) -> Found:
    """Look again and again until something is found (anything but None and False).

    Raises: NotInTimeError.
    """
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while time.monotonic() < deadline:
        found = look()
        if found is not None and found is not False:
            return found
        pause.wait(POLL_S)
    raise NotInTimeError(what)


class BankProcess:
    """One sandbox bank: `start` it on a home directory, `stop`, `kill` or `restart` it.

    Options are passed on as `--name-with-dashes value`, such as `webhook_retry_seconds=0.1`.
    """

    def __init__(self, **options: float) -> None:
        self._options = options
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def home(self) -> Path:
        assert self._home is not None, "the bank was never started"
        return self._home

    @property
    def output_path(self) -> Path:
        return self.home / "output.log"

    def start(self, home: Path, port: int = 0) -> Self:
        """Start the bank and wait until it listens."""
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        notice = home / "bank.json"
        notice.unlink(missing_ok=True)
        command = [sys.executable, "-m", "partners.sandbox", "--home", str(home), "--port", str(port)]
        for name, value in self._options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        with self.output_path.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self._process = process
        try:
            wait_for("the bank to listen", lambda: _is_up(process, notice), within_s=START_S_MAX)
        except NotInTimeError as error:
            self.kill()
            raise NotInTimeError(self.output_path.read_text()) from error
        self.url = str(json.loads(notice.read_text())["url"])
        return self

    def stop(self) -> int:
        """Ask the bank to end, as an operator would; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Let the bank die where it stands."""
        return self._end(signal.SIGKILL)

    def restart(self, port: int = 0) -> Self:
        """Start again on the same home directory, after a stop or a kill."""
        if self._process is not None:
            self.stop()
        return self.start(self.home, port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the bank is not running"
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _is_up(process: subprocess.Popen[bytes], notice: Path) -> bool:
    if process.poll() is not None:
        raise NotInTimeError("the bank ended while starting")
    return notice.exists() and json.loads(notice.read_text())["pid"] == process.pid


class SigningClient:
    """A client of the bank: its token, its RSA key, and requests signed as the bank's documents ask."""

    def __init__(self, url: str, *, token: str = TOKEN, key: rsa.RSAPrivateKey | None = None) -> None:
        self.token = token
        self.key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def public_pem(self) -> str:
        return (
            self.key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def sign(self, content: bytes) -> str:
        """The value of DigitalSignature over these bytes."""
        return base64.b64encode(self.key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()

    def register(self) -> None:
        """Make this client known to the bank."""
        self.control("clients", {"token": self.token, "publicKeyPem": self.public_pem})

    def post(
        self,
        path: str,
        body: Mapping[str, object] | bytes,
        *,
        request_id: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """A signed POST; `headers` replaces single headers, and None leaves one out."""
        return self.http.send(self.prepare(path, body, request_id=request_id, headers=headers))

    def prepare(
        self,
        path: str,
        body: Mapping[str, object] | bytes,
        *,
        request_id: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Request:
        """A signed POST that is not sent yet."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        prepared = self._headers(content, request_id or str(uuid.uuid4()))
        prepared["Content-Type"] = "application/json"
        return self.http.build_request("POST", path, content=content, headers=_with(prepared, headers))

    def get(
        self,
        target: str,
        *,
        request_id: str | None = None,
        request_time: int | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """A signed GET of a path with its query."""
        identifier = request_id or str(uuid.uuid4())
        sent_at = str(request_time if request_time is not None else int(time.time()))
        prepared = self._headers(f"GET{target}{identifier}{sent_at}".encode(), identifier)
        prepared["X-Request-Time"] = sent_at
        return self.http.get(target, headers=_with(prepared, headers))

    def control(self, name: str, body: Mapping[str, object]) -> dict[str, object]:
        """A successful POST to the control surface: its answer."""
        answer = self.http.post(f"/sandbox/{name}", json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def listing(self, name: str) -> list[dict[str, object]]:
        """A list of the control surface: payments, events, faults or accounts."""
        answer = self.http.get(f"/sandbox/{name}")
        assert answer.is_success, answer.text
        return list(answer.json()[name])

    def _headers(self, content: bytes, request_id: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "DigitalSignature": self.sign(content),
            "X-Request-Id": request_id,
        }


def _with(headers: dict[str, str], changes: Mapping[str, str | None] | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**headers, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}
