"""Programmes and parties come in, and get their places in the book. No money moves here."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger import book
from ledger.core.chart import CHART, SHARED_CODES, Code
from ledger.core.clearance import Cleared
from ledger.core.commands import Applied, Open
from ledger.core.declined import Declined
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId, derived
from ledger.core.orders import OnboardOrder, Role
from ledger.store.accounts import party_accounts
from ledger.store.clearances import redeem
from ledger.store.events import Event, record_events
from ledger.store.parties import hold_parties, insert_parties, references_taken
from ledger.store.programmes import Programme, insert_programme, name_taken, read_programmes
from ledger.store.tx import Tx

_CODES = {Role.CUSTOMER: Code.WALLET, Role.MERCHANT: Code.SELLER, Role.CREATOR: Code.CREATOR}


@dataclass(frozen=True, slots=True)
class Onboarded:
    """A party with its account."""

    party_id: PartyId
    account_id: AccountId


def found(tx: Tx, programme: Programme) -> Declined | None:
    """Founds a programme with the shared accounts of its chart. Declines a name or a bank account that is taken."""
    if programme.safeguarding_iban == programme.operating_iban:
        return Declined(
            "bank_account_taken", "Customers' money needs an account of its own.", "operating.iban"
        )
    if not insert_programme(tx, programme):
        if name_taken(tx, programme.name):
            return Declined("name_taken", "A programme of this name exists.", "name")
        return Declined(
            "bank_account_taken", "A programme keeps its money on one of these accounts.", "safeguarding"
        )
    _open(tx, [opening(tx, programme.id, code, None, programme.currency) for code in SHARED_CODES])
    record_events(tx, [Event(programme.id, programme.id, "programme.founded", {"name": programme.name})])
    return None


def onboard(tx: Tx, cleared: Sequence[Cleared[OnboardOrder]]) -> tuple[Onboarded | Declined, ...]:
    """Takes cleared parties in, each with its account in the programme's currency. Declines a taken reference."""
    accepted, declined = _split_taken(tx, [item.order for item in cleared])
    programmes = read_programmes(tx, {order.programme_id for order in accepted})
    clearances = {item.order.party_id: item.clearance for item in cleared}
    insert_parties(tx, accepted, status="active")
    _open(tx, [_opening(tx, order, programmes[order.programme_id].currency) for order in accepted])
    redeem(tx, [clearances[order.party_id] for order in accepted])
    record_events(tx, [_event(order, "party.onboarded") for order in accepted])
    opened = party_accounts(tx, [order.party_id for order in accepted])
    return tuple(
        declined.get(item.order.party_id) or Onboarded(item.order.party_id, opened[item.order.party_id])
        for item in cleared
    )


def hold_back(tx: Tx, orders: Sequence[OnboardOrder]) -> tuple[Declined | None, ...]:
    """Keeps parties that a person must decide on: known, but with no account and no way to move money."""
    accepted, declined = _split_taken(tx, orders)
    insert_parties(tx, accepted, status="held")
    record_events(tx, [_event(order, "party.held") for order in accepted])
    return tuple(declined.get(order.party_id) for order in orders)


def suspend(tx: Tx, orders: Sequence[OnboardOrder]) -> None:
    """Holds parties that were active: their accounts stay, and no order that names them is cleared."""
    hold_parties(tx, [order.party_id for order in orders])
    record_events(tx, [_event(order, "party.held") for order in orders])


def _split_taken(
    tx: Tx, orders: Sequence[OnboardOrder]
) -> tuple[list[OnboardOrder], dict[PartyId, Declined]]:
    taken = references_taken(tx, [(order.programme_id, order.reference) for order in orders])
    accepted, declined = [], {}
    for order in orders:
        key = (order.programme_id, order.reference)
        if key in taken:
            declined[order.party_id] = Declined(
                "reference_taken", "A party of this reference exists.", "reference"
            )
        else:
            accepted.append(order)
            taken.add(key)
    return accepted, declined


def _opening(tx: Tx, order: OnboardOrder, currency: str) -> Open:
    return opening(tx, order.programme_id, _CODES[order.role], order.party_id, currency)


def opening(tx: Tx, programme_id: ProgrammeId, code: Code, party_id: PartyId | None, currency: str) -> Open:
    """The command that opens an account where the chart has its place, with the limits that the chart gives it."""
    account_id = AccountId(tx.new_id("acct"))
    return Open(
        id=TransferId(derived("xfr", account_id, "open")),
        programme_id=programme_id,
        authority=None,
        effective_at=tx.now,
        reference=code.value,
        account_id=account_id,
        code=code,
        party_id=party_id,
        currency=currency,
        min_available_minor=CHART[code].min_available_minor,
    )


def _open(tx: Tx, openings: Sequence[Open]) -> None:
    for (result,) in book.post(tx, [[command] for command in openings]):
        assert isinstance(result, Applied), f"a new party's place in the chart is free: {result}"


def _event(order: OnboardOrder, type_: str) -> Event:
    return Event(
        order.programme_id, order.party_id, type_, {"role": order.role.value, "reference": order.reference}
    )
