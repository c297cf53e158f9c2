"""Conversions: money leaves in one currency and comes in another, through the programme's conversion accounts.

A leg is within one currency, so a conversion has two: what is sold goes to the conversion account of its currency,
what is bought comes out of the one of the other. Each currency balances on its own; what the two conversion accounts
hold against each other is the programme's open position. The rate stays on the transfer. Pure; integers only.
"""

from dataclasses import dataclass

from ledger.core.commands import Leg, Rate
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId
from ledger.core.money import MINOR_MAX, divide_half_even


@dataclass(frozen=True, slots=True)
class Door:
    """Where a conversion passes in one currency: the account of whoever converts, and the conversion account."""

    account_id: AccountId
    conversion_id: AccountId


def converted_minor(sold_minor: int, rate: Rate) -> int:
    """What `sold_minor` buys at a rate, rounded half to even on the minor unit of what is bought.

    Units: minor units of `rate.sold` in, of `rate.bought` out.
    """
    return divide_half_even(sold_minor * rate.numerator, rate.denominator)


def conversion_legs(sold_minor: int, rate: Rate, *, sold: Door, bought: Door) -> tuple[Leg, Leg]:
    """The two legs of a conversion between two accounts that owe their holder money: out of one, into the other.

    Raises: InvalidValue when the rate is not a price of one currency in another, or when either amount is not one
    that a leg can carry (too little buys nothing, too much does not fit).
    Units: `sold_minor` in minor units of `rate.sold`.
    """
    check_rate(rate)
    bought_minor = converted_minor(sold_minor, rate)
    if not 0 < sold_minor <= MINOR_MAX:
        raise InvalidValue("The amount that is sold is no amount of money.", field="sold_minor")
    if not 0 < bought_minor <= MINOR_MAX:
        raise InvalidValue("At this rate the amount buys nothing, or more than fits.", field="sold_minor")
    return (
        Leg(sold.account_id, sold.conversion_id, sold_minor),
        Leg(bought.conversion_id, bought.account_id, bought_minor),
    )


def check_rate(rate: Rate) -> None:
    """Raises: InvalidValue when a rate is not a positive price of one currency in another."""
    if rate.sold == rate.bought:
        raise InvalidValue("A conversion is between two currencies.", field="rate.bought")
    if not 0 < rate.numerator <= MINOR_MAX:
        raise InvalidValue("A rate is a fraction of two positive whole numbers.", field="rate.numerator")
    if not 0 < rate.denominator <= MINOR_MAX:
        raise InvalidValue("A rate is a fraction of two positive whole numbers.", field="rate.denominator")
