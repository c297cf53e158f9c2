"""Sends the payouts that wait for one bank, many at once, and never one of them twice.

The order of things is what keeps money from being sent twice. Attempts are opened and committed; the enclave signs;
the signed requests are kept and committed; only then is the first byte of any of them written. Whoever finds an attempt
with a kept request and no outcome must take it that the bank has the order: it becomes unknown, and an enquiry, a
notice or a statement resolves it. No network call happens inside a database transaction.

Each of these steps is taken for all that were taken up together, in one transaction; only the sending is one by one,
and what comes back is kept as it comes.
"""

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeAlias

from enclave.client import EnclaveClient, EnclaveRefused, EnclaveUnavailable
from enclave.protocol import Signature, SignedHeaders
from ledger.core.errors import InvalidValue
from ledger.core.payout import REFUSED_BY_ENCLAVE, PayoutTrigger
from ledger.flows import payout_sending as flow
from ledger.flows.payout_sending import Conclusion
from ledger.store.payouts import Attempt, Payout, Signed, lock_queued
from ledger.store.tx import Tx
from partners.contract import (
    Accepted,
    Answer,
    Instruction,
    NotSent,
    Outcome,
    Rail,
    Rejected,
    Request,
    Unknown,
)
from partners.host.bank import BankHost, instruction_of, kept_signature, signature_fields
from partners.host.breaker import Breaker
from partners.host.calendar import is_open, next_opening
from partners.host.pace import Pace

TOGETHER_MAX = 64  # payouts in one transaction
AT_ONCE_MAX = 16  # requests on the wire; the transport has a few connections more
GATHER_S = 0.01  # for how long answers gather before they are kept together

MaySend: TypeAlias = Callable[[Tx, Sequence[Payout]], Sequence[Payout]]
Opened: TypeAlias = tuple[Payout, Attempt]


@dataclass(frozen=True, slots=True)
class _Ready:
    """An order that was signed and is to be sent."""

    instruction: Instruction
    attempt: Attempt
    request: Request
    signed: Signature | SignedHeaders


@dataclass(slots=True)
class PayoutSending:
    """The payouts of one bank. `sender` is our number among those who send.

    Several threads may call it: what one has taken up, the others do not see.
    """

    bank: BankHost
    enclaves: Callable[[], EnclaveClient]
    pool: ThreadPoolExecutor
    breaker: Breaker = field(default_factory=lambda: Breaker(time.monotonic))
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(self.bank.adapter.manifest().rate, time.monotonic, time.sleep)

    def send_due(self, may_send: MaySend, *, sender: int) -> int:
        """Sends what is due, up to `TOGETHER_MAX` payouts; says how many were looked at.

        `may_send` says which of those that it is shown may be sent, inside the transaction that takes them up.
        """
        room = self.breaker.room(TOGETHER_MAX)
        if room == 0:
            return 0
        with self.bank.transactions() as tx:
            queued = lock_queued(tx, self.bank.connection.name, limit=room)
            sendable = may_send(tx, self._by_the_clock(tx, queued)) if queued else ()
            opened = flow.submit(tx, sendable, sender=sender) if sendable else []
        if not opened:
            self.breaker.gave_up_trying()
        self.send(opened)
        return len(queued)

    def _by_the_clock(self, tx: Tx, queued: Sequence[Payout]) -> list[Payout]:
        """Those whose rail is open; the others are put off until it is."""
        hours = {facts.rail: facts.hours for facts in self.bank.adapter.manifest().rails}
        takes_orders = {rail: is_open(of_rail, tx.now) for rail, of_rail in hours.items()}
        closed = [payout for payout in queued if not takes_orders[Rail(payout.rail)]]
        flow.put_off(tx, [(payout, next_opening(hours[Rail(payout.rail)], tx.now)) for payout in closed])
        return [payout for payout in queued if takes_orders[Rail(payout.rail)]]

    def send(self, opened: Sequence[Opened]) -> None:
        """Has opened attempts signed, keeps what was signed, sends it, and keeps what became of it.

        Raises: EnclaveError when nobody signs: what was not signed stays open, for whoever takes it over.
        """
        if not opened:
            return
        signed = list(self.pool.map(self._sign, opened))
        refused = [item for item in signed if isinstance(item, Conclusion)]
        ready = [item for item in signed if isinstance(item, _Ready)]
        with self.bank.transactions() as tx:
            flow.conclude(tx, refused)
            ours = flow.keep_signed(tx, [_kept(item) for item in ready])
        to_send = [item for item in ready if item.attempt.id in ours]
        if not to_send:
            self.breaker.gave_up_trying()
        self._send_and_hear(to_send)
        unsigned = [item for item in signed if isinstance(item, EnclaveUnavailable)]
        if unsigned:
            raise unsigned[0]

    def _sign(self, opened: Opened) -> "_Ready | Conclusion | EnclaveUnavailable":
        payout, attempt = opened
        instruction = instruction_of(payout)
        try:
            request = self.bank.adapter.prepare(instruction)
            signed = self.enclaves().payout(
                payout_id=payout.id,
                attempt_id=attempt.id,
                profile=request.profile,
                body=request.body or b"",
                scheme=self.bank.scheme,
                target=self.bank.target(request),
            )
        except InvalidValue as error:
            return Conclusion(attempt, PayoutTrigger.REJECT, f"cannot be said to this bank: {error.detail}")
        except EnclaveRefused as refused:
            # Time or people may mend it: it is tried again, on a schedule and when something has changed.
            return Conclusion(attempt, PayoutTrigger.NOT_SENT, f"{REFUSED_BY_ENCLAVE}{refused.code}")
        except EnclaveUnavailable as silent:
            return silent
        return _Ready(instruction, attempt, request, signed)

    def _send_and_hear(self, ready: Collection[_Ready]) -> None:
        """Sends each, and keeps what comes back as it comes: a slow answer keeps no other from being kept."""
        waiting: set[Future[tuple[Conclusion, bytes | None]]] = {
            self.pool.submit(self._send_one, item) for item in ready
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            if waiting:
                more, waiting = wait(waiting, timeout=GATHER_S)
                done |= more
            self._conclude([future.result() for future in done])

    def _conclude(self, heard: Sequence[tuple[Conclusion, bytes | None]]) -> None:
        with self.bank.transactions() as tx:
            flow.conclude(tx, [self._with_its_word(tx, *item) for item in heard])

    def _with_its_word(self, tx: Tx, conclusion: Conclusion, word: bytes | None) -> Conclusion:
        """Keeps the bank's own word where it moves money."""
        if word is None:
            return conclusion
        notice_id = self.bank.keep(tx, source="answer", key=f"answer:{conclusion.attempt.id}", body=word)
        return replace(conclusion, notice_id=notice_id)

    def _send_one(self, item: _Ready) -> tuple[Conclusion, bytes | None]:
        self.pace.take()
        answer = self.bank.send(
            item.request,
            item.attempt.request_id,
            signature_fields(item.signed),
            token=self.bank.connection.payout_token,
        )
        if not isinstance(answer, Answer):
            self.breaker.was_silent()
            return _concluded(item.attempt, answer), None
        self.breaker.answered()
        outcome = self.bank.adapter.interpret(item.instruction, answer)
        if isinstance(outcome, NotSent) and outcome.retry_after_s is not None:
            self.breaker.wait(timedelta(seconds=outcome.retry_after_s))
        return _concluded(item.attempt, outcome), answer.body if isinstance(outcome, Rejected) else None


def _concluded(attempt: Attempt, outcome: Outcome) -> Conclusion:
    match outcome:
        case Accepted(references):
            return Conclusion(attempt, PayoutTrigger.ACCEPT, references=dict(references))
        case Rejected(reason):
            return Conclusion(attempt, PayoutTrigger.REJECT, str(reason))
        case NotSent(cause, retry_after_s):
            retry_after = None if retry_after_s is None else timedelta(seconds=retry_after_s)
            return Conclusion(attempt, PayoutTrigger.NOT_SENT, cause, retry_after=retry_after)
        case Unknown(cause):
            return Conclusion(attempt, PayoutTrigger.LOSE_SIGHT, cause)


def _kept(item: _Ready) -> Signed:
    return Signed(
        attempt_id=item.attempt.id, body=item.request.body or b"", signature=kept_signature(item.signed)
    )
