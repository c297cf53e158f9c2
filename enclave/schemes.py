"""How a request is signed for the bank, by the bank's scheme: with which key, over what, and in which fields.

What may be signed has been decided before (`enclave.policy`); here it is only put into the scheme's form. Every HTTP
message signature covers method, authority, path, query and the body's digest, a body's media type too, and of an
answer its status. Its nonce is drawn, but not for a payout: all signatures for one payout have one nonce, so that a
bank that remembers nonces takes one of them. Knows no keys and reads no clock.
Follows: RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest), RFC 7515 and RFC 7797 (detached JWS).
"""

import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from enclave import detached_jws, http_signatures
from enclave.detached_jws import JwsAlgorithm
from enclave.http_signatures import Request, Response, Terms, content_digest
from enclave.keys import Purpose
from enclave.protocol import BankMessageRequest, BankQueryRequest, HeaderScheme, PayoutRequest

LABEL = "sig1"
LIFETIME = timedelta(minutes=5)
TARGET_COMPONENTS = ("@method", "@authority", "@path", "@query")
QUERY_COMPONENTS = (*TARGET_COMPONENTS, "content-digest")
BODY_COMPONENTS = (*TARGET_COMPONENTS, "content-digest", "content-type")
ANSWER_COMPONENTS = ("@status", "content-digest", "content-type")
ANSWER_STATUS = 200
MEDIA_TYPE = "application/json"
JWS_FIELD = "x-jws-signature"
JWS_PROFILE = detached_jws.Profile(JwsAlgorithm.ES256, issued_at="iat")
PAYOUT_NONCE_PREFIX = b"tallystick-payout-nonce-v1\n"
NONCE_BYTES = 16

BankRequest: TypeAlias = PayoutRequest | BankQueryRequest | BankMessageRequest
MessageSigner: TypeAlias = Callable[[bytes], bytes]


def key_purpose(request: BankRequest) -> Purpose:
    """What the key is for: payouts have keys of their own, and so has each algorithm."""
    match request, request.scheme:
        case PayoutRequest(), "body_rsa_sha256":
            return Purpose.PAYOUT
        case PayoutRequest(), _:
            return Purpose.PAYOUT_P256
        case _, "body_rsa_sha256":
            return Purpose.BANK
        case _:
            return Purpose.BANK_P256


def body_of(request: BankRequest) -> bytes:
    """What is sent as the body."""
    return b"" if isinstance(request, BankQueryRequest) else request.body


def signed_bytes(request: BankRequest) -> bytes:
    """What is signed as it is, where the scheme is `body_rsa_sha256`."""
    return request.text() if isinstance(request, BankQueryRequest) else request.body


def sign_headers(
    request: BankRequest, scheme: HeaderScheme, *, key_id: str, at: datetime, sign: MessageSigner
) -> dict[str, str]:
    """The fields that carry the signature. Only these, the target, the body and its media type are to be relied on."""
    match scheme:
        case "http_message":
            return _sign_http(request, key_id=key_id, at=at, sign=sign)
        case "detached_jws":
            signature = detached_jws.sign_body(
                body_of(request), JWS_PROFILE, key_id=key_id, issued_at=at, sign=sign
            )
            return {JWS_FIELD: signature}
        case _:
            assert_never(scheme)


def _sign_http(request: BankRequest, *, key_id: str, at: datetime, sign: MessageSigner) -> dict[str, str]:
    terms = Terms(key_id=key_id, created=at, expires=at + LIFETIME, nonce=_nonce(request))
    message, components = _message(request)
    signed = http_signatures.sign_message(message, terms, label=LABEL, components=components, sign=sign)
    return {"content-digest": content_digest(message.body), **signed}


def _message(request: BankRequest) -> tuple[http_signatures.Message, tuple[str, ...]]:
    body = body_of(request)
    digest, media_type = ("content-digest", content_digest(body)), ("content-type", MEDIA_TYPE)
    if request.target is None:
        return Response(ANSWER_STATUS, (digest, media_type), body), ANSWER_COMPONENTS
    # The scheme of the URI is not covered: where TLS ends is not the signature's business.
    uri = f"https://{request.target.authority}{request.target.path_with_query}"
    if isinstance(request, BankQueryRequest):
        return Request(request.target.method, uri, (digest,), body), QUERY_COMPONENTS
    return Request(request.target.method, uri, (digest, media_type), body), BODY_COMPONENTS


def _nonce(request: BankRequest) -> str:
    if isinstance(request, PayoutRequest):
        return hashlib.sha256(PAYOUT_NONCE_PREFIX + request.payout_id.encode()).hexdigest()[: 2 * NONCE_BYTES]
    return os.urandom(NONCE_BYTES).hex()
