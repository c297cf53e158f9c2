"""Writers: threads that carry prepared batches through the book's door, each on its own connection.

The only module outside the flows that sees `ledger.book`: what is measured is the door itself, not a way round it.
What is timed is all that a caller waits for, from the opening of the first transaction to the last durable commit.
"""

import gc
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import sqlalchemy as sa

from api.bench.failure import BenchRefused
from api.posting import PostGroups
from api.transactions import told_at_end
from ledger import book
from ledger.ahead import Ahead
from ledger.core.commands import Applied, Command, Result
from ledger.store.rows import insert_rows
from ledger.store.schema import notices
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction: its business time, the bank's word that allows it, and its groups of commands."""

    now: datetime
    notice: Mapping[str, object]
    groups: tuple[tuple[Command, ...], ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Batches that one writer carries one after another, and how many (posts, checkouts) they count for."""

    batches: tuple[Batch, ...]
    units: int


@dataclass(frozen=True, slots=True)
class Run:
    """What was carried in a stretch of time, by the clock on the wall."""

    works: int
    units: int
    seconds: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.seconds


def carry(engine: sa.Engine, works: Sequence[Work], *, writers: int, seconds: float) -> Run:
    """Carries works until they, or the seconds, are used up; what was begun is finished, and counted.

    Raises: BenchRefused when any command was not applied.
    """
    waiting = deque(works)
    post = Ahead().post if writers > 1 else book.post
    with ExitStack() as stack:
        connections = [stack.enter_context(engine.connect()) for _ in range(writers)]
        pool = stack.enter_context(ThreadPoolExecutor(writers, thread_name_prefix="writer"))
        stack.enter_context(prepared_left_alone())
        begun = time.perf_counter()
        running = [
            pool.submit(_write, connection, waiting, begun + seconds, post) for connection in connections
        ]
        carried = [work for future in running for work in future.result()]
        taken_s = time.perf_counter() - begun
    return Run(len(carried), sum(work.units for work in carried), taken_s)


def carry_one(connection: sa.Connection, batch: Batch, post: PostGroups) -> Sequence[tuple[Result, ...]]:
    """One batch in one transaction, committed when this returns."""
    with told_at_end() as at_end, connection.begin():
        tx = Tx(connection, batch.now, secrets.token_bytes, at_end)
        insert_rows(tx, notices, [batch.notice])
        return post(tx, batch.groups)


def _write(connection: sa.Connection, waiting: deque[Work], deadline: float, post: PostGroups) -> list[Work]:
    """Looks at every answer as it comes, as a caller would, and keeps none of them."""
    carried = []
    while time.perf_counter() < deadline:
        try:
            work = waiting.popleft()
        except IndexError:
            break
        for batch in work.batches:
            _check_applied(batch, carry_one(connection, batch, post))
        carried.append(work)
    return carried


def _check_applied(batch: Batch, results: Sequence[tuple[Result, ...]]) -> None:
    for command, result in zip(chain.from_iterable(batch.groups), chain.from_iterable(results), strict=True):
        if type(result) is not Applied or result.id != command.id:
            raise BenchRefused(f"{command.id} was to be applied, and the book says {result}")


@contextmanager
def prepared_left_alone() -> Iterator[None]:
    """Keeps the collector from going through all that was prepared, which no caller would hold at once.

    What the book itself makes is collected as ever.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
