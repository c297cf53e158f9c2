"""What was signed away lately, account by account: the sums that the limits by the hour and the day look at.

A payout counts once, when it is first signed; signing it again moves no more money. A window slides: an hour is the
last 3,600 seconds, not the hour on the clock. Knows no limits, no clock and no log. Units: minor units.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum


class Window(Enum):
    """How far back a limit looks."""

    HOUR = timedelta(hours=1)
    DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Purse:
    """Which account the money leaves, and in which currency: what a limit is counted for.

    Not the programme: whoever writes the database can write another programme over the same account.
    """

    account: str
    currency: str


@dataclass(slots=True)
class _Sum:
    """The amounts of one purse in one window, with their total. Times only go on: what has left never comes back."""

    length: timedelta
    total_minor: int = 0
    amounts: deque[tuple[datetime, int]] = field(default_factory=deque)

    def add(self, amount_minor: int, at: datetime) -> None:
        self.amounts.append((at, amount_minor))
        self.total_minor += amount_minor

    def until(self, now: datetime) -> int:
        begins = now - self.length
        while self.amounts and self.amounts[0][0] <= begins:
            self.total_minor -= self.amounts.popleft()[1]
        return self.total_minor


class Spending:
    """The sums of all purses in all windows."""

    def __init__(self, before: "Spending | None" = None) -> None:
        """With `before`, what is noted here comes on top of that, which stays as it is."""
        self._before = before
        self._sums: dict[tuple[Purse, Window], _Sum] = {}

    def note(self, purse: Purse, amount_minor: int, *, at: datetime) -> None:
        """Counts an amount that is signed away at a time, no earlier than those before it."""
        for window in Window:
            if (purse, window) not in self._sums:
                self._sums[purse, window] = _Sum(window.value)
            self._sums[purse, window].add(amount_minor, at)
            self._sums[purse, window].until(at)

    def within(self, purse: Purse, window: Window, *, now: datetime) -> int:
        """What was signed away in the window that ends now."""
        before = 0 if self._before is None else self._before.within(purse, window, now=now)
        here = self._sums.get((purse, window))
        return before if here is None else before + here.until(now)
