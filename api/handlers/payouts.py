"""Payouts and sweeps: orders made from what was asked, screened, and put on their way. Runs on a lane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from api import present
from api.bodies import PayoutBody, SweepBody
from api.lanes import Ask, Reply
from api.problems import from_declined, from_findings
from compliance.gate import Gate
from ledger.core.chart import Code
from ledger.core.clearance import Cleared, Held
from ledger.core.declined import Declined
from ledger.core.ids import AccountId, PartyId, PayoutId
from ledger.core.orders import PayoutOrder, SweepOrder, end_to_end_id_of
from ledger.flows import payouts
from ledger.store.accounts import party_accounts, shared_accounts
from ledger.store.parties import Party, read_parties
from ledger.store.payouts import Payout
from ledger.store.programmes import Programme, read_programmes
from ledger.store.tx import Tx
from partners.contract import Rail
from partners.host.bank import BankHost
from partners.sepa_text import is_sepa_text, sepa_text

NAME_MAX = 70
REMITTANCE_MAX = 140
AHEAD_MAX = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class PayoutHandlers:
    """Money out, and the programme's own money home."""

    gate: Gate
    banks: Mapping[str, BankHost]

    def pay_out(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Orders payouts of parties' balances to their own accounts."""
        bodies: list[PayoutBody] = [ask.payload[0] for ask in asks]
        parties = read_parties(tx, {PartyId(body.party_id) for body in bodies})
        accounts = party_accounts(tx, parties)
        programmes = read_programmes(tx, {ask.programme for ask in asks})
        made = [
            self._payout(tx, ask, programmes[ask.programme], parties.get(PartyId(body.party_id)), accounts)
            for ask, body in zip(asks, bodies, strict=True)
        ]
        return self._carry_out(tx, made)

    def sweep(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Orders sweeps of the programme's own money into its operating account."""
        programmes = read_programmes(tx, {ask.programme for ask in asks})
        accounts = shared_accounts(tx, programmes, Code.SAFEGUARDING)
        made = [self._sweep(tx, ask, programmes[ask.programme], accounts[ask.programme]) for ask in asks]
        return self._carry_out(tx, made)

    def _payout(
        self,
        tx: Tx,
        ask: Ask,
        programme: Programme,
        party: Party | None,
        accounts: Mapping[PartyId, AccountId],
    ) -> PayoutOrder | Declined:
        body: PayoutBody = ask.payload[0]
        if party is None or party.programme_id != programme.id:
            return Declined(
                "party_unknown", f"There is no party {body.party_id} in this programme.", "party_id"
            )
        if party.payout_iban is None or party.payout_name is None or party.id not in accounts:
            return Declined(
                "payout_account_missing", "This party has no account to be paid out to.", "party_id"
            )
        payout_id = PayoutId(tx.new_id("pay"))
        return self._check(tx, programme, body) or PayoutOrder(
            payout_id=payout_id,
            programme_id=programme.id,
            party_id=party.id,
            account_id=accounts[party.id],
            reference=body.reference,
            rail=body.rail.value,
            amount_minor=body.amount_minor,
            currency=body.currency,
            creditor_name=party.payout_name,
            creditor_iban=party.payout_iban,
            debtor_name=programme.legal_name,
            debtor_iban=programme.safeguarding_iban,
            end_to_end_id=end_to_end_id_of(payout_id),
            remittance=body.remittance,
            initiator=ask.client,
            send_at=body.send_at,
        )

    def _sweep(self, tx: Tx, ask: Ask, programme: Programme, account_id: AccountId) -> SweepOrder | Declined:
        body: SweepBody = ask.payload[0]
        payout_id = PayoutId(tx.new_id("pay"))
        return self._check(tx, programme, body) or SweepOrder(
            payout_id=payout_id,
            programme_id=programme.id,
            account_id=account_id,
            reference=body.reference,
            rail=body.rail.value,
            amount_minor=body.amount_minor,
            currency=body.currency,
            creditor_name=payee_name(programme.legal_name),
            creditor_iban=programme.operating_iban,
            debtor_name=programme.legal_name,
            debtor_iban=programme.safeguarding_iban,
            end_to_end_id=end_to_end_id_of(payout_id),
            remittance=sepa_text(f"Sweep {body.reference}", max_length=REMITTANCE_MAX),
            initiator=ask.client,
            send_at=body.send_at,
        )

    def _check(self, tx: Tx, programme: Programme, body: PayoutBody | SweepBody) -> Declined | None:
        """What the bank could never carry is refused before any money moves."""
        if body.send_at is not None and not tx.now < body.send_at <= tx.now + AHEAD_MAX:
            return Declined(
                "send_at_out_of_range", f"A payout is sent within {AHEAD_MAX.days} days from now.", "send_at"
            )
        if body.currency != programme.currency:
            return Declined(
                "currency_differs", f"This programme's money is {programme.currency}.", "currency"
            )
        rails = {
            facts.rail: facts for facts in self.banks[programme.bank_connection].adapter.manifest().rails
        }
        facts = rails.get(Rail(body.rail))
        if facts is None or body.currency not in facts.currencies:
            return Declined(
                "rail_unknown", f"{body.rail} does not carry {body.currency} at this bank.", "rail"
            )
        most = facts.amount_max_minor
        if body.amount_minor < facts.amount_min_minor or (most is not None and body.amount_minor > most):
            return Declined("amount_out_of_range", f"{body.rail} does not carry this amount.", "amount_minor")
        if isinstance(body, PayoutBody) and not is_sepa_text(
            body.remittance, max_length=facts.remittance_max
        ):
            return Declined(
                "not_sepa_text", "Use letters, digits and / - ? : ( ) . , ' + only.", "remittance"
            )
        return None

    def _carry_out(self, tx: Tx, made: Sequence[PayoutOrder | SweepOrder | Declined]) -> list[Reply]:
        orders = [item for item in made if not isinstance(item, Declined)]
        screened = self.gate.screen(tx, orders)
        cleared = [item for item in screened if isinstance(item, Cleared)]
        replies = {
            item.order.id: _reply(answer)
            for item, answer in zip(cleared, payouts.order(tx, cleared), strict=True)
        }
        for item in screened:
            if not isinstance(item, Cleared):
                problem = from_findings(item.case_id, item.findings, held=isinstance(item, Held))
                replies[item.order.id] = Reply(problem.status, problem.body())
        return [
            Reply.declined(from_declined(item)) if isinstance(item, Declined) else replies[item.id]
            for item in made
        ]


def payee_name(legal_name: str, *, field: str | None = None) -> str:
    """What a programme is called where it is itself the payee. Raises: InvalidValue."""
    return sepa_text(legal_name, max_length=NAME_MAX, field=field)


def _reply(answer: Payout | Declined) -> Reply:
    if isinstance(answer, Declined):
        return Reply.declined(from_declined(answer))
    return Reply(202, present.payout(answer))
