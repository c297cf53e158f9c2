"""The arithmetic of one cart: what may be captured and refunded of each line, and who shares in it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from ledger.core.declined import Declined
from ledger.core.errors import InvalidValue
from ledger.core.ids import CheckoutId, PartyId, ProgrammeId, TransferId
from ledger.core.money import allocate, allocate_step, targets
from ledger.core.orders import CaptureOrder, CheckoutOrder, Line, LineAmount, RefundOrder

LINES_MAX = 100
QUANTITY_MAX = 2**31 - 1


class CheckoutState(StrEnum):
    """Where a checkout stands. `closed`: every line has had its final capture."""

    REQUIRES_AUTHENTICATION = "requires_authentication"
    AUTHORISED = "authorised"
    CLOSED = "closed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class CartLine:
    """A line and what has become of it. Units: minor units; `*_parts` run along the line's splits."""

    line_no: int
    line: Line
    captured_minor: int
    refunded_minor: int
    captured_parts: tuple[int, ...]
    refunded_parts: tuple[int, ...]
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """One cart over many sellers, held on one wallet."""

    id: CheckoutId
    programme_id: ProgrammeId
    payer_id: PartyId
    reference: str
    currency: str
    amount_minor: int
    state: CheckoutState
    hold_id: TransferId | None
    expires_at: datetime
    lines: tuple[CartLine, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A capture or refund of part of one line, with everybody's part in it. `released_minor` goes back to the payer."""

    line: CartLine
    amount_minor: int
    parts: tuple[int, ...]
    released_minor: int = 0


def check_cart(order: CheckoutOrder) -> Declined | None:
    """Whether a cart adds up: quantities, lines, splits and the whole. The first thing that does not is the answer."""
    if not 1 <= len(order.lines) <= LINES_MAX:
        return Declined("too_many_lines", f"A cart has 1 to {LINES_MAX} lines.", "lines")
    if len({line.reference for line in order.lines}) != len(order.lines):
        return Declined("line_repeated", "Two lines have the same id.", "lines")
    for place, line in enumerate(order.lines):
        wrong = _check_line(place, line)
        if wrong is not None:
            return wrong
    total = sum(line.amount_minor for line in order.lines)
    if total != order.amount_minor:
        return Declined("cart_does_not_add_up", f"The lines sum to {total}.", "amount_minor")
    return None


def _check_line(place: int, line: Line) -> Declined | None:
    if not 1 <= line.quantity <= QUANTITY_MAX or line.unit_minor < 1:
        detail = f"A line is 1 to {QUANTITY_MAX} pieces at 1 minor unit or more."
        return Declined("amount_out_of_range", detail, f"lines.{place}")
    if line.quantity * line.unit_minor != line.amount_minor:
        detail = f"{line.quantity} x {line.unit_minor} is not {line.amount_minor}."
        return Declined("line_does_not_add_up", detail, f"lines.{place}.amount_minor")
    try:
        allocate(line.amount_minor, line.splits)
    except InvalidValue as error:
        return Declined("split_does_not_add_up", error.detail, f"lines.{place}.splits")
    return None


def plan_capture(checkout: Checkout, order: CaptureOrder) -> tuple[Step, ...] | Declined:
    """What a capture takes from each line, or why it may not."""
    if checkout.state is not CheckoutState.AUTHORISED:
        if checkout.state is CheckoutState.CLOSED:
            return Declined("line_final", "Every line of this checkout has had its final capture.", "lines")
        return Declined("checkout_not_authorised", f"The checkout is {checkout.state}.", "checkout_id")
    found = _find_lines(checkout, order.lines)
    if isinstance(found, Declined):
        return found
    return _all_or_first(_capture_line(cart_line, asked) for cart_line, asked in found)


def plan_refund(checkout: Checkout, order: RefundOrder) -> tuple[Step, ...] | Declined:
    """What a refund takes back from everyone who shared in each line, or why it may not."""
    found = _find_lines(checkout, order.lines)
    if isinstance(found, Declined):
        return found
    return _all_or_first(_refund_line(cart_line, asked) for cart_line, asked in found)


def after_capture(checkout: Checkout, steps: Sequence[Step]) -> Checkout:
    """The checkout once these steps are captured: closed when no line is left open."""
    changed = {
        step.line.line_no: replace(
            step.line,
            captured_minor=step.line.captured_minor + step.amount_minor,
            captured_parts=_sum(step.line.captured_parts, step.parts),
            final=step.line.captured_minor + step.amount_minor + step.released_minor
            == step.line.line.amount_minor,
        )
        for step in steps
    }
    lines = _with(checkout.lines, changed)
    state = CheckoutState.CLOSED if all(line.final for line in lines) else checkout.state
    return replace(checkout, lines=lines, state=state)


def after_refund(checkout: Checkout, steps: Sequence[Step]) -> Checkout:
    """The checkout once these steps are refunded."""
    changed = {
        step.line.line_no: replace(
            step.line,
            refunded_minor=step.line.refunded_minor + step.amount_minor,
            refunded_parts=_sum(step.line.refunded_parts, step.parts),
        )
        for step in steps
    }
    return replace(checkout, lines=_with(checkout.lines, changed))


def _find_lines(
    checkout: Checkout, asked: Sequence[LineAmount]
) -> list[tuple[CartLine, LineAmount]] | Declined:
    by_reference = {cart_line.line.reference: cart_line for cart_line in checkout.lines}
    if len({item.line for item in asked}) != len(asked):
        return Declined("line_repeated", "A line is named twice.", "lines")
    found = []
    for place, item in enumerate(asked):
        if item.amount_minor < 1:
            detail = "An amount is 1 minor unit or more."
            return Declined("amount_out_of_range", detail, f"lines.{place}.amount_minor")
        if item.line not in by_reference:
            return Declined("line_unknown", f"The checkout has no line {item.line}.", f"lines.{place}.line")
        found.append((by_reference[item.line], item))
    return found


def _capture_line(cart_line: CartLine, asked: LineAmount) -> Step | Declined:
    line = cart_line.line
    if cart_line.final:
        return Declined("line_final", f"Line {line.reference} has had its final capture.", "lines")
    left = line.amount_minor - cart_line.captured_minor
    if asked.amount_minor > left:
        detail = f"Line {line.reference} has {left} left to capture, {asked.amount_minor} was asked."
        return Declined("exceeds_authorised", detail, "lines")
    parts = allocate_step(
        asked.amount_minor,
        target=targets(cart_line.captured_minor + asked.amount_minor, line.splits),
        done=cart_line.captured_parts,
        cap=[line.amount_minor] * len(line.splits),
    )
    released = left - asked.amount_minor if asked.final else 0
    return Step(cart_line, asked.amount_minor, parts, released)


def _refund_line(cart_line: CartLine, asked: LineAmount) -> Step | Declined:
    line = cart_line.line
    left = cart_line.captured_minor - cart_line.refunded_minor
    if asked.amount_minor > left:
        detail = f"Line {line.reference} has {left} left to refund, {asked.amount_minor} was asked."
        return Declined("exceeds_captured", detail, "lines")
    parts = allocate_step(
        asked.amount_minor,
        target=targets(cart_line.refunded_minor + asked.amount_minor, line.splits),
        done=cart_line.refunded_parts,
        cap=cart_line.captured_parts,
    )
    return Step(cart_line, asked.amount_minor, parts)


def _all_or_first(answers: Iterable[Step | Declined]) -> tuple[Step, ...] | Declined:
    steps: list[Step] = []
    for answer in answers:
        if isinstance(answer, Declined):
            return answer
        steps.append(answer)
    return tuple(steps)


def _sum(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip(left, right, strict=True))


def _with(lines: Sequence[CartLine], changed: Mapping[int, CartLine]) -> tuple[CartLine, ...]:
    return tuple(changed.get(cart_line.line_no, cart_line) for cart_line in lines)
