"""Gathering: callers put down what they want, a thread takes all that waits, and everybody is answered together.

The one mechanism under every lane. What has gathered is carried out in one transaction, and nobody is answered before
its commit is durable. Several threads may serve one queue: while one waits for its commit, the next one gathers. What
waits is bounded, and so is what one transaction takes.

One bad item never fails its neighbours. Work that fails is done again in halves, down to the one item that is at fault.
When the database cannot be reached, that is nobody's fault, and everybody hears the same.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from api.transactions import Transactions
from api.tries import Unreachable, in_tx
from ledger.store.tx import Tx

T = TypeVar("T")
A = TypeVar("A")
SHARE_MIN = 16  # less than this is not worth a transaction of its own

_log = logging.getLogger("tallystick.gathering")


class LaneFull(Exception):
    """More is waiting than the lane will hold, or it is stopping: the caller should come back a little later."""


class _Waiting(NamedTuple, Generic[T, A]):
    """What one caller asked, what it weighs, and where its answer goes."""

    asked: T
    weight: int
    answer: "asyncio.Future[A] | Future[A]"


class Gathering(Generic[T, A]):
    """A bounded queue, and threads that take whatever has gathered in it, each with one transaction at a time.

    `work` carries out many items in one transaction and gives one answer an item. It may be called again with the same
    items when nothing of the first call has come to stay, or nobody can know whether it has: so it must find what
    stands already. `told` is how an item's own error looks to its caller.
    """

    def __init__(
        self,
        transactions: Transactions,
        work: Callable[[Tx, Sequence[T]], Sequence[A]],
        *,
        told: Callable[[Exception], "A | BaseException"],
        name: str,
        gathered_max: int,
        queued_max: int,
        threads: int = 1,
    ) -> None:
        self._transactions = transactions
        self._work = work
        self._told = told
        self._gathered_max = gathered_max
        self._queued_max = queued_max
        self._items: deque[_Waiting[T, A]] = deque()
        self._weight = 0
        self._idle = 0
        self._stopping = False
        self._change = threading.Condition(threading.Lock())
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Starts taking items."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Takes nothing more, finishes what waits, then stops."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, asked: T, weight: int = 1) -> Future[A]:
        """Puts one item down; its answer is there after the commit. Raises: LaneFull."""
        answer: Future[A] = Future()
        self._put(_Waiting(asked, weight, answer))
        return answer

    async def ask(self, asked: T, weight: int = 1) -> A:
        """Puts one item down and waits for its answer. Raises: LaneFull, and what `told` makes of its error."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(asked, weight, answer))
        return await answer

    def _put(self, item: _Waiting[T, A]) -> None:
        items = self._items
        with self._change:
            # One item of any weight is taken when nothing else waits: what is larger than the queue is not stuck.
            if self._stopping or (items and self._weight + item.weight > self._queued_max):
                raise LaneFull
            items.append(item)
            self._weight += item.weight
            if len(items) == 1:  # whoever was woken for the first takes those that follow it
                self._change.notify()

    def _run(self) -> None:
        while items := self._take():
            _answer(items, self._carry_out([item.asked for item in items]))

    def _take(self) -> list[_Waiting[T, A]]:
        """A fair share of all that waits, one item at least; nothing when all is done."""
        with self._change:
            while not self._items and not self._stopping:
                self._idle += 1
                self._change.wait()
                self._idle -= 1
            taken: list[_Waiting[T, A]] = []
            room = share = fair_share(self._weight, idle=self._idle, most=self._gathered_max)
            while self._items and (not taken or self._items[0].weight <= room):
                item = self._items.popleft()
                room -= item.weight
                taken.append(item)
            self._weight -= share - room
            if self._items:
                self._change.notify()
            return taken

    def _carry_out(self, asked: Sequence[T]) -> "Sequence[A | BaseException]":
        try:
            return in_tx(self._transactions, lambda tx: self._all_answers(tx, asked))
        except Unreachable as error:
            return [self._told(error)] * len(asked)
        except Exception as error:  # noqa: BLE001 - the lane's edge: whatever it is, neighbours must not suffer
            if len(asked) == 1:
                return [self._told(error)]
            _log.warning("gathering.in_halves", extra={"items": len(asked), "error": type(error).__name__})
            half = len(asked) // 2
            return [*self._carry_out(asked[:half]), *self._carry_out(asked[half:])]

    def _all_answers(self, tx: Tx, asked: Sequence[T]) -> Sequence[A]:
        answers = self._work(tx, asked)
        # Looked at before the commit: an answer too few would leave somebody waiting for ever.
        if len(answers) != len(asked):
            raise AssertionError("work gives one answer an item")
        return answers


def fair_share(waiting: int, *, idle: int, most: int) -> int:
    """How much of what waits one thread takes while others are idle. Units: weight.

    Callers who were answered together come back together. Taken all at once they would stay one herd, which the
    database and this process carry by turns; in parts, the one works on a part while the other works on the next.
    """
    part = -(-waiting // (idle + 1))
    return min(most, max(part, SHARE_MIN))


def _answer(items: "Sequence[_Waiting[T, A]]", answers: "Sequence[A | BaseException]") -> None:
    """Tells every caller; an event loop is woken once, for all of its callers together."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[A], A | BaseException]]] = {}
    for item, answer in zip(items, answers, strict=True):
        if isinstance(item.answer, Future):
            _settle_thread(item.answer, answer)
        else:
            by_loop.setdefault(item.answer.get_loop(), []).append((item.answer, answer))
    for loop, settled in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, settled)


def _settle_thread(future: Future[A], answer: "A | BaseException") -> None:
    with suppress(InvalidStateError):  # its caller went away
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _settle(settled: "Sequence[tuple[asyncio.Future[A], A | BaseException]]") -> None:
    for future, answer in settled:
        if future.done():  # its caller went away
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
