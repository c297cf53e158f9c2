"""Silence is classified by one rule: was a byte written? Played against small servers that misbehave."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from partners.contract import Answer, NotSent, Request, Signing, Unknown
from partners.host import transport
from partners.host.transport import BankTransport, Direction, Record
from tests.partners.host.small_bank import OK, Behaviour, answering, serving

ORDER = Request(
    "POST",
    "/v1/payments/sepa-instant",
    b'{"amount":1.00}',
    signing=Signing.PAYOUT,
    profile="clearbank.sct_inst",
)
QUERY = Request(
    "GET",
    "/mccy/v1/Accounts/a/transactions?Start=2026-11-16T09:00:00Z&x=%41",
    None,
    Signing.QUERY,
    "clearbank.transactions",
)
TOKEN = "t0ken"


@contextmanager
def greeting(behaviour: Behaviour) -> Iterator[str]:
    """A server that speaks to one caller before it has read anything; gives its address with https."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            behaviour(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join(timeout=10)
        listener.close()


def exchange(
    url: str,
    request: Request = ORDER,
    *,
    token: str = TOKEN,
    record: Record | None = None,
    connect_timeout_s: float = transport.CONNECT_TIMEOUT_S,
    read_timeout_s: float = transport.READ_TIMEOUT_S,
    body_timeout_s: float = transport.BODY_TIMEOUT_S,
) -> Answer | NotSent | Unknown:
    with BankTransport(
        record=record,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
        body_timeout_s=body_timeout_s,
    ) as bank:
        return bank.send(
            base_url=url,
            token=token,
            request=request,
            request_id="01-abc",
            request_time=1_794_819_600,
            signed={"DigitalSignature": "c2lnbmF0dXJl"},
        )


# --- what is written ----------------------------------------------------------------------------------------


def test_order_is_written_exactly_as_it_was_signed() -> None:
    with serving(answering(OK)) as bank:
        came = exchange(bank.url)

    assert isinstance(came, Answer)
    assert (came.status, came.body) == (202, b"{}")
    assert ("X-Correlation-Id", "c-1") in came.headers
    (sent,) = bank.requests
    head, _, body = sent.partition(b"\r\n\r\n")
    assert body == ORDER.body
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/payments/sepa-instant HTTP/1.1"
    assert {
        b"Authorization: Bearer t0ken",
        b"DigitalSignature: c2lnbmF0dXJl",
        b"X-Request-Id: 01-abc",
        b"Content-Type: application/json",
        b"Content-Length: 15",
    } <= set(lines)
    assert not any(line.lower().startswith(b"x-request-time") for line in lines)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_query_carries_its_time_and_an_untouched_target(method: str) -> None:
    request = Request(method, QUERY.path, None, Signing.QUERY, "clearbank.transactions")

    with serving(answering(OK)) as bank:
        exchange(bank.url, request)

    lines = bank.requests[0].split(b"\r\n")
    assert lines[0] == f"{method} {QUERY.path} HTTP/1.1".encode()
    assert b"X-Request-Time: 1794819600" in lines
    assert not any(line.lower().startswith(b"content-type") for line in lines)


def test_environment_cannot_send_it_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    with serving(answering(OK)) as bank:
        assert isinstance(exchange(bank.url), Answer)


def test_cookies_are_not_carried_to_the_next_request() -> None:
    answer = OK.replace(b"X-Correlation-Id: c-1", b"Set-Cookie: a=b; Path=/\r\nConnection: close")

    with serving(answering(answer)) as server, BankTransport() as bank:
        for request_id in ("1", "2"):
            bank.send(
                base_url=server.url,
                token="t",
                request=QUERY,
                request_id=request_id,
                request_time=1,
                signed={"DigitalSignature": "s"},
            )

    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


# --- before a byte ------------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_refused_connection_is_not_sent() -> None:
    assert isinstance(exchange(f"http://127.0.0.1:{closed_port()}"), NotSent)


def test_unknown_host_is_not_sent() -> None:
    assert isinstance(exchange("https://bank.invalid"), NotSent)


def test_server_without_tls_is_not_sent() -> None:
    with greeting(answering(b"plain words\r\n" * 10)) as url:
        assert isinstance(exchange(url), NotSent)


def test_certificate_that_nobody_vouches_for_is_not_sent(tls_server: ssl.SSLContext) -> None:
    def offer(connection: socket.socket) -> None:
        try:
            tls_server.wrap_socket(connection, server_side=True).close()
        except OSError:
            return  # the client did not like the certificate

    with greeting(offer) as url:
        assert isinstance(exchange(url), NotSent)


def test_hand_shake_that_never_ends_is_not_sent() -> None:
    done = threading.Event()
    with greeting(lambda _: _wait(done)) as url:
        came = exchange(url, connect_timeout_s=0.1)
        done.set()

    assert isinstance(came, NotSent)


@pytest.mark.parametrize(
    ("token", "request_"),
    [
        ("two\r\nX-Evil: 1", ORDER),
        ("", ORDER),
        ("t", Request("GET", "/a b", None, Signing.QUERY, "clearbank.transactions")),
        ("t", Request("GET", "/a\r\nX: y", None, Signing.QUERY, "clearbank.transactions")),
        ("t", Request("GET", "no-slash", None, Signing.QUERY, "clearbank.transactions")),
    ],
)
def test_request_that_cannot_be_written_is_not_sent(token: str, request_: Request) -> None:
    with serving(answering(OK)) as bank:
        came = exchange(bank.url, request_, token=token)

    assert isinstance(came, NotSent)
    assert bank.requests == []


@pytest.mark.parametrize(
    "url",
    ["http://bank.example", "http://10.0.0.1", "ftp://127.0.0.1", "https://h/path", "https://u:p@h", "", "x"],
)
def test_base_url_that_would_leak_the_token_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="bank"):
        exchange(url)


# --- after a byte -------------------------------------------------------------------------------------------


def test_server_that_reads_and_closes_is_unknown() -> None:
    with serving(lambda _: None) as bank:
        assert isinstance(exchange(bank.url), Unknown)

    assert bank.requests[0].endswith(ORDER.body or b"-")


def test_server_that_never_answers_is_unknown() -> None:
    done = threading.Event()
    with serving(lambda _: _wait(done)) as bank:
        came = exchange(bank.url, read_timeout_s=0.1)
        done.set()

    assert isinstance(came, Unknown)


def _wait(done: threading.Event) -> None:
    done.wait(timeout=10)


@pytest.mark.parametrize(
    "content",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 202 Accep",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_answer_that_breaks_off_or_cannot_be_read_is_unknown(content: bytes) -> None:
    with serving(answering(content)) as bank:
        assert isinstance(exchange(bank.url), Unknown)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    try:
        for _ in range(64):
            connection.sendall(chunk)
    except OSError:
        return  # the client has had enough


def test_oversized_answer_is_unknown_and_is_not_read_to_its_end() -> None:
    kept: list[int] = []

    def record(direction: Direction, *, request_id: str, content: bytes) -> None:
        kept.append(len(content))

    with serving(endless) as bank:
        assert isinstance(exchange(bank.url, record=record), Unknown)

    assert kept[1] <= transport.ANSWER_BYTES_MAX + 1000


def test_trickling_answer_is_unknown_in_the_end() -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(5000):
                connection.sendall(b"1\r\nx\r\n")
                gap.wait(timeout=0.01)
        except OSError:
            return

    gap = threading.Event()
    with serving(trickle) as bank:
        came = exchange(bank.url, body_timeout_s=0.1)

    assert came == Unknown("the answer did not end in time")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with serving(answering(OK)) as elsewhere:
        moved = (
            f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/x\r\nContent-Length: 0\r\n\r\n".encode()
        )
        with serving(answering(moved)) as bank:
            came = exchange(bank.url)

    assert isinstance(came, Answer)
    assert came.status == status
    assert elsewhere.requests == []


@pytest.mark.parametrize("status", [400, 409, 500, 503])
def test_error_status_is_an_answer_for_the_adapter_to_judge(status: int) -> None:
    content = f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\n{{}}".encode()

    with serving(answering(content)) as bank:
        came = exchange(bank.url)

    assert isinstance(came, Answer)
    assert came.status == status


# --- the record ---------------------------------------------------------------------------------------------


def test_record_keeps_every_byte_but_the_token() -> None:
    kept: list[tuple[Direction, str, bytes]] = []

    def record(direction: Direction, *, request_id: str, content: bytes) -> None:
        kept.append((direction, request_id, content))

    with serving(answering(OK)) as bank:
        exchange(bank.url, record=record)

    (sent, received) = kept
    assert sent[:2] == (Direction.SENT, "01-abc")
    assert sent[2] == bank.requests[0].replace(b"Bearer t0ken", b"[redacted]")
    assert b"t0ken" not in sent[2]
    assert received[:2] == (Direction.RECEIVED, "01-abc")
    assert received[2] == b"HTTP/1.1 202\r\nX-Correlation-Id: c-1\r\nContent-Length: 2\r\n\r\n{}"


def test_record_keeps_the_part_of_an_answer_that_came() -> None:
    kept: list[bytes] = []

    def record(direction: Direction, *, request_id: str, content: bytes) -> None:
        kept.append(content)

    content = b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{half"
    with serving(answering(content)) as bank:
        exchange(bank.url, record=record)

    assert kept[1].endswith(b"\r\n\r\n{half")
