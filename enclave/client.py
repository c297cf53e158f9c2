"""The caller's side: ask the enclave for a signature, by purpose, from any thread.

One connection, one request at a time, a lock around both; a connection that broke since the last request is
replaced once. A request may be repeated safely: the enclave signs the same thing again, and nothing else.
After a time-out the connection is thrown away, so that a late answer cannot be taken for the next one's.
Knows no keys, and must not import a key back end.
"""

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue
from enclave.protocol import (
    MESSAGE_BYTES_MAX,
    ForwardedCard,
    IssuedToken,
    Pong,
    PublicKey,
    PublicKeys,
    SealedCard,
    Signature,
    SignedCheckpoint,
    to_base64,
)

TIMEOUT_S = 10.0
SOCKET_BUFFER_BYTES = 256 * 1024

AnswerT = TypeVar("AnswerT")

_SIGNATURE: TypeAdapter[Signature] = TypeAdapter(Signature)
_ISSUED_TOKEN: TypeAdapter[IssuedToken] = TypeAdapter(IssuedToken)
_SIGNED_CHECKPOINT: TypeAdapter[SignedCheckpoint] = TypeAdapter(SignedCheckpoint)
_PUBLIC_KEYS: TypeAdapter[PublicKeys] = TypeAdapter(PublicKeys)
_SEALED_CARD: TypeAdapter[SealedCard] = TypeAdapter(SealedCard)
_FORWARDED_CARD: TypeAdapter[ForwardedCard] = TypeAdapter(ForwardedCard)
_PONG: TypeAdapter[Pong] = TypeAdapter(Pong)


class EnclaveError(Exception):
    """There is no signature.

    EnclaveError
    ├── EnclaveRefused      the enclave said no, and why
    └── EnclaveUnavailable  nobody said anything that can be relied on
    """


class EnclaveRefused(EnclaveError):
    """The enclave said no. `code` is one of the stable codes of `enclave.refusals`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class EnclaveUnavailable(EnclaveError):
    """No enclave, no answer in time, or an answer that cannot be read."""


class _Disconnected(Exception):
    """The connection ended before the answer came."""


class EnclaveClient:
    """Asks one enclave. Safe to share among threads; every method may raise either `EnclaveError`."""

    def __init__(self, socket_path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._socket_path = socket_path
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

    def payout(self, *, payout_id: str, attempt_id: str, profile: str, body: bytes) -> Signature:
        """Sign the exact HTTP body that instructs the bank to pay this payout."""
        fields: dict[str, JsonValue] = {
            "purpose": "payout",
            "payout_id": payout_id,
            "attempt_id": attempt_id,
            "profile": profile,
            "body": to_base64(body),
        }
        return self._ask(fields, _SIGNATURE)

    def bank_query(
        self, *, method: str, path_with_query: str, request_id: str, request_time: str
    ) -> Signature:
        """Sign a request without a body; `request_time` is the header's text, whole seconds since 1970."""
        fields: dict[str, JsonValue] = {
            "purpose": "bank_query",
            "method": method,
            "path_with_query": path_with_query,
            "request_id": request_id,
            "request_time": request_time,
        }
        return self._ask(fields, _SIGNATURE)

    def bank_message(self, *, profile: str, body: bytes) -> Signature:
        """Sign the exact HTTP body of a message that moves no money."""
        fields: dict[str, JsonValue] = {
            "purpose": "bank_message",
            "profile": profile,
            "body": to_base64(body),
        }
        return self._ask(fields, _SIGNATURE)

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
        """The current public key of each purpose: bank, access_token, checkpoint, export."""
        return self._ask({"purpose": "public_keys"}, _PUBLIC_KEYS).keys

    def ping(self) -> None:
        """Return if the enclave answers."""
        self._ask({"purpose": "ping"}, _PONG)

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
        except OSError:
            connection.close()
            raise
        self._connection, self._owner_pid = connection, os.getpid()
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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
