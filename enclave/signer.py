"""The desk between a request and a key: read, look up, decide, record, and only then sign.

Takes a round of requests at once: one look at the database for all payouts among them, one decision each, one
durable write of all decisions, then the signatures. A request never sees a signature whose decision is not on
the disk. Fails closed: whatever goes wrong, the answer is a refusal. Knows no sockets; must be called by one
thread only, because python-pkcs11 with two threads brings SoftHSM down.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, assert_never

from enclave import canonical, notes, policy, tokens
from enclave.card_desk import card_subject
from enclave.facts import PayoutFacts, PayoutRecord
from enclave.keys import KeyBackend, Purpose, current_key, fingerprint
from enclave.log import EntryKind, LogEntry, LogFacts, LogUnavailable, SigningLog
from enclave.memory import Memory
from enclave.mirror import Mirror
from enclave.notes import Checkpoint
from enclave.policy import CLOCK_SKEW_S_MAX, Before, Limits
from enclave.protocol import (
    EXPORT_PREFIX,
    AccessTokenRequest,
    Answer,
    BankMessageRequest,
    BankQueryRequest,
    CardForwardRequest,
    CardResealRequest,
    CardSealRequest,
    CheckpointRequest,
    Claims,
    ExportRequest,
    IssuedToken,
    PayoutRequest,
    PingRequest,
    Pong,
    PublicKey,
    PublicKeys,
    PublicKeysRequest,
    Request,
    Signature,
    SignedCheckpoint,
    SigningRequest,
    read_request,
    write_answer,
)
from enclave.refusals import Refusal, RefusalCode, refusal
from enclave.spending import Purse, Window
from enclave.tokens import AccessClaims

Clock: TypeAlias = Callable[[], datetime]
NAME_CHARS_MAX = 64
CLOCK_BEHIND_MAX = timedelta(seconds=CLOCK_SKEW_S_MAX)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the socket, as the kernel says."""

    pid: int
    uid: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A datagram and who sent it."""

    peer: Peer
    data: bytes


@dataclass(frozen=True, slots=True)
class _Round:
    """What all decisions of one round share."""

    records: Mapping[str, PayoutRecord] | None
    memory: Memory
    now: datetime


@dataclass(frozen=True, slots=True)
class _Case:
    """A request on its way: either already answered, or granted and waiting for the log."""

    outcome: Answer | Refusal | SigningRequest
    entry: LogEntry | None


class Signer:
    """Answers rounds of requests."""

    def __init__(
        self,
        *,
        keys: KeyBackend,
        facts: PayoutFacts,
        log: SigningLog,
        clock: Clock,
        limits: Limits,
        mirror: Mirror | None,
    ) -> None:
        self._keys = keys
        self._facts = facts
        self._log = log
        self._clock = clock
        self._limits = limits
        self._mirror = mirror
        self._memory = Memory.rebuilt(log.records())
        self._public_keys = {
            purpose: PublicKey(key_id=str(current_key(purpose)), pem=keys.public_key_pem(purpose))
            for purpose in Purpose
        }

    def record_start(self) -> None:
        """Record which keys this process signs with, so that an exchanged key shows in the log.

        Raises:
            LogUnavailable: the record is not durable.
        """
        facts: LogFacts = {key.key_id: fingerprint(key.pem) for key in self._public_keys.values()}
        entry = LogEntry(kind=EntryKind.STARTED, purpose="enclave", facts=facts)
        self._log.append([entry], at=self._clock())

    def keep_mirror(self) -> float | None:
        """Have the log's head kept if it is time to; says in how many seconds it will be, None: nothing is new."""
        wait = None if self._mirror is None else self._mirror.keep(now=self._clock())
        return None if wait is None else wait.total_seconds()

    def close(self) -> None:
        """Have the last head kept."""
        if self._mirror is not None:
            self._mirror.close(now=self._clock())

    def answer(self, letters: Sequence[Letter]) -> list[bytes]:
        """One answer a letter, in order."""
        requests = [read_request(letter.data) for letter in letters]
        try:
            cases = self._decide(letters, requests)
        except Exception:  # noqa: BLE001  # the edge of the process: whatever failed, nothing is signed
            return [write_answer(refusal(RefusalCode.INTERNAL)) for _ in letters]
        if not self._make_durable(cases):
            cases = [_without_log(case) for case in cases]
        # From here on each grant is on the disk, and its signature may go out.
        return [write_answer(self._carry_out(case)) for case in cases]

    def _decide(self, letters: Sequence[Letter], requests: Sequence[Request | Refusal]) -> list[_Case]:
        payout_ids = [request.payout_id for request in requests if isinstance(request, PayoutRequest)]
        shared = _Round(records=self._look_up(payout_ids), memory=self._memory.branch(), now=self._clock())
        cases = []
        for letter, request in zip(letters, requests, strict=True):
            case = self._decide_one(letter, request, shared)
            if case.entry is not None:
                # The next request of the round must see this decision.
                shared.memory.remember(case.entry, at=shared.now)
            cases.append(case)
        return cases

    def _look_up(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord] | None:
        if not payout_ids:
            return {}
        try:
            return self._facts.payouts(payout_ids)
        except Exception:  # noqa: BLE001  # fail closed: what could not be read is not known, and others of the round go on
            return None

    def _decide_one(self, letter: Letter, request: Request | Refusal, shared: _Round) -> _Case:
        match request:
            case Refusal():
                return _refused(letter, purpose="unreadable", subject={}, why=request)
            case PingRequest():
                return _Case(outcome=Pong(), entry=None)
            case PublicKeysRequest():
                keys = {str(purpose): key for purpose, key in self._public_keys.items()}
                return _Case(outcome=PublicKeys(keys=keys), entry=None)
            case CardSealRequest() | CardResealRequest() | CardForwardRequest():
                why = refusal(RefusalCode.CARD_VAULT_CLOSED)
                return _refused(letter, purpose=request.purpose, subject=card_subject(request), why=why)
            case _:
                return self._decide_signing(letter, request, shared)

    def _decide_signing(self, letter: Letter, request: SigningRequest, shared: _Round) -> _Case:
        subject = _subject(request, shared)
        try:
            why = self._refuse_by_state(request, shared) or self._refuse(request, shared)
        except Exception:  # noqa: BLE001  # fail closed: a policy that breaks down has not said yes
            why = refusal(RefusalCode.INTERNAL)
        if why is not None:
            return _refused(letter, purpose=request.purpose, subject=subject, why=why)
        facts = {**_sender(letter), **subject, "key_id": str(current_key(_key_purpose(request)))}
        entry = LogEntry(kind=EntryKind.GRANTED, purpose=request.purpose, facts=facts)
        return _Case(outcome=request, entry=entry)

    def _refuse_by_state(self, request: SigningRequest, shared: _Round) -> Refusal | None:
        """What is wrong with the enclave's own log, database or clock."""
        why = None if self._mirror is None else self._mirror.refuse(now=shared.now)
        looks_back = isinstance(request, PayoutRequest | CheckpointRequest)
        if why is not None and (looks_back or why is not RefusalCode.MIRROR_UNAVAILABLE):
            return refusal(why)
        # By a clock behind the log's last record, windows, lifetimes and the order of the log would mean nothing.
        behind = self._memory.latest - shared.now
        return refusal(RefusalCode.CLOCK_WENT_BACK) if behind > CLOCK_BEHIND_MAX else None

    def _refuse(self, request: SigningRequest, shared: _Round) -> Refusal | None:
        match request:
            case PayoutRequest():
                return self._refuse_payout(request, shared)
            case BankQueryRequest():
                return policy.refuse_bank_query(request, now=shared.now)
            case BankMessageRequest():
                return policy.refuse_bank_message(request)
            case AccessTokenRequest():
                return policy.refuse_access_token(request, now=shared.now)
            case CheckpointRequest():
                return policy.refuse_checkpoint(request, last=shared.memory.last_checkpoint(request.origin))
            case ExportRequest():
                return policy.refuse_export(request)
            case _:
                assert_never(request)

    def _refuse_payout(self, request: PayoutRequest, shared: _Round) -> Refusal | None:
        if shared.records is None:
            return refusal(RefusalCode.FACTS_UNAVAILABLE)
        record = shared.records.get(request.payout_id)
        before = _signed_before(record, shared)
        return policy.refuse_payout(request, record, before=before, limits=self._limits)

    def _make_durable(self, cases: Sequence[_Case]) -> bool:
        entries = [case.entry for case in cases if case.entry is not None]
        at = self._clock()
        try:
            self._log.append(entries, at=at)
        except Exception:  # noqa: BLE001  # fail closed: whatever failed, the decisions are not on the disk
            return False
        self._memory.join(entries, at=at)
        return True

    def _carry_out(self, case: _Case) -> Answer | Refusal:
        match case.outcome:
            case PayoutRequest() | BankQueryRequest() | BankMessageRequest():
                return self._sign_or_record_failure(case.outcome)
            case AccessTokenRequest() | CheckpointRequest() | ExportRequest():
                return self._sign_or_record_failure(case.outcome)
            case _:
                return case.outcome

    def _sign_or_record_failure(self, request: SigningRequest) -> Answer | Refusal:
        try:
            return self._sign(request)
        except Exception as error:  # noqa: BLE001  # fail closed: a back end that breaks down did not sign
            self._record_failure(request, error)
            return refusal(RefusalCode.INTERNAL)

    def _record_failure(self, request: SigningRequest, error: Exception) -> None:
        facts: LogFacts = {"error": type(error).__name__}
        entry = LogEntry(kind=EntryKind.FAILED, purpose=request.purpose, facts=facts)
        try:
            self._log.append([entry], at=self._clock())
        except LogUnavailable:
            # Nothing was signed, and the next request will hear that the log is not to be had.
            return

    def _sign(self, request: SigningRequest) -> Answer:
        match request:
            case PayoutRequest() | BankQueryRequest() | BankMessageRequest() | ExportRequest():
                return self._sign_bytes(_key_purpose(request), _signed_bytes(request))
            case AccessTokenRequest():
                return self._issue_token(request)
            case CheckpointRequest():
                return self._sign_checkpoint(request)
            case _:
                assert_never(request)

    def _sign_bytes(self, purpose: Purpose, message: bytes) -> Signature:
        return Signature(
            signature=self._keys.sign(purpose, message),
            key_id=self._public_keys[purpose].key_id,
            digest=hashlib.sha256(message).hexdigest(),
        )

    def _issue_token(self, request: AccessTokenRequest) -> IssuedToken:
        token = tokens.issue_access_token(
            _access_claims(request.claims),
            key_id=self._public_keys[Purpose.ACCESS_TOKEN].key_id,
            sign=lambda message: self._keys.sign(Purpose.ACCESS_TOKEN, message),
        )
        return IssuedToken(token=token)

    def _sign_checkpoint(self, request: CheckpointRequest) -> SignedCheckpoint:
        checkpoint = Checkpoint(origin=request.origin, size=request.size, root=request.root)
        key = self._public_keys[Purpose.CHECKPOINT]
        signature = self._keys.sign(Purpose.CHECKPOINT, checkpoint.text().encode())
        note = notes.sign_off(checkpoint, signature=signature, public_key_pem=key.pem)
        return SignedCheckpoint(note=note, key_id=key.key_id)


def _signed_before(record: PayoutRecord | None, shared: _Round) -> Before:
    if record is None:
        return Before()
    purse = Purse(record.programme_id, record.currency)
    return Before(
        digest=shared.memory.signed_digest(record.payout_id),
        last_hour_minor=shared.memory.spent(purse, Window.HOUR, now=shared.now),
        last_day_minor=shared.memory.spent(purse, Window.DAY, now=shared.now),
    )


def _without_log(case: _Case) -> _Case:
    """What becomes of a case whose record is not on the disk."""
    if case.entry is None:
        return case
    return _Case(outcome=refusal(RefusalCode.LOG_UNAVAILABLE), entry=None)


def _refused(letter: Letter, *, purpose: str, subject: LogFacts, why: Refusal) -> _Case:
    facts = {**_sender(letter), **subject, "code": str(why.code)}
    return _Case(outcome=why, entry=LogEntry(kind=EntryKind.REFUSED, purpose=purpose, facts=facts))


def _sender(letter: Letter) -> LogFacts:
    return {
        "peer_pid": letter.peer.pid,
        "peer_uid": letter.peer.uid,
        "request": hashlib.sha256(letter.data).hexdigest(),
    }


def _key_purpose(request: SigningRequest) -> Purpose:
    match request:
        case PayoutRequest() | BankQueryRequest() | BankMessageRequest():
            return Purpose.BANK
        case AccessTokenRequest():
            return Purpose.ACCESS_TOKEN
        case CheckpointRequest():
            return Purpose.CHECKPOINT
        case ExportRequest():
            return Purpose.EXPORT
        case _:
            assert_never(request)


def _signed_bytes(request: PayoutRequest | BankQueryRequest | BankMessageRequest | ExportRequest) -> bytes:
    match request:
        case PayoutRequest() | BankMessageRequest():
            return request.body
        case BankQueryRequest():
            parts = (request.method, request.path_with_query, request.request_id, request.request_time)
            return "".join(parts).encode()
        case ExportRequest():
            return EXPORT_PREFIX + request.manifest
        case _:
            assert_never(request)


def _subject(request: SigningRequest, shared: _Round) -> LogFacts:
    """What the log says a request was about: ids, amounts and digests, nothing that names a person."""
    match request:
        case PayoutRequest():
            return _payout_subject(request, (shared.records or {}).get(request.payout_id))
        case BankQueryRequest():
            return {"method": request.method, "digest": _digest(_signed_bytes(request))}
        case BankMessageRequest():
            return {"profile": request.profile, "digest": _digest(request.body)}
        case AccessTokenRequest():
            return _token_subject(request.claims)
        case CheckpointRequest():
            return {"origin": request.origin, "size": request.size, "root": request.root.hex()}
        case ExportRequest():
            return {"digest": _digest(_signed_bytes(request))}
        case _:
            assert_never(request)


def _payout_subject(request: PayoutRequest, record: PayoutRecord | None) -> LogFacts:
    subject: dict[str, str | int | None] = {
        "payout_id": request.payout_id,
        "attempt_id": request.attempt_id,
        "profile": request.profile,
        "digest": _digest(request.body),
    }
    if record is not None:
        # The limits of the hour and the day are counted from these.
        subject |= {
            "programme_id": _seen(record.programme_id),
            "amount_minor": _seen(record.amount_minor),
            "currency": _seen(record.currency),
        }
    return subject


def _seen(value: object) -> str | int | None:
    """What a row says, before any rule has looked at it: a long text by its digest, what is no text by its type."""
    match value:
        case None | int():
            return value
        case str() if len(value) <= NAME_CHARS_MAX:
            return value
        case str():
            return f"sha256 {_digest(value.encode())}"
        case _:
            return type(value).__name__


def _token_subject(claims: Claims) -> LogFacts:
    return {
        "client_id": claims.client_id,
        "programme_id": claims.programme_id,
        "token_id": claims.token_id,
        "expires_at": claims.expires_at,
        "digest": _digest(canonical.encode(claims.model_dump(mode="json"))),
    }


def _digest(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()


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
