"""How the past is asked about: it is settled first, in a transaction of its own, and only then read.

Settling waits for whoever is posting; what is read afterwards can never become another answer
(docs/decisions/0012-an-answer-about-the-past-is-final.md).
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from api.parts import Parts
from ledger.core.ids import ProgrammeId
from ledger.flows.periods import settle_past
from ledger.store.tx import Tx

T = TypeVar("T")


def read_past(
    parts: Parts, programme_id: ProgrammeId, at: datetime | None, reader: Callable[[Tx], T], *, field: str
) -> T:
    """Reads the book at one moment, after the instant that the answer is about is settled (None: it is about now).

    Blocks. Raises: InvalidValue when the instant has not come yet; `field` is where the caller named it.
    """
    if at is not None:
        with parts.transactions() as tx:
            settle_past(tx, programme_id, at, field=field)
    with parts.snapshots() as tx:
        return reader(tx)


def read_as_of_now(parts: Parts, programme_id: ProgrammeId, reader: Callable[[Tx, datetime], T]) -> T:
    """Reads what is known now as an answer that can be asked for again: the instant is chosen here, and settled.

    Blocks.
    """
    with parts.transactions() as tx:
        now = tx.now
        settle_past(tx, programme_id, now, field="recorded_at")
    with parts.snapshots() as tx:
        return reader(tx, now)
