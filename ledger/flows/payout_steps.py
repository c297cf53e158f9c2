"""One step in the life of payouts: the state, the movement in the book, the event and the promise, in one transaction.

Every step is a movement or none. A payout's money waits in `payouts_in_flight`; a sweep's, which is the programme's
own, is held on the safeguarding account itself, so that it never looks like customers'. Who decides that a step is
taken is not this file's business.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict

from ledger import book
from ledger.core.canonical import Canonical
from ledger.core.chart import Code
from ledger.core.commands import Authority, Capture, Command, Leg, Post, Refusal, Refused, Release, Result
from ledger.core.ids import AccountId, NoticeId, ProgrammeId, TransferId, derived
from ledger.core.payout import PayoutState, PayoutTrigger, advance, is_old_news
from ledger.store.accounts import shared_accounts
from ledger.store.events import Event, record_events
from ledger.store.jobs import promise_each
from ledger.store.known import known_transfers
from ledger.store.payouts import Payout, save_steps
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Word:
    """By whose word a payout moves on, and what was said. `amount_minor` is how much came back, in a return."""

    notice_id: NoticeId | None = None
    transaction_id: str | None = None
    reason: str = ""
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one payout, which the caller has locked. `noted` is told by the event."""

    payout: Payout
    trigger: PayoutTrigger
    word: Word = Word()
    noted: Mapping[str, Canonical] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """The accounts of programmes between which payouts move money."""

    in_flight: Mapping[ProgrammeId, AccountId]
    safeguarding: Mapping[ProgrammeId, AccountId]
    operating: Mapping[ProgrammeId, AccountId]


def places_of(tx: Tx, programme_ids: Collection[ProgrammeId]) -> Places:
    """The accounts of these programmes."""
    return Places(
        in_flight=shared_accounts(tx, programme_ids, Code.PAYOUTS_IN_FLIGHT),
        safeguarding=shared_accounts(tx, programme_ids, Code.SAFEGUARDING),
        operating=shared_accounts(tx, programme_ids, Code.OPERATING),
    )


def take(tx: Tx, steps: Sequence[Step]) -> list[Payout]:
    """Takes a step with each of these payouts, which are all different; gives them as they stand then.

    A step that does not happen from where a payout stands moves nothing; it is noted, unless it is only old news.
    """
    assert len({step.payout.id for step in steps}) == len(steps), "one step a payout"
    states = [advance(step.payout.state, step.trigger) for step in steps]
    taken = [step for step, state in zip(steps, states, strict=True) if state is not None]
    told = [_contradiction(step) for step, state in zip(steps, states, strict=True) if state is None]
    told += _book_movements(tx, taken)
    after = [
        _after(step, state) if state is not None else step.payout
        for step, state in zip(steps, states, strict=True)
    ]
    moved = [payout for payout, state in zip(after, states, strict=True) if state is not None]
    save_steps(tx, moved)
    told += [_told(step, payout) for step, payout in zip(taken, moved, strict=True)]
    record_events(tx, [event for event in told if event is not None])
    unknown = [payout for payout in moved if payout.state is PayoutState.UNKNOWN]
    promise_each(tx, "enquire", [{"payout_id": payout.id, "enquiry": 0} for payout in unknown])
    return after


def come_back(tx: Tx, payout: Payout, word: Word) -> Payout:
    """Books what came back of a payout, once for each posting of the bank's, however many notices tell of it."""
    if advance(payout.state, PayoutTrigger.SETTLE):
        # What came back had settled: the return has overtaken the news of it.
        settled = replace(word, transaction_id=None, amount_minor=None)
        (payout,) = take(tx, [Step(payout, PayoutTrigger.SETTLE, settled)])
    if known_transfers(tx, [_return_id(payout, word)]):
        return payout
    left_minor = payout.amount_minor - payout.returned_minor
    amount_minor = left_minor if word.amount_minor is None else word.amount_minor
    trigger = PayoutTrigger.RETURN if amount_minor == left_minor else PayoutTrigger.RETURN_PART
    step = Step(payout, trigger, replace(word, amount_minor=amount_minor))
    if not 0 < amount_minor <= left_minor:
        record_events(tx, [event for event in [_contradiction(step)] if event is not None])
        return payout
    (payout,) = take(tx, [step])
    return payout


def event_of(payout: Payout, type_: str, data: Mapping[str, Canonical] | None = None) -> Event:
    """An event of a payout's."""
    return Event(payout.programme_id, payout.id, type_, {"amount_minor": payout.amount_minor, **(data or {})})


def _after(step: Step, state: PayoutState) -> Payout:
    came_back_minor = step.word.amount_minor or 0
    due_at = step.payout.due_at if state in _KEEPS_ITS_TIME else None
    returned_minor = step.payout.returned_minor + came_back_minor
    return replace(step.payout, state=state, returned_minor=returned_minor, due_at=due_at)


# Where the time at which a payout is due was set by whoever takes the step.
_KEEPS_ITS_TIME = frozenset({PayoutState.SCHEDULED, PayoutState.QUEUED, PayoutState.PENDING_APPROVAL})


def _contradiction(step: Step) -> Event | None:
    if is_old_news(step.payout.state, step.trigger):
        return None
    told: dict[str, Canonical] = {"trigger": step.trigger.value, "reason": step.word.reason}
    return event_of(step.payout, "payout.contradicted", told)


def _told(step: Step, payout: Payout) -> Event:
    said: dict[str, Canonical] = {"reason": step.word.reason} if step.word.reason else {}
    return event_of(payout, f"payout.{payout.state.value}", {**said, **(step.noted or {})})


# --- the book ----------------------------------------------------------------------------------------------------

_NOT_TAKEN = frozenset({Refusal.ACCOUNT_CLOSED, Refusal.BALANCE_CAP})


def _book_movements(tx: Tx, steps: Sequence[Step]) -> list[Event | None]:
    """Books what a bank has done. Money that its account no longer takes waits in suspense for a person."""
    moving = [step for step in steps if step.trigger in _MOVEMENTS]
    if not moving:
        return []
    places = places_of(tx, {step.payout.programme_id for step in moving})
    movements = [_MOVEMENTS[step.trigger](tx, step, places) for step in moving]
    results = [result for (result,) in book.post(tx, [[movement] for movement in movements])]
    return [
        _put_in_suspense(tx, step, movement, result)
        for step, movement, result in zip(moving, movements, results, strict=True)
        if isinstance(result, Refused)
    ]


def _put_in_suspense(tx: Tx, step: Step, movement: Command, result: Result) -> Event:
    # The bank has moved the money: a book that cannot say so must stop rather than go on without it.
    assert isinstance(result, Refused), result
    assert result.refusal in _NOT_TAKEN, result
    assert isinstance(movement, Post), result
    programme_id = step.payout.programme_id
    suspense = shared_accounts(tx, [programme_id], Code.SUSPENSE)[programme_id]
    legs = tuple(replace(leg, credit=suspense) for leg in movement.legs)
    ((again,),) = book.post(tx, [[replace(movement, legs=legs)]])
    assert not isinstance(again, Refused), again
    return event_of(step.payout, "payout.suspended", {"reason": result.refusal.value})


def _settle(tx: Tx, step: Step, places: Places) -> Command:
    payout = step.payout
    bank = places.safeguarding[payout.programme_id]
    common = _common(tx, step, "settled")
    if payout.kind == "sweep":
        legs = (Leg(places.operating[payout.programme_id], bank, payout.amount_minor),)
        return Capture(**common, hold_id=payout.transfer_id, legs=legs, final=True)
    return Post(**common, legs=(Leg(places.in_flight[payout.programme_id], bank, payout.amount_minor),))


def _give_back(tx: Tx, step: Step, places: Places) -> Command:
    payout = step.payout
    common = _common(tx, step, "cancelled" if step.trigger is PayoutTrigger.CANCEL else "rejected")
    if payout.kind == "sweep":
        return Release(**common, hold_id=payout.transfer_id, amount_minor=None)
    in_flight = places.in_flight[payout.programme_id]
    return Post(**common, legs=(Leg(in_flight, payout.account_id, payout.amount_minor),))


def _take_back(tx: Tx, step: Step, places: Places) -> Command:
    payout, amount_minor = step.payout, step.word.amount_minor
    assert amount_minor is not None, "a return says how much it is by now"
    whose = places.operating[payout.programme_id] if payout.kind == "sweep" else payout.account_id
    common = _common(tx, step, "returned")
    common["id"] = _return_id(payout, step.word)
    return Post(**common, legs=(Leg(places.safeguarding[payout.programme_id], whose, amount_minor),))


_MOVEMENTS = {
    PayoutTrigger.SETTLE: _settle,
    PayoutTrigger.REJECT: _give_back,
    PayoutTrigger.CANCEL: _give_back,
    PayoutTrigger.RETURN: _take_back,
    PayoutTrigger.RETURN_PART: _take_back,
}


def _return_id(payout: Payout, word: Word) -> TransferId:
    return TransferId(derived("xfr", payout.id, f"returned:{word.transaction_id}"))


class _Said(TypedDict):
    id: TransferId
    programme_id: ProgrammeId
    authority: Authority
    effective_at: datetime
    reference: str
    metadata: Mapping[str, str]


def _common(tx: Tx, step: Step, name: str) -> _Said:
    """What every movement of a payout says. Money that never left goes back under the clearance it left under."""
    payout, word = step.payout, step.word
    authority = (
        Authority(notice_id=word.notice_id) if word.notice_id else Authority(clearance_id=payout.clearance_id)
    )
    return {
        "id": TransferId(derived("xfr", payout.id, name)),
        "programme_id": payout.programme_id,
        "authority": authority,
        "effective_at": tx.now,
        "reference": word.transaction_id or payout.id,
        "metadata": {"payout": payout.id, "end_to_end_id": payout.end_to_end_id},
    }
