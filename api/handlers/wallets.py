"""Virtual IBANs: the wish is written with its promise; the worker asks the bank. Runs on a lane."""

from collections.abc import Mapping, Sequence

from api.lanes import Ask, Reply
from api.problems import Problem, not_found
from ledger.core.ids import AccountId, PartyId, ProgrammeId
from ledger.core.orders import Role
from ledger.store.accounts import party_accounts
from ledger.store.deposits import VirtualIban, request_virtual_ibans
from ledger.store.jobs import promise_each
from ledger.store.parties import Party, read_parties
from ledger.store.tx import Tx


def request_ibans(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Notes that customers' wallets want IBANs of their own, and promises to ask the bank for them."""
    parties = read_parties(tx, {PartyId(ask.payload[0].party_id) for ask in asks})
    wallets = party_accounts(tx, parties)
    answers = [_wallet(ask, parties, wallets) for ask in asks]
    wishes = request_virtual_ibans(tx, [answer for answer in answers if not isinstance(answer, Reply)])
    promise_each(tx, "open_virtual_iban", [{"virtual_iban_id": wish.id} for wish in wishes])
    given = iter(wishes)
    return [answer if isinstance(answer, Reply) else _wished(next(given)) for answer in answers]


def _wallet(
    ask: Ask, parties: Mapping[PartyId, Party], wallets: Mapping[PartyId, AccountId]
) -> tuple[ProgrammeId, AccountId] | Reply:
    party = parties.get(ask.payload[0].party_id)
    if party is None or party.programme_id != ask.programme_id:
        return Reply.declined(not_found("party"))
    if party.role is not Role.CUSTOMER or party.id not in wallets:
        problem = Problem(409, "no_wallet", "Only an active customer has a wallet that money can be sent to.")
        return Reply.declined(problem)
    return party.programme_id, wallets[party.id]


def _wished(wish: VirtualIban) -> Reply:
    return Reply(202, {"id": wish.id, "account_id": wish.account_id, "state": wish.state, "iban": wish.iban})
