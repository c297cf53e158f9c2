"""A row of a result: one figure, what it is compared with, and how good it has to be."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

AT_MOST = "(at most)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `bar` is about the ratio, and None where nothing is asked; `at_most`: less is better."""

    name: str
    value: float
    unit: str
    reference: float | None = None
    bar: float | None = None
    at_most: bool = False

    @property
    def ratio(self) -> float | None:
        """The figure against its reference."""
        return None if self.reference is None else self.value / self.reference

    @property
    def missed(self) -> bool:
        """Whether the ratio is on the wrong side of its bar."""
        if self.bar is None:
            return False
        assert self.ratio is not None, "a bar is about a ratio"
        return self.ratio > self.bar if self.at_most else self.ratio < self.bar

    def as_data(self) -> dict[str, str | float | None]:
        """The row as it is written. A bar that is an upper bound says so in the unit."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": f"{self.unit} {AT_MOST}" if self.at_most else self.unit,
            "reference": _rounded(self.reference),
            "ratio": _rounded(self.ratio),
            "bar": self.bar,
        }


def best_has_the_bar(rows: Sequence[Row], bar: float) -> list[Row]:
    """The same measure taken in several ways: the bar is for the better one, the others are shown beside it."""
    best = max(rows, key=lambda row: row.value)
    return [replace(row, bar=bar) if row is best else row for row in rows]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows of one workload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row.as_data() for row in rows], indent=2) + "\n")


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
