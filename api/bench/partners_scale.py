"""How much of the partner banks is measured."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PartnerScale:
    """Counts of what one round does."""

    rounds: int
    payments: int  # in a file
    readings: int
    entries: int  # of a long statement
    entries_few: int
    payouts: int
    sendings: int


FULL: Final = PartnerScale(
    rounds=15,
    payments=10_000,
    readings=5,
    entries=100_000,
    entries_few=10_000,
    payouts=2_000,
    sendings=3,
)
QUICK: Final = PartnerScale(
    rounds=1, payments=100, readings=1, entries=5_000, entries_few=1_000, payouts=20, sendings=1
)
