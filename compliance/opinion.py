"""What one rule says about one order: what it looked at, and what it found, if anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from compliance.facts import Facts
from ledger.core.canonical import Canonical
from ledger.core.clearance import Finding
from ledger.core.orders import Order


class Effect(StrEnum):
    """What a finding does to its order: refuses it, or keeps it until somebody decides."""

    BAR = "bar"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding with its effect."""

    effect: Effect
    finding: Finding


@dataclass(frozen=True, slots=True)
class Opinion:
    """A rule that applied to an order. No verdicts: the rule has nothing against it."""

    rule: str
    verdicts: tuple[Verdict, ...]
    inputs: Mapping[str, Canonical]


Rule = Callable[[Order, Facts], Opinion | None]
"""A rule gives None for an order that it does not apply to."""
