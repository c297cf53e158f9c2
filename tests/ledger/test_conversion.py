"""Conversions: what is bought at a rate, through which accounts, and that both currencies balance on their own."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.chart import Code
from ledger.core.commands import Applied, Leg, Rate, Refusal, Refused
from ledger.core.conversion import Door, check_rate, conversion_legs, converted_minor
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, ProgrammeId
from ledger.core.money import MINOR_MAX
from ledger.store.history import balances, read_transfer, totals
from ledger.store.tx import Tx
from tests.conftest import OpenTx, make_programme
from tests.ledger.chronicle import Chronicle, ask, begin, opening

EUR_TO_USD = Rate("EUR", "USD", 10_845, 10_000)
FROM = Door(AccountId("acct_from"), AccountId("acct_eur"))
INTO = Door(AccountId("acct_into"), AccountId("acct_usd"))

terms = st.integers(1, MINOR_MAX)


@pytest.mark.parametrize(
    ("sold_minor", "rate", "bought_minor"),
    [
        (10_000, EUR_TO_USD, 10_845),
        (1, Rate("EUR", "USD", 1, 2), 0),  # half to even, down
        (3, Rate("EUR", "USD", 1, 2), 2),  # half to even, up
        (5, Rate("EUR", "USD", 1, 2), 2),
        (5, Rate("EUR", "USD", 500_001, 1_000_000), 3),  # above the half
        (5, Rate("EUR", "USD", 499_999, 1_000_000), 2),  # below it
        (100, Rate("EUR", "JPY", 163, 100), 163),
        (MINOR_MAX, Rate("EUR", "COIN", 1, 1), MINOR_MAX),
    ],
)
def test_bought_is_rounded_half_to_even(sold_minor: int, rate: Rate, bought_minor: int) -> None:
    assert converted_minor(sold_minor, rate) == bought_minor


@given(sold_minor=terms, numerator=terms, denominator=terms)
def test_bought_is_what_decimal_arithmetic_says(sold_minor: int, numerator: int, denominator: int) -> None:
    with localcontext(prec=200):
        exact = Decimal(sold_minor) * numerator / denominator
        expected = int(exact.to_integral_value(ROUND_HALF_EVEN))

    assert converted_minor(sold_minor, Rate("EUR", "USD", numerator, denominator)) == expected


@given(sold_minor=st.integers(1, 10**12), numerator=st.integers(1, 10**6), denominator=st.integers(1, 10**6))
def test_rounding_is_never_off_by_more_than_half_a_unit(
    sold_minor: int, numerator: int, denominator: int
) -> None:
    bought_minor = converted_minor(sold_minor, Rate("EUR", "USD", numerator, denominator))

    assert 2 * abs(bought_minor * denominator - sold_minor * numerator) <= denominator


def test_each_leg_stays_in_its_own_currency() -> None:
    legs = conversion_legs(10_000, EUR_TO_USD, sold=FROM, bought=INTO)

    assert legs == (
        Leg(FROM.account_id, FROM.conversion_id, 10_000),
        Leg(INTO.conversion_id, INTO.account_id, 10_845),
    )


@pytest.mark.parametrize("sold_minor", [-1, 0, MINOR_MAX + 1])
def test_what_is_no_amount_of_money_cannot_be_sold(sold_minor: int) -> None:
    with pytest.raises(InvalidValue) as refused:
        conversion_legs(sold_minor, EUR_TO_USD, sold=FROM, bought=INTO)

    assert refused.value.field == "sold_minor"


@pytest.mark.parametrize(
    ("sold_minor", "rate"),
    [(1, Rate("EUR", "USD", 1, 2)), (MINOR_MAX, Rate("EUR", "USD", 2, 1))],
)
def test_a_conversion_that_buys_nothing_or_more_than_fits_is_refused(sold_minor: int, rate: Rate) -> None:
    with pytest.raises(InvalidValue) as refused:
        conversion_legs(sold_minor, rate, sold=FROM, bought=INTO)

    assert refused.value.field == "sold_minor"


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        (Rate("EUR", "EUR", 1, 1), "rate.bought"),
        (Rate("EUR", "USD", 0, 1), "rate.numerator"),
        (Rate("EUR", "USD", -1, 1), "rate.numerator"),
        (Rate("EUR", "USD", MINOR_MAX + 1, 1), "rate.numerator"),
        (Rate("EUR", "USD", 1, 0), "rate.denominator"),
        (Rate("EUR", "USD", 1, -1), "rate.denominator"),
        (Rate("EUR", "USD", 1, MINOR_MAX + 1), "rate.denominator"),
    ],
)
def test_what_is_no_price_is_refused_by_its_field(rate: Rate, field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_rate(rate)

    assert refused.value.field == field


def _desk(tx: Tx, programme_id: ProgrammeId) -> Chronicle:
    """Own funds and a conversion account in euros, and the same in dollars."""
    return begin(
        tx,
        opening(tx, programme_id, Code.OWN_FUNDS),
        opening(tx, programme_id, Code.CONVERSION),
        opening(tx, programme_id, Code.OWN_FUNDS, currency="USD"),
        opening(tx, programme_id, Code.CONVERSION, currency="USD"),
        programme_id=programme_id,
    )


def test_a_conversion_is_posted_with_its_rate_and_balances_in_each_currency(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
        ours = _desk(tx, programme_id)
        euro, euro_door, dollar, dollar_door = ours.accounts
        legs = conversion_legs(
            12_345, EUR_TO_USD, sold=Door(euro, euro_door), bought=Door(dollar, dollar_door)
        )

        command = ours.convert(tx, legs, EUR_TO_USD)
        result = ask(tx, command)

        assert isinstance(result, Applied), result
        kept = read_transfer(tx, programme_id, command.id)
        assert kept is not None
        assert kept.asked["rate"] == ["EUR", "USD", 10_845, 10_000]
        assert [(leg.amount_minor, leg.currency) for leg in kept.legs] == [(12_345, "EUR"), (13_388, "USD")]
        assert {
            total.currency: total.debits_minor - total.credits_minor for total in totals(tx, programme_id)
        } == {
            "EUR": 0,
            "USD": 0,
        }
        position = {item.id: item.posted_minor for item in balances(tx, programme_id)}
        assert (position[euro_door], position[dollar_door]) == (12_345, -13_388)


@pytest.mark.parametrize("off_by_minor", [-1, 1])
def test_the_book_refuses_a_conversion_that_is_off_by_one(open_tx: OpenTx, off_by_minor: int) -> None:
    with open_tx() as tx:
        ours = _desk(tx, make_programme(tx))
        euro, euro_door, dollar, dollar_door = ours.accounts
        sold, bought = conversion_legs(
            12_345, EUR_TO_USD, sold=Door(euro, euro_door), bought=Door(dollar, dollar_door)
        )
        wrong = Leg(bought.debit, bought.credit, bought.amount_minor + off_by_minor)

        result = ask(tx, ours.convert(tx, [sold, wrong], EUR_TO_USD))

    assert isinstance(result, Refused)
    assert result.refusal is Refusal.RATE_DIFFERS
