"""How long not to ask again what found no answer. Knows nothing of what was asked."""

import time
from datetime import timedelta

SHORTEST = timedelta(seconds=1)


def pause_after(begun_s: float) -> timedelta:
    """How long to wait, counted from a question (`time.monotonic`) that found no answer.

    A database that swallows every question keeps one request in ten waiting, not each of them.
    """
    return max(SHORTEST, 10 * timedelta(seconds=time.monotonic() - begun_s))
