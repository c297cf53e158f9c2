"""Where money is paid out: set by one client, verified by another. Runs on a lane, inside its transaction."""

from collections.abc import Sequence

from api import present
from api.lanes import Ask, Reply
from api.problems import from_declined, not_found
from ledger.core.ids import PartyId, PayoutAccountId, is_id
from ledger.flows import payout_accounts as flow
from ledger.store.parties import lock_parties
from ledger.store.payout_accounts import read_payout_account, verifications_of
from ledger.store.tx import Tx
from partners.sepa_text import sepa_text

PAYOUT_NAME_MAX = 70  # SEPA rulebooks: a name on a payment


def set_accounts(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Has parties paid out to other accounts from now on; nobody has verified these yet."""
    return [_set_one(tx, ask) for ask in asks]


def _set_one(tx: Tx, ask: Ask) -> Reply:
    body, party_id = ask.payload
    party = lock_parties(tx, [PartyId(party_id)]).get(party_id) if is_id("pty", party_id) else None
    if party is None or party.programme_id != ask.programme:
        return Reply.declined(not_found("party"))
    account = flow.new_account(
        tx,
        ask.programme,
        party.id,
        name=sepa_text(body.name or party.name, max_length=PAYOUT_NAME_MAX, field="name"),
        iban=body.iban,
        by=ask.client,
    )
    flow.change(tx, account)
    return Reply(201, present.payout_account(account, []))


def verify_accounts(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Records that accounts are their payees'."""
    return [_verify_one(tx, ask) for ask in asks]


def _verify_one(tx: Tx, ask: Ask) -> Reply:
    body, account_id = ask.payload
    account = read_payout_account(tx, PayoutAccountId(account_id)) if is_id("pac", account_id) else None
    if account is None or account.programme_id != ask.programme:
        return Reply.declined(not_found("payout account"))
    declined = flow.verify(tx, account, how=body.how, by=ask.client)
    if declined is not None:
        return Reply.declined(from_declined(declined))
    return Reply(201, present.payout_account(account, verifications_of(tx, [account.id])[account.id]))
