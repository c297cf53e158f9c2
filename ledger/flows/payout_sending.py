"""Sending payouts, many at once: taken up, kept as signed, and concluded, each step committed before the next is tried.

That a payout is queued is the promise that it is sent: whoever sends looks for those that are due. Each attempt says
who sends it; what a sender that has died had taken up, another one takes over. Of an attempt whose signed request was
kept it must be assumed that the bank has it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ledger.core.ids import AttemptId, NoticeId, PayoutId
from ledger.core.payout import APPROVALS_MISSING, PayoutState, PayoutTrigger, advance, refusal_in
from ledger.flows.payout_steps import Step, Word, take
from ledger.store.payouts import (
    Attempt,
    Outcome,
    Payout,
    Signed,
    attempts_of,
    lock_due,
    lock_payouts,
    open_attempts,
    open_attempts_of,
    save_outcomes,
    save_sender,
    save_signed,
)
from ledger.store.senders import gone_senders
from ledger.store.tx import Tx

ATTEMPTS_MAX = 100  # more than three days at the longest delay
RETRY_DELAY_S = 10  # after the first attempt that provably reached nobody; then twice as long each time
RETRY_DELAY_MAX_S = 3600
WAITING_MAX = timedelta(days=7)  # for a signature, counted from the first attempt
DUE_MAX = 500  # queued in one transaction; the next one takes up the others


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What became of one attempt. `retry_after`: how long the bank asked us to wait."""

    attempt: Attempt
    trigger: PayoutTrigger
    cause: str = ""
    references: Mapping[str, str] | None = None
    notice_id: NoticeId | None = None
    retry_after: timedelta | None = None


def submit(tx: Tx, payouts: Sequence[Payout], *, sender: int) -> list[tuple[Payout, Attempt]]:
    """Opens the next attempt of each of these payouts, which the caller has locked, and leaves out what is not queued.

    Ends those that have been tried for too long.
    """
    waiting = [payout for payout in payouts if advance(payout.state, PayoutTrigger.SUBMIT) is not None]
    earlier = attempts_of(tx, [payout.id for payout in waiting])
    given_up = {payout.id: _given_up(tx, earlier[payout.id]) for payout in waiting}
    take(
        tx,
        [
            turned_away(payout, earlier[payout.id], reason=reason)
            for payout in waiting
            if (reason := given_up[payout.id]) is not None
        ],
    )
    going = [payout for payout in waiting if given_up[payout.id] is None]
    opened = [_attempt(tx, payout, number=len(earlier[payout.id]) + 1) for payout in going]
    open_attempts(tx, opened, sender=sender)
    steps = [
        Step(payout, PayoutTrigger.SUBMIT, noted={"attempt": attempt.id})
        for payout, attempt in zip(going, opened, strict=True)
    ]
    return list(zip(take(tx, steps), opened, strict=True))


def _attempt(tx: Tx, payout: Payout, *, number: int) -> Attempt:
    return Attempt(
        id=AttemptId(tx.new_id("att")),
        payout_id=payout.id,
        attempt_no=number,
        request_id=payout.id,  # the same for every attempt: the bank takes it once, whatever an answer seemed to say
        opened_at=tx.now,
        request_body=None,
        signature=None,
        sent_at=None,
        outcome=None,
        cause=None,
        bank_references=None,
        answered_at=None,
    )


def _given_up(tx: Tx, earlier: Sequence[Attempt]) -> str | None:
    """Why a payout is not tried any more."""
    if sum(attempt.signature is not None for attempt in earlier) >= ATTEMPTS_MAX:
        return f"turned away {len(earlier)} times"
    if earlier and earlier[-1].signature is None and tx.now - earlier[0].opened_at >= WAITING_MAX:
        return f"not signed for {WAITING_MAX.days} days; {earlier[-1].cause}"
    return None


def turned_away(payout: Payout, earlier: Sequence[Attempt], *, reason: str) -> Step:
    """The end of a queued payout that is not to be tried again.

    What was never signed was never sent, and its money goes back. Of an order that was signed, somebody between us and
    the bank may have lied at every attempt: only the bank's word gives money back.
    """
    was_signed = any(attempt.signature is not None for attempt in earlier)
    return Step(payout, PayoutTrigger.LOSE_SIGHT if was_signed else PayoutTrigger.REJECT, Word(reason=reason))


def keep_signed(tx: Tx, signed: Sequence[Signed]) -> frozenset[AttemptId]:
    """Keeps signed requests before their first byte is sent: whoever finds one must assume that the bank has it.

    Says which are the caller's to send: of the others somebody else has kept a request, and sends it.
    """
    return save_signed(tx, signed)


def conclude(tx: Tx, conclusions: Sequence[Conclusion]) -> None:
    """Records what became of attempts, each once; moves a payout on unless a notice has already moved it further."""
    if not conclusions:
        return
    ids = [item.attempt.payout_id for item in conclusions]
    locked = lock_payouts(tx, ids)
    latest = {payout_id: attempts[-1] for payout_id, attempts in attempts_of(tx, ids).items()}
    standing = [item for item in conclusions if _still_stands(item.attempt, latest)]
    steps = [_step_of(tx, item, locked[item.attempt.payout_id], latest) for item in standing]
    outcomes = [
        Outcome(
            attempt_id=item.attempt.id,
            outcome=_outcome(step),
            cause=item.cause,
            references=item.references or {},
        )
        for item, step in zip(standing, steps, strict=True)
    ]
    save_outcomes(tx, outcomes)
    take(tx, steps)


def _still_stands(attempt: Attempt, latest: Mapping[PayoutId, Attempt]) -> bool:
    newest = latest[attempt.payout_id]
    return newest.id == attempt.id and newest.outcome is None


def _step_of(tx: Tx, item: Conclusion, payout: Payout, latest: Mapping[PayoutId, Attempt]) -> Step:
    word = Word(notice_id=item.notice_id, reason=item.cause)
    if item.trigger is not PayoutTrigger.NOT_SENT:
        return Step(payout, item.trigger, word)
    if refusal_in(item.cause) == APPROVALS_MISSING:
        due_at = tx.now + timedelta(seconds=RETRY_DELAY_MAX_S)
        return Step(replace(payout, due_at=due_at), PayoutTrigger.LACK_APPROVAL, word)
    due_at = tx.now + max(retry_delay(latest[payout.id].attempt_no), item.retry_after or timedelta(0))
    return Step(replace(payout, due_at=due_at), PayoutTrigger.NOT_SENT, word)


def _outcome(step: Step) -> str:
    if step.trigger in _NOT_SENT and step.payout.state is not PayoutState.SUBMITTED:
        return "unknown"  # the bank has told us of an order that we believed was never sent
    return _OUTCOMES[step.trigger]


_NOT_SENT = frozenset({PayoutTrigger.NOT_SENT, PayoutTrigger.LACK_APPROVAL})
_OUTCOMES = {
    PayoutTrigger.ACCEPT: "accepted",
    PayoutTrigger.REJECT: "rejected",
    PayoutTrigger.NOT_SENT: "not_sent",
    PayoutTrigger.LACK_APPROVAL: "not_sent",
    PayoutTrigger.LOSE_SIGHT: "unknown",
}


def retry_delay(tried: int) -> timedelta:
    """How long a payout waits after so many attempts."""
    return timedelta(seconds=min(RETRY_DELAY_S << min(tried - 1, 20), RETRY_DELAY_MAX_S))


def take_over(tx: Tx, *, sender: int) -> list[tuple[Payout, Attempt]]:
    """Takes up what senders that have died left behind; gives the attempts that nothing was sent of, to be sent now.

    Of an attempt with a signed request the bank may have everything: its payout is unknown from here on.
    """
    gone = gone_senders(tx, but=sender)
    if not gone:
        return []
    left = open_attempts_of(tx, gone)
    locked = lock_payouts(tx, [attempt.payout_id for attempt in left])
    sent = [attempt for attempt in left if attempt.request_body is not None]
    cause = "we stopped between sending the order and keeping its answer"
    conclude(tx, [Conclusion(attempt, PayoutTrigger.LOSE_SIGHT, cause) for attempt in sent])
    unsent = [attempt for attempt in left if attempt.request_body is None]
    save_sender(tx, [attempt.id for attempt in unsent], sender=sender)
    return [
        (locked[attempt.payout_id], attempt)
        for attempt in unsent
        if locked[attempt.payout_id].state is PayoutState.SUBMITTED
    ]


def put_off(tx: Tx, closed: Collection[tuple[Payout, datetime]]) -> None:
    """Puts queued payouts whose rail is closed off until the time at which it opens."""
    steps = [
        Step(
            replace(payout, due_at=opens_at),
            PayoutTrigger.SCHEDULE,
            Word(reason=f"{payout.rail} takes no orders at this hour"),
        )
        for payout, opens_at in closed
    ]
    take(tx, steps)


def release_due(tx: Tx) -> int:
    """Queues the payouts whose time has come, at most `DUE_MAX`; says how many they were."""
    due = lock_due(tx, limit=DUE_MAX)
    take(tx, [Step(replace(payout, due_at=None), PayoutTrigger.DUE) for payout in due])
    return len(due)
