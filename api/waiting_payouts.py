"""Payouts that have waited so long for a signature that the gate has to look at their orders once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from compliance.gate import Gate
from ledger.core.clearance import Cleared
from ledger.core.ids import AccountId, PayoutId, ProgrammeId
from ledger.core.orders import PayoutOrder, SweepOrder
from ledger.core.payout import SCREENING_STALE, refusal_in
from ledger.flows.payout_sending import turned_away
from ledger.flows.payout_steps import Step, take
from ledger.store.approvals import insert_screening
from ledger.store.payouts import Attempt, Payout, attempts_of
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class WaitingPayouts:
    """The gate, for payouts that it cleared before."""

    gate: Gate

    def screen_again(self, tx: Tx, queued: Sequence[Payout]) -> list[Payout]:
        """Screens payouts whose screening the enclave found too old, as if they were ordered now; gives all that go on.

        One that is not cleared any more ends: an order that is not cleared moves nothing, and its case is open.
        """
        earlier = attempts_of(tx, [payout.id for payout in queued])
        stale = [payout for payout in queued if _is_stale(earlier[payout.id])]
        screened = self.gate.screen(tx, [_order_of(payout) for payout in stale]) if stale else ()
        ends: list[Step] = []
        for payout, answer in zip(stale, screened, strict=True):
            if isinstance(answer, Cleared):
                assert answer.clearance.order_digest == payout.order_digest, (
                    "a payout says what its order said"
                )
                insert_screening(tx, payout.id, answer.clearance.decision)
            else:
                reason = f"screened again and not cleared: {answer.case_id}"
                ends.append(turned_away(payout, earlier[payout.id], reason=reason))
        take(tx, ends)
        ended = {step.payout.id for step in ends}
        return [payout for payout in queued if payout.id not in ended]


def _is_stale(earlier: Sequence[Attempt]) -> bool:
    return bool(earlier) and refusal_in(earlier[-1].cause) == SCREENING_STALE


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
