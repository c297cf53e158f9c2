"""Payouts that have waited so long for a signature that the gate has to look at their orders once more."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from compliance.gate import Gate
from ledger.core.clearance import Cleared
from ledger.core.ids import AccountId, PayoutId, ProgrammeId
from ledger.core.orders import PayoutOrder, SweepOrder
from ledger.core.payout import SCREENING_STALE, PayoutState, refusal_in
from ledger.flows import payouts as flow
from ledger.store.approvals import insert_screening
from ledger.store.payouts import Payout, attempts_of, lock_payouts
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class WaitingPayouts:
    """The gate, for payouts that it cleared before."""

    gate: Gate

    def screen_again(self, tx: Tx, payout_id: PayoutId) -> None:
        """Screens a payout whose screening the enclave found too old, as if it were ordered now.

        One that is not cleared any more ends: an order that is not cleared moves nothing, and its case is open.
        """
        payout = lock_payouts(tx, [payout_id]).get(payout_id)
        if payout is None or payout.state is not PayoutState.QUEUED:
            return
        earlier = attempts_of(tx, [payout_id])[payout_id]
        if not earlier or refusal_in(earlier[-1].cause) != SCREENING_STALE:
            return
        (screened,) = self.gate.screen(tx, [_order_of(payout)])
        if isinstance(screened, Cleared):
            assert screened.clearance.order_digest == payout.order_digest, "a payout says what its order said"
            insert_screening(tx, payout.id, screened.clearance.decision)
        else:
            flow.turn_away(tx, payout, earlier, reason=f"screened again and not cleared: {screened.case_id}")


class _Said(TypedDict):
    payout_id: PayoutId
    programme_id: ProgrammeId
    account_id: AccountId
    reference: str
    rail: str
    amount_minor: int
    currency: str
    creditor_name: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    end_to_end_id: str
    remittance: str
    initiator: str
    send_at: datetime | None


def _order_of(payout: Payout) -> PayoutOrder | SweepOrder:
    """The order that a payout was made from."""
    said: _Said = {
        "payout_id": payout.id,
        "programme_id": payout.programme_id,
        "account_id": payout.account_id,
        "reference": payout.reference,
        "rail": payout.rail,
        "amount_minor": payout.amount_minor,
        "currency": payout.currency,
        "creditor_name": payout.creditor_name,
        "creditor_iban": payout.creditor_iban,
        "debtor_name": payout.debtor_name,
        "debtor_iban": payout.debtor_iban,
        "end_to_end_id": payout.end_to_end_id,
        "remittance": payout.remittance,
        "initiator": payout.initiator,
        "send_at": payout.send_at,
    }
    return SweepOrder(**said) if payout.party_id is None else PayoutOrder(**said, party_id=payout.party_id)
