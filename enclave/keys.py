"""What keys there are, and what the enclave asks of whatever holds them.

A key has one purpose and one algorithm, and is addressed by purpose and version: `bank/v1`. A back end signs
by purpose; it never hands out a private key, so there is no call for one. `verifies` is the other half, with
public keys only: it is used to test a key before its first use and by anyone who checks our signatures.
May not import a back end.
Follows: RFC 8017 (RSASSA-PKCS1-v1_5), FIPS 186-5 and RFC 7518 3.4 (ES256 as r||s), RFC 8032 (Ed25519).
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

RSA_BITS = 2048
P256_SIGNATURE_BYTES = 64


class Purpose(StrEnum):
    """What a key is for. The value is the key's name, in key ids and in file names."""

    BANK = "bank"
    ACCESS_TOKEN = "access_token"  # noqa: S105  # the name of a purpose, not a token
    CHECKPOINT = "checkpoint"
    EXPORT = "export"


class Algorithm(StrEnum):
    """How a key signs."""

    RSA_SHA256 = "RSA-2048 PKCS#1 v1.5 SHA-256"
    ES256 = "ECDSA P-256 SHA-256"
    ED25519 = "Ed25519"


class KeyBackendFailure(Exception):
    """The keys are not to be had: no token, wrong PIN, a key missing or not as it must be."""


class TokenLost(KeyBackendFailure):
    """The token signed at the start and does so no more: only a new login can help."""


class KeyBackend(Protocol):
    """Whatever holds the private keys."""

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """Sign with the purpose's current key; ES256 answers r||s.

        Raises:
            KeyBackendFailure: the back end did not sign; TokenLost if it never will again.
        """

    def public_key_pem(self, purpose: Purpose) -> str:
        """The public half of the purpose's current key, SubjectPublicKeyInfo in PEM."""

    def close(self) -> None:
        """Log out and let go of the token."""


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """Purpose and version: what a key is called outside the enclave."""

    purpose: Purpose
    version: int

    def __str__(self) -> str:
        return f"{self.purpose}/v{self.version}"

    @property
    def object_id(self) -> bytes:
        """The PKCS#11 CKA_ID: one byte for the purpose, one for the version."""
        return bytes([list(Purpose).index(self.purpose) + 1, self.version])


def current_key(purpose: Purpose) -> KeyAddress:
    """The key that signs for this purpose now."""
    return KeyAddress(purpose=purpose, version=1)


def algorithm_of(purpose: Purpose) -> Algorithm:
    """How the keys of this purpose sign."""
    match purpose:
        case Purpose.BANK:
            return Algorithm.RSA_SHA256
        case Purpose.ACCESS_TOKEN:
            return Algorithm.ES256
        case Purpose.CHECKPOINT | Purpose.EXPORT:
            return Algorithm.ED25519
        case _:
            assert_never(purpose)


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
