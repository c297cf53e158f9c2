"""The desk between a request and a key: read, look up, decide, record, and only then sign.

Takes a round of requests at once: one look at the database for all payouts among them, one decision each, one
write of all decisions, then the signatures, made while the disk makes the decisions durable. Checkpoints look at their
leaves one after another, because each goes on from the one before, and share what a round may read. No signature goes
out whose decision is not on the disk, and none is made whose decision could not be written. Of one user's many refusals
the log is told in sums (`enclave.refusal_tally`). Fails closed: whatever goes wrong, the answer is a refusal. Knows no
sockets; must be called by one thread only, because python-pkcs11 with two threads brings SoftHSM down.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from enclave import policy
from enclave.allowance import Allowance, NotReadYet
from enclave.approvals import Approver
from enclave.card_desk import CardDesk, card_subject
from enclave.card_vault import Recipient
from enclave.disk import Disk
from enclave.facts import PayoutFacts, PayoutRecord
from enclave.growth import Growth
from enclave.key_desk import KeyDesk
from enclave.keyring import Keyring, NoKey, Sweep
from enclave.keys import KeyAddress, KeyBackendFailure, TokenLost
from enclave.leaves import Leaves
from enclave.loading import Loading
from enclave.log import EntryKind, LogEntry, LogFacts, LogUnavailable
from enclave.logbook import Logbook
from enclave.measurement import Measurement
from enclave.memory import Memory
from enclave.mirror import Mirror
from enclave.patience import Patience
from enclave.pause import SHORTEST
from enclave.pen import Grant, Pen
from enclave.policy import CLOCK_SKEW_S_MAX, Before, Conditions, Limits
from enclave.protocol import (
    AccessTokenRequest,
    Answer,
    AttestationRequest,
    BankMessageRequest,
    BankQueryRequest,
    CardForwardRequest,
    CardRequest,
    CardResealRequest,
    CardSealRequest,
    CheckpointRequest,
    ExportRequest,
    KeyVersionsRequest,
    LoadKeysRequest,
    PayoutRequest,
    PingRequest,
    Pong,
    PublicKeysRequest,
    Request,
    SigningRequest,
    WebhookRequest,
    WebhookSecretRequest,
    read_request,
    write_answer,
)
from enclave.refusal_tally import RefusalTally
from enclave.refusals import Refusal, RefusalCode, refusal
from enclave.spending import Purse, Window
from enclave.subjects import debtor_of, digest_of, subject_of

Clock: TypeAlias = Callable[[], datetime]
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
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class _Case:
    """A request on its way: either already answered, or granted and waiting for the log."""

    outcome: Answer | Refusal | Grant
    entry: LogEntry | None


class Signer:
    """Answers rounds of requests."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        facts: PayoutFacts,
        leaves: Leaves,
        logbook: Logbook,
        clock: Clock,
        limits: Limits,
        conditions: Conditions,
        approvers: Callable[[], Mapping[str, Approver]],
        mirror: Mirror | None,
        measurement: Measurement | None = None,
        recipients: Mapping[str, Recipient] | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Without a measurement the enclave signs, but cannot say what it is: whoever pins it, refuses it.

        `patience` is that of all connections behind the ports; there is none to speak of where nothing is waited for.
        """
        self._keyring = keyring
        log = logbook.log
        self._loading = Loading(keyring, log)
        self._key_desk = KeyDesk(keyring, self._loading)
        self._pen = Pen(keyring, log, measurement)
        self._card_desk = CardDesk(
            keyring, recipients=recipients or {}, seals=logbook.seals, per_hour=limits.cards_per_hour
        )
        self._facts = facts
        self._growth = Growth(leaves)
        self._log = log
        self._clock = clock
        self._limits = limits
        self._conditions = conditions
        self._approvers = approvers
        self._mirror = mirror
        self._measurement = measurement
        self._patience = patience or Patience()
        self._disk = Disk(log)
        self._tally = RefusalTally()
        self._lost: TokenLost | None = None
        self._memory = logbook.memory

    def record_start(self) -> Sweep:
        """Record the start, and load the keys.

        When nobody can say which keys were admitted, that is asked again with the first request.

        Raises:
            LogUnavailable: the record is not durable.
            KeyBackendFailure: a key that would have to sign now is not as it must be.
        """
        now = self._clock()
        entry = LogEntry(kind=EntryKind.STARTED, purpose="enclave", facts={})
        self._log.append([entry], at=now)
        self._memory.join([entry], at=now)
        self._loading.load(self._memory, now=now)
        self._refuse_unusable_keys(now)
        return self._loading.sweep

    def _refuse_unusable_keys(self, now: datetime) -> None:
        keys, unusable = self._keyring.register.keys, self._loading.sweep.unusable
        missed = {address: reason for address, reason in unusable.items() if keys[address].signs(now)}
        if missed:
            facts: list[LogFacts] = [{"key_id": str(address), "error": "unusable"} for address in missed]
            self._log.append([LogEntry(EntryKind.FAILED, "keys", each) for each in facts], at=now)
            raise KeyBackendFailure("; ".join(missed.values()))

    def refuse_to_go_on(self) -> None:
        """Return if there is a point in going on; to be called between rounds, when all have their answers.

        Raises:
            TokenLost: a signature failed, and every one from now on would. The failure is in the log.
        """
        if self._lost is not None:
            raise self._lost

    def keep_mirror(self) -> float | None:
        """Have the log's head kept if it is time to; says in how many seconds it will be, None: nothing is new."""
        self._patience.begin_round()
        wait = None if self._mirror is None else self._mirror.keep(now=self._clock())
        return None if wait is None else wait.total_seconds()

    def tell_sums(self, *, at_once: bool = False) -> float | None:
        """Have the log told of refusals that were counted, if it is time to or `at_once`.

        Says in how many seconds it will be, None: none are counted.
        """
        now, tally = self._clock(), self._tally.branch()
        told = tally.sums(now=now, at_once=at_once)
        if told:
            try:
                self._log.append(told, at=now)
            except LogUnavailable:
                # They are counted on, and told when the log is to be had again.
                return SHORTEST.total_seconds()
            self._memory.join(told, at=now)
            self._tally = tally
        wait = self._tally.due_in(now=now)
        return None if wait is None else wait.total_seconds()

    def close(self) -> None:
        """Have all counts told and the last head kept, and end the thread that waits for the disk."""
        self._disk.close()
        self.tell_sums(at_once=True)
        if self._mirror is not None:
            self.keep_mirror()
            self._mirror.close(now=self._clock())

    def answer(self, letters: Sequence[Letter]) -> list[bytes]:
        """One answer a letter, in order."""
        self._patience.begin_round()
        try:
            requests = [read_request(letter.data) for letter in letters]
            cases = self._decide(letters, requests)
        except Exception:  # noqa: BLE001  # the edge of the process: whatever failed, nothing is signed
            return [write_answer(refusal(RefusalCode.INTERNAL)) for _ in letters]
        at = self._clock()
        entries, tally = self._told(cases, at)
        if not self._write(entries, at):
            return [write_answer(_without_log(case)) for case in cases]
        # The token works while the disk does; nothing of it goes out before the disk is done.
        is_durable = self._disk.begin()
        answers = [self._carry_out(case) for case in cases]
        if not is_durable():
            return [write_answer(_without_log(case)) for case in cases]
        self._memory.join(entries, at=at)
        self._tally = tally
        self._record_failures(cases, answers)
        return [
            write_answer(refusal(RefusalCode.INTERNAL) if isinstance(answer, Exception) else answer)
            for answer in answers
        ]

    def _decide(self, letters: Sequence[Letter], requests: Sequence[Request | Refusal]) -> list[_Case]:
        payout_ids = [request.payout_id for request in requests if isinstance(request, PayoutRequest)]
        shared = _Round(self._look_up(payout_ids), self._memory.branch(), self._clock(), Allowance())
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
            case CardSealRequest() | CardResealRequest() | CardForwardRequest():
                return self._decide_card(letter, request, shared)
            case PublicKeysRequest() | KeyVersionsRequest() | LoadKeysRequest():
                return _Case(outcome=self._key_desk.answer(request, self._memory, now=shared.now), entry=None)
            case _:
                return self._decide_signing(letter, request, shared)

    def _decide_card(self, letter: Letter, request: CardRequest, shared: _Round) -> _Case:
        """What becomes of the card is done at once, and shown when it is in the log."""
        subject = card_subject(request)
        try:
            why = self._refuse_by_state(request, shared)
        except Exception:  # noqa: BLE001  # fail closed: a state that is not known is not a good one
            why = refusal(RefusalCode.INTERNAL)
        if why is not None:
            return _refused(letter, purpose=request.purpose, subject=subject, why=why)
        try:
            decision = self._card_desk.decide(request, shared.memory, now=shared.now)
        except Exception as error:  # noqa: BLE001  # fail closed: a back end that breaks down has sealed nothing
            self._lost = error if isinstance(error, TokenLost) else self._lost
            facts = {**_sender(letter), **subject, "error": type(error).__name__}
            return _Case(refusal(RefusalCode.INTERNAL), LogEntry(EntryKind.FAILED, request.purpose, facts))
        if isinstance(decision.outcome, Refusal):
            return _refused(letter, purpose=request.purpose, subject=subject, why=decision.outcome)
        facts = {**_sender(letter), **decision.facts}
        return _Case(decision.outcome, LogEntry(EntryKind.GRANTED, request.purpose, facts))

    def _decide_signing(self, letter: Letter, request: SigningRequest, shared: _Round) -> _Case:
        subject = subject_of(request, _record_of(request, shared))
        try:
            keys = self._keys_for(request, shared)
        except Exception:  # noqa: BLE001  # fail closed: a policy that breaks down has not said yes
            keys = refusal(RefusalCode.INTERNAL)
        if isinstance(keys, Refusal):
            return _refused(letter, purpose=request.purpose, subject=subject, why=keys)
        grant = Grant(request, keys, shared.now, self._memory.starts)
        facts = {**_sender(letter), **subject, **_keys_named(grant.keys)}
        return _Case(outcome=grant, entry=LogEntry(EntryKind.GRANTED, request.purpose, facts))

    def _keys_for(self, request: SigningRequest, shared: _Round) -> tuple[KeyAddress, ...] | Refusal:
        """The keys that a request may be signed with, or why it may not."""
        why = self._refuse_by_state(request, shared)
        if why is not None:
            return why
        try:
            keys = self._pen.keys_for(request, shared.now)
        except NoKey:
            return refusal(RefusalCode.KEY_UNAVAILABLE)
        return self._refuse(request, shared) or keys

    def _refuse_by_state(self, request: SigningRequest | CardRequest, shared: _Round) -> Refusal | None:
        """What is wrong with the enclave's own log, database, clock or register."""
        why = None if self._mirror is None else self._mirror.refuse(now=shared.now)
        looks_back = isinstance(request, PayoutRequest | CheckpointRequest)
        if why is not None and (looks_back or why is not RefusalCode.MIRROR_UNAVAILABLE):
            return refusal(why)
        # By a clock behind the log's last record, windows, lifetimes and the order of the log would mean nothing.
        behind = self._memory.latest - shared.now
        if behind > CLOCK_BEHIND_MAX:
            return refusal(RefusalCode.CLOCK_WENT_BACK)
        why = self._loading.refuse(self._memory, now=shared.now)
        return None if why is None else refusal(why)

    def _refuse(  # noqa: PLR0911  # one answer a purpose
        self, request: SigningRequest, shared: _Round
    ) -> Refusal | None:
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
                return self._refuse_checkpoint(request, shared)
            case ExportRequest():
                return policy.refuse_export(request)
            case AttestationRequest():
                return refusal(RefusalCode.NOT_MEASURED) if self._measurement is None else None
            case WebhookRequest():
                return policy.refuse_webhook(request)
            case WebhookSecretRequest():
                return None
            case _:
                assert_never(request)

    def _refuse_payout(self, request: PayoutRequest, shared: _Round) -> Refusal | None:
        if shared.records is None:
            return refusal(RefusalCode.FACTS_UNAVAILABLE)
        record = shared.records.get(request.payout_id)
        before = _signed_before(record, shared)
        return policy.refuse_payout(
            request,
            record,
            before=before,
            limits=self._limits,
            conditions=self._conditions,
            approvers=self._approvers(),
            now=shared.now,
        )

    def _refuse_checkpoint(self, request: CheckpointRequest, shared: _Round) -> Refusal | None:
        last = shared.memory.last_checkpoint(request.origin)
        try:
            tree = self._growth.towards(request, last, allowance=shared.allowance, now=shared.now)
        except NotReadYet:
            return refusal(RefusalCode.CHECKPOINT_GROWING)
        except Exception:  # noqa: BLE001  # fail closed: what could not be read is not known
            return refusal(RefusalCode.FACTS_UNAVAILABLE)
        return policy.refuse_checkpoint(request, last=last, tree=tree)

    def _told(self, cases: Sequence[_Case], at: datetime) -> tuple[list[LogEntry], RefusalTally]:
        """What the log is told of a round, and the tally as it will be once that is on the disk."""
        entries, tally = [], self._tally.branch()
        for case in cases:
            entry = case.entry
            if entry is not None and entry.kind is EntryKind.REFUSED:
                entry = tally.take(entry, now=at)
            if entry is not None:
                entries.append(entry)
        return entries, tally

    def _write(self, entries: Sequence[LogEntry], at: datetime) -> bool:
        try:
            self._log.write(entries, at=at)
        except Exception:  # noqa: BLE001  # fail closed: whatever failed, the decisions are not in the log
            return False
        return True

    def _carry_out(self, case: _Case) -> Answer | Refusal | Exception:
        """The answer to a case, or what kept the token from giving it."""
        if not isinstance(case.outcome, Grant):
            return case.outcome
        try:
            return self._pen.sign(case.outcome)
        except Exception as error:  # noqa: BLE001  # fail closed: a back end that breaks down did not sign
            self._lost = error if isinstance(error, TokenLost) else self._lost
            return error

    def _record_failures(
        self, cases: Sequence[_Case], answers: Sequence[Answer | Refusal | Exception]
    ) -> None:
        failed = [
            LogEntry(EntryKind.FAILED, case.outcome.request.purpose, {"error": type(answer).__name__})
            for case, answer in zip(cases, answers, strict=True)
            if isinstance(answer, Exception) and isinstance(case.outcome, Grant)
        ]
        if failed:
            # If that fails: nothing was signed, and the next request will hear that the log is not to be had.
            with suppress(LogUnavailable):
                self._log.append(failed, at=self._clock())


def _record_of(request: SigningRequest, shared: _Round) -> PayoutRecord | None:
    return (shared.records or {}).get(request.payout_id) if isinstance(request, PayoutRequest) else None


def _signed_before(record: PayoutRecord | None, shared: _Round) -> Before:
    if record is None:
        return Before()
    purse = Purse(debtor_of(record), record.currency)
    signed = shared.memory.signed_payout(record.payout_id)
    return Before(
        digest=None if signed is None else signed.digest,
        scheme=None if signed is None else signed.scheme,
        target=None if signed is None else signed.target,
        last_hour_minor=shared.memory.spent(purse, Window.HOUR, now=shared.now),
        last_day_minor=shared.memory.spent(purse, Window.DAY, now=shared.now),
    )


def _without_log(case: _Case) -> Answer | Refusal:
    """What a case hears when what the log is told of its round is not on the disk."""
    if case.entry is None and not isinstance(case.outcome, Grant):
        return case.outcome
    return refusal(RefusalCode.LOG_UNAVAILABLE)


def _refused(letter: Letter, *, purpose: str, subject: LogFacts, why: Refusal) -> _Case:
    facts = {**_sender(letter), **subject, "code": str(why.code)}
    return _Case(outcome=why, entry=LogEntry(kind=EntryKind.REFUSED, purpose=purpose, facts=facts))


def _sender(letter: Letter) -> LogFacts:
    return {
        "peer_pid": letter.peer.pid,
        "peer_uid": letter.peer.uid,
        "request": digest_of(letter.data),
    }


def _keys_named(keys: Sequence[KeyAddress]) -> LogFacts:
    first, *others = map(str, keys)
    return {"key_id": first, **({"further_key_ids": " ".join(others)} if others else {})}
