"""Money: a whole number of a currency's minor units. No float, no Decimal, no rounding that is not named."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.core.errors import CurrencyMismatch, InvalidValue

MINOR_MAX = 2**63 - 1
BPS_WHOLE = 10_000


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount with its currency. Units: `minor` is the currency's smallest unit (cents for EUR)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise InvalidValue("An amount is a whole number of minor units.", field="minor")
        if abs(self.minor) > MINOR_MAX:
            raise InvalidValue("An amount must fit in 63 bits.", field="minor")

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.minor - other.minor, self.currency)

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} cannot be added to {other.currency}.", field="currency")


def share_half_even(amount_minor: int, bps: int) -> int:
    """A share in basis points of an amount, rounded half to even (banker's rounding: no bias over many lines).

    Units: minor units in and out; `bps` is 1/100 of a percent.
    """
    quotient, remainder = divmod(amount_minor * bps, BPS_WHOLE)
    twice = 2 * remainder
    if twice > BPS_WHOLE or (twice == BPS_WHOLE and quotient % 2 == 1):
        return quotient + 1
    return quotient


class SplitTo(StrEnum):
    """Whose balance a split feeds."""

    PLATFORM = "platform"
    SELLER = "seller"
    CREATOR = "creator"


@dataclass(frozen=True, slots=True)
class Split:
    """One receiver of a line: a share in basis points, or (bps is None) the remainder."""

    to: SplitTo
    party_id: str | None
    bps: int | None


def allocate(amount_minor: int, splits: Sequence[Split]) -> tuple[int, ...]:
    """The parts of an amount, one a split, that always sum to the whole.

    Each share is rounded half-even; the one remainder split takes what is left.
    Raises: InvalidValue when there is not exactly one remainder, or the shares exceed the whole.
    """
    remainder_places = [place for place, split in enumerate(splits) if split.bps is None]
    if len(remainder_places) != 1:
        raise InvalidValue("A line needs exactly one split that takes the remainder.", field="splits")
    if sum(split.bps or 0 for split in splits) > BPS_WHOLE:
        raise InvalidValue("The shares of a line exceed the whole.", field="splits")
    parts = [0 if split.bps is None else share_half_even(amount_minor, split.bps) for split in splits]
    rest = amount_minor - sum(parts)
    if rest < 0:
        raise InvalidValue("The rounded shares of a line exceed its amount.", field="splits")
    parts[remainder_places[0]] = rest
    return tuple(parts)


def allocate_part(whole_before: int, whole_after: int, splits: Sequence[Split]) -> tuple[int, ...]:
    """The parts of the step from one running total to the next.

    Each step is the difference of two allocations, so that many partial captures or refunds sum to exactly
    what one step over the whole amount would have given: rounding never accumulates.
    Rounded differences may give a share one unit against the direction of the step; it is then taken from the
    remainder's side by `allocate` itself, and a negative part is refused.
    """
    before, after = allocate(whole_before, splits), allocate(whole_after, splits)
    return tuple(late - early for early, late in zip(before, after, strict=True))
