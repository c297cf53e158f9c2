"""Ids and instants for commands that are made before the clock starts, of the kind that callers and the worker mint."""

import time
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from ledger.core.ids import to_text, uuid7

_STEP = timedelta(milliseconds=1)


class Mint:
    """Mints time-ordered ids, and business times of which each is later than the one before."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sequence = count()
        self._last = datetime.now(UTC)

    def id(self, prefix: str) -> str:
        """A new id of one kind."""
        unix_ms = time.time_ns() // 1_000_000
        return to_text(prefix, uuid7(unix_ms, next(self._sequence), self._random.randbytes(8)))

    def instant(self) -> datetime:
        """The business time of the next transaction."""
        self._last = max(datetime.now(UTC), self._last + _STEP)
        return self._last

    def reference(self) -> str:
        """What a merchant calls a payment: twelve characters."""
        return f"INV-{next(self._sequence):08d}"
