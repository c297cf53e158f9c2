"""People approve payouts: what they signed is kept, and the payout is tried again.

Nothing is verified here. The keys of approvers, and whose approvals count, are known to the enclave alone: a check here
would be one that a broken-into application passes.
"""

from ledger.core.canonical import Canonical
from ledger.core.declined import Declined
from ledger.core.payout import WAITING, PayoutState
from ledger.flows.payout_desk import wake
from ledger.store.approvals import approvals_of, insert_approval
from ledger.store.events import Event, record_events
from ledger.store.payouts import Payout
from ledger.store.tx import Tx

APPROVALS_MAX = (
    32  # of one payout, with what is forged or sent twice; the enclave reads no more than twice as many
)

_MAY_WAIT = WAITING | {PayoutState.SUBMITTED}


def approve(tx: Tx, payout: Payout, *, approver_id: str, signature: bytes) -> Declined | None:
    """Keeps an approval of a payout that the caller has locked; the same one again changes nothing."""
    kept = approvals_of(tx, [payout.id])[payout.id]
    if (approver_id, signature) in {(approval.approver_id, approval.signature) for approval in kept}:
        return None
    if payout.state not in _MAY_WAIT:
        return Declined("payout_not_waiting", f"This payout is {payout.state} and waits for nobody.")
    if len(kept) >= APPROVALS_MAX:
        return Declined("too_many_approvals", f"A payout takes {APPROVALS_MAX} signatures.")
    insert_approval(tx, payout.id, approver_id=approver_id, signature=signature)
    said: dict[str, Canonical] = {"approver_id": approver_id, "amount_minor": payout.amount_minor}
    record_events(tx, [Event(payout.programme_id, payout.id, "payout.approval_received", said)])
    wake(tx, [payout])
    return None
