"""How long not to ask again what found no answer. Knows nothing of what was asked."""

import time
from datetime import timedelta

SHORTEST = timedelta(seconds=1)


class Pause:
    """A while in which nothing is asked, counted from the question (`time.monotonic`) that found no answer.

    A database that swallows every question keeps one request in ten waiting, not each of them.
    """

    def __init__(self) -> None:
        self._ends_at_s = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it may be asked again, or never had to wait."""
        return time.monotonic() >= self._ends_at_s

    def begin(self, asked_at_s: float) -> timedelta:
        """Begins with a question that has just failed; says how long it is."""
        length = max(SHORTEST, 10 * timedelta(seconds=time.monotonic() - asked_at_s))
        self._ends_at_s = asked_at_s + length.total_seconds()
        return length
