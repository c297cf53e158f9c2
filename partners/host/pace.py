"""How fast a bank may be asked: so many requests a second, and so many at once after a pause.

A bucket of permits that fills by the bank's rate. One object serves all threads of a process; several processes are
several callers to the bank, and share its rate by being told less each.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from partners.contract import Rate


@dataclass(slots=True)
class Pace:
    """Permits to ask. `monotonic` counts seconds and never goes back; `sleep` waits for so many."""

    rate: Rate
    monotonic: Callable[[], float]
    sleep: Callable[[float], object]
    _permits: float = field(init=False)
    _filled_at: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._permits, self._filled_at = float(self.rate.at_once), self.monotonic()

    def take(self) -> None:
        """Takes a permit, and waits for it where there is none: first come, first served."""
        with self._lock:
            now = self.monotonic()
            filled = self._permits + (now - self._filled_at) * self.rate.per_second
            self._permits, self._filled_at = min(filled, float(self.rate.at_once)) - 1, now
            wait_s = max(0.0, -self._permits / self.rate.per_second)
        if wait_s:
            self.sleep(wait_s)
