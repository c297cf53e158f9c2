"""Access tokens: how one is issued with a key that never leaves the enclave, and the only way to read one.

python-jose writes and checks the JWS; everything that it leaves open is closed here before it sees a token:
the header has exactly three members, base64url has one spelling, no JSON member comes twice, the algorithm is
ES256 and the key is found by `kid` among our own. Claims are checked here too, each of them required.
An ECDSA signature has a second valid form, so neither a token nor its signature may serve as a unique key:
use `token_id`. May not import a key back end.
Follows: RFC 9068 (JWT access tokens), RFC 7515, RFC 7518 3.4, RFC 8725 (JWT best practice).
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jose import jws, jwt
from jose.backends.base import Key
from jose.backends.cryptography_backend import CryptographyECKey
from jose.exceptions import JOSEError
from jose.utils import ensure_binary

from enclave.canonical import JsonValue, parse_object
from enclave.keys import P256_SIGNATURE_BYTES

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105  # the media type of RFC 9068, not a token
LIFETIME_S_MAX = 3600
CLOCK_SKEW_S_MAX = 120
TOKEN_CHARS_MAX = 8192
UNIX_SECONDS_MAX = 2**37  # some four thousand years, and still a date

_SEGMENT = re.compile(r"\A[A-Za-z0-9_-]+\Z")
_CLAIM_NAMES = frozenset({"iss", "aud", "sub", "client_id", "scope", "programme", "iat", "exp", "jti"})

MessageSigner = Callable[[bytes], bytes]


class TokenRefused(Exception):
    """The token does not open anything.

    TokenRefused
    ├── TokenInvalid   never was a token of ours, for us
    └── TokenExpired   was one, and its time is over
    """


class TokenInvalid(TokenRefused):
    """Forged, malformed, signed by an unknown key, or meant for another issuer or audience."""


class TokenExpired(TokenRefused):
    """Genuine, but its time is over."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """Who may do what, until when.

    `programme_id` is None for clients that belong to no one programme.
    """

    client_id: str
    programme_id: str | None
    scopes: tuple[str, ...]
    audience: str
    issuer: str
    issued_at: datetime
    expires_at: datetime
    token_id: str


class EnclaveKey(Key):  # type: ignore[misc]  # python-jose has no types
    """An ES256 key for python-jose whose private half is wherever `sign` reaches."""

    def __init__(self, sign: MessageSigner) -> None:
        super().__init__(None, ALGORITHM)
        self._sign = sign

    def sign(self, msg: str | bytes) -> bytes:
        """The signature as r||s, which is the form that JWS wants."""
        signature = self._sign(ensure_binary(msg))
        if len(signature) != P256_SIGNATURE_BYTES:
            raise ValueError("the back end did not answer with an ES256 signature")
        return signature


def issue_access_token(claims: AccessClaims, *, key_id: str, sign: MessageSigner) -> str:
    """The compact JWT that says these claims, signed through `sign`."""
    payload = {
        "iss": claims.issuer,
        "aud": claims.audience,
        "sub": claims.client_id,
        "client_id": claims.client_id,
        "scope": " ".join(claims.scopes),
        "programme": claims.programme_id,
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.expires_at.timestamp()),
        "jti": claims.token_id,
    }
    header = {"kid": key_id, "typ": TOKEN_TYPE}
    return str(jwt.encode(payload, EnclaveKey(sign), algorithm=ALGORITHM, headers=header))


def verify_access_token(
    token: str, keys: Mapping[str, str], *, issuer: str, audience: str, now: datetime
) -> AccessClaims:
    """The claims of a token that is genuine, for this audience, from this issuer, and still valid.

    `keys` maps key ids to public keys in PEM: our own list, never anything that came with a token.

    Raises:
        TokenExpired: genuine in every respect, and over.
        TokenInvalid: anything else.
    """
    try:
        payload = _verified_payload(token, keys)
        claims = _read_claims(parse_object(payload))
    except (ValueError, JOSEError) as error:
        # The texts of these errors may quote the token: only their kind is passed on.
        raise TokenInvalid(f"not a token of ours ({type(error).__name__})") from None
    if claims.issuer != issuer or claims.audience != audience:
        raise TokenInvalid("meant for another issuer or audience")
    _check_times(claims, now)
    return claims


def key_id_of(token: str) -> str | None:
    """The key that a token says it is signed with, if it says so readably. Proves nothing."""
    try:
        header, _, _ = _segments(token)
        key_id = parse_object(header).get("kid")
    except (TokenInvalid, ValueError):
        return None
    return key_id if isinstance(key_id, str) else None


def _verified_payload(token: str, keys: Mapping[str, str]) -> bytes:
    header, _, _ = _segments(token)
    members = parse_object(header)
    key_id = members.get("kid")
    if set(members) != {"alg", "kid", "typ"} or not isinstance(key_id, str):
        raise TokenInvalid("the header is not ours")
    if members["alg"] != ALGORITHM or members["typ"] != TOKEN_TYPE or key_id not in keys:
        raise TokenInvalid("the header is not ours")
    return bytes(jws.verify(token, _public_key(keys[key_id]), algorithms=[ALGORITHM]))


def _segments(token: str) -> tuple[bytes, bytes, bytes]:
    if len(token) > TOKEN_CHARS_MAX:
        raise TokenInvalid("too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenInvalid("not three segments")
    header, payload, signature = (_decoded(part) for part in parts)
    return header, payload, signature


def _decoded(segment: str) -> bytes:
    if not _SEGMENT.match(segment):
        raise TokenInvalid("not base64url")
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise TokenInvalid("not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise TokenInvalid("not canonical base64url")
    return raw


@lru_cache(maxsize=64)
def _public_key(pem: str) -> CryptographyECKey:
    """A Key of python-jose, so that it never guesses what a text might be: forgeries begin there."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TokenInvalid("the key is not a P-256 key")
    return CryptographyECKey(key, ALGORITHM)


def _read_claims(members: Mapping[str, JsonValue]) -> AccessClaims:
    if set(members) != _CLAIM_NAMES:
        raise TokenInvalid("the claims are not ours")
    programme = members["programme"]
    claims = AccessClaims(
        client_id=_text(members["client_id"]),
        programme_id=None if programme is None else _text(programme),
        scopes=tuple(_text(members["scope"], may_be_empty=True).split()),
        audience=_text(members["aud"]),
        issuer=_text(members["iss"]),
        issued_at=_instant(members["iat"]),
        expires_at=_instant(members["exp"]),
        token_id=_text(members["jti"]),
    )
    if members["sub"] != claims.client_id:
        raise TokenInvalid("the subject is not the client")
    return claims


def _text(value: JsonValue, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or may_be_empty):
        raise TokenInvalid("a claim is not text")
    return value


def _instant(value: JsonValue) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= UNIX_SECONDS_MAX:
        raise TokenInvalid("a claim is not a time")
    return datetime.fromtimestamp(value, tz=UTC)


def _check_times(claims: AccessClaims, now: datetime) -> None:
    lifetime_s = (claims.expires_at - claims.issued_at).total_seconds()
    if not 1 <= lifetime_s <= LIFETIME_S_MAX:
        raise TokenInvalid("no token of ours lives that long")
    if (claims.issued_at - now).total_seconds() > CLOCK_SKEW_S_MAX:
        raise TokenInvalid("issued in the future")
    if now >= claims.expires_at:
        raise TokenExpired("the token's time is over")
