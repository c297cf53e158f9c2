"""The pen: what was granted is signed, each request in the form that its readers want.

May not decide anything, and must not be called before the decision stands in the log. One thread only: the token's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from enclave import notes, schemes, tokens
from enclave.attestation import Statement, attested_keys
from enclave.keyring import Keyring
from enclave.keys import KeyAddress, KeyIdentity, Purpose
from enclave.log import SigningLog
from enclave.measurement import Measurement, MeasurementFailed
from enclave.notes import Checkpoint
from enclave.protocol import (
    EXPORT_PREFIX,
    AccessTokenRequest,
    Answer,
    Attestation,
    AttestationRequest,
    BankMessageRequest,
    BankQueryRequest,
    CheckpointRequest,
    Claims,
    ExportRequest,
    IssuedToken,
    PayoutRequest,
    PublicKey,
    Signature,
    SignedCheckpoint,
    SignedHeaders,
    SigningRequest,
    WebhookRequest,
    WebhookSecret,
    WebhookSecretRequest,
)
from enclave.schemes import BankRequest
from enclave.subjects import digest_of
from enclave.tokens import AccessClaims
from enclave.webhook_desk import endpoint_secret, sign_webhook


@dataclass(frozen=True, slots=True)
class Grant:
    """A request that may be carried out, once that is in the log, with these keys, as of the time of the decision.

    `boot` counts the starts of the enclave, for an attestation.
    """

    request: SigningRequest
    keys: tuple[KeyAddress, ...]
    at: datetime
    boot: int

    @property
    def key(self) -> KeyAddress:
        """The key that names the signature."""
        return self.keys[0]


class Pen:
    """Signs with the keys of a keyring."""

    def __init__(self, keyring: Keyring, log: SigningLog, measurement: Measurement | None) -> None:
        """An attestation says where the log ends; without a measurement there is none."""
        self._keyring = keyring
        self._log = log
        self._measurement = measurement

    def keys_for(self, request: SigningRequest, now: datetime) -> tuple[KeyAddress, ...]:
        """The keys that a request is signed with now.

        Raises:
            NoKey: there is none.
        """
        purposes = key_purposes(request)
        if isinstance(request, WebhookRequest):
            found = [self._keyring.current_and_previous(purpose, now) for purpose in purposes]
            return tuple(key for keys in found for key in keys)
        return tuple(self._keyring.current(purpose, now) for purpose in purposes)

    def sign(self, grant: Grant) -> Answer:  # noqa: PLR0911  # one answer a purpose
        """The answer to a request that was granted.

        Raises:
            KeyBackendFailure: the token did not do it; TokenLost if it never will again.
            MeasurementFailed: an attestation was granted and nothing measured.
        """
        request = grant.request
        match request:
            case PayoutRequest() | BankQueryRequest() | BankMessageRequest():
                return self._sign_for_bank(grant, request)
            case ExportRequest():
                return self._sign_bytes(grant.key, EXPORT_PREFIX + request.manifest)
            case AccessTokenRequest():
                return self._issue_token(grant.key, request)
            case CheckpointRequest():
                return self._sign_checkpoint(grant.key, request)
            case AttestationRequest():
                return self._attest(grant, request)
            case WebhookRequest():
                headers = sign_webhook(self._keyring.backend, request, keys=grant.keys, at=grant.at)
                return SignedHeaders(headers, key_id=str(grant.key), digest=digest_of(request.payload))
            case WebhookSecretRequest():
                secret = endpoint_secret(self._keyring.backend, grant.key, request.endpoint_id)
                return WebhookSecret(secret, key_id=str(grant.key))
            case _:
                assert_never(request)

    def _sign_for_bank(self, grant: Grant, request: BankRequest) -> Signature | SignedHeaders:
        if request.scheme == "body_rsa_sha256":
            return self._sign_bytes(grant.key, schemes.signed_bytes(request))
        headers = schemes.sign_headers(
            request,
            request.scheme,
            key_id=str(grant.key),
            at=grant.at,
            sign=lambda message: self._keyring.backend.sign(grant.key, message),
        )
        return SignedHeaders(headers, key_id=str(grant.key), digest=digest_of(schemes.body_of(request)))

    def _sign_bytes(self, key: KeyAddress, message: bytes) -> Signature:
        return Signature(
            signature=self._keyring.backend.sign(key, message),
            key_id=str(key),
            digest=digest_of(message),
        )

    def _issue_token(self, key: KeyAddress, request: AccessTokenRequest) -> IssuedToken:
        token = tokens.issue_access_token(
            _access_claims(request.claims),
            key_id=str(key),
            sign=lambda message: self._keyring.backend.sign(key, message),
        )
        return IssuedToken(token=token)

    def _sign_checkpoint(self, key: KeyAddress, request: CheckpointRequest) -> SignedCheckpoint:
        checkpoint = Checkpoint(origin=request.origin, size=request.size, root=request.root)
        signature = self._keyring.backend.sign(key, checkpoint.text().encode())
        pem = public_half(self._keyring.identity(key)).pem
        note = notes.sign_off(checkpoint, signature=signature, public_key_pem=pem)
        return SignedCheckpoint(note=note, key_id=str(key))

    def _attest(self, grant: Grant, request: AttestationRequest) -> Attestation:
        if self._measurement is None:
            raise MeasurementFailed("nothing was measured")
        statement = Statement(
            nonce=request.nonce,
            measurement=self._measurement,
            keys=attested_keys(self._keyring.all_current(grant.at).values()),
            boot=grant.boot,
            # This very request is in it already.
            log=self._log.head,
            at=grant.at,
        )
        return Attestation(
            statement=statement.text(),
            signature=self._keyring.backend.sign(grant.key, statement.signed_bytes()),
            identity_pem=public_half(self._keyring.identity(grant.key)).pem,
        )


def key_purposes(request: SigningRequest) -> tuple[Purpose, ...]:  # noqa: PLR0911  # one answer a purpose
    """What the keys are for that a request is signed with."""
    match request:
        case PayoutRequest() | BankQueryRequest() | BankMessageRequest():
            return (schemes.key_purpose(request),)
        case AccessTokenRequest():
            return (Purpose.ACCESS_TOKEN,)
        case CheckpointRequest():
            return (Purpose.CHECKPOINT,)
        case ExportRequest():
            return (Purpose.REPORT,)
        case AttestationRequest():
            return (Purpose.IDENTITY,)
        case WebhookRequest():
            return (Purpose.WEBHOOK, Purpose.WEBHOOK_SECRET)
        case WebhookSecretRequest():
            return (Purpose.WEBHOOK_SECRET,)
        case _:
            assert_never(request)


def public_half(key: KeyIdentity) -> PublicKey:
    """The public half of a key that has one."""
    assert key.public_key_pem is not None, "only keys with a public half are shown"
    return PublicKey(key_id=str(key.address), pem=key.public_key_pem)


def _access_claims(claims: Claims) -> AccessClaims:
    return AccessClaims(
        client_id=claims.client_id,
        programme_id=claims.programme_id,
        scopes=claims.scopes,
        audience=claims.audience,
        issuer=claims.issuer,
        issued_at=datetime.fromtimestamp(claims.issued_at, tz=UTC),
        expires_at=datetime.fromtimestamp(claims.expires_at, tz=UTC),
        token_id=claims.token_id,
    )
