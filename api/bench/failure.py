"""How a run of the bench can end other than well."""

from collections.abc import Sequence


class BenchRefused(Exception):
    """Nothing was measured, or what was done is not what was claimed; the text says why."""


class BarMissed(Exception):
    """Everything was measured, and some figures are not good enough."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"missed the bar: {'; '.join(names)}")
        self.names = tuple(names)
