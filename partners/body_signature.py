"""The signature that many banks put beside a message: RSA PKCS#1 v1.5 with SHA-256 over its bytes, as Base64 text.

Fails closed: whatever is missing, doubled or unreadable is a bad signature. Pure. Source: RFC 8017 section 8.2.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from partners.contract import BadSignature

LENGTH_MAX: Final = 2048  # Base64 of a 12,000-bit key: far above any that is used


def check_body_signature(
    headers: Sequence[tuple[str, str]], *, field: str, body: bytes, public_key_pem: bytes
) -> None:
    """Raises: BadSignature unless the field `field`, in small letters, holds the bank's signature of exactly this."""
    signature = _signature(headers, field)
    try:
        _public_key(public_key_pem).verify(signature, body, PKCS1v15(), SHA256())
    except InvalidSignature as forged:
        raise BadSignature("The signature does not belong to this body.") from forged


def _signature(headers: Sequence[tuple[str, str]], field: str) -> bytes:
    found = [value for name, value in headers if name.lower() == field]
    if len(found) != 1 or len(found[0]) > LENGTH_MAX:
        raise BadSignature("A notice carries exactly one signature.")
    try:
        return base64.b64decode(found[0], validate=True)
    except (binascii.Error, ValueError) as broken:
        raise BadSignature("The signature is not Base64.") from broken


def _public_key(pem: bytes) -> RSAPublicKey:
    try:
        key = load_pem_public_key(pem)
    except ValueError as broken:
        raise BadSignature("The bank's public key cannot be read, so nothing can be verified.") from broken
    if not isinstance(key, RSAPublicKey):
        raise BadSignature("The bank's public key is not an RSA key.")
    return key
