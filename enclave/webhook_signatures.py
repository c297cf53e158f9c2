"""Signatures on the webhooks that customers receive: the content that is signed, the three fields, the verifier.

Two schemes stand side by side in one field: `v1` is HMAC-SHA256 with a secret that both sides hold (`whsec_`),
`v1a` is Ed25519, for which a customer holds the public key only (`whpk_`). A key is written with its prefix, and
the prefix alone decides the scheme, so a public key never serves as a secret. While a key is being changed, the
field carries a signature of the old one and of the new. Pure: private keys are wherever a caller's `sign` reaches.
May not be used as proof towards third parties: with `v1`, whoever can check can also sign.
Follows: Standard Webhooks 1.0 (standardwebhooks.com), RFC 2104 (HMAC), RFC 8032 (Ed25519).
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

SECRET_PREFIX = "whsec_"  # noqa: S105  # the mark of a secret, not one
PUBLIC_KEY_PREFIX = "whpk_"
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64
ED25519_KEY_BYTES = 32
ED25519_SIGNATURE_BYTES = 64
TOLERANCE_S = 300
SIGNATURES_MAX = 16
KEYS_MAX = 16
FIELD_CHARS_MAX = 4096
UNIX_SECONDS_MAX = 2**37  # some four thousand years, and still a date

MessageSigner: TypeAlias = Callable[[bytes], bytes]
FieldLines: TypeAlias = Sequence[tuple[str, str]]

# No full stop: with one in it, two different messages could have the same signed content.
_MESSAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")
_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,11}")
_ENTRY = re.compile(r"(?P<scheme>v[0-9]+[a-z]?),(?P<signature>[!-~]+)")


class WebhookInvalid(ValueError):
    """The webhook, its signatures or the keys for it are not what they must be; says no more than that."""

    def __init__(self) -> None:
        super().__init__("the webhook and its signatures are not what they must be")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a message.

    The id names the message and stays the same over all attempts, so that a receiver acts once; the time is the
    attempt's own, in whole seconds.

    Raises:
        WebhookInvalid: an id that could be read in two ways, or a time that is no time.
    """

    message_id: str
    sent_at: datetime
    payload: bytes

    def __post_init__(self) -> None:
        if not _MESSAGE_ID.fullmatch(self.message_id) or not 0 <= self.timestamp <= UNIX_SECONDS_MAX:
            raise WebhookInvalid

    @property
    def timestamp(self) -> int:
        """The attempt's time in seconds since 1970."""
        return int(self.sent_at.timestamp())

    def signed_content(self) -> bytes:
        """The bytes that are signed: id, time and payload, a full stop between them."""
        return f"{self.message_id}.{self.timestamp}.".encode() + self.payload


def sign_delivery(
    delivery: Delivery, *, secrets: Sequence[str] = (), signers: Sequence[MessageSigner] = ()
) -> dict[str, str]:
    """The three fields to send: one `v1` for each secret and one `v1a` for each Ed25519 signer, newest first.

    Raises:
        WebhookInvalid: nothing to sign with or too much, a secret is malformed, or a signer did not answer with
            an Ed25519 signature.
    """
    content = delivery.signed_content()
    entries = [f"v1,{_encoded(_mac(_read_secret(secret), content))}" for secret in secrets]
    entries += [f"v1a,{_encoded(_asked(sign, content))}" for sign in signers]
    if not 0 < len(entries) <= SIGNATURES_MAX:
        raise WebhookInvalid
    return {
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(delivery.timestamp),
        "webhook-signature": " ".join(entries),
    }


def verify_delivery(fields: FieldLines, payload: bytes, *, keys: Sequence[str], now: datetime) -> Delivery:
    """The delivery, once one of these keys has been found to have signed it within the last five minutes.

    `fields` are the request's, one pair a line, names in any case. `keys` are `whsec_` secrets and `whpk_` public
    keys, all of them trusted alike. Signatures of schemes or keys that are not ours are passed over.

    Raises:
        WebhookInvalid: anything else.
    """
    delivery = _read_delivery(fields, payload)
    if abs((now - delivery.sent_at).total_seconds()) > TOLERANCE_S or not 0 < len(keys) <= KEYS_MAX:
        raise WebhookInvalid
    entries = _read_entries(_only_field(fields, "webhook-signature"))
    content = delivery.signed_content()
    # Every key is tried on every signature, found or not: how long it takes says nothing of which one fits.
    found = [_is_signed(key, content, entries) for key in keys]
    if not any(found):
        raise WebhookInvalid
    return delivery


def public_key_text(public_key_pem: str) -> str:
    """The public key as customers are given it: `whpk_` and its 32 bytes in base64.

    Raises:
        WebhookInvalid: not an Ed25519 key.
    """
    try:
        key = load_pem_public_key(public_key_pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise WebhookInvalid from None
    if not isinstance(key, Ed25519PublicKey):
        raise WebhookInvalid
    return PUBLIC_KEY_PREFIX + _encoded(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _asked(sign: MessageSigner, content: bytes) -> bytes:
    signature = sign(content)
    if len(signature) != ED25519_SIGNATURE_BYTES:
        raise WebhookInvalid
    return signature


def _mac(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, content, "sha256")


def _is_signed(key: str, content: bytes, entries: Sequence[tuple[str, bytes]]) -> bool:
    if key.startswith(SECRET_PREFIX):
        expected = _mac(_read_secret(key), content)
        found = [hmac.compare_digest(expected, signature) for scheme, signature in entries if scheme == "v1"]
    else:
        public_key = _read_public_key(key)
        found = [_fits(public_key, signature, content) for scheme, signature in entries if scheme == "v1a"]
    return any(found)


def _fits(public_key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        public_key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _read_secret(text: str) -> bytes:
    secret = _decoded(text.removeprefix(SECRET_PREFIX))
    if not text.startswith(SECRET_PREFIX) or not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise WebhookInvalid
    return secret


def _read_public_key(text: str) -> Ed25519PublicKey:
    raw = _decoded(text.removeprefix(PUBLIC_KEY_PREFIX))
    if not text.startswith(PUBLIC_KEY_PREFIX) or len(raw) != ED25519_KEY_BYTES:
        raise WebhookInvalid
    return Ed25519PublicKey.from_public_bytes(raw)


def _read_delivery(fields: FieldLines, payload: bytes) -> Delivery:
    timestamp = _only_field(fields, "webhook-timestamp")
    if not _TIMESTAMP.fullmatch(timestamp) or int(timestamp) > UNIX_SECONDS_MAX:
        raise WebhookInvalid
    return Delivery(
        message_id=_only_field(fields, "webhook-id"),
        sent_at=datetime.fromtimestamp(int(timestamp), tz=UTC),
        payload=payload,
    )


def _only_field(fields: FieldLines, name: str) -> str:
    """The field's one line; of two, another reader might take the other."""
    lines = [value for field, value in fields if field.lower() == name]
    if len(lines) != 1 or len(lines[0]) > FIELD_CHARS_MAX:
        raise WebhookInvalid
    return lines[0]


def _read_entries(field: str) -> list[tuple[str, bytes]]:
    """The signatures of the schemes known here; others may stand beside them."""
    found = [_ENTRY.fullmatch(entry) for entry in field.split(" ")]
    entries = [(entry["scheme"], entry["signature"]) for entry in found if entry is not None]
    if len(entries) != len(found) or len(found) > SIGNATURES_MAX:
        raise WebhookInvalid
    return [(scheme, _decoded(signature)) for scheme, signature in entries if scheme in {"v1", "v1a"}]


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError):
        raise WebhookInvalid from None
    if _encoded(data) != text:
        raise WebhookInvalid
    return data
