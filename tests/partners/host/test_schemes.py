"""What goes to a bank by each scheme: written by the real host, signed by a real enclave, read from the wire."""

import base64
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enclave.client import EnclaveClient
from enclave.detached_jws import verify_body
from enclave.http_signatures import Policy, Request, verify_message
from enclave.keyring import Keyring
from enclave.keys import Purpose, verifies
from enclave.schemes import BODY_COMPONENTS, JWS_PROFILE, QUERY_COMPONENTS
from ledger.store.tx import Tx
from partners.clearbank.adapter import ClearBank
from partners.clearbank.manifest import MANIFEST
from partners.contract import Answer, Manifest, SignatureScheme
from partners.host.bank import BankHost, Connection
from partners.host.transport import BankTransport
from tests.enclave.rings import public_pem, software_keyring
from tests.enclave.soft_enclave import soft_enclave
from tests.partners.host.small_bank import OK, Server, answering, serving

KEYRING: Keyring = software_keyring()
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEYS = {"bank_p256/v1": public_pem(KEYRING, Purpose.BANK_P256)}


class OtherBank(ClearBank):
    """A bank like ClearBank, but for how it wants requests signed."""

    def __init__(self, scheme: SignatureScheme) -> None:
        self._manifest = replace(MANIFEST, signature_scheme=scheme)

    def manifest(self) -> Manifest:
        return self._manifest


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as the bank read it."""

    line: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def field(self, name: str) -> str:
        (value,) = [value for field, value in self.fields if field.lower() == name.lower()]
        return value

    @property
    def names(self) -> list[str]:
        return [field for field, _ in self.fields]

    def as_request(self) -> Request:
        method, target, _ = self.line.split(" ")
        return Request(method, f"http://{self.field('host')}{target}", self.fields, self.body)


def last_of(bank: Server) -> Wire:
    head, _, body = bank.requests[-1].partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    pairs = (text.split(": ", 1) for text in lines)
    return Wire(line, tuple((name, value) for name, value in pairs), body)


def no_transactions() -> AbstractContextManager[Tx]:
    raise AssertionError("asking touches no database")


@pytest.fixture
def enclave(tmp_path: Path) -> Iterator[EnclaveClient]:
    with soft_enclave(tmp_path, KEYRING, clock=lambda: NOW) as client:
        yield client


@pytest.fixture
def bank() -> Iterator[Server]:
    with serving(answering(OK)) as server:
        yield server


@pytest.fixture
def transport() -> Iterator[BankTransport]:
    with BankTransport() as opened:
        yield opened


def host_of(
    scheme: SignatureScheme, bank: Server, enclave: EnclaveClient, transport: BankTransport
) -> BankHost:
    connection = Connection("other", bank.url, token="t", payout_token="p", webhook_key_pem=b"")  # no secret
    return BankHost(connection, OtherBank(scheme), transport, enclave, no_transactions, lambda: NOW)


def ask_for_statements(host: BankHost) -> None:
    assert isinstance(host.request_statements(starts_at=NOW - timedelta(hours=1), ends_at=NOW), Answer)


def ask_for_a_page(host: BankHost) -> None:
    request = host.adapter.statement_page_request("CAMT053_1", 2)
    assert request is not None
    assert isinstance(host.ask(request), Answer)


def test_clearbank_gets_what_it_always_got(
    bank: Server, enclave: EnclaveClient, transport: BankTransport
) -> None:
    host = host_of("body_rsa_sha256", bank, enclave, transport)
    pem = public_pem(KEYRING, Purpose.BANK)

    ask_for_statements(host)
    posted = last_of(bank)
    ask_for_a_page(host)
    asked = last_of(bank)

    text = f"GET/v1/statements/CAMT053_1?pageNumber=2{asked.field('X-Request-Id')}{int(NOW.timestamp())}"
    for wire, message in ((posted, posted.body), (asked, text.encode())):
        assert wire.names[1:7] == [
            "Authorization", "DigitalSignature", "X-Request-Id", "Accept", "Accept-Encoding", "User-Agent",
        ]  # fmt: skip
        signature = base64.b64decode(wire.field("DigitalSignature"))
        assert verifies(Purpose.BANK, pem, message=message, signature=signature)
        assert not {"signature", "signature-input", "x-jws-signature"} & set(wire.names)


def test_a_bank_of_http_message_signatures_verifies_what_it_reads(
    bank: Server, enclave: EnclaveClient, transport: BankTransport
) -> None:
    host = host_of("http_message", bank, enclave, transport)

    for ask, components in ((ask_for_statements, BODY_COMPONENTS), (ask_for_a_page, QUERY_COMPONENTS)):
        ask(host)
        wire = last_of(bank)
        found = verify_message(wire.as_request(), Policy("sig1", components), keys=KEYS, now=NOW)
        assert found.components == components
        assert "DigitalSignature" not in wire.names


def test_a_bank_of_detached_jws_verifies_what_it_reads_and_queries_are_not_signed(
    bank: Server, enclave: EnclaveClient, transport: BankTransport
) -> None:
    host = host_of("detached_jws", bank, enclave, transport)

    ask_for_statements(host)
    posted = last_of(bank)
    ask_for_a_page(host)
    asked = last_of(bank)

    assert verify_body(posted.body, posted.field("x-jws-signature"), JWS_PROFILE, keys=KEYS, now=NOW)
    assert not {"x-jws-signature", "signature", "DigitalSignature"} & set(asked.names)
