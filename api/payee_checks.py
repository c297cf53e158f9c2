"""Asks the payee's bank before the first payout to a beneficiary, between transactions and never inside one."""

from dataclasses import dataclass

from api.transactions import Transactions
from compliance.policy import Policies
from ledger.core.ids import PayoutId
from ledger.core.payee import PayeeAnswer, PayeeMatch
from ledger.core.payout import PayoutState
from ledger.flows import payee_checks as flow
from ledger.store.jobs import promise
from ledger.store.payouts import Payout, lock_payouts
from ledger.store.tx import Tx
from partners.host.bank import BankHost

ASKED_MAX = 5  # while our own bank says nothing; then it is known that it cannot be known
ASK_AGAIN_S = 60


@dataclass(frozen=True, slots=True)
class PayeeChecks:
    """The check of one payout's payee. A sweep is paid to ourselves, and is not checked."""

    transactions: Transactions
    policies: Policies

    def before_sending(self, bank: BankHost, payout_id: PayoutId, *, asked: int) -> bool:
        """Whether a payout may be sent as far as its payee goes. `asked`: how often nobody answered."""
        if not bank.verifies_payees:
            return True
        with self.transactions() as tx:
            payout = _waiting(tx, payout_id)
            if payout is None:
                return True
            check = flow.check_of(tx, payout)
            if check is not None:
                return not flow.hold_doubtful(tx, payout, check, holding=self._holding(tx))
        answer = bank.verify_payee(name=payout.creditor_name, iban=payout.creditor_iban)
        return self._take_in(bank, payout_id, answer, asked=asked)

    def _take_in(
        self, bank: BankHost, payout_id: PayoutId, answer: PayeeAnswer | None, *, asked: int
    ) -> bool:
        with self.transactions() as tx:
            payout = _waiting(tx, payout_id)
            if payout is None:
                return True
            if answer is None and asked + 1 < ASKED_MAX:
                promise(tx, "send_payout", delay_s=ASK_AGAIN_S, payout_id=payout_id, asked=asked + 1)
                return False
            # Somebody else may have asked meanwhile: what was said first stands.
            check = flow.check_of(tx, payout) or flow.keep_answer(
                tx,
                payout,
                answer or PayeeAnswer(PayeeMatch.NOT_POSSIBLE, None),
                bank_connection=bank.connection.name,
            )
            return not flow.hold_doubtful(tx, payout, check, holding=self._holding(tx))

    def _holding(self, tx: Tx) -> frozenset[PayeeMatch]:
        return self.policies.policy_now(tx.now).payee_checks_that_hold


def _waiting(tx: Tx, payout_id: PayoutId) -> Payout | None:
    payout = lock_payouts(tx, [payout_id]).get(payout_id)
    is_to_be_checked = (
        payout is not None and payout.state is PayoutState.QUEUED and payout.party_id is not None
    )
    return payout if is_to_be_checked else None
