"""Money in: booked once however often it is told, kept in suspense until it is cleared or somebody looks at it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ledger.core.errors import ClearanceSpent, InvalidValue
from ledger.core.orders import DepositOrder
from ledger.flows import deposits
from ledger.store.deposits import programme_deposits
from ledger.store.rows import Page
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, OpenTx
from tests.ledger.world import (
    World,
    arrival,
    breaches,
    build_world,
    clear,
    give_iban,
    posted,
    table_counts,
    told_of,
)

IBAN = "NL39ABNA0400000001"


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        give_iban(tx, world, "ana", IBAN)
        return world


def received(tx: Tx, world: World, **other: str) -> DepositOrder:
    (order,) = deposits.receive(tx, [arrival(tx, world, iban=IBAN, amount_minor=50_000, **other)])
    assert order is not None
    return order


def test_arrived_money_waits_in_suspense(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = received(tx, world)

        assert posted(tx, world) == {"safeguarding_bank": 50_000, "deposits_in_suspense": 50_000}
        assert (order.account_id, order.amount_minor, order.currency) == (
            world.accounts["ana"],
            50_000,
            "EUR",
        )
        assert [item.state for item in programme_deposits(tx, world.programme_id, Page(None, 100))] == [
            "suspended"
        ]


def test_a_cleared_deposit_is_credited(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = received(tx, world)
    with open_tx(MONDAY_MORNING + timedelta(minutes=1)) as tx:
        assert deposits.release(tx, [clear(tx, order)]) == (None,)

        assert posted(tx, world) == {"safeguarding_bank": 50_000, "ana": 50_000}
        assert [item.state for item in programme_deposits(tx, world.programme_id, Page(None, 100))] == [
            "credited"
        ]
        history = told_of(tx, world.programme_id, order.deposit_id)
        assert history == ["deposit.received", "deposit.credited"]
        assert breaches(tx, [world.programme_id]) == []


def test_a_deposit_told_twice_is_one_deposit(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        received(tx, world)
        before = table_counts(tx)
    with open_tx() as tx:
        again = deposits.receive(tx, [arrival(tx, world, iban=IBAN, amount_minor=50_000)])

        assert again == (None,)
        assert table_counts(tx) == before
        assert posted(tx, world)["deposits_in_suspense"] == 50_000


def test_a_deposit_told_twice_in_one_call_is_one_deposit(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        told = arrival(tx, world, iban=IBAN, amount_minor=50_000)
        first, second = deposits.receive(tx, [told, told])

        assert first is not None
        assert second is None
        assert posted(tx, world)["deposits_in_suspense"] == 50_000


def test_a_second_posting_of_the_same_amount_is_a_second_deposit(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        orders = [received(tx, world, transaction_id=f"bank-posting-{place}") for place in (1, 2)]

        assert len({order.deposit_id for order in orders}) == 2
        assert posted(tx, world)["deposits_in_suspense"] == 100_000


def test_money_for_an_unknown_iban_stays_in_suspense(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        answer = deposits.receive(tx, [arrival(tx, world, iban="NL02ABNA0123456789", amount_minor=700)])

        assert answer == (None,)
        assert posted(tx, world) == {"safeguarding_bank": 700, "deposits_in_suspense": 700}
        (kept,) = programme_deposits(tx, world.programme_id, Page(None, 100))
        assert (kept.account_id, kept.state, kept.creditor_iban) == (None, "suspended", "NL02ABNA0123456789")


def test_money_that_reached_another_programmes_bank_account_is_not_credited_to_ours(
    open_tx: OpenTx, world: World
) -> None:
    with open_tx() as tx:
        other = build_world(tx, "pay-uk")
        answer = deposits.receive(tx, [arrival(tx, other, iban=IBAN, amount_minor=700)])

        assert answer == (None,)
        assert posted(tx, other) == {"safeguarding_bank": 700, "deposits_in_suspense": 700}
        assert posted(tx, world) == {}


def test_the_same_bank_id_at_two_programmes_is_two_deposits(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        other = build_world(tx, "pay-uk")
        give_iban(tx, other, "ana", "NL66ABNA0400000002")
        ours = arrival(tx, world, iban=IBAN, amount_minor=5)
        theirs = replace(
            arrival(tx, other, iban="NL66ABNA0400000002", amount_minor=7), notice_id=ours.notice_id
        )

        assert None not in deposits.receive(tx, [ours, theirs])
        assert posted(tx, world)["deposits_in_suspense"] == 5
        assert posted(tx, other)["deposits_in_suspense"] == 7


def test_a_clearance_releases_a_deposit_once(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        cleared = clear(tx, received(tx, world))
        deposits.release(tx, [cleared])

    with pytest.raises(ClearanceSpent), open_tx() as tx:
        deposits.release(tx, [cleared])

    with open_tx() as tx:
        assert posted(tx, world) == {"safeguarding_bank": 50_000, "ana": 50_000}


def test_another_clearance_for_the_same_deposit_is_spent_as_well(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = received(tx, world)
        deposits.release(tx, [clear(tx, order)])

    with pytest.raises(ClearanceSpent), open_tx() as tx:
        deposits.release(tx, [clear(tx, order)])


def test_many_arrivals_in_one_call_are_what_they_are_one_by_one(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        other = build_world(tx, "one-by-one")
        give_iban(tx, other, "ana", "NL66ABNA0400000002")
        ours = [
            arrival(tx, world, iban=IBAN, amount_minor=place, transaction_id=f"t{place}")
            for place in range(1, 40)
        ]
        theirs = [
            replace(told, programme_id=other.programme_id, creditor_iban="NL66ABNA0400000002")
            for told in ours
        ]

        together = [order for order in deposits.receive(tx, ours) if order is not None]
        alone = [order for told in theirs for order in deposits.receive(tx, [told]) if order is not None]
        assert deposits.release(tx, [clear(tx, order) for order in together]) == (None,) * 39
        assert [deposits.release(tx, [clear(tx, order)]) for order in alone] == [(None,)] * 39

        assert posted(tx, world) == posted(tx, other) == {"safeguarding_bank": 780, "ana": 780}
        assert breaches(tx, [world.programme_id, other.programme_id]) == []


def test_money_in_another_currency_is_not_booked_as_ours(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        give_iban(tx, world, "ana", "virtual-1")
        dollars = replace(arrival(tx, world, iban="virtual-1", amount_minor=500), currency="USD")

        with pytest.raises(InvalidValue, match="USD arrived"):
            deposits.receive(tx, [dollars])

        assert programme_deposits(tx, world.programme_id, Page(None, 100)) == []
