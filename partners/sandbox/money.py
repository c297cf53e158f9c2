"""The border between amounts on the wire (decimal numbers) and in the books (integer minor units)."""

from decimal import Decimal

CURRENCY = "EUR"
_PLACES = 2


def to_minor(amount: Decimal) -> int:
    """An amount of at most two decimal places in cents; the request models have checked both bounds."""
    minor = int(amount.scaleb(_PLACES))
    assert Decimal(minor).scaleb(-_PLACES) == amount
    return minor


def to_amount(minor: int) -> Decimal:
    """Cents as the decimal number that the wire carries, always with two places."""
    return Decimal(minor).scaleb(-_PLACES)
