"""How much of the partner banks is measured."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PartnerScale:
    """Counts of what one round does."""

    rounds: int
    payments: int  # in a file


FULL: Final = PartnerScale(rounds=15, payments=10_000)
QUICK: Final = PartnerScale(rounds=1, payments=100)
