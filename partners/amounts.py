"""Amounts at the wire: exact decimals outside, whole minor units inside. No float and no rounding, ever.

Source: ISO 4217 for the number of decimals of a currency.
"""

from decimal import Decimal
from functools import lru_cache

from iso4217 import Currency

from ledger.core.money import MINOR_MAX
from partners.contract import Unreadable

_DIGITS_MAX = 30  # more than 63 bits need, few enough that no exponent can exhaust memory


@lru_cache(maxsize=256)
def exponent_of(currency: str) -> int:
    """How many decimals a currency has. Raises: Unreadable for a code without minor units."""
    try:
        exponent = Currency(currency).exponent
    except ValueError as unlisted:
        raise Unreadable("An amount is in a currency that ISO 4217 does not list.") from unlisted
    if not isinstance(exponent, int):
        raise Unreadable(f"{currency} has no minor units.")
    return exponent


def minor_units(amount: Decimal, currency: str) -> int:
    """An exact decimal amount in minor units.

    Raises: Unreadable when the value needs more decimals than the currency has, or does not fit in 63 bits.
    """
    exponent = exponent_of(currency)
    if not amount.is_finite() or abs(amount.adjusted()) > _DIGITS_MAX:
        raise Unreadable("An amount is out of all proportion.")
    sign, digits, power = amount.as_tuple()
    assert isinstance(power, int)  # finite
    coefficient = int("".join(map(str, digits)))
    shift = power + exponent
    raised: int = coefficient * 10 ** max(shift, 0)
    divisor: int = 10 ** max(-shift, 0)
    minor, rest = divmod(raised, divisor)
    if rest:
        raise Unreadable(f"An amount has more decimals than {currency}.")
    if minor > MINOR_MAX:
        raise Unreadable("An amount does not fit in 63 bits.")
    return -minor if sign else minor


def decimal_text(amount_minor: int, currency: str) -> str:
    """A non-negative amount as text with all the decimals of its currency. Units: minor units."""
    exponent = exponent_of(currency)
    digits = str(amount_minor).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
