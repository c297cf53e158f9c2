"""What keys there are, and what the enclave asks of whatever holds them.

A key has one purpose, and a purpose one algorithm; versions follow each other. A key is addressed by purpose and
version, `payout/v2`. A back end uses keys and never hands one out, so there is no call for that. `verifies` is the
other half, with public keys only: it tests a key before its first use, and is for anyone who checks our signatures.
May not import a back end.
Follows: RFC 8017 (RSASSA-PKCS1-v1_5), FIPS 186-5 and RFC 7518 3.4 (ES256 as r||s), RFC 8032 (Ed25519), SP 800-38D
(AES-GCM), RFC 2104 (HMAC), SP 800-56A (ECDH).
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

RSA_BITS = 2048
AES_BITS = 256
HMAC_BITS = 256
P256_SIGNATURE_BYTES = 64
P256_POINT_BYTES = 65
VERSION_MAX = 0xFFFF
CHECK_TEXT = b"tallystick key check v1"
"""What a secret key works on to show which key it is."""
CHECK_NONCE = bytes(12)

_UNCOMPRESSED = 0x04
_ADDRESS = re.compile(r"\A([a-z0-9_]+)/v([1-9][0-9]{0,4})\Z")


class Purpose(StrEnum):
    """What a key is for. The value is the key's name, in key ids and in file names."""

    PAYOUT = "payout"
    BANK = "bank"
    ACCESS_TOKEN = "access_token"  # noqa: S105  # the name of a purpose, not a token
    WEBHOOK = "webhook"
    WEBHOOK_SECRET = "webhook_secret"  # noqa: S105  # the name of a purpose, not a secret
    CHECKPOINT = "checkpoint"
    REPORT = "report"
    IDENTITY = "identity"
    CARD_INTAKE = "card_intake"
    CARD_VAULT = "card_vault"
    CARD_FINGERPRINT = "card_fingerprint"
    PAYOUT_P256 = "payout_p256"
    BANK_P256 = "bank_p256"

    @property
    def number(self) -> int:
        """What the purpose is called in a PKCS#11 CKA_ID; never used again for another."""
        return _NUMBERS[self]


_NUMBERS = {
    Purpose.BANK: 1,
    Purpose.ACCESS_TOKEN: 2,
    Purpose.CHECKPOINT: 3,
    Purpose.REPORT: 4,
    Purpose.PAYOUT: 5,
    Purpose.WEBHOOK: 6,
    Purpose.WEBHOOK_SECRET: 7,
    Purpose.IDENTITY: 8,
    Purpose.CARD_INTAKE: 9,
    Purpose.CARD_VAULT: 10,
    Purpose.CARD_FINGERPRINT: 11,
    Purpose.PAYOUT_P256: 12,
    Purpose.BANK_P256: 13,
}


class Algorithm(StrEnum):
    """What a key does, and how."""

    RSA_SHA256 = "RSA-2048 PKCS#1 v1.5 SHA-256"
    ES256 = "ECDSA P-256 SHA-256"
    ED25519 = "Ed25519"
    HMAC_SHA256 = "HMAC SHA-256"
    AES_256_GCM = "AES-256-GCM"
    ECDH_P256 = "ECDH P-256"

    @property
    def is_secret(self) -> bool:
        """Whether such a key is one secret, without a public half."""
        return self in {Algorithm.HMAC_SHA256, Algorithm.AES_256_GCM}


class KeyBackendFailure(Exception):
    """The keys are not to be had: no token, wrong PIN, a key missing or not as it must be.

    KeyBackendFailure
    ├── TokenLost   the token worked at the start and does so no more: only a new login can help
    └── SealBroken  what was sealed does not open: it, its nonce or its context is not what it was
    """


class TokenLost(KeyBackendFailure):
    """The token worked at the start and does so no more: only a new login can help."""


class SealBroken(KeyBackendFailure):
    """What was sealed does not open: it, its nonce or its context is not what it was."""


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """Purpose and version: what a key is called outside the enclave."""

    purpose: Purpose
    version: int

    def __str__(self) -> str:
        return f"{self.purpose}/v{self.version}"

    @classmethod
    def parse(cls, key_id: str) -> Self:
        """The address that a key id spells.

        Raises:
            ValueError: it spells none.
        """
        match = _ADDRESS.match(key_id)
        if match is None or int(match[2]) > VERSION_MAX:
            raise ValueError(f"{key_id!r} is not a key's address")
        return cls(purpose=Purpose(match[1]), version=int(match[2]))

    @property
    def object_id(self) -> bytes:
        """The PKCS#11 CKA_ID: one byte for the purpose, two for the version."""
        return bytes([self.purpose.number]) + self.version.to_bytes(2)


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """What tells a key from every other: the SHA-256 of its public half, or of what a secret key makes of `CHECK_TEXT`.

    `public_key_pem` is SubjectPublicKeyInfo in PEM, None for a secret key.
    """

    address: KeyAddress
    sha256: str
    public_key_pem: str | None


class KeyBackend(Protocol):
    """Whatever holds the keys. A key has to be opened before it is used; all raise KeyBackendFailure."""

    def stock(self) -> Collection[str]:
        """The names of all keys that are there, ours or not; what is made later is found after the next call."""

    def open(self, address: KeyAddress) -> KeyIdentity:
        """Find a key, check it, try it out, and answer which one it is."""

    def sign(self, address: KeyAddress, message: bytes) -> bytes:
        """Sign; ES256 answers r||s."""

    def mac(self, address: KeyAddress, message: bytes) -> bytes:
        """The HMAC of a message, 32 bytes."""

    def seal(self, address: KeyAddress, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """Encrypt under a nonce of 12 bytes that is never used twice; answers ciphertext and tag."""

    def unseal(self, address: KeyAddress, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """Decrypt what was sealed under this nonce and context. Raises: SealBroken."""

    def agree(self, address: KeyAddress, peer_public_point: bytes) -> bytes:
        """The shared x coordinate, 32 bytes, with a peer's uncompressed P-256 point."""

    def close(self) -> None:
        """Log out and let go of the token."""


def algorithm_of(purpose: Purpose) -> Algorithm:
    """How the keys of this purpose work."""
    match purpose:
        case Purpose.PAYOUT | Purpose.BANK:
            return Algorithm.RSA_SHA256
        case Purpose.ACCESS_TOKEN | Purpose.IDENTITY | Purpose.PAYOUT_P256 | Purpose.BANK_P256:
            return Algorithm.ES256
        case Purpose.WEBHOOK | Purpose.CHECKPOINT | Purpose.REPORT:
            return Algorithm.ED25519
        case Purpose.WEBHOOK_SECRET | Purpose.CARD_FINGERPRINT:
            return Algorithm.HMAC_SHA256
        case Purpose.CARD_VAULT:
            return Algorithm.AES_256_GCM
        case Purpose.CARD_INTAKE:
            return Algorithm.ECDH_P256
        case _:
            assert_never(purpose)


def refuse_other_points(point: bytes) -> None:
    """Return if this is a point of P-256, uncompressed.

    Tokens differ in what else they take, and a point off the curve tells of a private key a little with each answer:
    so no back end is given one. The point at infinity has no such spelling.

    Raises:
        KeyBackendFailure: it is anything else.
    """
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        is_whole = len(point) == P256_POINT_BYTES and point[0] == _UNCOMPRESSED
    except ValueError:
        is_whole = False
    if not is_whole:
        raise KeyBackendFailure("the peer's point is not one of P-256, uncompressed")


def verifies(purpose: Purpose, public_key_pem: str, *, message: bytes, signature: bytes) -> bool:
    """Whether the signature over the message was made with the private half of this public key."""
    try:
        _verify(algorithm_of(purpose), public_key_pem, message, signature)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public_key_pem: str) -> str:
    """SHA-256 over the SubjectPublicKeyInfo, in hex: names a key without trusting its label."""
    key = load_pem_public_key(public_key_pem.encode())
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _verify(algorithm: Algorithm, public_key_pem: str, message: bytes, signature: bytes) -> None:
    key = load_pem_public_key(public_key_pem.encode())
    match algorithm:
        case Algorithm.RSA_SHA256 if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        case Algorithm.ES256 if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(der_signature(signature), message, ec.ECDSA(hashes.SHA256()))
        case Algorithm.ED25519 if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        case _:
            raise ValueError("the key is of another kind than the algorithm")


def der_signature(signature: bytes) -> bytes:
    """An ES256 signature, r||s, as X.509 and OpenSSL spell it.

    Raises:
        ValueError: not 64 bytes.
    """
    if len(signature) != P256_SIGNATURE_BYTES:
        raise ValueError("an ES256 signature has 64 bytes")
    half = P256_SIGNATURE_BYTES // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
