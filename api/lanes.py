"""Lanes: where writes gather. A lane is a thread with one connection that takes whatever has come, runs it in one
transaction, and answers each caller after the commit.

One bad order never fails its neighbours: refusals are per item, and after an unexpected error the lane takes its
items one by one. Nobody is answered before the commit is durable. The idempotency key of an item is claimed in the
same transaction as its effect, and its first answer is kept with it.
"""

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.problems import Problem, from_error
from api.store import KeyUse, claim_keys, forget_keys, keep_replies, kept_replies
from api.transactions import Transactions
from ledger.core.errors import TallystickError
from ledger.core.ids import ProgrammeId
from ledger.store.tx import Tx

GATHERED_MAX = 256
QUEUED_MAX = 4096

_log = logging.getLogger("tallystick.lane")


@dataclass(frozen=True, slots=True)
class Reply:
    """What an item is answered. `keep`: it had an effect, so the same key gets the same answer from now on.

    `secret` members are shown in this answer only, and never kept.
    """

    status: int
    body: Mapping[str, Any]
    keep: bool = True
    secret: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def declined(problem: Problem) -> "Reply":
        """A refusal that leaves nothing behind."""
        return Reply(problem.status, problem.body(), keep=False)

    def as_problem(self) -> Problem:
        """A refusal as an error: to be raised where something must be undone that was done on the way to it."""
        said = self.body
        return Problem(
            self.status, said["code"], said["detail"], tuple(said.get("errors", ())), said["retry"]
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to write something: who asks, what, and under which idempotency key."""

    programme_id: ProgrammeId | None
    use: KeyUse
    payload: Any

    @property
    def programme(self) -> ProgrammeId:
        """The programme that asks, of an endpoint that only programmes' clients reach."""
        assert self.programme_id is not None, "the endpoint asked for the caller's programme"
        return self.programme_id


Work = Callable[[Tx, Sequence[Ask]], Sequence[Reply]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets: the text is kept as it was first given, and a repetition says that it is one."""

    status: int
    text: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Item:
    work: Work
    ask: Ask
    resolve: Callable[[Answer | BaseException], None]


class LaneFull(Exception):
    """More is waiting than the lane will hold: the caller should come back a little later."""


class Lane:
    """One thread, one connection, one transaction at a time."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._waiting: queue.Queue[_Item | None] = queue.Queue(maxsize=QUEUED_MAX)
        self._thread = threading.Thread(target=self._run, name="lane", daemon=True)

    def start(self) -> None:
        """Starts taking items."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes what is waiting, then stops."""
        self._waiting.put(None)
        self._thread.join()

    async def submit(self, work: Work, ask: Ask) -> Answer:
        """Puts one item on the lane and waits for its answer. Raises: LaneFull, Problem."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def resolve(answer: Answer | BaseException) -> None:
            loop.call_soon_threadsafe(_settle, future, answer)

        try:
            self._waiting.put_nowait(_Item(work, ask, resolve))
        except queue.Full as full:
            raise LaneFull from full
        return await future

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            items, stopping = self._gather(first)
            self._carry_out(items)
            if stopping:
                return

    def _gather(self, first: _Item) -> tuple[list[_Item], bool]:
        items = [first]
        while len(items) < GATHERED_MAX:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return items, True
            items.append(item)
        return items, False

    def _carry_out(self, items: Sequence[_Item]) -> None:
        try:
            answers: Sequence[Answer | BaseException] = self._in_one_transaction(items)
        except Exception as error:  # noqa: BLE001 - the lane's edge: whatever it is, neighbours must not suffer
            answers = [_as_answer(error)] if len(items) == 1 else [self._alone(item) for item in items]
        for item, answer in zip(items, answers, strict=True):
            item.resolve(answer)

    def _alone(self, item: _Item) -> Answer | BaseException:
        try:
            return self._in_one_transaction([item])[0]
        except Exception as error:  # noqa: BLE001 - as above
            return _as_answer(error)

    def _in_one_transaction(self, items: Sequence[_Item]) -> list[Answer]:
        with self._transactions() as tx:
            uses = [item.ask.use for item in items]
            claim_keys(tx, uses)
            answers = _replays(tx, uses)
            fresh = _first_of_each_key([place for place in range(len(items)) if place not in answers], uses)
            for work, places in _by_work(items, fresh).items():
                replies = work(tx, [items[place].ask for place in places])
                answers |= _keep(tx, uses, dict(zip(places, replies, strict=True)))
            return [
                answers[place] if place in answers else _twin(place, uses, answers)
                for place in range(len(items))
            ]


def _settle(future: "asyncio.Future[Answer]", answer: Answer | BaseException) -> None:
    if future.cancelled():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _as_answer(error: Exception) -> Answer | BaseException:
    if isinstance(error, Problem):
        return error
    if isinstance(error, TallystickError):
        return from_error(error)
    _log.error("lane.failed", exc_info=error)
    return Problem(500, "internal", "Something went wrong on our side.", retry="same_key")


def _place(use: KeyUse) -> tuple[str, str, str]:
    return use.client_id, use.endpoint, use.key


def _reused() -> Answer:
    problem = Problem(422, "idempotency_key_reused", "This Idempotency-Key came before with another request.")
    return Answer(problem.status, json.dumps(problem.body()), replayed=False)


def _replays(tx: Tx, uses: Sequence[KeyUse]) -> dict[int, Answer]:
    kept = kept_replies(tx, uses)
    answers = {}
    for place, use in enumerate(uses):
        first = kept.get(_place(use))
        if first is not None:
            same = first.fingerprint == use.fingerprint
            answers[place] = Answer(first.status, first.body, replayed=True) if same else _reused()
    return answers


def _first_of_each_key(places: Sequence[int], uses: Sequence[KeyUse]) -> list[int]:
    firsts: dict[tuple[str, str, str], int] = {}
    for place in places:
        firsts.setdefault(_place(uses[place]), place)
    return list(firsts.values())


def _twin(place: int, uses: Sequence[KeyUse], answers: Mapping[int, Answer]) -> Answer:
    """The answer of the first item in this batch that used the same key."""
    use = uses[place]
    first = next(at for at in sorted(answers) if _place(uses[at]) == _place(use))
    if uses[first].fingerprint != use.fingerprint:
        return _reused()
    return Answer(answers[first].status, answers[first].text, replayed=True)


def _by_work(items: Sequence[_Item], places: Sequence[int]) -> dict[Work, list[int]]:
    grouped: dict[Work, list[int]] = {}
    for place in places:
        grouped.setdefault(items[place].work, []).append(place)
    return grouped


def _keep(tx: Tx, uses: Sequence[KeyUse], replies: Mapping[int, Reply]) -> dict[int, Answer]:
    kept = {place: reply for place, reply in replies.items() if reply.keep}
    texts = {_place(uses[place]): (reply.status, _text(reply.body)) for place, reply in kept.items()}
    keep_replies(tx, texts)
    forget_keys(tx, [_place(uses[place]) for place in replies if place not in kept])
    return {
        place: Answer(reply.status, _text({**reply.body, **reply.secret}), replayed=False)
        for place, reply in replies.items()
    }


def _text(body: Mapping[str, Any]) -> str:
    return json.dumps(body, allow_nan=False)
