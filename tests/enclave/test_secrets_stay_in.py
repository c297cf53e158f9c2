"""No secret is ever written down: no PIN, no password of the database, no private key, wherever one may look.

A real enclave on a real token is started, asked well and badly, and made to fail at its start in every way; then its
command line, environment, output, log, files and answers are searched, whatever the spelling. That the search finds
what is there is shown with planted secrets. The token's own directory is where the keys live, and is not searched.
"""

import base64
import binascii
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from enclave.protocol import MESSAGE_BYTES_MAX
from enclave.softhsm import write_configuration
from tests.enclave.hanging import silent_database
from tests.enclave.mutations import Members, datagram
from tests.enclave.payouts import ATTEMPT_ID, CREDIT_TRANSFER, PAYOUT_ID, body_of
from tests.enclave.process import PIN, SO_PIN, SoftHsmToken, secret_on_a_descriptor

PASSWORD = "db-pass/4e1f@a97c=0d83"
WRONG_PIN = "wrong-pin-55d0c3b19e"
SECRETS: Mapping[str, str] = {
    "the user's PIN": PIN,
    "the officer's PIN": SO_PIN,
    "a wrong PIN": WRONG_PIN,
    "the password": PASSWORD,
}
A_PRIVATE_KEY = "a private key"

_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEX_RUN = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_DER_SEQUENCE = re.compile(rb"(?s)\x30(?=([\x00-\x7f]|\x81.|\x82..))")

Traces = Mapping[str, bytes]


# The search -----------------------------------------------------------------------------------------------------


def found(traces: Traces) -> set[tuple[str, str]]:
    """Which secret was found where."""
    return {
        (place, name) for place, data in traces.items() for view in _views(data) for name in _named_in(view)
    }


def _named_in(view: bytes) -> Iterator[str]:
    yield from (name for name, secret in SECRETS.items() if secret.encode() in view)
    if b"PRIVATE KEY" in view or _holds_a_private_key(view):
        yield A_PRIVATE_KEY


def _views(data: bytes) -> Iterator[bytes]:
    """The bytes as they are, and as whatever they may be an encoding of."""
    whole = data.replace(b"\\n", b"").replace(b"\n", b"").replace(b"\r", b"")
    # Every second byte: text in UTF-16 is Latin letters and zeros.
    yield from (data, whole, data[::2], data[1::2], unquote_to_bytes(data))
    for run in {*_BASE64_RUN.findall(data), *_BASE64_RUN.findall(whole)}:
        text = run.translate(bytes.maketrans(b"-_", b"+/"))
        # Where the encoding begins within the run is not known.
        for start in range(4):
            piece = text[start:]
            yield binascii.a2b_base64(piece[: len(piece) // 4 * 4] + b"====")
            yield _last_bytes(piece)
    for run in _HEX_RUN.findall(whole):
        yield from (bytes.fromhex(run.decode()), bytes.fromhex(f"0{run.decode()}0"))


def _last_bytes(piece: bytes) -> bytes:
    """Base64 whose padding was left out."""
    with suppress(binascii.Error):
        return binascii.a2b_base64(piece + b"=" * (-len(piece) % 4))
    return b""


def _holds_a_private_key(view: bytes) -> bool:
    starts = (match.start() for match in _DER_SEQUENCE.finditer(view))
    return any(_is_private_key(_der_at(view, start)) for start in starts)


def _der_at(view: bytes, start: int) -> bytes:
    first = view[start + 1]
    octets = first - 0x80 if first > 0x7F else 0
    length = int.from_bytes(view[start + 2 : start + 2 + octets]) if octets else first
    return view[start : start + 2 + octets + length]


def _is_private_key(der: bytes) -> bool:
    try:
        load_der_private_key(der, password=None)
    except (ValueError, UnsupportedAlgorithm):
        return False
    except TypeError:
        # It is one, under a passphrase.
        return True
    return True


# Where to look --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A process that said it was ready."""

    process: subprocess.Popen[bytes]
    directory: Path
    first_line: bytes


def traces_of(ours: Started) -> Traces:
    """What a running process shows of itself, and, once it has been stopped, what it has left."""
    proc = Path("/proc") / str(ours.process.pid)
    shown = {"command line": (proc / "cmdline").read_bytes()}
    # Of a process that forbids debuggers, the kernel shows the environment to root alone: then nobody else sees it.
    with suppress(PermissionError):
        shown["environment"] = (proc / "environ").read_bytes()
    ours.process.terminate()
    output, errors = ours.process.communicate(timeout=30)
    return {**shown, "output": ours.first_line + output, "errors": errors, **files_of(ours.directory)}


def files_of(directory: Path) -> Traces:
    """Every file but those of tokens, its name included."""
    files = [file for file in directory.rglob("*") if file.is_file() and "tokens" not in file.parts]
    return {str(file.relative_to(directory)): bytes(file) + b"\n" + file.read_bytes() for file in files}


@contextmanager
def started(
    command: Sequence[str], directory: Path, *, environment: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> Iterator[Started]:
    """A process with a working directory of its own that has written its first line."""
    with subprocess.Popen(
        command,
        # Unbuffered, so that reading one line takes nothing from what is read later.
        bufsize=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=directory,
        pass_fds=pass_fds,
    ) as process:
        try:
            assert process.stdout is not None
            first_line = process.stdout.readline()
            assert first_line, process.communicate(timeout=30)
            yield Started(process, directory, first_line)
        finally:
            process.kill()


@contextmanager
def serving(token: SoftHsmToken, directory: Path, database_url: str) -> Iterator[Started]:
    with secret_on_a_descriptor(PIN) as pin_fd, secret_on_a_descriptor(database_url) as url_fd:
        command = token.serve_command(
            directory, pin_fd=str(pin_fd), database_url=None, database_url_fd=str(url_fd)
        )
        with started(command, directory, environment=token.environment, pass_fds=(pin_fd, url_fd)) as ours:
            yield ours


def traces_of_failure(
    token: SoftHsmToken, directory: Path, *, told: str, pin: str = PIN, database_url: str | None = None
) -> Traces:
    """What an enclave leaves that does not come to serve."""
    with ExitStack() as descriptors:
        pin_fd = descriptors.enter_context(secret_on_a_descriptor(pin))
        url_fd = descriptors.enter_context(secret_on_a_descriptor(database_url or a_url(port=1)))
        command = token.serve_command(
            directory, pin_fd=str(pin_fd), database_url=None, database_url_fd=str(url_fd)
        )
        done = subprocess.run(
            command,
            env=token.environment,
            cwd=directory,
            pass_fds=(pin_fd, url_fd),
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert told in done.stderr.decode()
    return {"output": done.stdout, "errors": done.stderr, **files_of(directory)}


def a_url(*, port: int | str) -> str:
    password = quote(PASSWORD, safe="")
    return f"postgresql://tallystick_enclave:{password}@127.0.0.1:{port}/ledger?sslmode=disable&gssencmode=disable"


# What is asked --------------------------------------------------------------------------------------------------


def requests() -> list[bytes]:
    """Good ones and bad ones, some of them with a secret that a caller should not have sent."""
    now_s = int(datetime.now(UTC).timestamp())
    return [
        *(datagram(message) for message in (*_good_messages(now_s), *_bad_messages())),
        *(b"garbage " + PIN.encode(), b'{"purpose":"ping"} ', b" " * (MESSAGE_BYTES_MAX + 1)),
    ]


ACK: Members = {
    "purpose": "bank_message",
    "profile": "clearbank.webhook_ack",
    "scheme": "body_rsa_sha256",
    "target": None,
}
ENDPOINT: Members = {"endpoint_id": "wep_" + "0f" * 16}


def _good_messages(now_s: int) -> list[Members]:
    claims: Members = {"client_id": "shop", "programme_id": None, "scopes": ["checkouts:write"]}
    claims |= {"audience": "api", "issuer": "us", "token_id": "tok_1"}
    claims |= {"issued_at": now_s, "expires_at": now_s + 60}
    query: Members = {"purpose": "bank_query", "method": "GET", "authority": None}
    query |= {"profile": "clearbank.statement_page", "scheme": "body_rsa_sha256"}
    query |= {"path_with_query": "/v1/statements/CAMT053_1?pageNumber=1"}
    return [
        {"purpose": "ping"},
        {"purpose": "public_keys"},
        {"purpose": "attestation", "nonce": _in_base64(bytes(32))},
        ACK | {"body": _in_base64(b'{"Nonce":1}')},
        ACK | {"body": _in_base64(b'{"Nonce":1}'), "scheme": "http_message"},
        ENDPOINT | {"purpose": "webhook", "message_id": "m", "payload": _in_base64(b"{}")},
        ENDPOINT | {"purpose": "webhook_secret"},
        {"purpose": "access_token", "claims": claims},
        {"purpose": "export", "manifest": _in_base64(b'{"format":"tallystick-export","files":[]}')},
        query | {"request_id": "req_" + "0f" * 16, "request_time": str(now_s)},
    ]


def _bad_messages() -> list[Members]:
    payout: Members = {"purpose": "payout", "payout_id": PAYOUT_ID, "attempt_id": ATTEMPT_ID}
    payout |= {"scheme": "body_rsa_sha256", "target": None}
    body = _in_base64(body_of(CREDIT_TRANSFER))
    return [
        payout | {"profile": "clearbank.sct", "body": body},
        payout | {"profile": PIN, "body": _in_base64(PASSWORD.encode())},
        {"purpose": "ping", "pin": PIN},
        {"purpose": PIN},
        {"purpose": "checkpoint", "origin": "o", "size": 1, "root": _in_base64(bytes(32))},
        ACK | {"body": _in_base64(PIN.encode())},
        {"purpose": "export", "manifest": _in_base64(_keys()[0])},
    ]


def _in_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def asked(ours: Started, datagrams: Sequence[bytes]) -> Traces:
    """The answers, and then whatever else there is to see."""
    answers = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(30)
        caller.connect(str(ours.directory / "enclave.sock"))
        for data in datagrams:
            caller.send(data)
            answers.append(caller.recv(MESSAGE_BYTES_MAX))
    return {"answers": b"\n".join(answers), **traces_of(ours)}


def asked_everything(ours: Started) -> Traces:
    traces = asked(ours, requests())
    granted = [b'"ok":true' in answer for answer in traces["answers"].split(b"\n")]
    assert granted == [True] * 10 + [False] * 10
    return traces


# The database ---------------------------------------------------------------------------------------------------


@dataclass
class LyingDatabase:
    """A database that asks for the password in clear and then complains with it, as loudly as it can."""

    listener: socket.socket
    heard: int = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, suppress(OSError):
                    self._complain(connection)

    def _complain(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        connection.recv(4096)
        connection.sendall(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
        password = connection.recv(4096)[5:].rstrip(b"\0")
        assert password == PASSWORD.encode()
        self.heard += 1
        said = b"SFATAL\0VFATAL\0C28P01\0MI do not like " + password + b"\0DIt is " + password + b"\0\0"
        connection.sendall(b"E" + (len(said) + 4).to_bytes(4) + said)


@contextmanager
def lying_database() -> Iterator[tuple[int, LyingDatabase]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        database = LyingDatabase(listener)
        thread = threading.Thread(target=database.serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1]), database
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)
            assert not thread.is_alive()


# The tests ------------------------------------------------------------------------------------------------------


def test_the_ceremony_tells_no_secret(
    ceremony: tuple[SoftHsmToken, subprocess.CompletedProcess[str]],
) -> None:
    token, done = ceremony
    again, failed = token.hold_ceremony(), token.hold_ceremony(pin=WRONG_PIN)

    told = {str(place): run.stdout + run.stderr for place, run in enumerate((done, again, failed))}

    assert failed.returncode == 2
    assert (
        found({place: text.encode() for place, text in told.items()} | dict(files_of(token.directory)))
        == set()
    )


def test_an_enclave_whose_database_quotes_its_password_does_not(token: SoftHsmToken, tmp_path: Path) -> None:
    with lying_database() as (port, database), serving(token, tmp_path, a_url(port=port)) as ours:
        traces = asked_everything(ours)

    assert database.heard
    assert {"command line", "output", "errors", "answers", "signing.log"} <= set(traces)
    assert found(traces) == set()


def test_an_enclave_whose_database_does_not_answer_tells_no_secret(
    token: SoftHsmToken, tmp_path: Path
) -> None:
    with silent_database() as url, serving(token, tmp_path, a_url(port=urlsplit(url).port or "")) as ours:
        assert found(asked_everything(ours)) == set()


@pytest.mark.parametrize(
    "url", [a_url(port="none"), f"password={PASSWORD!r} port=", PASSWORD, a_url(port=1) + "\0"]
)
def test_an_enclave_with_a_url_that_is_none_tells_no_secret(
    token: SoftHsmToken, tmp_path: Path, url: str
) -> None:
    with serving(token, tmp_path, url) as ours:
        assert found(asked_everything(ours)) == set()


def test_an_enclave_with_keys_in_its_memory_writes_none_of_them(token: SoftHsmToken, tmp_path: Path) -> None:
    command = token.serve_command(tmp_path, key_backend="software", module=None, token_label=None)

    with started(command, tmp_path, environment=token.environment) as ours:
        assert found(asked_everything(ours)) == set()


def test_a_wrong_pin_is_not_repeated(token: SoftHsmToken, tmp_path: Path) -> None:
    traces = traces_of_failure(token, tmp_path, pin=WRONG_PIN, told="does not take this PIN")

    assert found(traces) == set()


def test_a_missing_token_directory_tells_no_secret(token: SoftHsmToken, tmp_path: Path) -> None:
    configuration = write_configuration(tmp_path / "softhsm")
    (tmp_path / "softhsm" / "tokens").rmdir()

    traces = traces_of_failure(
        replace(token, configuration=configuration), tmp_path, told="the PKCS#11 module does not start"
    )

    assert found(traces) == set()


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [("token.object", "there is no token"), ("[!t]*.object", "the token holds no key")],
)
def test_an_unreadable_token_tells_no_secret(
    token: SoftHsmToken, tmp_path: Path, spoilt: str, told: str
) -> None:
    shutil.copytree(token.directory / "softhsm", tmp_path / "softhsm")
    configuration = write_configuration(tmp_path / "softhsm")
    for file in (tmp_path / "softhsm" / "tokens").rglob(spoilt):
        file.write_bytes(b"this is no object")

    traces = traces_of_failure(replace(token, configuration=configuration), tmp_path, told=told)

    assert found(traces) == set()


# That the search can fail ---------------------------------------------------------------------------------------


def _keys() -> list[bytes]:
    """Private keys of each kind, in each form that a program might write."""
    bank, curve = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP256R1()),
    )
    forms = [(key, PrivateFormat.PKCS8) for key in (bank, curve, Ed25519PrivateKey.generate())]
    forms += [(bank, PrivateFormat.TraditionalOpenSSL), (curve, PrivateFormat.TraditionalOpenSSL)]
    return [
        key.private_bytes(encoding, form, NoEncryption())
        for key, form in forms
        for encoding in (Encoding.DER, Encoding.PEM)
    ]


def spellings(secret: bytes) -> list[bytes]:
    encoded = base64.b64encode(secret)
    return [
        secret,
        encoded,
        b"x" + encoded.rstrip(b"="),
        base64.urlsafe_b64encode(b"ab" + secret),
        base64.encodebytes(secret),
        secret.hex().encode(),
        secret.hex().upper().encode(),
        quote(secret, safe="").encode(),
        b"".join(bytes([byte, 0]) for byte in secret),
    ]


@pytest.mark.parametrize("name", SECRETS)
def test_the_search_finds_a_planted_text(name: str) -> None:
    for spelling in spellings(SECRETS[name].encode()):
        assert found({"errors": b'{"told": "' + spelling + b'"}'}) == {("errors", name)}, spelling


def test_the_search_finds_planted_private_keys() -> None:
    for key in _keys():
        for spelling in spellings(key):
            planted = {"a file": b"\x30\x82 before \n" + spelling + b"\n after"}
            assert found(planted) == {("a file", A_PRIVATE_KEY)}, spelling


def test_the_search_does_not_take_public_keys_and_signatures_for_secrets(token: SoftHsmToken) -> None:
    public = {name: token.pem(name).encode() for name in ("bank", "access_token", "checkpoint", "report")}

    assert found(public) == set()


TELL_TALE = """
import os, pathlib, signal, sys
secret = os.environ["SECRET"]
pathlib.Path("left behind").write_text(secret)
sys.stderr.write(f"failed with {secret}")
sys.stderr.flush()
print("ready, logged in with", secret, flush=True)
signal.pause()
"""


def test_the_search_finds_what_a_real_process_gives_away(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TELL_TALE, f"--pin={PIN}"]

    with started(command, tmp_path, environment={"SECRET": PIN}) as ours:
        traces = traces_of(ours)

    places = {"command line", "environment", "output", "errors", "left behind"}
    assert found(traces) == {(place, "the user's PIN") for place in places}
