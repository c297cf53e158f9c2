"""The limit of one order: below, at and above, for every kind, and the currency nobody thought of."""

from dataclasses import replace

import pytest

from compliance.facts import CheckoutFact, Facts
from compliance.opinion import Effect
from compliance.rules.transaction_limit import check
from ledger.core.orders import Order
from tests.compliance.given import (
    ANA,
    PROGRAMME,
    SOUNDBAR,
    capture,
    checkout,
    deposit,
    facts,
    onboard,
    payout,
    refund,
    some_id,
    sweep,
)


def effect(order: Order, known: Facts) -> Effect | None:
    opinion = check(order, known)
    assert opinion is not None
    return opinion.verdicts[0].effect if opinion.verdicts else None


def with_checkout(currency: str = "EUR") -> Facts:
    known = CheckoutFact(PROGRAMME, currency, ANA, {"speaker": SOUNDBAR})
    return replace(facts(), checkouts={some_id("chk", 1): known})


@pytest.mark.parametrize(
    ("below", "at", "above"),
    [
        (checkout(999_999), checkout(1_000_000), checkout(1_000_001)),
        (capture(999_999), capture(1_000_000), capture(1_000_001)),
        (refund(999_999), refund(1_000_000), refund(1_000_001)),
        (payout(amount_minor=9_999_999), payout(amount_minor=10_000_000), payout(amount_minor=10_000_001)),
        (sweep(99_999_999), sweep(100_000_000), sweep(100_000_001)),
    ],
)
def test_an_order_above_its_limit_is_barred(below: Order, at: Order, above: Order) -> None:
    known = with_checkout()

    assert effect(below, known) is None
    assert effect(at, known) is None
    assert effect(above, known) is Effect.BAR


def test_a_deposit_above_its_limit_is_held_because_the_money_is_here() -> None:
    assert effect(deposit(amount_minor=5_000_000), facts()) is None
    assert effect(deposit(amount_minor=5_000_001), facts()) is Effect.HOLD


def test_the_lines_of_a_capture_are_counted_together() -> None:
    twice = replace(capture(600_000), lines=capture(600_000).lines * 2)

    assert effect(twice, with_checkout()) is Effect.BAR


@pytest.mark.parametrize(
    "order",
    [checkout(3_000, currency="XTS"), deposit(currency="XTS"), payout(amount_minor=1, currency="XTS")],
)
def test_a_currency_without_a_limit_is_barred(order: Order) -> None:
    assert effect(order, facts()) is Effect.BAR


@pytest.mark.parametrize("order", [capture(1), refund(1)])
def test_a_capture_has_the_currency_of_its_checkout(order: Order) -> None:
    assert effect(order, with_checkout("XTS")) is Effect.BAR
    assert effect(order, facts()) is Effect.BAR  # no checkout, no currency


def test_taking_in_a_party_moves_nothing_and_has_no_limit() -> None:
    assert check(onboard(), facts()) is None


def test_the_finding_says_what_was_compared() -> None:
    opinion = check(payout(amount_minor=10_000_001), facts())

    assert opinion is not None
    assert opinion.inputs == {"amount_minor": 10_000_001, "currency": "EUR", "limit_minor": 10_000_000}
    assert opinion.verdicts[0].finding.version == "2026-01"
    assert "10000001 is above the limit of 10000000" in opinion.verdicts[0].finding.detail
