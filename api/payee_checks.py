"""Asks payees' banks before the first payout to a beneficiary, between transactions and never inside one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from api.transactions import Transactions
from compliance.policy import Policies
from ledger.core.payee import PayeeAnswer, PayeeMatch
from ledger.core.payout import PayoutState
from ledger.flows import payee_checks as flow
from ledger.store.payouts import Payout, lock_payouts, read_queued
from ledger.store.tx import Tx
from partners.host.bank import BankHost

TOGETHER_MAX = 16  # payees asked about before the payouts that wait are looked at again
ASK_AGAIN = timedelta(seconds=60)  # while our own bank says nothing
ASKED_FOR = timedelta(minutes=5)  # then it is known that it cannot be known


@dataclass(frozen=True, slots=True)
class PayeeChecks:
    """The checks of payees. A sweep is paid to ourselves, and is not checked."""

    transactions: Transactions
    policies: Policies

    def ask_ahead(self, bank: BankHost) -> None:
        """Asks about the payees of payouts that are due and of whom nothing was said yet."""
        if not bank.verifies_payees:
            return
        with self.transactions() as tx:
            queued = read_queued(tx, bank.connection.name, limit=TOGETHER_MAX)
            if not queued:
                return
            known = flow.checks_of(tx, queued)
            unasked = {
                flow.payee_of(payout): payout
                for payout in queued
                if payout.party_id is not None and payout.id not in known
            }
        for payout in unasked.values():
            answer = bank.verify_payee(name=payout.creditor_name, iban=payout.creditor_iban)
            self._keep(bank, payout, answer)

    def without_doubts(self, tx: Tx, bank: BankHost, queued: Sequence[Payout]) -> list[Payout]:
        """Those whose payee may be paid; holds those in doubt, and leaves out those still to be asked about."""
        if not bank.verifies_payees:
            return list(queued)
        holding = self.policies.policy_now(tx.now).payee_checks_that_hold
        checks = flow.checks_of(tx, queued)
        checked = [payout for payout in queued if payout.party_id is None or payout.id in checks]
        doubtful = flow.hold_doubtful(tx, checked, checks, holding=holding)
        return [payout for payout in checked if payout.id not in doubtful]

    def _keep(self, bank: BankHost, asked: Payout, answer: PayeeAnswer | None) -> None:
        with self.transactions() as tx:
            payout = lock_payouts(tx, [asked.id]).get(asked.id)
            # Somebody else may have asked meanwhile: what was said first stands.
            if payout is None or payout.state is not PayoutState.QUEUED or flow.checks_of(tx, [payout]):
                return
            if answer is None and not flow.asks_in_vain(tx, payout, again=ASK_AGAIN, within=ASKED_FOR):
                return
            said = answer or PayeeAnswer(PayeeMatch.NOT_POSSIBLE, None)
            flow.keep_answer(tx, payout, said, bank_connection=bank.connection.name)
