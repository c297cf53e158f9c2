"""Money is a whole number of its currency's minor units. No float, no Decimal, and no rounding that is not named."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.core.errors import InvalidValue

MINOR_MAX = 2**63 - 1
BPS_WHOLE = 10_000


def share_half_even(amount_minor: int, bps: int) -> int:
    """A share in basis points of an amount, rounded half to even (banker's rounding: no bias over many lines).

    Units: minor units in and out; `bps` is 1/100 of a percent.
    """
    return divide_half_even(amount_minor * bps, BPS_WHOLE)


def divide_half_even(dividend: int, divisor: int) -> int:
    """A quotient of whole numbers, rounded half to even. The divisor is positive."""
    quotient, remainder = divmod(dividend, divisor)
    twice = 2 * remainder
    if twice > divisor or (twice == divisor and quotient % 2 == 1):
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
    Raises: InvalidValue when there is not exactly one remainder, a share is negative, or the shares exceed the whole.
    """
    if sum(split.bps is None for split in splits) != 1:
        raise InvalidValue("A line needs exactly one split that takes the remainder.", field="splits")
    if min(split.bps or 0 for split in splits) < 0:
        raise InvalidValue("A share of a line is never negative.", field="splits")
    if sum(split.bps or 0 for split in splits) > BPS_WHOLE:
        raise InvalidValue("The shares of a line exceed the whole.", field="splits")
    parts = targets(amount_minor, splits)
    if sum(parts) != amount_minor:
        raise InvalidValue("The rounded shares of a line exceed its amount.", field="splits")
    return parts


def targets(amount_minor: int, splits: Sequence[Split]) -> tuple[int, ...]:
    """What each split of a sound line should have had of a running total: the aim of `allocate_step`.

    Close to the whole, shares that are all rounded up may together exceed a small total; the step then trims them.
    """
    shares = [0 if split.bps is None else share_half_even(amount_minor, split.bps) for split in splits]
    rest = max(amount_minor - sum(shares), 0)
    return tuple(rest if split.bps is None else share for split, share in zip(splits, shares, strict=True))


def allocate_step(
    amount_minor: int, *, target: Sequence[int], done: Sequence[int], cap: Sequence[int]
) -> tuple[int, ...]:
    """The parts of one step of many, steered so that the running totals follow `target`.

    `target` is what each part should have had after the step, `done` what it has had before, `cap` the most it may
    ever have. Parts are never negative and always sum to the step; a unit of rounding that one step cannot place is
    placed by a later one, so that partial captures and refunds never let rounding accumulate.
    """
    step = [min(max(want - had, 0), most - had) for want, had, most in zip(target, done, cap, strict=True)]
    room = [most - had - part for had, most, part in zip(done, cap, step, strict=True)]
    rest = amount_minor - sum(step)
    for place in sorted(range(len(step)), key=lambda at: -step[at]):
        change = max(min(rest, room[place]), -step[place])
        step[place] += change
        rest -= change
    assert rest == 0, "a step is never larger than the room that is left"
    return tuple(step)
