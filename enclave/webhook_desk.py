"""Webhooks of ours: signed for one attempt to deliver them, and the secrets that their receivers check them with.

An endpoint's secret is not kept anywhere: it is made of a key and the endpoint's id whenever it is wanted, so that no
database holds it, and none of another endpoint follows from it. While a key is being changed, the signatures of the
new key and of the one before stand side by side. Reads no clock.
Follows: Standard Webhooks 1.0 (`v1`, `v1a`), RFC 2104 (HMAC).
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from enclave.canonical import JsonUnreadable, parse_object
from enclave.keys import KeyAddress, KeyBackend, Purpose
from enclave.protocol import WebhookRequest, to_base64
from enclave.webhook_signatures import SECRET_PREFIX, Delivery, sign_delivery

ENDPOINT_PREFIX = b"tallystick-webhook-endpoint-v1\n"


def is_payload(payload: bytes) -> bool:
    """Whether every receiver would read the same JSON object in it."""
    try:
        parse_object(payload)
    except JsonUnreadable:
        return False
    return True


def endpoint_secret(backend: KeyBackend, key: KeyAddress, endpoint_id: str) -> str:
    """The secret of an endpoint under one version of the key. Shown to nobody but the endpoint's owner."""
    return SECRET_PREFIX + to_base64(backend.mac(key, ENDPOINT_PREFIX + endpoint_id.encode()))


def sign_webhook(
    backend: KeyBackend, request: WebhookRequest, *, keys: Sequence[KeyAddress], at: datetime
) -> dict[str, str]:
    """The three fields to send, with a signature by each of these keys, the newest of a purpose first."""
    return sign_delivery(
        Delivery(message_id=request.message_id, sent_at=at, payload=request.payload),
        secrets=[
            endpoint_secret(backend, key, request.endpoint_id)
            for key in keys
            if key.purpose is Purpose.WEBHOOK_SECRET
        ],
        signers=[partial(backend.sign, key) for key in keys if key.purpose is Purpose.WEBHOOK],
    )
