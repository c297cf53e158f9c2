"""Signatures on requests, webhooks and their answers, and the bank's own key.

One algorithm in all four places: SHA-256, RSA with PKCS #1 v1.5 padding, standard Base64, carried in
the header DigitalSignature. The private key never leaves the bank's home directory.
"""

import base64
import binascii
import os
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_BITS = 2048
_PEM_END = "-----END PUBLIC KEY-----"
_OWNER_ONLY = 0o600


class NotAnRsaKeyError(ValueError):
    """A text that should hold an RSA public key in PEM holds something else."""


class BankKey:
    """The bank's signing key."""

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self._private_key = private_key

    def sign(self, content: bytes) -> str:
        """The value of DigitalSignature over exactly these bytes."""
        signature = self._private_key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode("ascii")

    def public_pem(self) -> str:
        """The public half, as a client downloads it."""
        return (
            self._private_key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode("ascii")
        )


def load_or_make_key(path: Path) -> BankKey:
    """The bank's key from its file; made at the first start.

    The file appears complete or not at all: a bank killed while making it makes another at its next start.
    """
    if not path.exists():
        _write_private_key(path, rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))
    return load_key(path)


def load_key(path: Path) -> BankKey:
    """A key of the bank from its file."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise NotAnRsaKeyError(path.name)
    return BankKey(key)


def verify(public_key_pem: str, content: bytes, signature: str) -> bool:
    """Whether a DigitalSignature value is a signature over exactly these bytes, by one of the keys in the PEM text."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(_verifies(key, content, raw) for key in read_public_keys(public_key_pem))


def _verifies(key: rsa.RSAPublicKey, content: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=64)
def read_public_keys(pem: str) -> tuple[rsa.RSAPublicKey, ...]:
    """The RSA public keys in a PEM text: one, or several while a client goes over to another.

    Raises: NotAnRsaKeyError when the text is anything else.
    """
    ends = pem.split(_PEM_END)
    return tuple(_read_public_key(one + _PEM_END) for one in (ends[:-1] or ends))


def _read_public_key(pem: str) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotAnRsaKeyError("not a PEM public key") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotAnRsaKeyError("not an RSA public key")
    return key


def _write_private_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
