"""Each scheme from the real process and token, checked by our verifiers, by another library and by OpenSSL.

The signed text is put together here again, from what was asked and what is sent, as the bank would do it.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from enclave.client import EnclaveClient, EnclaveRefused
from enclave.detached_jws import JwsInvalid, verify_body
from enclave.http_signatures import (
    HttpSignatureInvalid,
    Policy,
    Request,
    Response,
    VerifiedSignature,
    verify_message,
)
from enclave.protocol import BankScheme, HeaderScheme, Signature, SignedHeaders, Target
from enclave.schemes import ANSWER_COMPONENTS, BODY_COMPONENTS, JWS_FIELD, JWS_PROFILE, QUERY_COMPONENTS
from tests.conftest import Database
from tests.enclave.payouts import CREDIT_TRANSFER, body_of, order_text, record_of
from tests.enclave.process import RunningEnclave, SoftHsmToken
from tests.enclave.signing import NONCE, openssl_verifies
from tests.enclave.stock import store_row

BODY = body_of(CREDIT_TRANSFER)
PATH = "/payments/sepa-ct/v1/customer-payments"
TARGET = Target(method="POST", authority="bank.example:8443", path_with_query=PATH)
PAGE = "/v1/statements/CAMT053_1?pageNumber=1"


@dataclass(frozen=True, slots=True)
class Till:
    """A running enclave over a database in which payouts may be signed, by number."""

    token: SoftHsmToken
    database: Database
    enclave: RunningEnclave
    client: EnclaveClient

    def payout(
        self, number: int, scheme: BankScheme = "http_message", target: Target | None = None
    ) -> Signature | SignedHeaders:
        return self.client.payout(
            payout_id=f"pay_{number:032x}",
            attempt_id=f"att_{number:032x}",
            profile="clearbank.sct",
            body=BODY,
            scheme=scheme,
            target=target,
        )

    def by_headers(self, number: int, scheme: HeaderScheme = "http_message") -> SignedHeaders:
        answer = self.payout(number, scheme, TARGET if scheme == "http_message" else None)
        assert isinstance(answer, SignedHeaders)
        return answer


@pytest.fixture
def till(token: SoftHsmToken, stocked: Database, tmp_path: Path) -> Iterator[Till]:
    for number in range(3):
        ids = {"payout_id": f"pay_{number:032x}", "open_attempt_id": f"att_{number:032x}"}
        store_row(stocked, record_of(order_text(payout_id=ids["payout_id"]), **ids))
    with (
        token.serving(tmp_path, database_url=stocked.url("tallystick_enclave")) as enclave,
        enclave.client() as client,
    ):
        yield Till(token, stocked, enclave, client)


def as_sent(headers: Mapping[str, str], target: Target = TARGET, body: bytes = BODY) -> Request:
    """The request as it comes to the bank, over TLS."""
    fields = [("Host", target.authority), ("X-Request-Id", "r"), *headers.items()]
    if body:
        fields.append(("Content-Type", "application/json"))
    uri = f"https://{target.authority}{target.path_with_query}"
    return Request(target.method, uri, tuple(fields), body)


def verified(
    message: Request | Response, pem: str, key_id: str, components: tuple[str, ...] = BODY_COMPONENTS
) -> VerifiedSignature:
    policy = Policy("sig1", components=components)
    return verify_message(message, policy, keys={key_id: pem}, now=datetime.now(UTC))


def base_of(headers: Mapping[str, str], *lines: str) -> bytes:
    """RFC 9421's text, without our code."""
    terms = headers["signature-input"].removeprefix("sig1=")
    return "\n".join([*lines, f'"@signature-params": {terms}']).encode()


def digest_of(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def der(raw: bytes) -> bytes:
    assert len(raw) == 64
    return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))


def raw_of(headers: Mapping[str, str]) -> bytes:
    return base64.b64decode(headers["signature"].removeprefix("sig1=:").removesuffix(":"))


def assert_others_agree(directory: Path, pem: str, raw: bytes, message: bytes) -> None:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(der(raw), message, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(der(raw), message + b" ", ec.ECDSA(hashes.SHA256()))
    assert openssl_verifies(directory, pem=pem, signature=der(raw), message=message) == "Verified OK\n"


def test_a_payout_by_http_message_signature_verifies_outside_our_code(till: Till, tmp_path: Path) -> None:
    answer, pem = till.by_headers(0), till.token.pem("payout_p256")

    found = verified(as_sent(answer.headers), pem, "payout_p256/v1")
    lines = (
        '"@method": POST',
        '"@authority": bank.example:8443',
        f'"@path": {PATH}',
        '"@query": ?',
        f'"content-digest": {digest_of(BODY)}',
        '"content-type": application/json',
    )
    assert_others_agree(tmp_path, pem, raw_of(answer.headers), base_of(answer.headers, *lines))
    assert found.components == BODY_COMPONENTS
    assert abs((found.created - datetime.now(UTC)).total_seconds()) < 60
    assert (answer.key_id, answer.digest) == ("payout_p256/v1", hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize(
    "elsewhere",
    [
        TARGET.model_copy(update={"authority": "bank.example"}),
        TARGET.model_copy(update={"path_with_query": "/v1/payments/sepa-instant"}),
        TARGET.model_copy(update={"path_with_query": PATH + "?a=1"}),
        TARGET.model_copy(update={"method": "PUT"}),
    ],
)
def test_a_payout_signed_for_one_endpoint_is_nothing_at_another(till: Till, elsewhere: Target) -> None:
    headers, pem = till.by_headers(0).headers, till.token.pem("payout_p256")

    for message in (as_sent(headers, elsewhere), as_sent(headers, body=BODY + b" ")):
        with pytest.raises(HttpSignatureInvalid):
            verified(message, pem, "payout_p256/v1")


def test_all_signatures_for_one_payout_have_one_nonce(till: Till) -> None:
    pem = till.token.pem("payout_p256")
    first, again, other = till.by_headers(0), till.by_headers(0), till.by_headers(1)

    nonces = [verified(as_sent(one.headers), pem, "payout_p256/v1").nonce for one in (first, again, other)]

    assert nonces[0] == nonces[1] != nonces[2]


def test_a_payout_by_detached_jws_verifies_outside_our_code(till: Till, tmp_path: Path) -> None:
    answer, pem = till.by_headers(0, "detached_jws"), till.token.pem("payout_p256")

    signature = answer.headers[JWS_FIELD]
    now = datetime.now(UTC)
    signed = verify_body(BODY, signature, JWS_PROFILE, keys={"payout_p256/v1": pem}, now=now)
    header, _, raw = signature.split(".")
    message = header.encode() + b"." + BODY
    assert_others_agree(tmp_path, pem, base64.urlsafe_b64decode(raw + "=="), message)
    assert set(answer.headers) == {JWS_FIELD}
    assert signed.key_id == "payout_p256/v1"
    with pytest.raises(JwsInvalid):
        verify_body(BODY + b" ", signature, JWS_PROFILE, keys={"payout_p256/v1": pem}, now=now)


def test_one_payout_has_one_scheme_and_one_target_over_a_restart(till: Till, tmp_path: Path) -> None:
    elsewhere = TARGET.model_copy(update={"authority": "other.example"})
    till.by_headers(0)
    till.payout(1, "body_rsa_sha256")
    till.by_headers(2, "detached_jws")
    assert till.enclave.terminate() == 0
    url = till.database.url("tallystick_enclave")

    with till.token.serving(tmp_path, database_url=url) as enclave, enclave.client() as client:
        after = Till(till.token, till.database, enclave, client)
        refused = [
            code_of(after, 0, "http_message", elsewhere),
            code_of(after, 0, "detached_jws"),
            code_of(after, 1, "http_message", TARGET),
            code_of(after, 2, "body_rsa_sha256"),
        ]
        assert after.by_headers(0).headers.keys() == {"content-digest", "signature-input", "signature"}
        assert after.by_headers(2, "detached_jws").headers.keys() == {JWS_FIELD}
        assert isinstance(after.payout(1, "body_rsa_sha256"), Signature)

    assert refused == ["signed_other_target", *["signed_other_scheme"] * 3]


def code_of(till: Till, number: int, scheme: BankScheme, target: Target | None = None) -> str:
    with pytest.raises(EnclaveRefused) as refused:
        till.payout(number, scheme, target)
    return refused.value.code


def test_queries_and_messages_have_a_key_of_their_own(token: SoftHsmToken, tmp_path: Path) -> None:
    pem, key_id = token.pem("bank_p256"), "bank_p256/v1"
    opening = Target(method="POST", authority="bank.example", path_with_query="/mccy/v1/VirtualAccounts")
    body = b'{"accountId":"a-1","virtualAccount":{"owner":"Ada Lovelace"}}'
    with token.serving(tmp_path) as enclave, enclave.client() as client:
        query = client.bank_query(
            profile="clearbank.statement_page",
            method="GET",
            path_with_query=PAGE,
            scheme="http_message",
            authority="bank.example",
        )
        message = client.bank_message(
            profile="clearbank.virtual_account", body=body, scheme="http_message", target=opening
        )
        answer = client.bank_message(profile="clearbank.webhook_ack", body=NONCE, scheme="http_message")
        jws = client.bank_message(profile="clearbank.webhook_ack", body=NONCE, scheme="detached_jws")

    page = Target(method="GET", authority="bank.example", path_with_query=PAGE)
    verified(as_sent(query.headers, page, b""), pem, key_id, QUERY_COMPONENTS)
    verified(as_sent(message.headers, opening, body), pem, key_id)
    fields = (("content-type", "application/json"), *answer.headers.items())
    verified(Response(200, fields, NONCE), pem, key_id, ANSWER_COMPONENTS)
    assert verify_body(NONCE, jws.headers[JWS_FIELD], JWS_PROFILE, keys={key_id: pem}, now=datetime.now(UTC))
    path, _, parameters = PAGE.partition("?")
    lines = ('"@method": GET', '"@authority": bank.example', f'"@path": {path}', f'"@query": ?{parameters}')
    text = base_of(query.headers, *lines, f'"content-digest": {digest_of(b"")}')
    assert_others_agree(tmp_path, pem, raw_of(query.headers), text)
    assert query.digest == hashlib.sha256(b"").hexdigest()
