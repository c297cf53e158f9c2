"""Who is calling, and what they may do: OAuth 2.0 client credentials (RFC 6749 section 4.4), bearer tokens (RFC 6750).

Tokens are signed in the enclave and checked here with its public key, through the one strict verifier. A verified
token is remembered until it expires. A programme's caller sees and moves its own programme's money only.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from fastapi import Request

from api.parts import Parts
from api.problems import Problem
from api.store import Client, read_client
from enclave.client import EnclaveError
from enclave.tokens import AccessClaims, TokenExpired, TokenRefused, key_id_of, verify_access_token
from ledger.core.ids import ProgrammeId, is_id

REMEMBERED_MAX = 4096
KEYS_KEPT_S = 60.0
"""How long the public keys of tokens are believed without asking the enclave again."""
KEYS_ASKED_S_MIN = 1.0

_log = logging.getLogger("tallystick.auth")


class Scope(StrEnum):
    """What a client may do. `operate` founds programmes and clients; it moves no money."""

    OPERATE = "operate"
    PAYMENTS = "payments"
    COMPLIANCE = "compliance"
    REPORTS = "reports"
    TRANSFERS_WRITE = "transfers:write"
    LEDGER_READ = "ledger:read"
    PERIODS_WRITE = "periods:write"
    UNITS_WRITE = "units:write"


PROGRAMME_SCOPES = frozenset(Scope) - {Scope.OPERATE}


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller."""

    client_id: str
    programme: ProgrammeId | None
    scopes: frozenset[str]

    @property
    def programme_id(self) -> ProgrammeId:
        """The caller's own programme. Raises: Problem for the operator, who has none."""
        if self.programme is None:
            raise Problem(403, "no_programme", "This client belongs to no programme.")
        return self.programme


def new_secret() -> tuple[str, bytes]:
    """A client secret, shown once, and the digest that is kept: 256 random bits need no slow hash."""
    secret = secrets.token_urlsafe(32)
    return secret, secret_digest(secret)


def secret_digest(secret: str) -> bytes:
    """What is kept of a client secret."""
    return hashlib.sha256(secret.encode()).digest()


class Doorkeeper:
    """Issues and checks access tokens."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._keys: Mapping[str, str] = {}
        self._keys_asked_at_s = -KEYS_KEPT_S
        self.learning = asyncio.Lock()
        self._remembered: OrderedDict[str, AccessClaims] = OrderedDict()

    def issue(self, client_id: str, secret: str, wanted: frozenset[str]) -> tuple[str, frozenset[str], int]:
        """A token for a client: (token, scopes, lifetime in seconds). Blocks: reads the database, asks the enclave.

        Raises: Problem `invalid_client` or `invalid_scope` (RFC 6749 section 5.2).
        """
        with self._parts.transactions() as tx:
            client = read_client(tx, client_id) if is_id("cli", client_id) else None
        known = client or Client(client_id, None, bytes(32), ())
        if not hmac.compare_digest(known.secret_digest, secret_digest(secret)):
            headers = {"WWW-Authenticate": 'Basic realm="tallystick"'}
            raise Problem(401, "invalid_client", "No such client, or not its secret.", headers=headers)
        scopes = wanted or frozenset(known.scopes)
        if not scopes <= set(known.scopes):
            raise Problem(400, "invalid_scope", "This client may not ask for these scopes.")
        now, lifetime_s = self._parts.wall_clock(), self._parts.settings.token_lifetime_s
        issued = self._parts.enclave.access_token(
            client_id=known.id,
            programme_id=known.programme_id,
            scopes=sorted(scopes),
            audience=self._parts.settings.public_url,
            issuer=self._parts.settings.public_url,
            issued_at=now,
            expires_at=now + timedelta(seconds=lifetime_s),
            token_id=secrets.token_hex(16),
        )
        return issued.token, scopes, lifetime_s

    def check(self, authorization: str | None, *scopes: Scope) -> Caller:
        """The caller behind an Authorization header, who holds one of these scopes.

        Raises: Problem `token_missing`, `token_invalid`, `token_expired` or `scope_missing`.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorised("token_missing", "Send Authorization: Bearer with a token from /oauth/token.")
        claims = self._claims(token)
        if not any(scope.value in claims.scopes for scope in scopes):
            headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scopes[0].value}"'}
            wanted = " or ".join(scope.value for scope in scopes)
            raise Problem(403, "scope_missing", f"This needs the scope {wanted}.", headers=headers)
        programme = ProgrammeId(claims.programme_id) if claims.programme_id else None
        return Caller(claims.client_id, programme, frozenset(claims.scopes))

    def _claims(self, token: str) -> AccessClaims:
        now = self._parts.wall_clock()
        remembered = self._remembered.get(token)
        if remembered is not None and now < remembered.expires_at:
            return remembered
        if not self._keys:
            raise Problem(503, "unavailable", "Tokens cannot be checked now.", retry="same_key")
        try:
            url = self._parts.settings.public_url
            claims = verify_access_token(token, self._keys, issuer=url, audience=url, now=now)
        except TokenExpired as error:
            self._remembered.pop(token, None)
            raise _unauthorised(
                "token_expired", "The token is over: ask for a new one.", "new_token"
            ) from error
        except TokenRefused as error:
            raise _unauthorised("token_invalid", "This is not a token of ours.") from error
        self._remembered[token] = claims
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return claims

    def wants_keys(self, authorization: str | None) -> bool:
        """Whether it is time to ask for the keys again: they may have been rotated, or retired."""
        age_s = time.monotonic() - self._keys_asked_at_s
        if age_s >= KEYS_KEPT_S:
            return True
        _, _, token = (authorization or "").partition(" ")
        # A key that signs soon is known before. Whoever makes up key ids makes us ask once in a while, not each time.
        return age_s >= KEYS_ASKED_S_MIN and key_id_of(token) not in {None, *self._keys}

    def learn_keys(self) -> None:
        """Asks the enclave for every key whose tokens count. Blocks. An enclave that is silent changes nothing."""
        self._keys_asked_at_s = time.monotonic()
        try:
            versions = self._parts.enclave.key_versions("access_token")
        except EnclaveError as error:
            _log.warning("auth.keys_not_learnt", extra={"error": type(error).__name__})
            return
        self._keys = {key.key_id: key.pem for key in versions}
        self._remembered.clear()


class Needs:
    """The dependency of an endpoint that opens to each of these scopes. Asked before the body is read."""

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises: Problem, as `Doorkeeper.check`."""
        keeper: Doorkeeper = request.app.state.doorkeeper
        authorization = request.headers.get("authorization")
        if keeper.wants_keys(authorization):
            async with keeper.learning:
                if keeper.wants_keys(authorization):
                    await asyncio.to_thread(keeper.learn_keys)
        return keeper.check(authorization, *self._scopes)


def basic_credentials(authorization: str | None) -> tuple[str, str] | None:
    """Client id and secret from HTTP Basic, or None when there are none."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, secret) if colon else None


def _unauthorised(code: str, detail: str, retry: str = "never") -> Problem:
    headers = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{code}"'}
    return Problem(401, code, detail, retry=retry, headers=headers)
