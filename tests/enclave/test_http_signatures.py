"""HTTP message signatures: the published examples, OpenSSL's opinion, and every way to change what was signed."""

import base64
import hashlib
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.http_signatures import (
    REQUEST_COMPONENTS,
    STRICT_PARAMETERS,
    HttpSignatureInvalid,
    Policy,
    Request,
    Response,
    SignatureInput,
    Terms,
    VerifiedSignature,
    content_digest,
    sign_message,
    signature_base,
    verify_message,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
CREATED = int(NOW.timestamp())
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_ID = "bank/v1"
COMPONENTS = (*REQUEST_COMPONENTS, "x-request-id")
BODY = b'{"amount":"1234.56","endToEndId":"PAY-5A5A5A5A"}'
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
TARGET = "https://bank.example/v2/payments?mode=sct"
TERMS = Terms(
    key_id=KEY_ID,
    created=NOW,
    expires=NOW + timedelta(seconds=60),
    nonce="b3k2pp5k7z-50gnwp.yemd",
    tag="pay-out",
)
REQUEST = Request(
    method="POST",
    target_uri=TARGET,
    fields=(
        ("Content-Type", "application/json"),
        ("Content-Digest", DIGEST),
        ("X-Request-Id", "req_7f"),
        ("User-Agent", "pay/1"),
    ),
    body=BODY,
)
POLICY = Policy(label="pay", components=COMPONENTS, tag="pay-out")
INNER = (
    '("@method" "@target-uri" "content-digest" "content-type" "x-request-id")'
    f';created={CREATED};expires={CREATED + 60};keyid="bank/v1";alg="ecdsa-p256-sha256"'
    ';nonce="b3k2pp5k7z-50gnwp.yemd";tag="pay-out"'
)
LINES = {
    "@method": "POST",
    "@target-uri": TARGET,
    "@scheme": "https",
    "@authority": "bank.example",
    "@path": "/v2/payments",
    "@query": "?mode=sct",
    "content-digest": DIGEST,
    "content-type": "application/json",
    "x-request-id": "req_7f",
}


def pem_of(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PEM = pem_of(KEY.public_key())


def raw_signature(message: bytes) -> bytes:
    first, second = decode_dss_signature(KEY.sign(message, ec.ECDSA(hashes.SHA256())))
    return first.to_bytes(32) + second.to_bytes(32)


def der_of(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def with_fields(request: Request, added: Mapping[str, str]) -> Request:
    return replace(request, fields=(*request.fields, *added.items()))


def changed(request: Request, name: str, value: str) -> Request:
    lines = tuple((field, value if field.lower() == name else old) for field, old in request.fields)
    return replace(request, fields=lines)


def signed(request: Request = REQUEST, terms: Terms = TERMS) -> Request:
    added = sign_message(request, terms, label="pay", components=COMPONENTS, sign=raw_signature)
    return with_fields(request, added)


def claimed(inner: str, *, lines: Mapping[str, str] = LINES, field: str | None = None) -> Request:
    """A request with a genuine signature of ours over whatever the inner list says, the base written by hand."""
    covered = re.findall(r'"([^"]+)"', inner.partition(")")[0])
    base = "".join(f'"{name}": {lines[name]}\n' for name in covered) + f'"@signature-params": {inner}'
    encoded = base64.b64encode(raw_signature(base.encode())).decode()
    added = {"Signature-Input": field or f"pay={inner}", "Signature": f"pay=:{encoded}:"}
    return with_fields(REQUEST, added)


def verify(message: Request | Response, policy: Policy = POLICY, *, now: datetime = NOW) -> VerifiedSignature:
    return verify_message(message, policy, keys={KEY_ID: PEM}, now=now)


def refused(message: Request, policy: Policy = POLICY, *, now: datetime = NOW) -> bool:
    with pytest.raises(HttpSignatureInvalid) as invalid:
        verify(message, policy, now=now)
    return str(invalid.value) == "the HTTP message and its signature are not what they must be"


SIGNED = signed()

# The key, message and signatures of RFC 9421, appendix B.1.3, B.2, B.2.4 and section 4.3.
RFC_KEY = pem_of(
    ec.EllipticCurvePublicNumbers(
        x=int.from_bytes(base64.urlsafe_b64decode("qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA=")),
        y=int.from_bytes(base64.urlsafe_b64decode("Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0=")),
        curve=ec.SECP256R1(),
    ).public_key()
)
RFC_RESPONSE = Response(
    status=200,
    fields=(
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("Content-Type", "application/json"),
        (
            "Content-Digest",
            "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:",
        ),
        ("Content-Length", "23"),
        (
            "Signature-Input",
            (
                'sig-b24=("@status" "content-type" "content-digest" "content-length")'
                ';created=1618884473;keyid="test-key-ecc-p256"'
            ),
        ),
        (
            "Signature",
            "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
        ),
    ),
    body=b'{"message": "good dog"}',
)
RFC_POLICY = Policy(
    label="sig-b24",
    components=("@status", "content-digest"),
    parameters=frozenset({"created", "keyid"}),
)
RFC_NOW = datetime.fromtimestamp(1618884500, tz=UTC)


def test_the_response_that_the_rfc_signs_verifies() -> None:
    verified = verify_message(RFC_RESPONSE, RFC_POLICY, keys={"test-key-ecc-p256": RFC_KEY}, now=RFC_NOW)

    assert verified == VerifiedSignature(
        key_id="test-key-ecc-p256",
        components=("@status", "content-type", "content-digest", "content-length"),
        created=datetime.fromtimestamp(1618884473, tz=UTC),
        expires=None,
        nonce=None,
    )


def test_the_rfcs_response_has_the_base_that_the_rfc_prints() -> None:
    said = SignatureInput(
        components=("@status", "content-type", "content-digest", "content-length"),
        parameters=(("created", 1618884473), ("keyid", "test-key-ecc-p256")),
    )

    assert signature_base(RFC_RESPONSE, said).decode() == (
        '"@status": 200\n'
        '"content-type": application/json\n'
        '"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rj'
        "Juahq4l5aGgfLQ==:\n"
        '"content-length": 23\n'
        '"@signature-params": ("@status" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-ecc-p256"'
    )


@pytest.mark.parametrize("change", [{"status": 201}, {"body": b'{"message": "bad dog"}'}, {"fields": ()}])
def test_the_rfcs_response_cannot_be_changed(change: dict[str, object]) -> None:
    message = replace(RFC_RESPONSE, **change)  # type: ignore[arg-type]  # one member of each kind

    with pytest.raises(HttpSignatureInvalid):
        verify_message(message, RFC_POLICY, keys={"test-key-ecc-p256": RFC_KEY}, now=RFC_NOW)


RFC_REQUEST = Request(
    method="POST",
    target_uri="https://example.com/foo?param=Value&Pet=dog",
    fields=(
        ("Content-Type", "application/json"),
        ("Content-Length", "18"),
        (
            "Content-Digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        (
            "Signature-Input",
            (
                'sig1=("@method" "@authority" "@path" "content-digest" "content-type" "content-length")'
                ';created=1618884475;keyid="test-key-ecc-p256"'
            ),
        ),
        (
            "Signature",
            "sig1=:X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==:",
        ),
    ),
    body=b'{"hello": "world"}',
)


def test_the_request_that_the_rfc_signs_has_the_base_that_was_signed() -> None:
    said = SignatureInput(
        components=("@method", "@authority", "@path", "content-digest", "content-type", "content-length"),
        parameters=(("created", 1618884475), ("keyid", "test-key-ecc-p256")),
    )
    signature = base64.b64decode(dict(RFC_REQUEST.fields)["Signature"].removeprefix("sig1=:")[:-1])
    numbers = base64.urlsafe_b64decode("qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA=") + (
        base64.urlsafe_b64decode("Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0=")
    )
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + numbers)

    key.verify(der_of(signature), signature_base(RFC_REQUEST, said), ec.ECDSA(hashes.SHA256()))


def test_a_signature_that_leaves_out_the_query_is_refused_however_genuine() -> None:
    policy = Policy(
        label="sig1",
        components=("@method", "@authority", "@path", "@query", "content-digest"),
        parameters=frozenset({"created", "keyid"}),
    )

    with pytest.raises(HttpSignatureInvalid):
        verify_message(RFC_REQUEST, policy, keys={"test-key-ecc-p256": RFC_KEY}, now=RFC_NOW)


def test_the_digest_of_a_body_is_the_one_that_the_rfc_prints() -> None:
    # RFC 9530, appendix D.
    assert content_digest(b'{"hello": "world"}') == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"


def test_a_signature_of_ours_says_what_was_signed() -> None:
    fields = dict(SIGNED.fields)

    assert fields["signature-input"] == f"pay={INNER}"
    assert verify(SIGNED) == VerifiedSignature(
        key_id=KEY_ID,
        components=COMPONENTS,
        created=NOW,
        expires=NOW + timedelta(seconds=60),
        nonce="b3k2pp5k7z-50gnwp.yemd",
    )


def test_a_base_written_by_hand_is_the_base_that_is_signed() -> None:
    assert verify(claimed(INNER)).key_id == KEY_ID


def test_openssl_and_cryptography_verify_our_signature(tmp_path: Path) -> None:
    encoded = dict(SIGNED.fields)["signature"].removeprefix("pay=:").removesuffix(":")
    signature = der_of(base64.b64decode(encoded))
    base = (
        "".join(f'"{name}": {LINES[name]}\n' for name in COMPONENTS) + f'"@signature-params": {INNER}'
    ).encode()

    KEY.public_key().verify(signature, base, ec.ECDSA(hashes.SHA256()))
    assert openssl_verifies(tmp_path, base, signature) == "Verified OK\n"
    assert openssl_verifies(tmp_path, base + b" ", signature) == "Verification failure\n"


def openssl_verifies(directory: Path, message: bytes, signature: bytes) -> str:
    (directory / "key.pem").write_text(PEM)
    (directory / "message").write_bytes(message)
    (directory / "signature").write_bytes(signature)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout


def test_the_parts_of_a_target_stand_for_the_whole() -> None:
    inner = INNER.replace('"@target-uri"', '"@scheme" "@authority" "@path" "@query"')
    policy = replace(POLICY, components=("@method", "@authority", "@path", "@query", "content-digest"))

    assert verify(claimed(inner), policy).components[1:5] == ("@scheme", "@authority", "@path", "@query")
    assert refused(claimed(inner))
    assert refused(replace(claimed(inner), target_uri=TARGET.replace("sct", "scl")), policy)


@pytest.mark.parametrize(
    ("target_uri", "authority", "path", "query"),
    [
        ("https://Bank.Example:443/", "bank.example", "/", "?"),
        ("https://bank.example:8443/a%20b?", "bank.example:8443", "/a%20b", "?"),
        ("http://127.0.0.1:80/?a=b?c", "127.0.0.1", "/", "?a=b?c"),
        ("http://bank.example:443/x", "bank.example:443", "/x", "?"),
        ("https://[::1]:443//", "[::1]", "//", "?"),
    ],
)
def test_a_target_has_one_spelling(target_uri: str, authority: str, path: str, query: str) -> None:
    said = SignatureInput(components=("@authority", "@path", "@query"), parameters=())

    base = signature_base(replace(REQUEST, target_uri=target_uri), said).decode()

    assert base.splitlines()[:3] == [f'"@authority": {authority}', f'"@path": {path}', f'"@query": {query}']


@pytest.mark.parametrize(
    "target_uri",
    [
        "https://bank.example",
        "https://bank.example/#x",
        "https://user@bank.example/",
        "ftp://bank.example/",
        "/v2/payments",
        "https://bank.example/a b",
        "https://bank.example/\n",
        "https://bank.example/%zz",
        "https://bänk.example/",
        "https:///v2",
        "",
    ],
)
def test_a_target_that_readers_could_read_differently_is_refused(target_uri: str) -> None:
    with pytest.raises(HttpSignatureInvalid):
        signed(replace(REQUEST, target_uri=target_uri))


def test_what_is_not_covered_may_change_on_the_way() -> None:
    assert verify(changed(SIGNED, "user-agent", "proxy/2")).key_id == KEY_ID
    lower = tuple((name.lower(), f" {value}\t") for name, value in SIGNED.fields)
    assert verify(replace(SIGNED, fields=lower)).key_id == KEY_ID


@pytest.mark.parametrize(
    "name", ["content-type", "content-digest", "x-request-id", "signature", "signature-input"]
)
def test_no_covered_field_may_be_missing_or_come_twice(name: str) -> None:
    line = next(pair for pair in SIGNED.fields if pair[0].lower() == name)

    assert refused(replace(SIGNED, fields=tuple(pair for pair in SIGNED.fields if pair != line)))
    assert refused(replace(SIGNED, fields=(*SIGNED.fields, line)))
    assert refused(replace(SIGNED, fields=((line[0].upper(), "x"), *SIGNED.fields)))


@settings(max_examples=400, deadline=None)
@given(
    part=st.sampled_from(
        ["content-type", "content-digest", "x-request-id", "signature", "signature-input", "target", "method"]
    ),
    place=st.integers(0, 10_000),
    character=st.characters(codec="utf-8"),
)
def test_no_character_of_what_is_covered_can_change(part: str, place: int, character: str) -> None:
    texts = {
        "target": SIGNED.target_uri,
        "method": SIGNED.method,
        **{name.lower(): value for name, value in SIGNED.fields},
    }
    text = texts[part]
    place %= len(text)
    spoilt = text[:place] + character + text[place + 1 :]
    match part:
        case "target":
            message = replace(SIGNED, target_uri=spoilt)
        case "method":
            message = replace(SIGNED, method=spoilt)
        case _:
            message = changed(SIGNED, part, spoilt)

    assert verify(message).key_id == KEY_ID if spoilt == text else refused(message)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(BODY) - 1), byte=st.integers(0, 255))
def test_no_byte_of_the_body_can_change(place: int, byte: int) -> None:
    body = BODY[:place] + bytes([byte]) + BODY[place + 1 :]

    message = replace(SIGNED, body=body)

    assert verify(message).key_id == KEY_ID if body == BODY else refused(message)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 63), bit=st.integers(0, 7))
def test_no_bit_of_the_signature_can_change(place: int, bit: int) -> None:
    field = dict(SIGNED.fields)["signature"]
    raw = bytearray(base64.b64decode(field.removeprefix("pay=:").removesuffix(":")))
    raw[place] ^= 1 << bit

    assert refused(changed(SIGNED, "signature", f"pay=:{base64.b64encode(raw).decode()}:"))


@settings(max_examples=200, deadline=None)
@given(
    nonce=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=256),
    seconds=st.integers(1, 10**6),
)
def test_every_text_that_can_be_written_reads_back(nonce: str, seconds: int) -> None:
    terms = replace(TERMS, nonce=nonce, expires=NOW + timedelta(seconds=seconds))

    verified = verify(signed(terms=terms))

    assert (verified.nonce, verified.expires) == (nonce, terms.expires)


@pytest.mark.parametrize("nonce", ["", "a\nb", "é", "\x7f", "a" * 257])
def test_a_text_that_cannot_be_written_is_refused(nonce: str) -> None:
    with pytest.raises(HttpSignatureInvalid):
        signed(terms=replace(TERMS, nonce=nonce))


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_component_that_the_policy_requires_may_be_left_out(component: str) -> None:
    inner = INNER.replace(f'"{component}" ', "").replace(f' "{component}"', "")

    assert refused(claimed(inner))


@pytest.mark.parametrize("parameter", sorted(STRICT_PARAMETERS | {"tag"}))
def test_no_parameter_that_the_policy_requires_may_be_left_out(parameter: str) -> None:
    inner = re.sub(rf';{parameter}=("[^"]*"|\d+)', "", INNER)

    assert inner != INNER
    assert refused(claimed(inner))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('alg="ecdsa-p256-sha256"', 'alg="ecdsa-p384-sha384"'),
        ('alg="ecdsa-p256-sha256"', 'alg="hmac-sha256"'),
        ('alg="ecdsa-p256-sha256"', "alg=ecdsa-p256-sha256"),
        ('alg="ecdsa-p256-sha256"', 'alg="ecdsa-p256-sha256";alg="ecdsa-p256-sha256"'),
        ('keyid="bank/v1"', 'keyid="bank/v2"'),
        ('keyid="bank/v1"', 'keyid=""'),
        ('keyid="bank/v1"', 'keyid="bank\\/v1"'),
        ('keyid="bank/v1"', "keyid=:YmFuay92MQ==:"),
        ('tag="pay-out"', 'tag="pay-in"'),
        ('tag="pay-out"', 'tag="pay-out";x=1'),
        ('tag="pay-out"', 'tag="pay-out";expires'),
        ('tag="pay-out"', 'tag="pay-out" '),
        (f"created={CREATED}", f"created=0{CREATED}"),
        (f"created={CREATED}", f"created={CREATED}.0"),
        (f"created={CREATED}", f'created="{CREATED}"'),
        (f"created={CREATED}", "created=-1"),
        (f"created={CREATED}", f"created={10**14}"),
        (f"expires={CREATED + 60}", f"expires={10**12 - 1}"),
        (f"created={CREATED}", f"created={CREATED};created={CREATED}"),
        (f"expires={CREATED + 60}", f"expires={CREATED}"),
        (f"expires={CREATED + 60}", f"expires={CREATED - 1}"),
        ('"x-request-id"', '"x-request-id" "x-request-id"'),
        ('"x-request-id"', '"X-Request-Id"'),
        ('"x-request-id"', '"x-request-id";bs'),
        ('"x-request-id"', '"x-request-id";sf'),
        ('"x-request-id"', "x-request-id"),
        ('"x-request-id")', '"x-request-id" )'),
        ('"x-request-id"', ' "x-request-id"'),
        ('"x-request-id"', '"x-request-id" "@signature-params"'),
        ('"x-request-id"', '"x-request-id" "@status"'),
        ('"x-request-id"', '"x-request-id" "@request-target"'),
        ('"x-request-id"', '"x-request-id" "date"'),
    ],
)
def test_terms_that_are_not_exactly_ours_are_refused(old: str, new: str) -> None:
    inner = INNER.replace(old, new)
    lines = {**LINES, "X-Request-Id": "req_7f", "@signature-params": "", "@status": "200", "date": ""}

    assert inner != INNER
    assert refused(claimed(inner, lines={**lines, "@request-target": "/v2/payments?mode=sct"}))


@pytest.mark.parametrize(
    "field",
    [
        f"sig={INNER}",
        f"pay={INNER}, pay={INNER}",
        f"pay={INNER}, proxy=()",
        f"proxy=(), pay={INNER}",
        f"pay= {INNER}",
        f"pay={INNER};",
        f"PAY={INNER}",
        INNER,
        "pay",
        "",
    ],
)
def test_there_is_exactly_one_signature_and_its_label_is_ours(field: str) -> None:
    assert refused(claimed(INNER, field=field or " "))


@pytest.mark.parametrize(
    "spelling", ["pay={0}", "pay=::", "pay=:{0}", "pay=:{0}:, b=:{0}:", "b=:{0}:", "pay=:{0}=:"]
)
def test_a_signature_in_another_spelling_is_refused(spelling: str) -> None:
    encoded = dict(SIGNED.fields)["signature"].removeprefix("pay=:").removesuffix(":")

    assert refused(changed(SIGNED, "signature", spelling.format(encoded)))
    assert refused(changed(SIGNED, "signature", f"pay=:{base64.b64encode(b'short').decode()}:"))


def test_a_signature_with_a_zero_between_its_halves_is_refused() -> None:
    encoded = dict(SIGNED.fields)["signature"].removeprefix("pay=:").removesuffix(":")
    raw = base64.b64decode(encoded)
    longer = base64.b64encode(raw[:32] + b"\x00" + raw[32:]).decode()

    assert refused(changed(SIGNED, "signature", f"pay=:{longer}:"))


def test_a_signature_in_der_is_refused() -> None:
    encoded = dict(SIGNED.fields)["signature"].removeprefix("pay=:").removesuffix(":")
    der = base64.b64encode(der_of(base64.b64decode(encoded))).decode()

    assert refused(changed(SIGNED, "signature", f"pay=:{der}:"))


def test_a_signature_is_old_after_its_age_and_over_at_its_end() -> None:
    long = signed(terms=replace(TERMS, expires=NOW + timedelta(days=1)))
    tick = timedelta(microseconds=1)

    assert verify(long, now=NOW + timedelta(seconds=300)).key_id == KEY_ID
    assert refused(long, now=NOW + timedelta(seconds=300) + tick)
    assert verify(SIGNED, now=TERMS.expires - tick).key_id == KEY_ID
    assert refused(SIGNED, now=TERMS.expires)


def test_a_signature_from_ahead_that_ends_before_it_begins_is_refused() -> None:
    ahead = INNER.replace(f"created={CREATED}", f"created={CREATED + 20}")

    assert verify(claimed(ahead)).key_id == KEY_ID
    assert refused(claimed(ahead.replace(f"expires={CREATED + 60}", f"expires={CREATED + 10}")))


def test_a_signer_may_be_ahead_by_the_clock_skew_and_no_more() -> None:
    assert verify(SIGNED, now=NOW - timedelta(seconds=30)).key_id == KEY_ID
    assert refused(SIGNED, now=NOW - timedelta(seconds=30, microseconds=1))


def test_a_policy_without_a_tag_refuses_a_signature_made_for_an_application() -> None:
    policy = replace(POLICY, tag=None)

    assert refused(SIGNED, policy)
    assert verify(signed(terms=replace(TERMS, tag=None)), policy).key_id == KEY_ID


@pytest.mark.parametrize(
    "digest",
    [
        content_digest(b"another body"),
        DIGEST.replace("sha-256", "sha-512"),
        DIGEST.replace("sha-256", "md5"),
        f"{DIGEST}, {content_digest(BODY)}",
        DIGEST.replace(":", ""),
        "sha-256=::",
        "sha-256",
    ],
)
def test_a_digest_that_is_not_the_bodys_is_refused_however_genuine_the_signature(digest: str) -> None:
    message = changed(claimed(INNER, lines={**LINES, "content-digest": digest}), "content-digest", digest)

    assert refused(message)
    with pytest.raises(HttpSignatureInvalid):
        signed(changed(REQUEST, "content-digest", digest))


@pytest.mark.parametrize("value", ["a\nb", "a\r\n b", "é", "a\x00", "x" * 8193])
def test_a_field_that_could_break_the_base_is_refused(value: str) -> None:
    with pytest.raises(HttpSignatureInvalid):
        signed(changed(REQUEST, "x-request-id", value))


@pytest.mark.parametrize(
    "components",
    [
        (),
        ("@method", "@target-uri"),
        ("@target-uri", "content-digest"),
        ("@method", "@authority", "@path", "content-digest"),
        ("@method", "@path", "@query", "content-digest"),
        ("content-digest", "content-type"),
    ],
)
def test_neither_policy_nor_signer_may_leave_target_or_body_open(components: tuple[str, ...]) -> None:
    with pytest.raises(HttpSignatureInvalid):
        Policy(label="pay", components=components)
    with pytest.raises(HttpSignatureInvalid):
        sign_message(REQUEST, TERMS, label="pay", components=components, sign=raw_signature)


@pytest.mark.parametrize("missing", ["created", "keyid"])
def test_no_policy_may_do_without_age_or_key(missing: str) -> None:
    with pytest.raises(HttpSignatureInvalid):
        Policy(label="pay", components=COMPONENTS, parameters=STRICT_PARAMETERS - {missing})


@pytest.mark.parametrize("label", ["", "Pay", "1", "a b", 'a"', "pay\n"])
def test_a_label_that_is_no_dictionary_key_is_refused(label: str) -> None:
    with pytest.raises(HttpSignatureInvalid):
        Policy(label=label, components=COMPONENTS)
    with pytest.raises(HttpSignatureInvalid):
        sign_message(REQUEST, TERMS, label=label, components=COMPONENTS, sign=raw_signature)


@pytest.mark.parametrize(
    "answer", [b"", b"x" * 63, der_of(raw_signature(b"")), b"x" * 65], ids=["empty", "short", "DER", "long"]
)
def test_an_answer_that_is_no_signature_is_not_sent(answer: bytes) -> None:
    with pytest.raises(HttpSignatureInvalid):
        sign_message(REQUEST, TERMS, label="pay", components=COMPONENTS, sign=lambda _: answer)


def test_a_signature_that_ends_before_it_begins_is_not_made() -> None:
    with pytest.raises(HttpSignatureInvalid):
        signed(terms=replace(TERMS, expires=NOW))


def test_a_key_of_another_kind_is_refused() -> None:
    other = pem_of(ec.generate_private_key(ec.SECP256R1()).public_key())
    longer = pem_of(ec.generate_private_key(ec.SECP384R1()).public_key())

    for keys in ({}, {KEY_ID: other}, {KEY_ID: longer}, {KEY_ID: "no key"}):
        with pytest.raises(HttpSignatureInvalid):
            verify_message(SIGNED, POLICY, keys=keys, now=NOW)


def test_a_genuine_signature_on_another_curve_of_the_same_size_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256K1())

    def by_other(message: bytes) -> bytes:
        first, second = decode_dss_signature(other.sign(message, ec.ECDSA(hashes.SHA256())))
        return first.to_bytes(32) + second.to_bytes(32)

    added = sign_message(REQUEST, TERMS, label="pay", components=COMPONENTS, sign=by_other)

    with pytest.raises(HttpSignatureInvalid):
        verify_message(
            with_fields(REQUEST, added), POLICY, keys={KEY_ID: pem_of(other.public_key())}, now=NOW
        )


@pytest.mark.parametrize("component", ["", "@", "a b", 'a"b', "a\nb", "Content-Type", "é", "a;bs"])
def test_a_component_that_is_no_name_cannot_be_written(component: str) -> None:
    with pytest.raises(HttpSignatureInvalid):
        SignatureInput(components=(component,), parameters=())


@pytest.mark.parametrize(
    "parameter",
    [("created", "1"), ("created", True), ("created", -1), ("keyid", 1), ("keyid", ""), ("x", 1), ("", "")],
)
def test_a_parameter_of_another_kind_cannot_be_written(parameter: tuple[str, int | str]) -> None:
    with pytest.raises(HttpSignatureInvalid):
        SignatureInput(components=(), parameters=(parameter,))


def test_there_is_a_limit_to_what_is_covered() -> None:
    names = tuple(f"x-{number}" for number in range(33))

    assert SignatureInput(components=names[:32], parameters=()).components == names[:32]
    with pytest.raises(HttpSignatureInvalid):
        SignatureInput(components=names, parameters=())


def test_an_error_never_quotes_the_message() -> None:
    with pytest.raises(HttpSignatureInvalid) as invalid:
        verify(changed(SIGNED, "signature", "pay=:AAA:"))

    assert invalid.value.__cause__ is None
    assert invalid.value.__suppress_context__ or invalid.value.__context__ is None
    assert "pay" not in str(invalid.value)
