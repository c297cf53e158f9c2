"""What the log says a request was about: ids, amounts and digests, nothing that names a person, and no secret.

A request is in the log whether it was granted or refused, so nothing here has been looked at by any rule yet: what a
row or a message says is cut to a length that every record has room for. Decides nothing.
"""

import hashlib
from typing import assert_never

from enclave import canonical
from enclave.facts import PayoutRecord
from enclave.log import LogFacts
from enclave.protocol import (
    EXPORT_PREFIX,
    AccessTokenRequest,
    AttestationRequest,
    BankMessageRequest,
    BankQueryRequest,
    CheckpointRequest,
    Claims,
    ExportRequest,
    PayoutRequest,
    SigningRequest,
    Target,
    WebhookRequest,
    WebhookSecretRequest,
)

TEXT_CHARS_MAX = 64


def subject_of(  # noqa: PLR0911  # one answer a purpose
    request: SigningRequest, record: PayoutRecord | None
) -> LogFacts:
    """What the log says a request was about; `record` is the payout's row, if it is about one and there is one."""
    match request:
        case PayoutRequest():
            return _payout_subject(request, record)
        case BankQueryRequest():
            return _query_subject(request)
        case BankMessageRequest():
            said = {"profile": request.profile, "scheme": request.scheme, "digest": digest_of(request.body)}
            return {**said, **_target_subject(request.target)}
        case AccessTokenRequest():
            return _token_subject(request.claims)
        case CheckpointRequest():
            return {"origin": request.origin, "size": request.size, "root": request.root.hex()}
        case ExportRequest():
            return {"digest": digest_of(EXPORT_PREFIX + request.manifest)}
        case AttestationRequest():
            return {"nonce": request.nonce.hex()}
        case WebhookRequest():
            said = {"endpoint_id": request.endpoint_id, "message_id": request.message_id}
            return {**said, "digest": digest_of(request.payload)}
        case WebhookSecretRequest():
            return {"endpoint_id": request.endpoint_id}
        case _:
            assert_never(request)


def _query_subject(request: BankQueryRequest) -> LogFacts:
    said = {"profile": request.profile, "scheme": request.scheme, "method": request.method}
    if request.target is not None:
        return {**said, **_target_subject(request.target)}
    return {**said, "digest": digest_of(request.text())}


def _target_subject(target: Target | None) -> LogFacts:
    return {} if target is None else {"target": target.digest()}


def _payout_subject(request: PayoutRequest, record: PayoutRecord | None) -> LogFacts:
    subject: dict[str, str | int | None] = {
        "payout_id": request.payout_id,
        "attempt_id": request.attempt_id,
        "profile": request.profile,
        "scheme": request.scheme,
        "digest": digest_of(request.body),
        **_target_subject(request.target),
    }
    if record is not None:
        # The limits of the hour and the day are counted from these.
        subject |= {
            "programme_id": _seen(record.programme_id),
            "debtor": debtor_of(record),
            "amount_minor": _seen(record.amount_minor),
            "currency": _seen(record.currency),
        }
    return subject


def debtor_of(record: PayoutRecord) -> str:
    """The account that a payout leaves, by which the limits count; its number itself is not for the log."""
    return digest_of(str(record.debtor_iban).encode())


def _seen(value: object) -> str | int | None:
    """What a row says, before any rule has looked at it: a long text by its digest, what is no text by its type."""
    match value:
        case None | int():
            return value
        case str() if len(value) <= TEXT_CHARS_MAX:
            return value
        case str():
            return f"sha256 {digest_of(value.encode())}"
        case _:
            return type(value).__name__


def _token_subject(claims: Claims) -> LogFacts:
    return {
        "client_id": claims.client_id,
        "programme_id": claims.programme_id,
        "token_id": claims.token_id,
        "expires_at": claims.expires_at,
        "digest": digest_of(canonical.encode(claims.model_dump(mode="json"))),
    }


def digest_of(message: bytes) -> str:
    """The SHA-256 of what is signed, or of what was said, in hex."""
    return hashlib.sha256(message).hexdigest()
