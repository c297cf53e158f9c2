"""Money out: a payout is ordered, tried at the bank, and followed until everybody knows what became of it.

Every step is a movement in the book or none, in one transaction with its event and its promise. Settled is not the
end: a return books the money back to whoever it came from. A payout's money waits in `payouts_in_flight`; a sweep's,
which is the programme's own, is held on the safeguarding account itself, so that it never looks like customers'.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypedDict

from ledger import book
from ledger.core.canonical import Canonical
from ledger.core.chart import Code
from ledger.core.clearance import Cleared
from ledger.core.commands import Authority, Capture, Command, Hold, Leg, Post, Refusal, Refused, Release
from ledger.core.declined import Declined, declined_by_book
from ledger.core.errors import InvalidValue
from ledger.core.ids import (
    AccountId,
    AttemptId,
    NoticeId,
    PayoutId,
    ProgrammeId,
    TransferId,
    derived,
)
from ledger.core.orders import PayoutOrder, SweepOrder
from ledger.core.payout import (
    APPROVALS_MISSING,
    WAITING,
    PayoutState,
    PayoutTrigger,
    advance,
    is_old_news,
    refusal_in,
)
from ledger.store.accounts import lock_accounts, programme_accounts, shared_accounts
from ledger.store.events import Event, record_events
from ledger.store.jobs import promise, promise_each
from ledger.store.known import known_transfers
from ledger.store.payouts import (
    Attempt,
    Payout,
    attempts_of,
    insert_payouts,
    lock_due,
    lock_payouts,
    lock_payouts_by_reference,
    open_attempts,
    read_payouts,
    references_taken,
    save_outcome,
    save_signed,
    save_steps,
)
from ledger.store.programmes import Programme, read_programmes
from ledger.store.tx import Tx

ATTEMPTS_MAX = 100  # more than three days at the longest delay
RETRY_DELAY_S = 10  # after the first attempt that provably reached nobody; then twice as long each time
RETRY_DELAY_MAX_S = 3600
WAITING_MAX = timedelta(days=7)  # for a signature, counted from the first attempt
DUE_MAX = 500  # queued in one transaction; the next one takes up the others


@dataclass(frozen=True, slots=True)
class News:
    """What became of a payout, by the bank's own word. `transaction_id` is the bank's id of its posting.

    `amount_minor` is how much came back, in a return; None: all that had not come back before. Units: minor units.
    """

    end_to_end_id: str
    trigger: PayoutTrigger
    notice_id: NoticeId
    transaction_id: str | None
    reason: str
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class _Places:
    in_flight: Mapping[ProgrammeId, AccountId]
    safeguarding: Mapping[ProgrammeId, AccountId]
    operating: Mapping[ProgrammeId, AccountId]


def order(tx: Tx, cleared: Sequence[Cleared[PayoutOrder | SweepOrder]]) -> tuple[Payout | Declined, ...]:
    """Takes the money out of its balance and promises to send it, at once or when its time comes."""
    orders = [item.order for item in cleared]
    answers = _check(tx, orders)
    programmes = read_programmes(tx, {item.programme_id for item in orders})
    places = _places(tx, programmes.keys())
    sound = [item for item in cleared if item.order.payout_id not in answers]
    leaves = [[_leave(tx, item, places)] for item in sound]
    results = book.post_once(tx, leaves, [item.clearance for item in sound])
    for item, (result,) in zip(sound, results, strict=True):
        if isinstance(result, Refused):
            answers[item.order.payout_id] = declined_by_book(result)
    done = [item for item in sound if item.order.payout_id not in answers]
    ordered = {item.order.payout_id: _payout(tx, item, programmes[item.order.programme_id]) for item in done}
    insert_payouts(tx, list(ordered.values()))
    record_events(tx, [_event(payout, f"payout.{payout.state}") for payout in ordered.values()])
    now = [payout for payout in ordered.values() if payout.state is PayoutState.QUEUED]
    promise_each(tx, "send_payout", [{"payout_id": payout.id} for payout in now])
    return tuple(answers.get(item.payout_id) or ordered[item.payout_id] for item in orders)


def find(tx: Tx, payout_id: PayoutId) -> Payout | None:
    """A payout as it stands."""
    return read_payouts(tx, [payout_id]).get(payout_id)


def was_tried_since(tx: Tx, payout_id: PayoutId, after: int) -> bool:
    """Whether a promise to try again is spent: others, who had news of the payout, have tried it since."""
    return len(attempts_of(tx, [payout_id])[payout_id]) > after


def submit(tx: Tx, payout_id: PayoutId) -> tuple[Payout, Attempt] | None:
    """Opens the next attempt of a queued payout; gives the open one of a payout that was being sent when we stopped.

    None: there is nothing to send.
    """
    payout = lock_payouts(tx, [payout_id]).get(payout_id)
    if payout is None:
        return None
    earlier = attempts_of(tx, [payout_id])[payout_id]
    if payout.state is PayoutState.SUBMITTED:
        return payout, earlier[-1]
    if advance(payout.state, PayoutTrigger.SUBMIT) is None:
        return None
    given_up = _given_up(tx, earlier)
    if given_up is not None:
        turn_away(tx, payout, earlier, reason=given_up)
        return None
    attempt_id = AttemptId(tx.new_id("att"))
    attempt = Attempt(
        id=attempt_id,
        payout_id=payout_id,
        attempt_no=len(earlier) + 1,
        request_id=payout_id,  # the same for every attempt: the bank takes it once, whatever an answer seemed to say
        opened_at=tx.now,
        request_body=None,
        signature=None,
        sent_at=None,
        outcome=None,
        cause=None,
        bank_references=None,
        answered_at=None,
    )
    open_attempts(tx, [attempt])
    _step(tx, payout, PayoutState.SUBMITTED, {"attempt": attempt_id})
    return payout, attempt


def _given_up(tx: Tx, earlier: Sequence[Attempt]) -> str | None:
    """Why a payout is not tried any more."""
    if sum(attempt.signature is not None for attempt in earlier) >= ATTEMPTS_MAX:
        return f"turned away {len(earlier)} times"
    if earlier and earlier[-1].signature is None and tx.now - earlier[0].opened_at >= WAITING_MAX:
        return f"not signed for {WAITING_MAX.days} days; {earlier[-1].cause}"
    return None


def schedule(tx: Tx, payout: Payout, *, due_at: datetime, reason: str) -> None:
    """Puts a queued payout off until a time: its rail is closed."""
    word = _Word(None, None, reason)
    _advance(tx, replace(payout, due_at=due_at), PayoutTrigger.SCHEDULE, word)


def release_due(tx: Tx) -> int:
    """Queues the payouts whose time has come, at most `DUE_MAX`; says how many they were."""
    due = lock_due(tx, limit=DUE_MAX)
    for payout in due:
        _advance(tx, payout, PayoutTrigger.DUE, _Word(None, None, ""))
    return len(due)


def cancel(tx: Tx, payout: Payout, *, reason: str) -> Payout | Declined:
    """Calls off a payout that waits and gives its money back.

    Declines one that was signed at any time, even if that attempt reached nobody: somebody between us and the bank may
    have said so, and only the bank's word gives money back.
    """
    if payout.state not in WAITING:
        return Declined(
            "payout_not_waiting", f"This payout is {payout.state}: only one that waits is called off."
        )
    if any(attempt.signature is not None for attempt in attempts_of(tx, [payout.id])[payout.id]):
        return Declined(
            "payout_was_signed", "This payout was signed once: only its bank can say that it has it not."
        )
    return _advance(tx, payout, PayoutTrigger.CANCEL, _Word(None, None, reason))


def hold(tx: Tx, payout: Payout, *, reason: str) -> Payout | Declined:
    """Keeps a payout that waits from being sent, until somebody resumes it."""
    if payout.state is PayoutState.HELD:
        return payout
    if payout.state not in WAITING:
        return Declined("payout_not_waiting", f"This payout is {payout.state}: only one that waits is held.")
    return _advance(tx, payout, PayoutTrigger.HOLD, _Word(None, None, reason))


def resume(tx: Tx, payout: Payout, *, reason: str) -> Payout | Declined:
    """Lets a held payout go on its way: it is sent at once, or at its time if that has not come."""
    if payout.state is not PayoutState.HELD:
        return Declined(
            "payout_not_held", f"This payout is {payout.state}: only one that is held is resumed."
        )
    resumed = _advance(tx, payout, PayoutTrigger.RESUME, _Word(None, None, reason))
    if payout.send_at is not None and payout.send_at > tx.now:
        return _advance(tx, resumed, PayoutTrigger.SCHEDULE, _Word(None, None, "its time has not come"))
    return resumed


def turn_away(tx: Tx, payout: Payout, earlier: Sequence[Attempt], *, reason: str) -> None:
    """Ends a queued payout that is not to be tried again.

    What was never signed was never sent, and its money goes back. Of an order that was signed, somebody between us and
    the bank may have lied at every attempt: only the bank's word gives money back.
    """
    was_signed = any(attempt.signature is not None for attempt in earlier)
    trigger = PayoutTrigger.LOSE_SIGHT if was_signed else PayoutTrigger.REJECT
    _advance(tx, payout, trigger, _Word(None, None, reason))


def keep_signed(tx: Tx, attempt: Attempt, *, body: bytes, signature: str) -> bool:
    """Keeps the signed request before its first byte is sent: whoever finds it must assume that the bank has it.

    Says False when another worker has kept it: then that one sends, and the caller must not.
    """
    return save_signed(tx, attempt.id, body=body, signature=signature)


def conclude(
    tx: Tx,
    attempt: Attempt,
    trigger: PayoutTrigger,
    *,
    cause: str,
    references: Mapping[str, str],
    notice_id: NoticeId | None,
) -> None:
    """Records what became of an attempt, once; moves the payout on unless a notice has already moved it further."""
    if trigger is PayoutTrigger.NOT_SENT and refusal_in(cause) == APPROVALS_MISSING:
        trigger = PayoutTrigger.LACK_APPROVAL
    payout = lock_payouts(tx, [attempt.payout_id])[attempt.payout_id]
    latest = attempts_of(tx, [attempt.payout_id])[attempt.payout_id][-1]
    if latest.id != attempt.id or latest.outcome is not None:
        return
    outcome = _OUTCOMES[trigger]
    if _OUTCOMES[trigger] == "not_sent" and payout.state is not PayoutState.SUBMITTED:
        outcome = "unknown"  # the bank has told us of an order that we believed was never sent
    save_outcome(tx, attempt.id, outcome=outcome, cause=cause, references=references)
    _advance(tx, payout, trigger, _Word(notice_id, None, cause))


def learn(tx: Tx, news: Sequence[News]) -> tuple[bool, ...]:
    """Moves payouts on by what the bank says; says which news was ours. Old news changes nothing."""
    known = lock_payouts_by_reference(tx, {item.end_to_end_id for item in news})
    for item in news:
        payout = known.get(item.end_to_end_id)
        if payout is not None:
            word = _Word(item.notice_id, item.transaction_id, item.reason, item.amount_minor)
            known[item.end_to_end_id] = _learn_one(tx, payout, item.trigger, word)
    return tuple(item.end_to_end_id in known for item in news)


_OUTCOMES = {
    PayoutTrigger.ACCEPT: "accepted",
    PayoutTrigger.REJECT: "rejected",
    PayoutTrigger.NOT_SENT: "not_sent",
    PayoutTrigger.LACK_APPROVAL: "not_sent",
    PayoutTrigger.LOSE_SIGHT: "unknown",
}


@dataclass(frozen=True, slots=True)
class _Word:
    """By whose word a payout moves on, and what was said."""

    notice_id: NoticeId | None
    transaction_id: str | None
    reason: str
    amount_minor: int | None = None


def _check(tx: Tx, orders: Sequence[PayoutOrder | SweepOrder]) -> dict[PayoutId, Declined]:
    taken = references_taken(tx, [(item.programme_id, item.reference) for item in orders])
    answers: dict[PayoutId, Declined] = {}
    swept_minor: dict[ProgrammeId, int] = defaultdict(int)  # by the sweeps earlier in this batch
    for item in orders:
        if (item.programme_id, item.reference) in taken:
            answers[item.payout_id] = Declined(
                "reference_taken", "A payout of this reference exists.", "reference"
            )
            continue
        if isinstance(item, SweepOrder):
            own_minor = _own_money(tx, item) - swept_minor[item.programme_id]
            if item.amount_minor > own_minor:
                detail = f"Only {max(own_minor, 0)} in the safeguarding account is the programme's own."
                answers[item.payout_id] = Declined("exceeds_own_money", detail, "amount_minor")
                continue
            swept_minor[item.programme_id] += item.amount_minor
        taken.add((item.programme_id, item.reference))
    return answers


def _own_money(tx: Tx, item: SweepOrder) -> int:
    """What the safeguarding account holds beyond customers' money, each customer's balance counted from zero up."""
    safeguarding = lock_accounts(tx, [item.account_id])[item.account_id]
    owed = sum(
        max(place.account.posted_minor, 0)
        for place in programme_accounts(tx, item.programme_id)
        if place.pool is not None and place.account.currency == item.currency
    )
    return safeguarding.available_minor - owed


def _places(tx: Tx, programme_ids: Collection[ProgrammeId]) -> _Places:
    return _Places(
        in_flight=shared_accounts(tx, programme_ids, Code.PAYOUTS_IN_FLIGHT),
        safeguarding=shared_accounts(tx, programme_ids, Code.SAFEGUARDING),
        operating=shared_accounts(tx, programme_ids, Code.OPERATING),
    )


def _leave(tx: Tx, item: Cleared[PayoutOrder | SweepOrder], places: _Places) -> Command:
    ordered = item.order
    transfer_id = TransferId(derived("xfr", ordered.payout_id, "ordered"))
    authority = Authority(clearance_id=item.clearance.id)
    if isinstance(ordered, SweepOrder):
        return Hold(
            id=transfer_id,
            programme_id=ordered.programme_id,
            authority=authority,
            effective_at=tx.now,
            reference=ordered.payout_id,
            account_id=ordered.account_id,
            amount_minor=ordered.amount_minor,
            expires_at=None,
        )
    return Post(
        id=transfer_id,
        programme_id=ordered.programme_id,
        authority=authority,
        effective_at=tx.now,
        reference=ordered.payout_id,
        legs=(Leg(ordered.account_id, places.in_flight[ordered.programme_id], ordered.amount_minor),),
    )


def _payout(tx: Tx, item: Cleared[PayoutOrder | SweepOrder], programme: Programme) -> Payout:
    ordered = item.order
    if (ordered.debtor_name, ordered.debtor_iban) != (programme.legal_name, programme.safeguarding_iban):
        raise InvalidValue("A payout is paid from its programme's safeguarding account.", field="debtor_iban")
    return Payout(
        id=ordered.payout_id,
        programme_id=ordered.programme_id,
        kind=ordered.kind.value,
        reference=ordered.reference,
        party_id=ordered.party_id if isinstance(ordered, PayoutOrder) else None,
        account_id=ordered.account_id,
        rail=ordered.rail,
        amount_minor=ordered.amount_minor,
        currency=ordered.currency,
        creditor_name=ordered.creditor_name,
        creditor_iban=ordered.creditor_iban,
        debtor_name=ordered.debtor_name,
        debtor_iban=ordered.debtor_iban,
        end_to_end_id=ordered.end_to_end_id,
        remittance=ordered.remittance,
        initiator=ordered.initiator,
        order_digest=item.clearance.order_digest,
        clearance_id=item.clearance.id,
        transfer_id=TransferId(derived("xfr", ordered.payout_id, "ordered")),
        state=PayoutState.QUEUED
        if ordered.send_at is None or ordered.send_at <= tx.now
        else PayoutState.SCHEDULED,
        send_at=ordered.send_at,
        due_at=ordered.send_at,
    )


def _learn_one(tx: Tx, payout: Payout, trigger: PayoutTrigger, word: _Word) -> Payout:
    if trigger is not PayoutTrigger.RETURN:
        return _advance(tx, payout, trigger, word)
    if advance(payout.state, PayoutTrigger.SETTLE):
        # What came back had settled: the return has overtaken the news of it.
        payout = _advance(
            tx, payout, PayoutTrigger.SETTLE, replace(word, transaction_id=None, amount_minor=None)
        )
    return _come_back(tx, payout, word)


def _come_back(tx: Tx, payout: Payout, word: _Word) -> Payout:
    """Books what came back of a payout, once for each posting of the bank's, however many notices tell of it."""
    if known_transfers(tx, [_return_id(payout, word)]):
        return payout
    left_minor = payout.amount_minor - payout.returned_minor
    amount_minor = left_minor if word.amount_minor is None else word.amount_minor
    trigger = PayoutTrigger.RETURN if amount_minor == left_minor else PayoutTrigger.RETURN_PART
    if not 0 < amount_minor <= left_minor:
        return _contradict(tx, payout, trigger, word)
    return _advance(tx, payout, trigger, replace(word, amount_minor=amount_minor))


def _contradict(tx: Tx, payout: Payout, trigger: PayoutTrigger, word: _Word) -> Payout:
    """News that does not fit moves nothing; it is noted, unless it is only old."""
    if not is_old_news(payout.state, trigger):
        told: dict[str, Canonical] = {"trigger": trigger.value, "reason": word.reason}
        record_events(tx, [_event(payout, "payout.contradicted", told)])
    return payout


def _advance(tx: Tx, payout: Payout, trigger: PayoutTrigger, word: _Word) -> Payout:
    state = advance(payout.state, trigger)
    if state is None:
        return _contradict(tx, payout, trigger, word)
    movement = _movement(tx, payout, trigger, word)
    if movement is not None:
        _book(tx, payout, movement)
    if word.amount_minor is not None:
        payout = replace(payout, returned_minor=payout.returned_minor + word.amount_minor)
    moved = _step(tx, payout, state, {"reason": word.reason} if word.reason else {})
    _promise_next(tx, moved, trigger)
    return moved


def _promise_next(tx: Tx, moved: Payout, trigger: PayoutTrigger) -> None:
    if moved.state is PayoutState.UNKNOWN:
        promise(tx, "enquire", payout_id=moved.id, enquiry=0)
    elif trigger is PayoutTrigger.NOT_SENT:
        tried = len(attempts_of(tx, [moved.id])[moved.id])
        promise(tx, "send_payout", delay_s=_retry_delay_s(tried), payout_id=moved.id, after=tried)
    elif moved.state is PayoutState.QUEUED:
        promise(tx, "send_payout", payout_id=moved.id)


_NOT_TAKEN = frozenset({Refusal.ACCOUNT_CLOSED, Refusal.BALANCE_CAP})


def _book(tx: Tx, payout: Payout, movement: Command) -> None:
    """Books what a bank has done. Money that its account no longer takes waits in suspense for a person."""
    ((result,),) = book.post(tx, [[movement]])
    if isinstance(result, Refused) and result.refusal in _NOT_TAKEN and isinstance(movement, Post):
        suspense = shared_accounts(tx, [payout.programme_id], Code.SUSPENSE)[payout.programme_id]
        legs = tuple(replace(leg, credit=suspense) for leg in movement.legs)
        record_events(tx, [_event(payout, "payout.suspended", {"reason": result.refusal.value})])
        ((result,),) = book.post(tx, [[replace(movement, legs=legs)]])
    # The bank has moved the money: a book that cannot say so must stop rather than go on without it.
    assert not isinstance(result, Refused), result


def _retry_delay_s(tried: int) -> int:
    return min(RETRY_DELAY_S << min(tried - 1, 20), RETRY_DELAY_MAX_S)


def _step(tx: Tx, payout: Payout, state: PayoutState, data: Mapping[str, Canonical]) -> Payout:
    moved = replace(payout, state=state)
    save_steps(tx, [moved])
    record_events(tx, [_event(moved, f"payout.{state.value}", data)])
    return moved


def _movement(tx: Tx, payout: Payout, trigger: PayoutTrigger, word: _Word) -> Command | None:
    match trigger:
        case PayoutTrigger.SETTLE:
            return _settle(tx, payout, word)
        case PayoutTrigger.REJECT:
            return _give_back(tx, payout, word, step="rejected")
        case PayoutTrigger.CANCEL:
            return _give_back(tx, payout, word, step="cancelled")
        case PayoutTrigger.RETURN | PayoutTrigger.RETURN_PART:
            return _take_back(tx, payout, word)
        case _:
            return None


def _settle(tx: Tx, payout: Payout, word: _Word) -> Command:
    places = _places(tx, [payout.programme_id])
    bank = places.safeguarding[payout.programme_id]
    common = _common(tx, payout, "settled", word)
    if payout.kind == "sweep":
        legs = (Leg(places.operating[payout.programme_id], bank, payout.amount_minor),)
        return Capture(**common, hold_id=payout.transfer_id, legs=legs, final=True)
    return Post(**common, legs=(Leg(places.in_flight[payout.programme_id], bank, payout.amount_minor),))


def _give_back(tx: Tx, payout: Payout, word: _Word, *, step: str) -> Command:
    common = _common(tx, payout, step, word)
    if payout.kind == "sweep":
        return Release(**common, hold_id=payout.transfer_id, amount_minor=None)
    in_flight = _places(tx, [payout.programme_id]).in_flight[payout.programme_id]
    return Post(**common, legs=(Leg(in_flight, payout.account_id, payout.amount_minor),))


def _take_back(tx: Tx, payout: Payout, word: _Word) -> Command:
    places = _places(tx, [payout.programme_id])
    whose = places.operating[payout.programme_id] if payout.kind == "sweep" else payout.account_id
    bank = places.safeguarding[payout.programme_id]
    assert word.amount_minor is not None, "a return says how much it is by now"
    common = _common(tx, payout, "returned", word) | {"id": _return_id(payout, word)}
    return Post(**common, legs=(Leg(bank, whose, word.amount_minor),))


def _return_id(payout: Payout, word: _Word) -> TransferId:
    return TransferId(derived("xfr", payout.id, f"returned:{word.transaction_id}"))


class _Said(TypedDict):
    id: TransferId
    programme_id: ProgrammeId
    authority: Authority
    effective_at: datetime
    reference: str
    metadata: Mapping[str, str]


def _common(tx: Tx, payout: Payout, step: str, word: _Word) -> _Said:
    """What every movement of a payout says. Money that never left goes back under the clearance it left under."""
    authority = (
        Authority(notice_id=word.notice_id) if word.notice_id else Authority(clearance_id=payout.clearance_id)
    )
    return {
        "id": TransferId(derived("xfr", payout.id, step)),
        "programme_id": payout.programme_id,
        "authority": authority,
        "effective_at": tx.now,
        "reference": word.transaction_id or payout.id,
        "metadata": {"payout": payout.id, "end_to_end_id": payout.end_to_end_id},
    }


def _event(payout: Payout, type_: str, data: Mapping[str, Canonical] | None = None) -> Event:
    return Event(payout.programme_id, payout.id, type_, {"amount_minor": payout.amount_minor, **(data or {})})
