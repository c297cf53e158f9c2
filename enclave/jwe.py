"""A JWE of one kind: sealed by whoever has a public key, opened by whoever can make its private half agree.

ECDH-ES directly on P-256 and AES-256-GCM, in the compact serialisation, and nothing else: the header has exactly four
members, base64url has one spelling, the other side's point lies on the curve, nothing is compressed. The private half
is not here: `agree` reaches wherever it is. Whatever is wrong is one error, which says nothing of what was inside.
May not import a key back end.
Follows: RFC 7516 (JWE), RFC 7518 4.6 (ECDH-ES) and 5.3 (A256GCM), NIST SP 800-56A 5.8.2.1 (the derivation of the key).
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue, parse_object

ALGORITHM = "ECDH-ES"
ENCRYPTION = "A256GCM"
CURVE = "P-256"
JWE_CHARS_MAX = 2048
KEY_ID_CHARS_MAX = 64

_SEGMENT = re.compile(r"\A[A-Za-z0-9_-]*\Z")
_COORDINATE_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEY_BITS = 256

KeyAgreement = Callable[[bytes], bytes]
"""From the other side's public point (uncompressed, 65 bytes) to the x coordinate that both sides come to."""


class JweRefused(Exception):
    """Not a JWE of this kind, not for this key, or changed on its way."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """The parts of a compact JWE, read and not yet opened."""

    key_id: str
    peer_point: bytes
    header_text: bytes
    nonce: bytes
    ciphertext_and_tag: bytes


def key_id_of(jwe: str) -> str:
    """The key that a JWE says it is for. It says so itself: nothing is proven before it opens.

    Raises:
        JweRefused: it is not a JWE of this kind.
    """
    return _read(jwe).key_id


def decrypt(jwe: str, agree: KeyAgreement, *, key_id: str) -> bytes:
    """What a JWE for this key holds.

    Raises:
        JweRefused: not a JWE of this kind, for another key, or it does not open.
    """
    sealed = _read(jwe)
    if sealed.key_id != key_id:
        raise JweRefused("for another key")
    content_key = derive_key(agree(sealed.peer_point), algorithm=ENCRYPTION, key_bits=_KEY_BITS)
    try:
        return AESGCM(content_key).decrypt(sealed.nonce, sealed.ciphertext_and_tag, sealed.header_text)
    except InvalidTag:
        raise JweRefused("it does not open") from None


def encrypt(plaintext: bytes, recipient_pem: str, key_id: str) -> str:
    """A JWE that only the holder of the recipient's private key opens.

    Raises:
        ValueError: the recipient's key is not a P-256 key.
    """
    recipient = p256_public_key(recipient_pem)
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    header: dict[str, JsonValue] = {
        "alg": ALGORITHM,
        "enc": ENCRYPTION,
        "epk": jwk_of(ephemeral.public_key()),
        "kid": key_id,
    }
    header_text = _encoded(canonical.encode(header))
    content_key = derive_key(
        ephemeral.exchange(ec.ECDH(), recipient), algorithm=ENCRYPTION, key_bits=_KEY_BITS
    )
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(content_key).encrypt(nonce, plaintext, header_text.encode())
    parts = (header_text, "", _encoded(nonce), _encoded(sealed[:-_TAG_BYTES]), _encoded(sealed[-_TAG_BYTES:]))
    return ".".join(parts)


def derive_key(
    shared: bytes, *, algorithm: str, key_bits: int, party_u: bytes = b"", party_v: bytes = b""
) -> bytes:
    """The Concat KDF with SHA-256, for keys of one hash and less. Source: RFC 7518 4.6.2."""
    if key_bits > hashlib.sha256().digest_size * 8:
        raise ValueError("one round of SHA-256 gives 256 bits")
    about = b"".join(_with_length(part) for part in (algorithm.encode(), party_u, party_v))
    material = (1).to_bytes(4) + shared + about + key_bits.to_bytes(4)
    return hashlib.sha256(material).digest()[: key_bits // 8]


def p256_public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """A public key that may be agreed with.

    Raises:
        ValueError: not a public key in PEM, or not on P-256.
    """
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")  # noqa: TRY004  # the text is at fault, not its type
    return key


def jwk_of(key: ec.EllipticCurvePublicKey) -> dict[str, JsonValue]:
    """The key as a JWK (RFC 7517), its four members only."""
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    x, y = point[1 : 1 + _COORDINATE_BYTES], point[1 + _COORDINATE_BYTES :]
    return {"crv": CURVE, "kty": "EC", "x": _encoded(x), "y": _encoded(y)}


def _read(jwe: str) -> _Sealed:
    if len(jwe) > JWE_CHARS_MAX:
        raise JweRefused("too long")
    parts = jwe.split(".")
    if len(parts) != 5:
        raise JweRefused("not five segments")
    header, encrypted_key, nonce, ciphertext, tag = (_decoded(part) for part in parts)
    # With direct agreement there is no key under way, and a nonce or a tag has one length.
    if encrypted_key or len(nonce) != _NONCE_BYTES or len(tag) != _TAG_BYTES or not ciphertext:
        raise JweRefused("a segment has the wrong length")
    key_id, peer_point = _read_header(header)
    return _Sealed(
        key_id=key_id,
        peer_point=peer_point,
        header_text=parts[0].encode(),
        nonce=nonce,
        ciphertext_and_tag=ciphertext + tag,
    )


def _read_header(header: bytes) -> tuple[str, bytes]:
    try:
        members = parse_object(header)
    except JsonUnreadable:
        raise JweRefused("the header is not a JSON object") from None
    key_id, ephemeral = members.get("kid"), members.get("epk")
    if set(members) != {"alg", "enc", "epk", "kid"} or not isinstance(ephemeral, Mapping):
        raise JweRefused("the header is not ours")
    if members["alg"] != ALGORITHM or members["enc"] != ENCRYPTION:
        raise JweRefused("the header is not ours")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_CHARS_MAX:
        raise JweRefused("the header names no key")
    return key_id, _read_point(ephemeral)


def _read_point(jwk: Mapping[str, JsonValue]) -> bytes:
    if set(jwk) != {"crv", "kty", "x", "y"} or jwk["crv"] != CURVE or jwk["kty"] != "EC":
        raise JweRefused("the ephemeral key is not a P-256 key")
    point = b"\x04" + _coordinate(jwk["x"]) + _coordinate(jwk["y"])
    try:
        # A point off the curve would tell the other side our private key, bit by bit.
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise JweRefused("the ephemeral key is not on the curve") from None
    return point


def _coordinate(value: JsonValue) -> bytes:
    raw = _decoded(value) if isinstance(value, str) else b""
    if len(raw) != _COORDINATE_BYTES:
        raise JweRefused("a coordinate has 32 bytes")
    return raw


def _decoded(segment: str) -> bytes:
    if not _SEGMENT.match(segment):
        raise JweRefused("not base64url")
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise JweRefused("not base64url") from None
    if _encoded(raw) != segment:
        raise JweRefused("not canonical base64url")
    return raw


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(4) + part
