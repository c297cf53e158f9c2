"""Parties: from what was asked to what the gate and the book say. Runs on a lane, inside its transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api import present
from api.lanes import Ask, Reply
from api.problems import from_declined, from_findings, not_found
from compliance import sca
from compliance.gate import Gate
from compliance.sanctions_list import parse_list
from compliance.store import load_list
from ledger.core.clearance import Barred, Cleared, Held, Screened
from ledger.core.declined import Declined
from ledger.core.errors import InvalidValue
from ledger.core.ids import PartyId, ProgrammeId, is_id
from ledger.core.orders import OnboardOrder
from ledger.flows.onboarding import Onboarded, hold_back, onboard, suspend
from ledger.flows.payout_accounts import keep_first, new_account
from ledger.store.jobs import promise
from ledger.store.parties import Party, active_parties, read_parties
from ledger.store.payout_accounts import PayoutAccount
from ledger.store.rows import Page
from ledger.store.tx import Tx
from partners.sepa_text import sepa_text

PAYOUT_NAME_MAX = 70  # SEPA rulebooks: a name on a payment


@dataclass(frozen=True, slots=True)
class PartyHandlers:
    """Parties through the gate into the book."""

    gate: Gate

    def onboard(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        """Onboards those that the gate clears, keeps those that it holds without an account."""
        orders = [_order(tx, ask) for ask in asks]
        screened = self.gate.screen(tx, orders)
        cleared = [item for item in screened if isinstance(item, Cleared)]
        held = [item for item in screened if isinstance(item, Held)]
        onboarded = onboard(tx, cleared)
        kept = hold_back(tx, [item.order for item in held])
        clients = {order.party_id: ask.client for order, ask in zip(orders, asks, strict=True)}
        came_in = [item.order for item, answer in zip(cleared, onboarded, strict=True) if _is_in(answer)]
        came_in += [item.order for item, answer in zip(held, kept, strict=True) if _is_in(answer)]
        keep_first(tx, _payout_accounts(tx, came_in, clients))
        replies = {
            item.order.id: _reply(item.order, answer) for item, answer in zip(cleared, onboarded, strict=True)
        }
        replies |= {item.order.id: _held_reply(item, answer) for item, answer in zip(held, kept, strict=True)}
        return [replies.get(item.order.id) or _barred_reply(item) for item in screened]


def _is_in(answer: Onboarded | Declined | None) -> bool:
    return not isinstance(answer, Declined)


def _payout_accounts(
    tx: Tx, orders: Sequence[OnboardOrder], clients: Mapping[PartyId, str]
) -> list[PayoutAccount]:
    """Where those that have come in are paid out, as the clients that brought them have said."""
    return [
        new_account(
            tx,
            order.programme_id,
            order.party_id,
            name=order.payout_name,
            iban=order.payout_iban,
            by=clients[order.party_id],
        )
        for order in orders
        if order.payout_name is not None and order.payout_iban is not None
    ]


def _order(tx: Tx, ask: Ask) -> OnboardOrder:
    (body,) = ask.payload
    payout_name = body.payout_name or (body.name if body.payout_iban else None)
    return OnboardOrder(
        party_id=PartyId(tx.new_id("pty")),
        programme_id=ask.programme,
        role=body.role,
        name=body.name,
        reference=body.reference,
        payout_name=sepa_text(payout_name, max_length=PAYOUT_NAME_MAX, field="payout_name")
        if payout_name
        else None,
        payout_iban=body.payout_iban,
        commission_bps=body.commission_bps,
    )


def _held_reply(held: Held[OnboardOrder], declined: Declined | None) -> Reply:
    if declined is not None:
        return Reply.declined(from_declined(declined))
    found = [finding.as_data() for finding in held.findings]
    return Reply(201, {**_shown(held.order, "held", None), "case_id": held.case_id, "findings": found})


def _barred_reply(item: Screened[OnboardOrder]) -> Reply:
    assert isinstance(item, Barred), "the cleared and the held have their replies"
    problem = from_findings(item.case_id, item.findings, held=False)
    return Reply(problem.status, problem.body())


def _reply(order: OnboardOrder, answer: Onboarded | Declined) -> Reply:
    if isinstance(answer, Declined):
        return Reply.declined(from_declined(answer))
    return Reply(201, _shown(order, "active", answer.account_id))


def _shown(order: OnboardOrder, status: str, account_id: str | None) -> present.Json:
    return {
        "id": order.party_id,
        "role": order.role.value,
        "name": order.name,
        "reference": order.reference,
        "status": status,
        "account_id": account_id,
        "payout_iban": order.payout_iban,
        "commission_bps": order.commission_bps,
    }


def rescreen_page(tx: Tx, gate: Gate, programme_id: ProgrammeId, page: Page) -> PartyId | None:
    """Screens a page of active parties as if they came in today, and holds those that the gate would hold.

    Says where the next page begins, or None after the last. Source: Regulation (EU) 260/2012 article 5d: customers are
    screened at once when a list changes, because instant payments to and from them are not.
    """
    found = active_parties(tx, programme_id, page)
    screened = gate.screen(tx, [_order_of(party) for party in found])
    suspend(tx, [item.order for item in screened if not isinstance(item, Cleared)])
    return found[-1].id if len(found) == page.limit else None


def _order_of(party: Party) -> OnboardOrder:
    return OnboardOrder(
        party_id=party.id,
        programme_id=party.programme_id,
        role=party.role,
        name=party.name,
        reference=party.reference,
        payout_name=party.payout_name,
        payout_iban=party.payout_iban,
        commission_bps=party.commission_bps,
    )


def load_lists(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Brings sanctions lists into use, and promises to screen everybody against a new one at once."""
    return [_load_one(tx, ask) for ask in asks]


def _load_one(tx: Tx, ask: Ask) -> Reply:
    (body,) = ask.payload
    programme_id = ask.programme
    try:
        entries = parse_list(body.csv)
        loaded = load_list(tx, programme_id, name=body.name, legal_basis=body.legal_basis, entries=entries)
    except InvalidValue as error:
        raise InvalidValue(error.detail, field="csv") from error
    if loaded.is_new:
        promise(tx, "rescreen", programme_id=programme_id)
    shown = {
        "id": loaded.list_id,
        "names": loaded.names,
        "duplicates": loaded.duplicates,
        "new": loaded.is_new,
    }
    return Reply(201, shown)


def enrol(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Enrols the devices of payers."""
    return [_enrol_one(tx, ask) for ask in asks]


def _enrol_one(tx: Tx, ask: Ask) -> Reply:
    body, party_id = ask.payload
    programme_id = ask.programme
    party = read_parties(tx, [party_id]).get(party_id) if is_id("pty", party_id) else None
    if party is None or party.programme_id != programme_id:
        return Reply.declined(not_found("party"))
    try:
        authenticator_id = sca.enrol(tx, programme_id, party_id=party.id, public_key_pem=body.public_key_pem)
    except InvalidValue as error:
        raise InvalidValue(error.detail, field="public_key_pem") from error
    return Reply(201, {"id": authenticator_id, "party_id": party.id})
