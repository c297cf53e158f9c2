"""The one way to read an access token, against the ways in which tokens are forged."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st
from jose import jwt

from enclave.keys import Purpose
from enclave.tokens import (
    AccessClaims,
    TokenExpired,
    TokenInvalid,
    issue_access_token,
    verify_access_token,
)
from tests.enclave.rings import first, public_pem, software_keyring

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ISSUER, AUDIENCE, KEY_ID = "https://pay.example", "https://api.pay.example", "access_token/v1"
KEYRING = software_keyring()
PEM = public_pem(KEYRING, Purpose.ACCESS_TOKEN)
CLAIMS = AccessClaims(
    client_id="checkout",
    programme_id="prg_universal",
    scopes=("checkouts:write", "payouts:read"),
    audience=AUDIENCE,
    issuer=ISSUER,
    issued_at=NOW - timedelta(minutes=1),
    expires_at=NOW + timedelta(minutes=9),
    token_id="tok_1",
)


def sign(message: bytes) -> bytes:
    return KEYRING.backend.sign(first(Purpose.ACCESS_TOKEN), message)


def issue(claims: AccessClaims = CLAIMS) -> str:
    return issue_access_token(claims, key_id=KEY_ID, sign=sign)


def read(token: str, *, now: datetime = NOW) -> AccessClaims:
    return verify_access_token(token, {KEY_ID: PEM}, issuer=ISSUER, audience=AUDIENCE, now=now)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def payload() -> dict[str, object]:
    members: dict[str, object] = json.loads(base64.urlsafe_b64decode(issue().split(".")[1] + "=="))
    return members


def signed(header: str, body: str) -> str:
    """A token with a genuine signature of ours over whatever it says."""
    message = f"{b64(header.encode())}.{b64(body.encode())}"
    return f"{message}.{b64(sign(message.encode()))}"


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HEADER = json.dumps({"alg": "ES256", "kid": KEY_ID, "typ": "at+jwt"})


def test_a_genuine_token_says_what_was_issued() -> None:
    assert read(issue()) == CLAIMS


def test_a_token_without_programme_or_scopes_reads_back() -> None:
    claims = replace(CLAIMS, programme_id=None, scopes=())

    assert read(issue(claims)) == claims


def test_plain_python_jose_reads_our_tokens() -> None:
    claims = jwt.decode(
        issue(replace(CLAIMS, expires_at=datetime.now(UTC) + timedelta(minutes=5))),
        PEM,
        algorithms=["ES256"],
        audience=AUDIENCE,
        issuer=ISSUER,
    )

    assert claims["sub"] == "checkout"
    assert claims["scope"] == "checkouts:write payouts:read"


def test_the_header_names_algorithm_key_and_type() -> None:
    header = json.loads(base64.urlsafe_b64decode(issue().split(".")[0] + "=="))

    assert header == {"alg": "ES256", "kid": "access_token/v1", "typ": "at+jwt"}


def test_a_token_is_expired_at_the_very_second() -> None:
    token = issue()

    assert read(token, now=CLAIMS.expires_at - timedelta(microseconds=1)) == CLAIMS
    with pytest.raises(TokenExpired):
        read(token, now=CLAIMS.expires_at)


@pytest.mark.parametrize(("issuer", "audience"), [("https://other", AUDIENCE), (ISSUER, "https://other")])
def test_a_token_for_others_is_invalid(issuer: str, audience: str) -> None:
    with pytest.raises(TokenInvalid):
        verify_access_token(issue(), {KEY_ID: PEM}, issuer=issuer, audience=audience, now=NOW)


def test_an_expired_token_for_others_is_invalid_rather_than_expired() -> None:
    token = issue(replace(CLAIMS, audience="https://other"))

    with pytest.raises(TokenInvalid):
        read(token, now=CLAIMS.expires_at + timedelta(days=1))


@pytest.mark.parametrize("secret", ["pem", "der", "point", "body"])
def test_a_token_signed_with_the_public_key_as_secret_is_invalid(secret: str) -> None:
    key = load_pem_public_key(PEM.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    secrets = {
        "pem": PEM.encode(),
        "der": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "body": "".join(PEM.splitlines()[1:-1]).encode(),
    }
    header = b64(json.dumps({"alg": "HS256", "kid": KEY_ID, "typ": "at+jwt"}).encode())
    message = f"{header}.{b64(json.dumps(payload()).encode())}"
    forged = f"{message}.{b64(hmac.new(secrets[secret], message.encode(), hashlib.sha256).digest())}"

    with pytest.raises(TokenInvalid):
        read(forged)


@pytest.mark.parametrize("alg", ["none", "None", "", "ES512", "es256"])
def test_a_token_of_another_algorithm_is_invalid(alg: str) -> None:
    header = json.dumps({"alg": alg, "kid": KEY_ID, "typ": "at+jwt"})
    genuine = signed(header, json.dumps(payload()))

    for token in (genuine, genuine.rpartition(".")[0] + ".", genuine.rpartition(".")[0] + ".AA"):
        with pytest.raises(TokenInvalid):
            read(token)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256", "kid": "access_token/v2", "typ": "at+jwt"},
        {"alg": "ES256", "kid": 1, "typ": "at+jwt"},
        {"alg": "ES256", "typ": "at+jwt"},
        {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"},
        {"alg": "ES256", "kid": KEY_ID},
        {"alg": "ES256", "kid": KEY_ID, "typ": "at+jwt", "crit": ["exp"]},
        {"alg": "ES256", "kid": KEY_ID, "typ": "at+jwt", "jwk": {"kty": "EC"}},
        {"alg": "ES256", "kid": KEY_ID, "typ": "at+jwt", "b64": False},
        [],
    ],
)
def test_a_header_that_is_not_ours_is_invalid(header: object) -> None:
    with pytest.raises(TokenInvalid):
        read(signed(json.dumps(header), json.dumps(payload())))


@pytest.mark.parametrize(
    "name", ["iss", "aud", "sub", "client_id", "scope", "programme", "iat", "exp", "jti"]
)
def test_no_claim_may_be_missing(name: str) -> None:
    members = payload()
    del members[name]

    with pytest.raises(TokenInvalid):
        read(signed(HEADER, json.dumps(members)))


@pytest.mark.parametrize(
    "change",
    [
        {"exp": True},
        {"exp": "1795339800"},
        {"exp": 1795339800.5},
        {"exp": 10**400},
        {"exp": None},
        {"iat": -1},
        {"aud": [AUDIENCE]},
        {"sub": "somebody-else"},
        {"client_id": ""},
        {"programme": ""},
        {"scope": None},
        {"nbf": 0},
        {"jti": 7},
    ],
)
def test_a_claim_of_another_kind_is_invalid(change: dict[str, object]) -> None:
    with pytest.raises(TokenInvalid):
        read(signed(HEADER, json.dumps({**payload(), **change})))


def test_a_token_with_a_longer_life_than_ours_is_invalid() -> None:
    with pytest.raises(TokenInvalid):
        read(issue(replace(CLAIMS, expires_at=CLAIMS.issued_at + timedelta(seconds=3601))))


def test_a_token_from_the_future_is_invalid() -> None:
    later = NOW + timedelta(seconds=121)

    with pytest.raises(TokenInvalid):
        read(issue(replace(CLAIMS, issued_at=later, expires_at=later + timedelta(minutes=5))))


def test_a_member_named_twice_is_invalid() -> None:
    header = HEADER.replace("{", '{"alg": "none", ', 1)
    body = json.dumps(payload())
    twice = body.replace("{", '{"exp": 1, ', 1)

    for token in (signed(header, body), signed(HEADER, twice)):
        with pytest.raises(TokenInvalid):
            read(token)


def test_base64_in_another_spelling_is_invalid() -> None:
    token = issue()
    head, body, signature = token.split(".")
    last = signature[-1]
    sibling = next(character for character in ALPHABET if character != last)
    respelt = [
        f"{head}.{body}.{signature}==",
        f"{head}.{body}.{signature}\n",
        f" {token}",
        f"{head}.{body}.{signature[:-1]}{_same_bits(last)}",
        f"{head}.{body}.{signature.replace('-', '+').replace('_', '/')}+",
        f"{head}.{body}.{signature[:-1]}{sibling}",
        f"{token}.{signature}",
        f"{head}.{body}",
        "",
        "a.b.c",
        "." * 8000,
        "é.é.é",
    ]

    for text in respelt:
        with pytest.raises(TokenInvalid):
            read(text)


def _same_bits(last: str) -> str:
    """Another last character that a lenient decoder reads as the same bytes: four of its bits are spare."""
    return ALPHABET[ALPHABET.index(last) ^ 1]


def test_an_error_never_quotes_the_token() -> None:
    token = issue()

    with pytest.raises(TokenInvalid) as invalid:
        read(token[:-4] + "AAAA")
    assert invalid.value.__cause__ is None
    assert not any(part in str(invalid.value) for part in token.split("."))


def test_a_key_on_another_curve_is_invalid() -> None:
    pem = ec.generate_private_key(ec.SECP384R1()).public_key()
    text = pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(TokenInvalid):
        verify_access_token(issue(), {KEY_ID: text}, issuer=ISSUER, audience=AUDIENCE, now=NOW)


TOKEN = issue()


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(TOKEN) - 1), character=st.characters(codec="ascii"))
def test_no_character_of_a_token_can_change(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]

    if changed == TOKEN:
        assert read(changed) == CLAIMS
    else:
        with pytest.raises(TokenInvalid):
            read(changed)
