"""The caller's side: ask the enclave for a signature, by purpose, from any thread.

One connection, one request at a time, a lock around both; a connection that broke since the last request is
replaced once. A request may be repeated safely: the enclave signs the same thing again, and nothing else.
After a time-out the connection is thrown away, so that a late answer cannot be taken for the next one's.
A client that was given pins asks whoever answers a new connection what he is, under a nonce of its own, and says
nothing else to him until his attestation has passed: the kernel names the user at the other end, not the program.
Knows no keys, and must not import a key back end.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from enclave import canonical
from enclave.attestation import AttestationRefused, verify_attestation
from enclave.canonical import JsonUnreadable, JsonValue
from enclave.pinned_hashes import Pins
from enclave.protocol import (
    MESSAGE_BYTES_MAX,
    NONCE_BYTES,
    Attestation,
    BankQueryScheme,
    BankScheme,
    ForwardedCard,
    HeaderScheme,
    IssuedToken,
    KeysLoaded,
    KeyVersions,
    Pong,
    PublicKey,
    PublicKeys,
    SealedCard,
    Signature,
    SignedCheckpoint,
    SignedHeaders,
    Target,
    WebhookSecret,
    to_base64,
)

TIMEOUT_S = 10.0
SOCKET_BUFFER_BYTES = 256 * 1024
HOW_TO_LOOK = "To look at it: tallystick keys attest"

AnswerT = TypeVar("AnswerT")
Clock: TypeAlias = Callable[[], datetime]

_SIGNATURE: TypeAdapter[Signature] = TypeAdapter(Signature)
_SIGNED_HEADERS: TypeAdapter[SignedHeaders] = TypeAdapter(SignedHeaders)
_WEBHOOK_SECRET: TypeAdapter[WebhookSecret] = TypeAdapter(WebhookSecret)
_ISSUED_TOKEN: TypeAdapter[IssuedToken] = TypeAdapter(IssuedToken)
_SIGNED_CHECKPOINT: TypeAdapter[SignedCheckpoint] = TypeAdapter(SignedCheckpoint)
_ATTESTATION: TypeAdapter[Attestation] = TypeAdapter(Attestation)
_PUBLIC_KEYS: TypeAdapter[PublicKeys] = TypeAdapter(PublicKeys)
_KEY_VERSIONS: TypeAdapter[KeyVersions] = TypeAdapter(KeyVersions)
_KEYS_LOADED: TypeAdapter[KeysLoaded] = TypeAdapter(KeysLoaded)
_SEALED_CARD: TypeAdapter[SealedCard] = TypeAdapter(SealedCard)
_FORWARDED_CARD: TypeAdapter[ForwardedCard] = TypeAdapter(ForwardedCard)
_PONG: TypeAdapter[Pong] = TypeAdapter(Pong)


class EnclaveError(Exception):
    """There is no signature.

    EnclaveError
    ├── EnclaveRefused      the enclave said no, and why
    ├── EnclaveUnavailable  nobody said anything that can be relied on
    └── EnclaveUntrusted    whoever answers is not the enclave that was pinned
    """


class EnclaveRefused(EnclaveError):
    """The enclave said no. `code` is one of the stable codes of `enclave.refusals`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class EnclaveUnavailable(EnclaveError):
    """No enclave, no answer in time, or an answer that cannot be read."""


class EnclaveUntrusted(EnclaveError):
    """Whoever answers is not, or does not show that he is, the enclave that was pinned; he was asked nothing else."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the enclave is not trusted: {reason}. {HOW_TO_LOOK}")


class _Disconnected(Exception):
    """The connection ended before the answer came."""


class EnclaveClient:
    """Asks one enclave. Safe to share among threads; every method may raise any `EnclaveError`."""

    def __init__(
        self,
        socket_path: Path,
        *,
        pins: Pins | None = None,
        timeout_s: float = TIMEOUT_S,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        """Without pins, whoever answers on the socket is taken for the enclave."""
        self._socket_path = socket_path
        self._pins = pins
        self._clock = clock
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._owner_pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the next request connects again."""
        with self._lock:
            self._disconnect()

    @overload
    def payout(
        self,
        *,
        payout_id: str,
        attempt_id: str,
        profile: str,
        body: bytes,
        scheme: Literal["body_rsa_sha256"] = "body_rsa_sha256",
        target: None = None,
    ) -> Signature: ...

    @overload
    def payout(
        self,
        *,
        payout_id: str,
        attempt_id: str,
        profile: str,
        body: bytes,
        scheme: HeaderScheme,
        target: Target | None = None,
    ) -> SignedHeaders: ...

    @overload
    def payout(
        self,
        *,
        payout_id: str,
        attempt_id: str,
        profile: str,
        body: bytes,
        scheme: BankScheme,
        target: Target | None = None,
    ) -> Signature | SignedHeaders: ...

    def payout(
        self,
        *,
        payout_id: str,
        attempt_id: str,
        profile: str,
        body: bytes,
        scheme: BankScheme = "body_rsa_sha256",
        target: Target | None = None,
    ) -> Signature | SignedHeaders:
        """Sign the exact HTTP body that instructs the bank to pay this payout; with its target, if the scheme does."""
        fields: dict[str, JsonValue] = {
            "purpose": "payout",
            "payout_id": payout_id,
            "attempt_id": attempt_id,
            "profile": profile,
            "scheme": scheme,
            "target": _target_fields(target),
            "body": to_base64(body),
        }
        return self._ask_by(scheme, fields)

    @overload
    def bank_query(
        self,
        *,
        profile: str,
        method: str,
        path_with_query: str,
        request_id: str,
        request_time: str,
        scheme: Literal["body_rsa_sha256"] = "body_rsa_sha256",
        authority: None = None,
    ) -> Signature: ...

    @overload
    def bank_query(
        self,
        *,
        profile: str,
        method: str,
        path_with_query: str,
        scheme: Literal["http_message"],
        authority: str,
        request_id: None = None,
        request_time: None = None,
    ) -> SignedHeaders: ...

    def bank_query(
        self,
        *,
        profile: str,
        method: str,
        path_with_query: str,
        request_id: str | None = None,
        request_time: str | None = None,
        scheme: BankQueryScheme = "body_rsa_sha256",
        authority: str | None = None,
    ) -> Signature | SignedHeaders:
        """Sign a request without a body.

        `request_time` is the header's text, whole seconds since 1970. An HTTP message signature has its own time, and
        signs the authority instead.
        """
        fields: dict[str, JsonValue] = {
            "purpose": "bank_query",
            "profile": profile,
            "scheme": scheme,
            "method": method,
            "authority": authority,
            "path_with_query": path_with_query,
            "request_id": request_id,
            "request_time": request_time,
        }
        return self._ask_by(scheme, fields)

    @overload
    def bank_message(
        self,
        *,
        profile: str,
        body: bytes,
        scheme: Literal["body_rsa_sha256"] = "body_rsa_sha256",
        target: None = None,
    ) -> Signature: ...

    @overload
    def bank_message(
        self, *, profile: str, body: bytes, scheme: HeaderScheme, target: Target | None = None
    ) -> SignedHeaders: ...

    @overload
    def bank_message(
        self, *, profile: str, body: bytes, scheme: BankScheme, target: Target | None = None
    ) -> Signature | SignedHeaders: ...

    def bank_message(
        self,
        *,
        profile: str,
        body: bytes,
        scheme: BankScheme = "body_rsa_sha256",
        target: Target | None = None,
    ) -> Signature | SignedHeaders:
        """Sign the exact HTTP body of a message that moves no money; with its target, if the scheme does."""
        fields: dict[str, JsonValue] = {
            "purpose": "bank_message",
            "profile": profile,
            "scheme": scheme,
            "target": _target_fields(target),
            "body": to_base64(body),
        }
        return self._ask_by(scheme, fields)

    def webhook(self, *, endpoint_id: str, message_id: str, payload: bytes) -> SignedHeaders:
        """Sign a webhook of ours for one attempt to deliver it, now."""
        fields: dict[str, JsonValue] = {
            "purpose": "webhook",
            "endpoint_id": endpoint_id,
            "message_id": message_id,
            "payload": to_base64(payload),
        }
        return self._ask(fields, _SIGNED_HEADERS)

    def webhook_secret(self, endpoint_id: str) -> WebhookSecret:
        """The secret of an endpoint, to be shown to its owner once and kept nowhere."""
        return self._ask({"purpose": "webhook_secret", "endpoint_id": endpoint_id}, _WEBHOOK_SECRET)

    def access_token(
        self,
        *,
        client_id: str,
        programme_id: str | None,
        scopes: Sequence[str],
        audience: str,
        issuer: str,
        issued_at: datetime,
        expires_at: datetime,
        token_id: str,
    ) -> IssuedToken:
        """Issue an ES256 access token; times are cut to whole seconds."""
        claims: dict[str, JsonValue] = {
            "client_id": client_id,
            "programme_id": programme_id,
            "scopes": list(scopes),
            "audience": audience,
            "issuer": issuer,
            "issued_at": int(issued_at.timestamp()),
            "expires_at": int(expires_at.timestamp()),
            "token_id": token_id,
        }
        return self._ask({"purpose": "access_token", "claims": claims}, _ISSUED_TOKEN)

    def checkpoint(self, *, origin: str, size: int, root: bytes) -> SignedCheckpoint:
        """Sign a checkpoint of the log `origin`: so many leaves under this root."""
        fields: dict[str, JsonValue] = {
            "purpose": "checkpoint",
            "origin": origin,
            "size": size,
            "root": to_base64(root),
        }
        return self._ask(fields, _SIGNED_CHECKPOINT)

    def export(self, *, manifest: bytes) -> Signature:
        """Sign the manifest of an audit export; the signature covers `EXPORT_PREFIX` and the manifest."""
        return self._ask({"purpose": "export", "manifest": to_base64(manifest)}, _SIGNATURE)

    def attest(self, nonce: bytes) -> Attestation:
        """What the enclave says of itself, for this nonce of 32 bytes. `enclave.attestation` reads and verifies it."""
        return self._ask(_attestation_request(nonce), _ATTESTATION)

    def card_seal(self, *, programme_id: str, card_id: str, jwe: str) -> SealedCard:
        """Have a card that its caller encrypted sealed under a token."""
        fields: dict[str, JsonValue] = {
            "purpose": "card_seal",
            "programme_id": programme_id,
            "card_id": card_id,
            "jwe": jwe,
        }
        return self._ask(fields, _SEALED_CARD)

    def card_reseal(self, *, programme_id: str, card: SealedCard) -> SealedCard:
        """Have a card sealed anew under the current key; under that key already, it comes back as it is."""
        fields: dict[str, JsonValue] = {
            "purpose": "card_reseal",
            "programme_id": programme_id,
            "card": _card_row(card),
        }
        return self._ask(fields, _SEALED_CARD)

    def card_forward(self, *, programme_id: str, card: SealedCard, recipient: str) -> ForwardedCard:
        """Have a card encrypted to a processor that the enclave knows by name."""
        fields: dict[str, JsonValue] = {
            "purpose": "card_forward",
            "programme_id": programme_id,
            "card": _card_row(card),
            "recipient": recipient,
        }
        return self._ask(fields, _FORWARDED_CARD)

    def public_keys(self) -> Mapping[str, PublicKey]:
        """The public key that each purpose signs with now: payout, bank, access_token, checkpoint, report, …."""
        return self._ask({"purpose": "public_keys"}, _PUBLIC_KEYS).keys

    def key_versions(self, purpose: str) -> Sequence[PublicKey]:
        """Every public key of a purpose whose signatures count, those included that will sign later."""
        found: list[PublicKey] = []
        more = True
        while more:
            after = int(found[-1].key_id.rpartition("v")[2]) if found else 0
            page = self._ask({"purpose": "key_versions", "of": purpose, "after": after}, _KEY_VERSIONS)
            found += page.versions
            more = page.more and bool(page.versions)
        return found

    def load_keys(self) -> KeysLoaded:
        """Have the enclave take in what the custodians have resolved."""
        return self._ask({"purpose": "load_keys"}, _KEYS_LOADED)

    def ping(self) -> None:
        """Return if the enclave answers."""
        self._ask({"purpose": "ping"}, _PONG)

    def _ask_by(self, scheme: BankScheme, fields: Mapping[str, JsonValue]) -> Signature | SignedHeaders:
        if scheme == "body_rsa_sha256":
            return self._ask(fields, _SIGNATURE)
        return self._ask(fields, _SIGNED_HEADERS)

    def _ask(self, fields: Mapping[str, JsonValue], kind: TypeAdapter[AnswerT]) -> AnswerT:
        try:
            request = canonical.encode(fields)
        except (TypeError, ValueError) as error:
            raise EnclaveUnavailable("the request cannot be written as canonical JSON") from error
        with self._lock:
            data = self._exchange(request)
        return _read_answer(data, kind)

    def _exchange(self, request: bytes) -> bytes:
        try:
            return self._exchange_again_if_broken(request)
        except _Disconnected as error:
            raise EnclaveUnavailable("the enclave hung up") from error
        except TimeoutError as error:
            self._disconnect()
            raise EnclaveUnavailable("the enclave did not answer in time") from error
        except OSError as error:
            self._disconnect()
            raise EnclaveUnavailable(f"the enclave cannot be reached: {error.strerror or error}") from error

    def _exchange_again_if_broken(self, request: bytes) -> bytes:
        if self._connection is None or self._owner_pid != os.getpid():
            # A connection that came through a fork is the parent's: two askers would mix up their answers.
            return self._exchange_over(self._connect(), request)
        try:
            return self._exchange_over(self._connection, request)
        except _Disconnected:
            return self._exchange_over(self._connect(), request)

    def _exchange_over(self, connection: socket.socket, request: bytes) -> bytes:
        try:
            connection.sendall(request)
            answer = connection.recv(MESSAGE_BYTES_MAX + 1)
        except (BrokenPipeError, ConnectionResetError, ConnectionAbortedError) as error:
            self._disconnect()
            raise _Disconnected from error
        if not answer:
            self._disconnect()
            raise _Disconnected
        return answer

    def _connect(self) -> socket.socket:
        self._disconnect()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(self._timeout_s)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            connection.connect(str(self._socket_path))
            if self._pins is not None:
                self._insist_on_pins(connection, self._pins)
        except BaseException:
            connection.close()
            raise
        self._connection, self._owner_pid = connection, os.getpid()
        return connection

    def _insist_on_pins(self, connection: socket.socket, pins: Pins) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = self._exchange_over(connection, canonical.encode(_attestation_request(nonce)))
        try:
            verify_attestation(_read_answer(answer, _ATTESTATION), pins=pins, nonce=nonce, now=self._clock())
        except AttestationRefused as error:
            raise EnclaveUntrusted(str(error)) from error
        except EnclaveRefused as refused:
            # Not passed on: a caller would take it for the answer to what he asked himself.
            raise EnclaveUntrusted(f"it does not say what it is ({refused.code})") from refused

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _attestation_request(nonce: bytes) -> dict[str, JsonValue]:
    return {"purpose": "attestation", "nonce": to_base64(nonce)}


def _target_fields(target: Target | None) -> Mapping[str, JsonValue] | None:
    if target is None:
        return None
    return {
        "method": target.method,
        "authority": target.authority,
        "path_with_query": target.path_with_query,
    }


def _card_row(card: SealedCard) -> dict[str, JsonValue]:
    return {
        "card_id": card.card_id,
        "bin": card.bin,
        "last_four": card.last_four,
        "expiry_month": card.expiry_month,
        "expiry_year": card.expiry_year,
        "fingerprint": card.fingerprint,
        "key_id": card.key_id,
        "sealed": to_base64(card.sealed),
    }


def _read_answer(data: bytes, kind: TypeAdapter[AnswerT]) -> AnswerT:
    try:
        members = dict(canonical.parse_object(data))
        granted = members.pop("ok")
        if granted is True:
            return kind.validate_json(canonical.encode(members))
        raise EnclaveRefused(str(members["refusal"]), str(members["detail"]))
    except (JsonUnreadable, KeyError, TypeError, ValidationError) as error:
        raise EnclaveUnavailable("the enclave's answer cannot be read") from error
