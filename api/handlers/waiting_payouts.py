"""What people do with a payout that waits: call it off, hold it back, let it go on. Runs on a lane."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from api import present
from api.bodies import WhyBody
from api.lanes import Ask, Reply
from api.problems import from_declined, not_found
from ledger.core.declined import Declined
from ledger.core.ids import PayoutId, is_id
from ledger.flows import payee_checks, payout_desk
from ledger.store.payouts import Payout, attempts_of, lock_payouts
from ledger.store.tx import Tx

Step: TypeAlias = Callable[[Tx, Payout, str], Payout | Declined]


def cancel_payouts(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Calls payouts off and gives their money back."""
    return [
        _take(tx, ask, lambda tx, payout, why: payout_desk.cancel(tx, payout, reason=why)) for ask in asks
    ]


def hold_payouts(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Keeps payouts from being sent."""
    return [_take(tx, ask, lambda tx, payout, why: payout_desk.hold(tx, payout, reason=why)) for ask in asks]


def resume_payouts(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Lets held payouts go on: whoever does it has seen what the payee's bank said of its name."""
    return [_take(tx, ask, partial(_resume, by=ask.client)) for ask in asks]


def _resume(tx: Tx, payout: Payout, why: str, *, by: str) -> Payout | Declined:
    resumed = payout_desk.resume(tx, payout, reason=why)
    if isinstance(resumed, Payout):
        payee_checks.choose(tx, payout, by=by, reason=why)
    return resumed


def _take(tx: Tx, ask: Ask, step: Step) -> Reply:
    body, payout_id = ask.payload
    assert isinstance(body, WhyBody)
    payout = lock_payouts(tx, [PayoutId(payout_id)]).get(payout_id) if is_id("pay", payout_id) else None
    if payout is None or payout.programme_id != ask.programme:
        return Reply.declined(not_found("payout"))
    taken = step(tx, payout, f"{body.reason} ({ask.client})")
    if isinstance(taken, Declined):
        return Reply.declined(from_declined(taken))
    return Reply(201, present.payout(taken, attempts_of(tx, [taken.id])[taken.id]))
