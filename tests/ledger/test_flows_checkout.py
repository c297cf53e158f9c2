"""One cart over many sellers: authorised in one go, captured and refunded to the cent, given back in time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from ledger.core.cart import CheckoutState
from ledger.core.clearance import Cleared
from ledger.core.declined import Declined
from ledger.core.errors import ClearanceSpent
from ledger.core.ids import CheckoutId
from ledger.core.orders import CheckoutOrder, LineAmount
from ledger.flows import carts, checkouts
from ledger.flows.carts import Moved
from ledger.flows.checkouts import Authorised, Proposed
from ledger.flows.onboarding import Onboarded, found, hold_back, onboard
from ledger.store.accounts import lock_accounts, party_accounts
from ledger.store.checkouts import read_checkouts
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, OpenTx
from tests.ledger.world import (
    OrderT,
    World,
    breaches,
    build_world,
    capture_order,
    cart,
    clear,
    fund,
    held,
    line,
    onboard_order,
    posted,
    programme_named,
    refund_order,
    story_lines,
    table_counts,
    told_of,
)

TUESDAY = MONDAY_MORNING + timedelta(days=1)
AFTER_CAPTURES = {
    "safeguarding_bank": 50_000,
    "ana": 14_652,
    "atelier": 6_088,
    "soundbar": 11_610,
    "hotel": 13_596,
    "lea": 350,
    "commission_income": 3_704,
}


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=50_000)
        return world


def authorised(tx: Tx, world: World, *, hours: int = 72) -> CheckoutOrder:
    order = cart(tx, world, hours=hours)
    (answer,) = checkouts.authorise(tx, [clear(tx, order)])
    assert isinstance(answer, Authorised), answer
    return order


def some(reference: str, amount_minor: int, *, final: bool = False) -> LineAmount:
    return LineAmount(line=reference, amount_minor=amount_minor, final=final)


def captured(tx: Tx, world: World, checkout_id: CheckoutId, *lines: LineAmount) -> Moved:
    (answer,) = carts.capture(tx, [clear(tx, capture_order(tx, world, checkout_id, *lines))])
    assert isinstance(answer, Moved), answer
    return answer


def refunded(tx: Tx, world: World, checkout_id: CheckoutId, *lines: LineAmount) -> Moved:
    (answer,) = carts.refund(tx, [clear(tx, refund_order(tx, world, checkout_id, *lines))])
    assert isinstance(answer, Moved), answer
    return answer


def story_captures(tx: Tx, world: World) -> CheckoutOrder:
    order = authorised(tx, world)
    captured(tx, world, order.checkout_id, some("shirts", 6_998), some("sound", 12_900))
    captured(tx, world, order.checkout_id, some("rooms", 15_450, final=True))
    return order


def code_of(answer: object) -> str:
    assert isinstance(answer, Declined), answer
    return answer.code


# Coming in --------------------------------------------------------------------------------------------------


def test_a_programme_is_founded_once_under_one_name(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        before = table_counts(tx)

        assert code_of(found(tx, programme_named(tx, "pay-eu"))) == "name_taken"
        assert table_counts(tx) == before


def test_a_party_is_onboarded_once_under_one_reference(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        before = table_counts(tx)
        new, again, twin = (onboard_order(tx, world.programme_id, who) for who in ("ben", "ana", "ben"))

        answers = onboard(tx, [clear(tx, order) for order in (new, again, twin)])

        assert isinstance(answers[0], Onboarded)
        assert [code_of(answer) for answer in answers[1:]] == ["reference_taken", "reference_taken"]
        assert table_counts(tx)["parties"] == before["parties"] + 1
        assert table_counts(tx)["accounts"] == before["accounts"] + 1


def test_a_party_that_is_held_back_has_no_account(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = onboard_order(tx, world.programme_id, "blocked")

        assert hold_back(tx, [order]) == (None,)
        assert party_accounts(tx, [order.party_id]) == {}
        assert (
            code_of(hold_back(tx, [onboard_order(tx, world.programme_id, "blocked")])[0]) == "reference_taken"
        )


# Authorising ------------------------------------------------------------------------------------------------


def test_a_cart_is_one_hold_on_the_payers_wallet(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        before = table_counts(tx)
        order = authorised(tx, world)

        assert order.amount_minor == 38_348
        assert posted(tx, world) == {"safeguarding_bank": 50_000, "ana": 50_000}
        assert held(tx, world) == {"ana": 38_348}
        assert table_counts(tx)["transfers"] == before["transfers"] + 1
        assert told_of(tx, world.programme_id, order.checkout_id) == ["checkout.authorised"]


@pytest.mark.parametrize(("extra_minor", "code"), [(-1, None), (0, None), (1, "insufficient_funds")])
def test_a_cart_is_authorised_up_to_the_last_cent(
    open_tx: OpenTx, world: World, extra_minor: int, code: str | None
) -> None:
    with open_tx() as tx:
        order = cart(tx, world, line(world, "all", "hotel", unit_minor=50_000 + extra_minor, platform_bps=0))
        (answer,) = checkouts.authorise(tx, [clear(tx, order)])

    assert (answer.code if isinstance(answer, Declined) else None) == code


def test_a_cart_beyond_the_wallet_is_declined_and_leaves_nothing(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        authorised(tx, world)
        before = table_counts(tx)

        second = cart(tx, world, reference="order-2")
        (answer,) = checkouts.authorise(tx, [clear(tx, second)])

        assert code_of(answer) == "insufficient_funds"
        assert table_counts(tx) == before
        assert held(tx, world) == {"ana": 38_348}


def test_a_declined_cart_may_come_again_under_its_reference(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        dear = cart(tx, world, line(world, "dear", "hotel", unit_minor=50_001, platform_bps=0))
        assert code_of(checkouts.authorise(tx, [clear(tx, dear)])[0]) == "insufficient_funds"

        fund(tx, world, "ana", amount_minor=1)

        assert isinstance(checkouts.authorise(tx, [clear(tx, dear)])[0], Authorised)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount_minor": 38_347}, "cart_does_not_add_up"),
        ({"lines": ()}, "too_many_lines"),
        ({"expires_at": MONDAY_MORNING}, "expires_in_the_past"),
    ],
)
def test_an_unsound_cart_is_declined_and_leaves_nothing(
    open_tx: OpenTx, world: World, change: dict[str, object], code: str
) -> None:
    with open_tx() as tx:
        before = table_counts(tx)
        order = replace(cart(tx, world), **change)  # type: ignore[arg-type]  # one field of its own type a case

        assert code_of(checkouts.authorise(tx, [clear(tx, order)])[0]) == code
        assert code_of(checkouts.propose(tx, [order])[0]) == code
        assert table_counts(tx) == before


def test_a_reference_is_taken_by_the_first_sound_cart_in_a_call(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        unsound = replace(cart(tx, world), amount_minor=1)
        sound, late = cart(tx, world), cart(tx, world)

        answers = checkouts.authorise(tx, [clear(tx, order) for order in (unsound, sound, late)])

        assert code_of(answers[0]) == "cart_does_not_add_up"
        assert isinstance(answers[1], Authorised)
        assert code_of(answers[2]) == "reference_taken"
        assert code_of(checkouts.authorise(tx, [clear(tx, cart(tx, world))])[0]) == "reference_taken"


def test_a_cart_that_waits_for_authentication_reserves_nothing_until_then(
    open_tx: OpenTx, world: World
) -> None:
    with open_tx() as tx:
        order = cart(tx, world)
        assert checkouts.propose(tx, [order]) == (Proposed(order.checkout_id),)
        assert held(tx, world) == {}
        early = capture_order(tx, world, order.checkout_id, some("shirts", 1))
        assert code_of(carts.capture(tx, [clear(tx, early)])[0]) == "checkout_not_authorised"

    with open_tx() as tx:
        (answer,) = checkouts.authorise(tx, [clear(tx, order)])

        assert isinstance(answer, Authorised)
        assert held(tx, world) == {"ana": 38_348}
        assert read_checkouts(tx, [order.checkout_id])[order.checkout_id].state is CheckoutState.AUTHORISED


def test_a_cart_that_waited_too_long_is_not_authorised(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = cart(tx, world, hours=1)
        checkouts.propose(tx, [order])

    with open_tx(order.expires_at) as tx:
        assert code_of(checkouts.authorise(tx, [clear(tx, order)])[0]) == "expires_in_the_past"
        assert held(tx, world) == {}
    with open_tx(order.expires_at - timedelta(microseconds=1)) as tx:
        assert isinstance(checkouts.authorise(tx, [clear(tx, order)])[0], Authorised)


def test_an_authorised_cart_is_not_authorised_again(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = cart(tx, world)
        cleared = clear(tx, order)
        checkouts.authorise(tx, [cleared])

        assert code_of(checkouts.authorise(tx, [cleared])[0]) == "checkout_not_waiting"
        assert held(tx, world) == {"ana": 38_348}


# Captures and refunds ---------------------------------------------------------------------------------------


def test_the_cart_of_three_sellers_is_captured_to_the_cent(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world)
        first = captured(tx, world, order.checkout_id, some("shirts", 6_998), some("sound", 12_900))

        assert [step.parts for step in first.steps] == [(560, 350, 6_088), (1_290, 11_610)]
        assert first.amount_minor == 19_898
        assert held(tx, world) == {"ana": 18_450}

    with open_tx(TUESDAY) as tx:
        second = captured(tx, world, order.checkout_id, some("rooms", 15_450, final=True))

        assert [(step.parts, step.released_minor) for step in second.steps] == [((1_854, 13_596), 3_000)]
        assert second.checkout.state is CheckoutState.CLOSED
        assert posted(tx, world) == AFTER_CAPTURES
        assert held(tx, world) == {}


def test_one_of_two_shirts_is_refunded_by_everyone_who_shared_in_it(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = story_captures(tx, world)
    with open_tx(TUESDAY) as tx:
        moved = refunded(tx, world, order.checkout_id, some("shirts", 3_499))

        assert [step.parts for step in moved.steps] == [(280, 175, 3_044)]
        assert posted(tx, world) == {
            "safeguarding_bank": 50_000,
            "ana": 18_151,
            "atelier": 3_044,
            "soundbar": 11_610,
            "hotel": 13_596,
            "lea": 175,
            "commission_income": 3_424,
        }
        kept = read_checkouts(tx, [order.checkout_id])[order.checkout_id]
        assert kept.lines[0].refunded_parts == (280, 175, 3_044)
        assert breaches(tx, [world.programme_id]) == []


def test_refunding_everything_in_parts_takes_back_every_part_exactly(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = story_captures(tx, world)
        for amount_minor in (1, 3_498, 2_222, 1_277):
            refunded(tx, world, order.checkout_id, some("shirts", amount_minor))
        refunded(tx, world, order.checkout_id, some("sound", 12_900), some("rooms", 15_450))

        assert posted(tx, world) == {"safeguarding_bank": 50_000, "ana": 50_000}
        over = refund_order(tx, world, order.checkout_id, some("shirts", 1))
        assert code_of(carts.refund(tx, [clear(tx, over)])[0]) == "exceeds_captured"


def test_a_line_captured_in_parts_ends_where_one_capture_would(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world)
        for amount_minor in (1, 2_332, 4_665):
            captured(tx, world, order.checkout_id, some("shirts", amount_minor))

        balances = posted(tx, world)
        assert (balances["commission_income"], balances["lea"], balances["atelier"]) == (560, 350, 6_088)


def test_a_refund_that_a_seller_cannot_bear_is_declined_and_leaves_nothing(
    open_tx: OpenTx, world: World
) -> None:
    with open_tx() as tx:
        order = story_captures(tx, world)
        poor = world.parties["atelier"]
        spends = replace(
            cart(
                tx,
                world,
                line(world, "spent", "hotel", unit_minor=3_045, platform_bps=0),
                reference="order-2",
            ),
            payer_id=poor,
        )
        assert isinstance(checkouts.authorise(tx, [clear(tx, spends)])[0], Authorised)
        before, balances = table_counts(tx), posted(tx, world)

        # The atelier has 6088, of which 3045 are held: one cent too little for its part of one shirt.
        order_back = refund_order(tx, world, order.checkout_id, some("shirts", 3_499))
        answer = carts.refund(tx, [clear(tx, order_back)])[0]

        assert code_of(answer) == "insufficient_funds"
        assert isinstance(answer, Declined)
        assert world.accounts["atelier"] in answer.detail
        assert (table_counts(tx), posted(tx, world)) == (before, balances)
        # One cent less is everyone's to bear.
        refunded(tx, world, order.checkout_id, some("shirts", 3_498))


def test_captures_beyond_the_line_are_declined_and_leave_nothing(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world)
        before = table_counts(tx)
        over = capture_order(tx, world, order.checkout_id, some("shirts", 1), some("sound", 12_901))
        nothing = capture_order(tx, world, order.checkout_id)
        unknown = replace(over, checkout_id=CheckoutId(tx.new_id("chk")))

        answers = [carts.capture(tx, [clear(tx, item)])[0] for item in (over, nothing, unknown)]

        assert [code_of(answer) for answer in answers] == [
            "exceeds_authorised",
            "too_many_legs",
            "checkout_unknown",
        ]
        assert table_counts(tx) == before


def test_a_checkout_of_another_programme_is_unknown(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world)
        stranger = build_world(tx, "pay-uk")
        capture = capture_order(tx, stranger, order.checkout_id, some("shirts", 1))
        refund = refund_order(tx, stranger, order.checkout_id, some("shirts", 1))

        assert code_of(carts.capture(tx, [clear(tx, capture)])[0]) == "checkout_unknown"
        assert code_of(carts.refund(tx, [clear(tx, refund)])[0]) == "checkout_unknown"


def test_a_clearance_captures_once(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world)
        cleared = clear(tx, capture_order(tx, world, order.checkout_id, some("sound", 100)))
        assert isinstance(carts.capture(tx, [cleared])[0], Moved)

    with pytest.raises(ClearanceSpent), open_tx() as tx:
        carts.capture(tx, [cleared])
    with open_tx(TUESDAY) as tx:
        assert code_of(carts.capture(tx, [cleared])[0]) == "id_reused"
        assert posted(tx, world)["soundbar"] == 90


def test_a_clearance_refunds_once(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = story_captures(tx, world)
        cleared = clear(tx, refund_order(tx, world, order.checkout_id, some("sound", 100)))
        assert isinstance(carts.refund(tx, [cleared])[0], Moved)

    with pytest.raises(ClearanceSpent), open_tx() as tx:
        carts.refund(tx, [cleared])
    with open_tx() as tx:
        assert posted(tx, world)["ana"] == 14_752


def test_two_captures_of_one_checkout_in_one_call_see_each_other(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world)
        orders = [
            capture_order(tx, world, order.checkout_id, some("sound", 12_000)),
            capture_order(tx, world, order.checkout_id, some("sound", 901)),
            capture_order(tx, world, order.checkout_id, some("sound", 900)),
        ]

        answers = carts.capture(tx, [clear(tx, item) for item in orders])

        assert isinstance(answers[0], Moved)
        assert code_of(answers[1]) == "exceeds_authorised"
        assert isinstance(answers[2], Moved)
        assert posted(tx, world)["soundbar"] == 11_610
        assert read_checkouts(tx, [order.checkout_id])[order.checkout_id].lines[1].final


# Expiry -----------------------------------------------------------------------------------------------------


def test_an_expired_cart_gives_the_money_back(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = authorised(tx, world, hours=1)
        captured(tx, world, order.checkout_id, some("sound", 12_900))
    with open_tx(order.expires_at - timedelta(microseconds=1)) as tx:
        assert checkouts.expire(tx) == 0
        assert held(tx, world) == {"ana": 25_448}

    with open_tx(order.expires_at) as tx:
        late = capture_order(tx, world, order.checkout_id, some("shirts", 1))
        assert code_of(carts.capture(tx, [clear(tx, late)])[0]) == "hold_expired"

        assert checkouts.expire(tx) == 1
        assert checkouts.expire(tx) == 0

        assert held(tx, world) == {}
        assert posted(tx, world)["ana"] == 37_100
        assert code_of(carts.capture(tx, [clear(tx, late)])[0]) == "checkout_not_authorised"
        assert told_of(tx, world.programme_id, order.checkout_id) == [
            "checkout.authorised",
            "checkout.captured",
            "checkout.expired",
        ]
        refunded(tx, world, order.checkout_id, some("sound", 12_900))
        assert posted(tx, world)["ana"] == 50_000


def test_a_closed_cart_does_not_expire(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        order = story_captures(tx, world)

    with open_tx(order.expires_at + timedelta(days=1)) as tx:
        assert checkouts.expire(tx) == 0
        assert read_checkouts(tx, [order.checkout_id])[order.checkout_id].state is CheckoutState.CLOSED


# Many at once -----------------------------------------------------------------------------------------------


def day_of_orders(
    tx: Tx, world: World, *, together: bool
) -> tuple[list[str], dict[str, int], dict[str, int]]:
    """Twelve carts, then captures and refunds of each: in one call each, or one order a call."""
    tag = "t" if together else "a"
    orders = [
        cart(
            tx,
            world,
            line(world, "goods", "atelier", unit_minor=place * 997, platform_bps=800, creator_bps=500),
            reference=f"{tag}-{place % 11}",
        )
        for place in range(1, 13)
    ]
    captures = [
        capture_order(
            tx, world, order.checkout_id, some("goods", order.amount_minor - 5, final=place % 2 == 0)
        )
        for place, order in enumerate(orders)
    ]
    refunds = [
        refund_order(tx, world, order.checkout_id, some("goods", order.amount_minor // 3)) for order in orders
    ]
    words = [
        *words_of(checkouts.authorise, tx, orders, together=together),
        *words_of(carts.capture, tx, captures, together=together),
        *words_of(carts.refund, tx, refunds, together=together),
    ]
    return words, posted(tx, world), held(tx, world)


def words_of(
    flow: Callable[[Tx, Sequence[Cleared[OrderT]]], tuple[object, ...]],
    tx: Tx,
    orders: Sequence[OrderT],
    *,
    together: bool,
) -> list[str]:
    """What a flow says to orders in one call, or to each in a call of its own."""
    cleared = [clear(tx, order) for order in orders]
    answers = flow(tx, cleared) if together else [flow(tx, [item])[0] for item in cleared]
    return [answer.code if isinstance(answer, Declined) else type(answer).__name__ for answer in answers]


def test_many_orders_in_one_call_are_what_they_are_one_by_one(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        other = build_world(tx, "one-by-one")
        fund(tx, other, "ana", amount_minor=50_000)

        together = day_of_orders(tx, world, together=True)
        alone = day_of_orders(tx, other, together=False)

        assert together == alone
        assert {"Authorised", "Moved", "insufficient_funds", "reference_taken"} <= set(together[0])
        assert breaches(tx, [world.programme_id, other.programme_id]) == []


def test_a_seller_in_a_flash_sale_is_not_touched_until_capture(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        orders = [
            cart(
                tx,
                world,
                line(world, "goods", "atelier", unit_minor=100, platform_bps=800),
                reference=f"sale-{place}",
            )
            for place in range(50)
        ]
        answers = checkouts.authorise(tx, [clear(tx, order) for order in orders])

        assert all(isinstance(answer, Authorised) for answer in answers)
        assert lock_accounts(tx, [world.accounts["atelier"]])[world.accounts["atelier"]].version == 1
        assert held(tx, world) == {"ana": 5_000}


def test_the_lines_of_the_cart_are_worth_what_the_story_says(open_tx: OpenTx, world: World) -> None:
    assert [item.amount_minor for item in story_lines(world)] == [6_998, 12_900, 18_450]
