"""What people do with payouts that wait: call them off, hold them back, let them go on, have them tried at once.

A payout that was signed at any time is not called off, even if that attempt reached nobody: somebody between us and the
bank may have said so, and only the bank's word gives money back.
"""

from collections.abc import Sequence
from dataclasses import replace

from ledger.core.declined import Declined
from ledger.core.payout import WAITING, PayoutState, PayoutTrigger
from ledger.flows.payout_steps import Step, Word, take
from ledger.store.payouts import Payout, attempts_of, save_steps
from ledger.store.tx import Tx


def cancel(tx: Tx, payout: Payout, *, reason: str) -> Payout | Declined:
    """Calls off a payout that waits and gives its money back; declines one that was signed once."""
    if payout.state not in WAITING:
        return _not_waiting(payout, "called off")
    if any(attempt.signature is not None for attempt in attempts_of(tx, [payout.id])[payout.id]):
        return Declined(
            "payout_was_signed", "This payout was signed once: only its bank can say that it has it not."
        )
    return _take_one(tx, payout, PayoutTrigger.CANCEL, reason)


def hold(tx: Tx, payout: Payout, *, reason: str) -> Payout | Declined:
    """Keeps a payout that waits from being sent, until somebody resumes it."""
    if payout.state is PayoutState.HELD:
        return payout
    if payout.state not in WAITING:
        return _not_waiting(payout, "held")
    return _take_one(tx, payout, PayoutTrigger.HOLD, reason)


def resume(tx: Tx, payout: Payout, *, reason: str) -> Payout | Declined:
    """Lets a held payout go on its way: it is sent at once, or at its time if that has not come."""
    if payout.state is not PayoutState.HELD:
        return Declined(
            "payout_not_held", f"This payout is {payout.state}: only one that is held is resumed."
        )
    resumed = _take_one(tx, payout, PayoutTrigger.RESUME, reason)
    if payout.send_at is None or payout.send_at <= tx.now:
        return resumed
    waiting = replace(resumed, due_at=payout.send_at)
    return _take_one(tx, waiting, PayoutTrigger.SCHEDULE, "its time has not come")


def wake(tx: Tx, payouts: Sequence[Payout]) -> None:
    """Has payouts that wait for another try, or for people, tried at once: what they waited for may be there."""
    lacking = [payout for payout in payouts if payout.state is PayoutState.PENDING_APPROVAL]
    take(tx, [Step(replace(payout, due_at=None), PayoutTrigger.DUE) for payout in lacking])
    queued = [payout for payout in payouts if payout.state is PayoutState.QUEUED]
    save_steps(tx, [replace(payout, due_at=None) for payout in queued])


def _not_waiting(payout: Payout, what: str) -> Declined:
    return Declined("payout_not_waiting", f"This payout is {payout.state}: only one that waits is {what}.")


def _take_one(tx: Tx, payout: Payout, trigger: PayoutTrigger, reason: str) -> Payout:
    (moved,) = take(tx, [Step(payout, trigger, Word(reason=reason))])
    return moved
