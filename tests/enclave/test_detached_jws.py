"""Detached JWS: the published examples, OpenSSL's opinion, and the ways in which such signatures are forged."""

import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jose import jws

from enclave.detached_jws import (
    JwsAlgorithm,
    JwsInvalid,
    Profile,
    SignedBody,
    sign_body,
    signing_input,
    verify_body,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ISSUED = int(NOW.timestamp())
KEY_ID = "bank/v1"
BODY = '{"Data":{"Initiation":{"Amount":"165.88"}},"Name":"Müller. & Söhne"}'.encode()
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)

ES256 = Profile(algorithm=JwsAlgorithm.ES256)
PLAIN = Profile(algorithm=JwsAlgorithm.ES256, encodes_body=True)
OPEN_BANKING = Profile(
    algorithm=JwsAlgorithm.PS256,
    members=(
        ("http://openbanking.org.uk/iss", "0015800001HQQrZAAX/pay"),
        ("http://openbanking.org.uk/tan", "openbanking.org.uk"),
        ("typ", "JOSE"),
        ("cty", "application/json"),
    ),
    issued_at="http://openbanking.org.uk/iat",
    critical=(
        "http://openbanking.org.uk/iat",
        "http://openbanking.org.uk/iss",
        "http://openbanking.org.uk/tan",
    ),
)
RS256 = Profile(algorithm=JwsAlgorithm.RS256, members=(("typ", "JOSE"),))
PROFILES = [ES256, PLAIN, OPEN_BANKING, RS256, replace(RS256, encodes_body=True)]


def pem_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


EC_PEM, RSA_PEM = pem_of(EC_KEY.public_key()), pem_of(RSA_KEY.public_key())


def es256(message: bytes) -> bytes:
    first, second = decode_dss_signature(EC_KEY.sign(message, ec.ECDSA(hashes.SHA256())))
    return first.to_bytes(32) + second.to_bytes(32)


def ps256(message: bytes) -> bytes:
    return RSA_KEY.sign(message, PSS, hashes.SHA256())


def rs256(message: bytes) -> bytes:
    return RSA_KEY.sign(message, padding.PKCS1v15(), hashes.SHA256())


SIGNERS: dict[JwsAlgorithm, Callable[[bytes], bytes]] = {
    JwsAlgorithm.ES256: es256,
    JwsAlgorithm.PS256: ps256,
    JwsAlgorithm.RS256: rs256,
}


def pem_for(profile: Profile) -> str:
    return EC_PEM if profile.algorithm is JwsAlgorithm.ES256 else RSA_PEM


def signed(profile: Profile, *, body: bytes = BODY, key_id: str = KEY_ID) -> str:
    return sign_body(body, profile, key_id=key_id, issued_at=NOW, sign=SIGNERS[profile.algorithm])


def verify(signature: str, profile: Profile, *, body: bytes = BODY, now: datetime = NOW) -> SignedBody:
    return verify_body(body, signature, profile, keys={KEY_ID: pem_for(profile)}, now=now)


def refused(signature: str, profile: Profile, *, body: bytes = BODY, now: datetime = NOW) -> bool:
    with pytest.raises(JwsInvalid) as invalid:
        verify(signature, profile, body=body, now=now)
    return str(invalid.value) == "the detached signature is not what it must be"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claimed(header: str | bytes, *, sign: Callable[[bytes], bytes] = es256, body: bytes = BODY) -> str:
    """A genuine signature of ours under whatever header, over the body as it is."""
    protected = b64(header if isinstance(header, bytes) else header.encode())
    return f"{protected}..{b64(sign(protected.encode() + b'.' + body))}"


HEADER = {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": KEY_ID}


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_a_signature_of_ours_says_who_signed_and_when(profile: Profile) -> None:
    issued_at = NOW if profile.issued_at else None

    assert verify(signed(profile), profile) == SignedBody(key_id=KEY_ID, issued_at=issued_at)


def test_the_header_has_what_the_profile_says_and_no_more() -> None:
    protected, payload, _ = signed(OPEN_BANKING).split(".")

    assert payload == ""
    assert json.loads(unb64(protected)) == {
        "alg": "PS256",
        "b64": False,
        "crit": [
            "b64",
            "http://openbanking.org.uk/iat",
            "http://openbanking.org.uk/iss",
            "http://openbanking.org.uk/tan",
        ],
        "cty": "application/json",
        "http://openbanking.org.uk/iat": ISSUED,
        "http://openbanking.org.uk/iss": "0015800001HQQrZAAX/pay",
        "http://openbanking.org.uk/tan": "openbanking.org.uk",
        "kid": KEY_ID,
        "typ": "JOSE",
    }
    assert json.loads(unb64(signed(PLAIN).split(".", maxsplit=1)[0])) == {"alg": "ES256", "kid": KEY_ID}


def test_the_signed_bytes_of_an_unencoded_body_are_those_of_the_rfc() -> None:
    # RFC 7797 4.2, made with the secret of RFC 7515 A.1: the example there is an HMAC.
    secret = unb64("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    protected = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19"

    made = hmac.digest(secret, signing_input(protected, b"$.02", ES256), "sha256")

    assert b64(made) == "A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"


def test_an_example_of_the_jose_cookbook_verifies_with_its_payload_detached() -> None:
    # RFC 7520 4.1: RSASSA-PKCS1-v1_5 with SHA-256.
    modulus = (
        "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRB"
        "SFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD"
        "1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_"
        "qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
    )
    pem = pem_of(rsa.RSAPublicNumbers(e=65537, n=int.from_bytes(unb64(modulus))).public_key())
    body = (
        "It’s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't keep "
        "your feet, there’s no knowing where you might be swept off to."
    ).encode()
    signature = (
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.."
        "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi8"
        "4wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocS"
        "adnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJu"
        "shZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
    )
    profile = Profile(algorithm=JwsAlgorithm.RS256, encodes_body=True)
    keys = {"bilbo.baggins@hobbiton.example": pem}

    assert verify_body(body, signature, profile, keys=keys, now=NOW).key_id in keys
    with pytest.raises(JwsInvalid):
        verify_body(body + b" ", signature, profile, keys=keys, now=NOW)


@pytest.mark.parametrize("profile", [PLAIN, replace(RS256, encodes_body=True)], ids=str)
def test_python_jose_reads_our_signature_once_the_body_is_put_back(profile: Profile) -> None:
    protected, _, tail = signed(profile).split(".")

    token = f"{protected}.{b64(BODY)}.{tail}"

    assert jws.verify(token, pem_for(profile), algorithms=[str(profile.algorithm)]) == BODY


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_openssl_and_cryptography_verify_our_signature(profile: Profile, tmp_path: Path) -> None:
    protected, _, tail = signed(profile).split(".")
    message = protected.encode() + b"." + (b64(BODY).encode() if profile.encodes_body else BODY)
    signature = unb64(tail)

    match profile.algorithm:
        case JwsAlgorithm.ES256:
            signature = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
            EC_KEY.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))
        case JwsAlgorithm.PS256:
            RSA_KEY.public_key().verify(signature, message, PSS, hashes.SHA256())
        case JwsAlgorithm.RS256:
            RSA_KEY.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())

    assert openssl_verifies(tmp_path, profile, message, signature) == "Verified OK\n"
    assert openssl_verifies(tmp_path, profile, message + b" ", signature) == "Verification failure\n"


def openssl_verifies(directory: Path, profile: Profile, message: bytes, signature: bytes) -> str:
    (directory / "key.pem").write_text(pem_for(profile))
    (directory / "message").write_bytes(message)
    (directory / "signature").write_bytes(signature)
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    options = pss if profile.algorithm is JwsAlgorithm.PS256 else []
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", *options]
    done = subprocess.run([*command, "message"], cwd=directory, capture_output=True, text=True, check=False)
    return done.stdout


SIGNATURES = [(profile, signed(profile)) for profile in PROFILES]


@settings(max_examples=500, deadline=None)
@given(case=st.sampled_from(SIGNATURES), place=st.integers(0, 10_000), character=st.characters(codec="utf-8"))
def test_no_character_of_a_signature_can_change(
    case: tuple[Profile, str], place: int, character: str
) -> None:
    profile, signature = case
    place %= len(signature)
    spoilt = signature[:place] + character + signature[place + 1 :]

    if spoilt == signature:
        assert verify(spoilt, profile).key_id == KEY_ID
    else:
        assert refused(spoilt, profile)


@settings(max_examples=300, deadline=None)
@given(case=st.sampled_from(SIGNATURES), place=st.integers(0, len(BODY) - 1), byte=st.integers(0, 255))
def test_no_byte_of_the_body_can_change(case: tuple[Profile, str], place: int, byte: int) -> None:
    profile, signature = case
    body = BODY[:place] + bytes([byte]) + BODY[place + 1 :]

    if body == BODY:
        assert verify(signature, profile, body=body).key_id == KEY_ID
    else:
        assert refused(signature, profile, body=body)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300), key_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_every_body_and_key_id_reads_back(body: bytes, key_id: str) -> None:
    for profile in (ES256, PLAIN):
        signature = signed(profile, body=body, key_id=key_id)

        found = verify_body(body, signature, profile, keys={key_id: EC_PEM}, now=NOW)

        assert found.key_id == key_id


def test_a_header_written_by_hand_verifies_in_any_order_and_spacing() -> None:
    assert verify(claimed(json.dumps(HEADER, indent=1)), ES256).key_id == KEY_ID
    assert verify(claimed(json.dumps(dict(reversed(HEADER.items())))), ES256).key_id == KEY_ID


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "PS256"},
        {"alg": "es256"},
        {"alg": None},
        {"kid": "bank/v2"},
        {"kid": ""},
        {"kid": 1},
        {"kid": [KEY_ID]},
        {"b64": True},
        {"b64": 0},
        {"b64": "false"},
        {"b64": None},
        {"crit": []},
        {"crit": "b64"},
        {"crit": ["b64", "b64"]},
        {"crit": ["b64", "exp"]},
        {"crit": ["exp"]},
        {"crit": [["b64"]]},
        {"crit": {"b64": True}},
        {"crit": ["b64", 1]},
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "EC"}},
        {"x5c": ["MII"]},
        {"x5u": "https://evil.example/cert"},
        {"typ": "JOSE"},
        {"exp": 1.5},
        {"zip": "DEF"},
    ],
    ids=str,
)
def test_a_header_that_is_not_the_profiles_is_refused(change: dict[str, object]) -> None:
    assert refused(claimed(json.dumps({**HEADER, **change})), ES256)


@pytest.mark.parametrize("name", sorted(HEADER))
def test_no_member_of_the_header_may_be_left_out(name: str) -> None:
    header = {member: value for member, value in HEADER.items() if member != name}

    assert refused(claimed(json.dumps(header)), ES256)


@pytest.mark.parametrize("name", [name for name, _ in OPEN_BANKING.members])
def test_a_fixed_member_has_the_value_that_the_profile_says(name: str) -> None:
    header = json.loads(unb64(signed(OPEN_BANKING).split(".", maxsplit=1)[0]))
    without = {member: value for member, value in header.items() if member != name}

    assert verify(claimed(json.dumps(header), sign=ps256), OPEN_BANKING).key_id == KEY_ID
    assert refused(claimed(json.dumps({**header, name: "another"}), sign=ps256), OPEN_BANKING)
    assert refused(claimed(json.dumps(without), sign=ps256), OPEN_BANKING)


@pytest.mark.parametrize("issued_at", [True, "1795339800", ISSUED + 0.5, -1, 10**400, None, [ISSUED]])
def test_a_time_of_another_kind_is_refused(issued_at: object) -> None:
    header = json.loads(unb64(signed(OPEN_BANKING).split(".", maxsplit=1)[0]))

    changed = {**header, "http://openbanking.org.uk/iat": issued_at}

    assert refused(claimed(json.dumps(changed), sign=ps256), OPEN_BANKING)


def test_a_time_is_a_count_of_seconds_even_when_time_began() -> None:
    header = json.loads(unb64(signed(OPEN_BANKING).split(".", maxsplit=1)[0]))
    begin = datetime.fromtimestamp(0, tz=UTC)

    def at(issued_at: object) -> str:
        return claimed(json.dumps({**header, "http://openbanking.org.uk/iat": issued_at}), sign=ps256)

    assert verify(at(0), OPEN_BANKING, now=begin).issued_at == begin
    for other in (True, False, -1, 0.0):
        assert refused(at(other), OPEN_BANKING, now=begin)


def test_a_signature_is_refused_after_its_age_and_before_the_clock_skew() -> None:
    signature, tick = signed(OPEN_BANKING), timedelta(microseconds=1)

    for moment in (NOW + timedelta(seconds=300), NOW - timedelta(seconds=30)):
        assert verify(signature, OPEN_BANKING, now=moment).issued_at == NOW
    assert refused(signature, OPEN_BANKING, now=NOW + timedelta(seconds=300) + tick)
    assert refused(signature, OPEN_BANKING, now=NOW - timedelta(seconds=30) - tick)


@pytest.mark.parametrize(
    "header",
    [
        json.dumps(HEADER).replace("{", '{"alg": "none", ', 1),
        json.dumps(HEADER).replace("{", '{"kid": "other", ', 1),
        json.dumps(HEADER).replace("{", '{"\\u0062\\u00364": true, ', 1),
        json.dumps([HEADER]),
        json.dumps(json.dumps(HEADER)),
        json.dumps(HEADER) + "x",
        b"\xff" + json.dumps(HEADER).encode(),
        "\ufeff" + json.dumps(HEADER),
        json.dumps(HEADER) + " " * 9000,
        "[" * 3000,
        '{"a":' * 900 + "1" + "}" * 900,
        "null",
        "NaN",
    ],
    ids=range(13),
)
def test_a_header_that_two_readers_could_read_differently_is_refused(header: str | bytes) -> None:
    assert refused(claimed(header), ES256)


def test_base64_in_another_spelling_is_refused() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, _, tail = signed(ES256).split(".")
    # Four bits of the last character are spare: a lenient decoder reads this one as the same bytes.
    sibling = alphabet[alphabet.index(tail[-1]) ^ 1]

    for respelt in (
        f"{head}..{tail}==",
        f"{head}=..{tail}",
        f"{head}..{tail[:-1]}{sibling}",
        f"{head}..{tail}\n",
        f" {head}..{tail}",
        f"{head}.{b64(BODY)}.{tail}",
        f"{head}.{tail}",
        f"{head}...{tail}",
        f"{head}..",
        f"..{tail}",
        "..",
        "",
        "." * 9000,
        f"{head}..{'A' * 9000}",
    ):
        assert refused(respelt, ES256)


def test_a_signature_with_a_zero_between_its_halves_is_refused() -> None:
    head, _, tail = signed(ES256).split(".")
    raw = unb64(tail)

    assert refused(f"{head}..{b64(raw[:32] + bytes(1) + raw[32:])}", ES256)


def test_a_genuine_signature_on_another_curve_of_the_same_size_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256K1())

    def by_other(message: bytes) -> bytes:
        first, second = decode_dss_signature(other.sign(message, ec.ECDSA(hashes.SHA256())))
        return first.to_bytes(32) + second.to_bytes(32)

    signature = claimed(json.dumps(HEADER), sign=by_other)

    with pytest.raises(JwsInvalid):
        verify_body(BODY, signature, ES256, keys={KEY_ID: pem_of(other.public_key())}, now=NOW)


def test_a_key_without_a_name_neither_signs_nor_verifies() -> None:
    nameless = claimed(json.dumps({**HEADER, "kid": ""}))

    with pytest.raises(JwsInvalid):
        verify_body(BODY, nameless, ES256, keys={"": EC_PEM}, now=NOW)
    with pytest.raises(JwsInvalid):
        signed(ES256, key_id="")


def test_a_signature_of_one_kind_does_not_pass_for_another() -> None:
    for claim, signer in (("PS256", rs256), ("RS256", ps256)):
        profile = Profile(algorithm=JwsAlgorithm(claim))
        header = json.dumps({**HEADER, "alg": claim})

        assert refused(claimed(header, sign=signer), profile)


@pytest.mark.parametrize("salt", [0, 20, 64])
def test_a_pss_signature_with_another_salt_is_refused(salt: int) -> None:
    header = json.dumps({**HEADER, "alg": "PS256"})
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt)

    signature = claimed(header, sign=lambda message: RSA_KEY.sign(message, pss, hashes.SHA256()))

    assert verify(claimed(header, sign=ps256), Profile(algorithm=JwsAlgorithm.PS256)).key_id == KEY_ID
    assert refused(signature, Profile(algorithm=JwsAlgorithm.PS256))


def test_a_signature_made_with_the_public_key_as_secret_is_refused() -> None:
    header = json.dumps({**HEADER, "alg": "HS256"})

    forged = claimed(header, sign=lambda message: hmac.digest(EC_PEM.encode(), message, hashlib.sha256))

    assert refused(forged, ES256)


def test_an_encoded_body_does_not_pass_for_an_unencoded_one() -> None:
    assert refused(signed(ES256), PLAIN)
    assert refused(signed(PLAIN), ES256)
    assert refused(claimed(json.dumps(HEADER), body=b64(BODY).encode()), ES256)


def test_a_key_of_another_kind_or_size_is_refused() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=2047)  # noqa: S505  # the key that must be refused
    longer = ec.generate_private_key(ec.SECP384R1())
    small_signature = claimed(
        json.dumps({**HEADER, "alg": "RS256"}),
        sign=lambda message: small.sign(message, padding.PKCS1v15(), hashes.SHA256()),
    )

    for pem in (RSA_PEM, pem_of(longer.public_key()), "no key"):
        with pytest.raises(JwsInvalid):
            verify_body(BODY, signed(ES256), ES256, keys={KEY_ID: pem}, now=NOW)
    with pytest.raises(JwsInvalid):
        verify_body(BODY, signed(RS256), RS256, keys={KEY_ID: EC_PEM}, now=NOW)
    with pytest.raises(JwsInvalid):
        verify_body(
            BODY,
            small_signature,
            Profile(algorithm=JwsAlgorithm.RS256),
            keys={KEY_ID: pem_of(small.public_key())},
            now=NOW,
        )


@pytest.mark.parametrize("answer", [b"", b"x" * 63, b"x" * 72])
@pytest.mark.parametrize("profile", [ES256, OPEN_BANKING, RS256], ids=str)
def test_an_answer_that_is_no_signature_is_not_sent(profile: Profile, answer: bytes) -> None:
    with pytest.raises(JwsInvalid):
        sign_body(BODY, profile, key_id=KEY_ID, issued_at=NOW, sign=lambda _: answer)


@pytest.mark.parametrize("name", ["alg", "kid", "b64", "crit", "typ"])
def test_a_profile_names_each_member_once_and_none_of_the_reserved(name: str) -> None:
    with pytest.raises(JwsInvalid):
        Profile(algorithm=JwsAlgorithm.ES256, members=(("typ", "JOSE"), (name, "x")))
    with pytest.raises(JwsInvalid):
        Profile(algorithm=JwsAlgorithm.ES256, members=(("typ", "JOSE"),), issued_at=name)


@pytest.mark.parametrize("critical", [("iat",), ("typ",), ("iss", "iss"), ("b64",)])
def test_a_profile_names_as_critical_only_what_it_may(critical: tuple[str, ...]) -> None:
    with pytest.raises(JwsInvalid):
        Profile(algorithm=JwsAlgorithm.ES256, members=(("typ", "JOSE"), ("iss", "pay")), critical=critical)


def test_an_error_never_quotes_the_signature() -> None:
    with pytest.raises(JwsInvalid) as invalid:
        verify(claimed("{not json"), ES256)

    assert invalid.value.__cause__ is None
    assert invalid.value.__suppress_context__
