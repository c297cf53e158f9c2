"""Leaves a bank alone that does not answer, and tries it again by one payment before all others.

    closed  --failures_max silences in a row-->  open  --open_for-->  trying  --an answer-->  closed
                                                   ^------a silence, twice as long------'

An answer of any kind is an answer, a refusal too. A try of which nobody hears any more (its sender broke off) is given
up after as long as the bank was left alone before it. Nothing here says what became of a payment: only whether the next
one is worth sending. One object serves all threads of a process, and each process finds out for itself.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

FAILURES_MAX: Final = 5
OPEN_FOR: Final = timedelta(seconds=10)
OPEN_FOR_MAX: Final = timedelta(minutes=5)


@dataclass(slots=True)
class Breaker:
    """Whether a bank is worth asking. `monotonic` counts seconds and never goes back."""

    monotonic: Callable[[], float]
    failures_max: int = FAILURES_MAX
    _failures: int = 0
    _open_for_s: float = OPEN_FOR.total_seconds()
    _opens_again_at: float | None = None
    _trying: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def room(self, wanted: int) -> int:
        """How many payments may be sent now: all, none, or one to try with."""
        with self._lock:
            if self._opens_again_at is None:
                return wanted
            if self.monotonic() < self._opens_again_at:
                return 0
            self._leave_alone_for(self._open_for_s)
            self._trying = True
            return min(wanted, 1)

    def answered(self) -> None:
        """The bank has said something."""
        with self._lock:
            self._failures, self._opens_again_at, self._trying = 0, None, False
            self._open_for_s = OPEN_FOR.total_seconds()

    def was_silent(self) -> None:
        """The bank has said nothing, or could not be reached."""
        with self._lock:
            self._failures += 1
            if self._trying:
                self._open_for_s = min(2 * self._open_for_s, OPEN_FOR_MAX.total_seconds())
                self._leave_alone_for(self._open_for_s)
            elif self._failures >= self.failures_max:
                self._leave_alone_for(self._open_for_s)

    def wait(self, time: timedelta) -> None:
        """The bank has asked to be left alone for a time."""
        with self._lock:
            self._leave_alone_for(min(time, OPEN_FOR_MAX).total_seconds())

    def gave_up_trying(self) -> None:
        """The payment that was to be tried was not sent after all: another one tries."""
        with self._lock:
            if self._trying:
                self._leave_alone_for(0)

    def _leave_alone_for(self, seconds: float) -> None:
        self._opens_again_at = self.monotonic() + seconds
        self._trying = False
