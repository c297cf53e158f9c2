"""Captures and refunds: money moves between the payer of a cart and everyone who shares in its lines.

Both are one plan over the lines, made under the lock of the checkout, and one transfer that carries all of it out:
a refund reverses every share of the refunded part, or does not happen. When a balance that must give is short, the
book refuses the whole, and names the account.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ledger import book
from ledger.core.cart import Checkout, Step, after_capture, after_refund, plan_capture, plan_refund
from ledger.core.chart import Code
from ledger.core.clearance import Clearance, Cleared
from ledger.core.commands import Authority, Capture, Command, Leg, Post, Refused, Release
from ledger.core.declined import Declined, declined_by_book
from ledger.core.ids import AccountId, CheckoutId, PartyId, ProgrammeId, TransferId, derived
from ledger.core.money import SplitTo
from ledger.core.orders import CaptureOrder, RefundOrder
from ledger.store.accounts import party_accounts, shared_accounts
from ledger.store.checkouts import insert_steps, lock_checkouts, save_progress
from ledger.store.events import Event, record_events
from ledger.store.tx import Tx

O = TypeVar("O", CaptureOrder, RefundOrder)  # noqa: E741 - one letter, as everywhere for a type


@dataclass(frozen=True, slots=True)
class Moved:
    """A capture or refund that was carried out, line by line, with everybody's part."""

    order_id: str
    checkout: Checkout
    transfer_id: TransferId
    steps: tuple[Step, ...]

    @property
    def amount_minor(self) -> int:
        """What the payer paid or got back. Units: minor units of the checkout's currency."""
        return sum(step.amount_minor for step in self.steps)


@dataclass(frozen=True, slots=True)
class _Plan:
    clearance: Clearance
    before: Checkout
    moved: Moved


@dataclass(frozen=True, slots=True)
class _Places:
    """The accounts that carts move money between."""

    parties: Mapping[PartyId, AccountId]
    commission: Mapping[ProgrammeId, AccountId]


def capture(tx: Tx, cleared: Sequence[Cleared[CaptureOrder]]) -> tuple[Moved | Declined, ...]:
    """Takes authorised money, shares it out by each line's splits, and gives back what final captures leave."""
    return _carry_out(tx, cleared, "capture", plan_capture, after_capture, _capture_commands)


def refund(tx: Tx, cleared: Sequence[Cleared[RefundOrder]]) -> tuple[Moved | Declined, ...]:
    """Gives captured money back to payers, taken from everyone who shared in it."""
    return _carry_out(tx, cleared, "refund", plan_refund, after_refund, _refund_commands)


def _carry_out(
    tx: Tx,
    cleared: Sequence[Cleared[O]],
    step: str,
    plan: Callable[[Checkout, O], tuple[Step, ...] | Declined],
    after: Callable[[Checkout, Sequence[Step]], Checkout],
    commands: Callable[[Tx, _Plan, _Places], list[Command]],
) -> tuple[Moved | Declined, ...]:
    locked = lock_checkouts(tx, {item.order.checkout_id for item in cleared})
    answers = _plan_all(cleared, dict(locked), step, plan, after)
    plans = [answer for answer in answers if isinstance(answer, _Plan)]
    places = _places(tx, plans)
    groups = [commands(tx, item, places) for item in plans]
    results = book.post_once(tx, groups, [item.clearance for item in plans])
    refused = {
        item.moved.order_id: next(result for result in group if isinstance(result, Refused))
        for item, group in zip(plans, results, strict=True)
        if any(isinstance(result, Refused) for result in group)
    }
    # A later plan on the same checkout counted on the refused one: the caller takes the orders one by one.
    assert not refused or len(plans) == len({item.before.id for item in plans}), (
        "plans on one checkout were refused"
    )
    done = [item for item in plans if item.moved.order_id not in refused]
    _record(tx, step, done)
    return tuple(
        answer
        if isinstance(answer, Declined)
        else declined_by_book(refused[answer.moved.order_id])
        if answer.moved.order_id in refused
        else answer.moved
        for answer in answers
    )


def _plan_all(
    cleared: Sequence[Cleared[O]],
    checkouts: dict[CheckoutId, Checkout],
    step: str,
    plan: Callable[[Checkout, O], tuple[Step, ...] | Declined],
    after: Callable[[Checkout, Sequence[Step]], Checkout],
) -> list[_Plan | Declined]:
    """Plans each order on what the orders before it have left."""
    answers: list[_Plan | Declined] = []
    for item in cleared:
        order = item.order
        before = checkouts.get(order.checkout_id)
        if before is None or before.programme_id != order.programme_id:
            answers.append(
                Declined("checkout_unknown", "There is no such checkout in this programme.", "checkout_id")
            )
            continue
        steps = plan(before, order)
        if isinstance(steps, Declined):
            answers.append(steps)
            continue
        checkouts[before.id] = after(before, steps)
        transfer_id = TransferId(derived("xfr", order.id, step))
        answers.append(
            _Plan(item.clearance, before, Moved(order.id, checkouts[before.id], transfer_id, steps))
        )
    return answers


def _places(tx: Tx, plans: Sequence[_Plan]) -> _Places:
    parties = {plan.before.payer_id for plan in plans}
    for plan in plans:
        for step in plan.moved.steps:
            parties |= {PartyId(split.party_id) for split in step.line.line.splits if split.party_id}
    programmes = {plan.before.programme_id for plan in plans}
    return _Places(party_accounts(tx, parties), shared_accounts(tx, programmes, Code.COMMISSION))


def _shares(plan: _Plan, places: _Places) -> list[tuple[AccountId, int]]:
    """Whose account each part of the plan belongs to; parts of nothing are left out."""
    commission = places.commission[plan.before.programme_id]
    return [
        (commission if split.to is SplitTo.PLATFORM else places.parties[PartyId(split.party_id or "")], part)
        for step in plan.moved.steps
        for split, part in zip(step.line.line.splits, step.parts, strict=True)
        if part > 0
    ]


def _capture_commands(tx: Tx, plan: _Plan, places: _Places) -> list[Command]:
    payer = places.parties[plan.before.payer_id]
    assert plan.before.hold_id is not None, "an authorised checkout has its hold"
    authority = Authority(clearance_id=plan.clearance.id)
    taken = Capture(
        id=plan.moved.transfer_id,
        programme_id=plan.before.programme_id,
        authority=authority,
        effective_at=tx.now,
        reference=plan.moved.order_id,
        metadata={"checkout": plan.before.id},
        hold_id=plan.before.hold_id,
        legs=tuple(Leg(payer, account, part) for account, part in _shares(plan, places)),
        final=False,
    )
    left = sum(step.released_minor for step in plan.moved.steps)
    if not left:
        return [taken]
    given_back = Release(
        id=TransferId(derived("xfr", plan.moved.order_id, "release")),
        programme_id=plan.before.programme_id,
        authority=authority,
        effective_at=tx.now,
        reference=plan.moved.order_id,
        hold_id=plan.before.hold_id,
        amount_minor=left,
    )
    return [taken, given_back]


def _refund_commands(tx: Tx, plan: _Plan, places: _Places) -> list[Command]:
    payer = places.parties[plan.before.payer_id]
    refunded = Post(
        id=plan.moved.transfer_id,
        programme_id=plan.before.programme_id,
        authority=Authority(clearance_id=plan.clearance.id),
        effective_at=tx.now,
        reference=plan.moved.order_id,
        metadata={"checkout": plan.before.id},
        legs=tuple(Leg(account, payer, part) for account, part in _shares(plan, places)),
    )
    return [refunded]


def _record(tx: Tx, step: str, done: Sequence[_Plan]) -> None:
    latest = {plan.moved.checkout.id: plan.moved.checkout for plan in done}
    save_progress(tx, list(latest.values()))
    insert_steps(
        tx,
        step,
        [
            (plan.moved.checkout, plan.moved.order_id, plan.moved.transfer_id, plan.moved.steps)
            for plan in done
        ],
    )
    record_events(
        tx,
        [
            Event(
                plan.before.programme_id,
                plan.before.id,
                f"checkout.{step}d" if step == "capture" else "checkout.refunded",
                {"order": plan.moved.order_id, "amount_minor": plan.moved.amount_minor},
            )
            for plan in done
        ],
    )
