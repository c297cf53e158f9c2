"""Lanes: where the API's writes gather, and what their idempotency keys mean.

A lane takes whatever has come, runs it in one transaction, and answers each caller after the commit
(`api/gathering.py`). The key of an item is claimed in the same transaction as its effect, and its first answer is kept
with it. An item without a key goes by ids of its own: its work finds by them what was done before.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.gathering import Gathering
from api.problems import Problem, from_error
from api.store import KeyUse, claim_keys, forget_keys, keep_replies, kept_replies
from api.transactions import Transactions
from api.tries import NotNow
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
    """One request to write something: who asks, what, and under which idempotency key (None: it has ids of its own)."""

    programme_id: ProgrammeId | None
    use: KeyUse | None
    payload: Any

    @property
    def programme(self) -> ProgrammeId:
        """The programme that asks, of an endpoint that only programmes' clients reach."""
        assert self.programme_id is not None, "the endpoint asked for the caller's programme"
        return self.programme_id

    @property
    def client(self) -> str:
        """The client that asks, of an endpoint whose writes come under idempotency keys."""
        assert self.use is not None, "the endpoint asked for an idempotency key"
        return self.use.client_id


Work = Callable[[Tx, Sequence[Ask]], Sequence[Reply]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets: the text is kept as it was first given, and a repetition says that it is one."""

    status: int
    text: str
    replayed: bool


class _Item(NamedTuple):
    work: Work
    ask: Ask


class Lane:
    """One thread, one connection, one transaction at a time. Units of weight: one small request."""

    def __init__(self, transactions: Transactions, *, queued_max: int = QUEUED_MAX) -> None:
        self._gathering: Gathering[_Item, Answer] = Gathering(
            transactions,
            _carry_out,
            told=_as_answer,
            name="lane",
            gathered_max=GATHERED_MAX,
            queued_max=queued_max,
        )

    def start(self) -> None:
        """Starts taking items."""
        self._gathering.start()

    def stop(self) -> None:
        """Finishes what is waiting, then stops."""
        self._gathering.stop()

    async def submit(self, work: Work, ask: Ask, *, weight: int = 1) -> Answer:
        """Puts one item on the lane and waits for its answer. Raises: LaneFull, Problem."""
        return await self._gathering.ask(_Item(work, ask), weight)


def _carry_out(tx: Tx, items: Sequence[_Item]) -> list[Answer]:
    keyed = {place: item.ask.use for place, item in enumerate(items) if item.ask.use is not None}
    answers = _claimed(tx, keyed) if keyed else {}
    firsts = _first_of_each_key(keyed, answers)
    fresh = [place for place in range(len(items)) if place not in keyed or place in firsts]
    for work, places in _by_work(items, fresh).items():
        replies = dict(zip(places, work(tx, [items[place].ask for place in places]), strict=True))
        answers |= {place: _said(reply) for place, reply in replies.items()}
        _keep(tx, {keyed[place]: reply for place, reply in replies.items() if place in keyed})
    return [
        answers[place] if place in answers else _twin(keyed[place], keyed, answers)
        for place in range(len(items))
    ]


def _claimed(tx: Tx, keyed: Mapping[int, KeyUse]) -> dict[int, Answer]:
    """Claims the keys; what was answered under them before is answered again."""
    uses = list(keyed.values())
    claim_keys(tx, uses)
    kept = kept_replies(tx, uses)
    answers = {}
    for place, use in keyed.items():
        first = kept.get(_place(use))
        if first is not None:
            same = first.fingerprint == use.fingerprint
            answers[place] = Answer(first.status, first.body, replayed=True) if same else _reused()
    return answers


def _as_answer(error: Exception) -> Answer | BaseException:
    if isinstance(error, Problem):
        return error
    if isinstance(error, TallystickError):
        return from_error(error)
    if isinstance(error, NotNow):
        _log.error("lane.not_now", exc_info=error)
        return _not_now()
    _log.error("lane.failed", exc_info=error)
    return Problem(500, "internal", "Something went wrong on our side.", retry="same_key")


def _place(use: KeyUse) -> tuple[str, str, str]:
    return use.client_id, use.endpoint, use.key


def _reused() -> Answer:
    problem = Problem(422, "idempotency_key_reused", "This Idempotency-Key came before with another request.")
    return Answer(problem.status, json.dumps(problem.body()), replayed=False)


def _not_now() -> Problem:
    """Whether it was done may be unknown: the same request, under the same key or id, finds it out."""
    headers = {"Retry-After": "1"}
    return Problem(503, "unavailable", "The book cannot be reached.", retry="same_key", headers=headers)


def _first_of_each_key(keyed: Mapping[int, KeyUse], answered: Mapping[int, Answer]) -> set[int]:
    firsts: dict[tuple[str, str, str], int] = {}
    for place, use in keyed.items():
        if place not in answered:
            firsts.setdefault(_place(use), place)
    return set(firsts.values())


def _twin(use: KeyUse, keyed: Mapping[int, KeyUse], answers: Mapping[int, Answer]) -> Answer:
    """The answer of the first item in this batch that used the same key."""
    first = next(at for at in keyed if at in answers and _place(keyed[at]) == _place(use))
    if keyed[first].fingerprint != use.fingerprint:
        return _reused()
    return Answer(answers[first].status, answers[first].text, replayed=True)


def _by_work(items: Sequence[_Item], places: Sequence[int]) -> dict[Work, list[int]]:
    grouped: dict[Work, list[int]] = {}
    for place in places:
        grouped.setdefault(items[place].work, []).append(place)
    return grouped


def _keep(tx: Tx, replies: Mapping[KeyUse, Reply]) -> None:
    kept = {_place(use): (reply.status, _text(reply.body)) for use, reply in replies.items() if reply.keep}
    keep_replies(tx, kept)
    forget_keys(tx, [_place(use) for use, reply in replies.items() if not reply.keep])


def _said(reply: Reply) -> Answer:
    return Answer(reply.status, _text({**reply.body, **reply.secret}), replayed=False)


def _text(body: Mapping[str, Any]) -> str:
    return json.dumps(body, allow_nan=False)
