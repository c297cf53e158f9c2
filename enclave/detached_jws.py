"""Detached JSON Web Signatures, as banks ask for them beside a body: `header..signature` in a field of its own.

Pure: the private key is wherever the caller's `sign` reaches, and verifying takes public keys only. A profile says
how one bank wants it done: the algorithm, whether the body is signed as it is or in base64url, and every member of
the header. A header with one member more or less, or another value, is refused, so that a header can choose
neither algorithm nor key (`jku`, `jwk` and `x5c` have no place in it). Knows no bank by name.
An ECDSA signature has a second valid form, so a signature may not serve as a unique key.
Follows: RFC 7515 (JWS) with appendix F (detached), RFC 7797 (`b64`), RFC 7518 3.3-3.5, RFC 8725 (best practice).
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias, assert_never

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue
from enclave.keys import P256_SIGNATURE_BYTES, RSA_BITS, der_signature

SIGNATURE_CHARS_MAX = 8192
SHA256_BYTES = 32
AGE_S_MAX = 300
CLOCK_SKEW_S_MAX = 30
UNIX_SECONDS_MAX = 2**37  # some four thousand years, and still a date

MessageSigner: TypeAlias = Callable[[bytes], bytes]
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = frozenset({"alg", "kid", "b64", "crit"})
# What RFC 7515 and RFC 7518 define is understood by everyone, so `crit` may not name it.
_REGISTERED = frozenset({"alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit"})


class JwsInvalid(ValueError):
    """The signature, or what was asked of it, is not what it must be; says no more than that."""

    def __init__(self) -> None:
        super().__init__("the detached signature is not what it must be")


class JwsAlgorithm(StrEnum):
    """How a detached signature is made. The value is the name that JWS gives it."""

    ES256 = "ES256"
    PS256 = "PS256"
    RS256 = "RS256"


@dataclass(frozen=True, slots=True)
class Profile:
    """How one bank wants a body signed, and signs its own.

    `encodes_body`: the body is signed in base64url (RFC 7515); otherwise as it is, and the header says `b64` false.
    `members`: what else stands in the header, with the values it must have.
    `issued_at`: the member that holds the time of signing in seconds, if the bank wants one.
    `critical`: those of `members` and `issued_at` that `crit` names too.

    Raises:
        JwsInvalid: a member named twice or reserved, or `crit` would name what it may not.
    """

    algorithm: JwsAlgorithm
    encodes_body: bool = False
    members: tuple[tuple[str, str], ...] = ()
    issued_at: str | None = None
    critical: tuple[str, ...] = ()
    age_s_max: int = AGE_S_MAX
    clock_skew_s_max: int = CLOCK_SKEW_S_MAX

    def __post_init__(self) -> None:
        names = [name for name, _ in self.members]
        if self.issued_at is not None:
            names.append(self.issued_at)
        if len({*names}) != len(names) or not _RESERVED.isdisjoint(names):
            raise JwsInvalid
        if len({*self.critical}) != len(self.critical) or not {*self.critical} <= {*names} - _REGISTERED:
            raise JwsInvalid


@dataclass(frozen=True, slots=True)
class SignedBody:
    """Who signed a body, and when if the profile says."""

    key_id: str
    issued_at: datetime | None


def sign_body(body: bytes, profile: Profile, *, key_id: str, issued_at: datetime, sign: MessageSigner) -> str:
    """The detached signature over the body. The time is written, in whole seconds, if the profile has a place for it.

    Raises:
        JwsInvalid: the key has no name, or `sign` did not answer with a signature of the profile's algorithm.
    """
    if not key_id:
        raise JwsInvalid
    header = canonical.encode(_header(profile, key_id=key_id, issued_at=int(issued_at.timestamp())))
    protected = _encoded(header)
    signature = sign(signing_input(protected, body, profile))
    if not _has_length_for(profile.algorithm, signature):
        raise JwsInvalid
    return f"{protected}..{_encoded(signature)}"


def signing_input(protected: str, body: bytes, profile: Profile) -> bytes:
    """The bytes that are signed, for a header already in base64url.

    Source: RFC 7515 5.1, RFC 7797 3.
    """
    payload = _encoded(body).encode() if profile.encodes_body else body
    return protected.encode("ascii") + b"." + payload


def verify_body(
    body: bytes, signature: str, profile: Profile, *, keys: Mapping[str, str], now: datetime
) -> SignedBody:
    """Who signed this body, once the signature has been found to be the profile's in every respect.

    `keys` maps key ids to public keys in PEM: our own list, never anything that came with a signature.

    Raises:
        JwsInvalid: anything else.
    """
    protected, signature_bytes = _segments(signature)
    signed = _read_header(_decoded(protected), profile)
    _check_age(signed, profile, now)
    if signed.key_id not in keys:
        raise JwsInvalid
    key = _public_key(keys[signed.key_id])
    _check_signature(profile.algorithm, key, signing_input(protected, body, profile), signature_bytes)
    return signed


def _header(profile: Profile, *, key_id: str, issued_at: int | None) -> dict[str, JsonValue]:
    members: dict[str, JsonValue] = {**dict(profile.members), "alg": str(profile.algorithm), "kid": key_id}
    if not profile.encodes_body:
        members["b64"] = False
    if profile.issued_at is not None:
        members[profile.issued_at] = issued_at
    # An empty `crit` is not allowed: RFC 7515 4.1.11.
    if critical := _critical(profile):
        members["crit"] = critical
    return members


def _critical(profile: Profile) -> list[str]:
    return [*profile.critical] if profile.encodes_body else ["b64", *profile.critical]


def _segments(signature: str) -> tuple[str, bytes]:
    if len(signature) > SIGNATURE_CHARS_MAX:
        raise JwsInvalid
    parts = signature.split(".")
    if len(parts) != 3 or parts[1]:
        raise JwsInvalid
    return parts[0], _decoded(parts[2])


def _read_header(header: bytes, profile: Profile) -> SignedBody:
    try:
        members = dict(canonical.parse_object(header))
    except JsonUnreadable:
        raise JwsInvalid from None
    key_id, issued_at = members.get("kid"), _issued_at(members, profile)
    if not isinstance(key_id, str) or not key_id:
        raise JwsInvalid
    expected = _header(profile, key_id=key_id, issued_at=issued_at)
    if not _same_set(members.pop("crit", []), expected.pop("crit", [])) or not _same(members, expected):
        raise JwsInvalid
    return SignedBody(
        key_id=key_id,
        issued_at=None if issued_at is None else datetime.fromtimestamp(issued_at, tz=UTC),
    )


def _issued_at(members: Mapping[str, JsonValue], profile: Profile) -> int | None:
    if profile.issued_at is None:
        return None
    value = members.get(profile.issued_at)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= UNIX_SECONDS_MAX:
        raise JwsInvalid
    return value


def _same_set(left: JsonValue, right: JsonValue) -> bool:
    """Whether two lists of texts name the same, each once: `crit` has no order."""
    if not isinstance(left, list) or not isinstance(right, list):
        return False
    return all(isinstance(name, str) for name in left) and sorted(left) == sorted(right)


def _same(left: Mapping[str, JsonValue], right: Mapping[str, JsonValue]) -> bool:
    """Equal in kind as well as in value: to Python, 0 and False are one."""
    return left.keys() == right.keys() and all(
        type(left[name]) is type(value) and left[name] == value for name, value in right.items()
    )


def _check_age(signed: SignedBody, profile: Profile, now: datetime) -> None:
    if signed.issued_at is None:
        return
    age_s = (now - signed.issued_at).total_seconds()
    if not -profile.clock_skew_s_max <= age_s <= profile.age_s_max:
        raise JwsInvalid


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(segment: str) -> bytes:
    if not _SEGMENT.fullmatch(segment):
        raise JwsInvalid
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise JwsInvalid from None
    if _encoded(data) != segment:
        raise JwsInvalid
    return data


def _has_length_for(algorithm: JwsAlgorithm, signature: bytes) -> bool:
    match algorithm:
        case JwsAlgorithm.ES256:
            return len(signature) == P256_SIGNATURE_BYTES
        case JwsAlgorithm.PS256 | JwsAlgorithm.RS256:
            return len(signature) * 8 >= RSA_BITS
        case _:
            assert_never(algorithm)


def _check_signature(algorithm: JwsAlgorithm, key: PublicKey, message: bytes, signature: bytes) -> None:
    if not _has_length_for(algorithm, signature):
        raise JwsInvalid
    try:
        match key:
            case ec.EllipticCurvePublicKey() if algorithm is JwsAlgorithm.ES256:
                key.verify(der_signature(signature), message, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey() if algorithm is JwsAlgorithm.PS256:
                pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=SHA256_BYTES)
                key.verify(signature, message, pss, hashes.SHA256())
            case rsa.RSAPublicKey() if algorithm is JwsAlgorithm.RS256:
                key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            case _:
                raise JwsInvalid
    except InvalidSignature:
        raise JwsInvalid from None


@lru_cache(maxsize=64)
def _public_key(pem: str) -> PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise JwsInvalid from None
    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return key
        case rsa.RSAPublicKey() if key.key_size >= RSA_BITS:
            return key
        case _:
            raise JwsInvalid
