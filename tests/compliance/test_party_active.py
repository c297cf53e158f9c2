"""Who is concerned by an order, and what becomes of it when one of them is unknown, held or elsewhere."""

from dataclasses import replace

import pytest

from compliance.facts import CheckoutFact, Facts, OwnerFact, PartyFact
from compliance.opinion import Effect
from compliance.rules.party_active import check
from ledger.core.ids import PartyId
from ledger.core.orders import Order
from tests.compliance.given import (
    ANA,
    HOTEL,
    LEA,
    NAMES,
    OTHER_PROGRAMME,
    PROGRAMME,
    SOUNDBAR,
    WALLET,
    capture,
    checkout,
    deposit,
    facts,
    onboard,
    payout,
    refund,
    some_id,
    sweep,
    with_party,
)

CONCERNED = [
    (checkout(creator_id=LEA), {ANA, HOTEL, SOUNDBAR, LEA}),
    (payout(), {HOTEL}),
    (deposit(), {ANA}),
    (capture(), {ANA, SOUNDBAR}),
    (refund(), {ANA, SOUNDBAR}),
]
EACH = [(order, party_id) for order, party_ids in CONCERNED for party_id in sorted(party_ids)]


def known() -> Facts:
    told = CheckoutFact(PROGRAMME, "EUR", ANA, {"speaker": SOUNDBAR, "room": HOTEL})
    owners = {WALLET: OwnerFact(PROGRAMME, ANA, "EUR")}
    return replace(facts(), checkouts={some_id("chk", 1): told}, owners=owners)


def effects(order: Order, told: Facts) -> list[Effect]:
    opinion = check(order, told)
    assert opinion is not None
    return [verdict.effect for verdict in opinion.verdicts]


@pytest.mark.parametrize(("order", "party_ids"), CONCERNED)
def test_active_parties_pass_and_are_recorded(order: Order, party_ids: set[PartyId]) -> None:
    opinion = check(order, known())

    assert opinion is not None
    assert opinion.verdicts == ()
    assert opinion.inputs == {"parties": sorted(party_ids)}


@pytest.mark.parametrize(("order", "party_id"), EACH)
def test_a_held_party_holds_the_order(order: Order, party_id: PartyId) -> None:
    told = with_party(known(), PartyFact(party_id, PROGRAMME, NAMES[party_id], active=False))

    assert effects(order, told) == [Effect.HOLD]


@pytest.mark.parametrize(("order", "party_id"), EACH)
def test_an_unknown_party_bars_the_order(order: Order, party_id: PartyId) -> None:
    told = known()
    others = {each: party for each, party in told.parties.items() if each != party_id}

    assert effects(order, replace(told, parties=others)) == [Effect.BAR]


@pytest.mark.parametrize(("order", "party_id"), EACH)
def test_another_programmes_party_bars_the_order(order: Order, party_id: PartyId) -> None:
    told = with_party(known(), PartyFact(party_id, OTHER_PROGRAMME, NAMES[party_id], active=True))

    assert effects(order, told) == [Effect.BAR]


@pytest.mark.parametrize("order", [capture(), refund(), deposit()])
def test_an_order_about_nothing_of_the_programme_is_barred(order: Order) -> None:
    elsewhere = CheckoutFact(OTHER_PROGRAMME, "EUR", ANA, {"speaker": SOUNDBAR})
    told = replace(
        known(),
        checkouts={some_id("chk", 1): elsewhere},
        owners={WALLET: OwnerFact(OTHER_PROGRAMME, ANA, "EUR")},
    )

    assert effects(order, facts()) == [Effect.BAR]
    assert effects(order, told) == [Effect.BAR]


def test_a_deposit_to_the_programmes_own_account_concerns_no_party() -> None:
    told = replace(known(), owners={WALLET: OwnerFact(PROGRAMME, None, "EUR")})

    assert effects(deposit(), told) == []


@pytest.mark.parametrize("order", [onboard(), sweep()])
def test_orders_without_a_counterparty_are_not_asked(order: Order) -> None:
    assert check(order, known()) is None
