"""How long the enclave waits for its database: one patience, shared by all who ask.

A round of requests puts many questions, over connections of several kinds, and whoever asks for something else waits
meanwhile. So what counts is how long a round has waited in all: once its patience is spent, whoever still asks in it
has no answer. It comes back slowly, by a tenth of the time that passes. When less is left than a quick round takes,
nobody asks any more until all of it is there again.
Knows nothing of what is asked, and decides nothing.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ROUND_S: Final = 1.0
"""How long a round may wait in all, if none before it had to wait."""

QUICK_S: Final = 0.25
"""A round that has waited for less cost nothing worth counting: so a busy database is not taken for a slow one."""

COMES_BACK_IN: Final = 10
"""How many times as long as it was waited for it takes until patience is back."""


class Patience:
    """What is left of it in this round, and when there will be more."""

    def __init__(self, *, whole_s: float = ROUND_S, quick_s: float = QUICK_S) -> None:
        """With both the same, only what was waited for in vain counts."""
        self._whole_s = whole_s
        self._quick_s = quick_s
        self._whole_at_s = 0.0
        self._asks_again_at_s = 0.0
        self._waited_s = self._counted_s = 0.0
        self._round_s = whole_s

    def begin_round(self) -> None:
        """From now on nothing has been waited for; what earlier rounds have used up comes back with time only."""
        self._waited_s = self._counted_s = 0.0
        self._round_s = self._whole_s - self._missing_s()

    @property
    def left_s(self) -> float:
        """For how long the next question may wait; 0: it must not be asked."""
        if time.monotonic() < self._asks_again_at_s:
            return 0.0
        return max(0.0, self._round_s - self._waited_s)

    @contextmanager
    def waiting(self) -> Iterator[float]:
        """A wait for the database, which must not be longer than it is told; counted whatever comes of it."""
        begun_s = time.monotonic()
        try:
            yield self.left_s
        finally:
            self._count(time.monotonic() - begun_s)

    def _count(self, waited_s: float) -> None:
        self._waited_s += waited_s
        if self._waited_s < self._quick_s:
            return
        now_s = time.monotonic()
        uncounted_s, self._counted_s = self._waited_s - self._counted_s, self._waited_s
        self._whole_at_s = max(self._whole_at_s, now_s) + COMES_BACK_IN * uncounted_s
        if self._whole_s - self._missing_s() < self._quick_s:
            self._asks_again_at_s = self._whole_at_s

    def _missing_s(self) -> float:
        return max(0.0, self._whole_at_s - time.monotonic()) / COMES_BACK_IN
