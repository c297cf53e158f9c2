"""One cart: what adds up, what may still be captured or refunded, and where exactly it ends."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.cart import (
    LINES_MAX,
    QUANTITY_MAX,
    CartLine,
    Checkout,
    CheckoutState,
    Step,
    after_capture,
    after_refund,
    check_cart,
    plan_capture,
    plan_refund,
)
from ledger.core.declined import Declined
from ledger.core.ids import CheckoutId, PartyId, ProgrammeId, RefundId, TransferId, derived
from ledger.core.money import Split, SplitTo
from ledger.core.orders import CaptureOrder, CheckoutOrder, Line, LineAmount, RefundOrder

PROGRAMME = ProgrammeId(derived("prg", "pay-eu"))
CHECKOUT = CheckoutId(derived("chk", "order-1"))
EXPIRY = datetime(2026, 11, 23, tzinfo=UTC)
ATELIER, LEA = PartyId(derived("pty", "atelier")), derived("pty", "lea")


def splits(*bps: int) -> tuple[Split, ...]:
    shares = tuple(Split(SplitTo.CREATOR, LEA, share) for share in bps)
    return (*shares, Split(SplitTo.SELLER, ATELIER, None))


def line(reference: str, *, unit_minor: int, quantity: int = 1, bps: tuple[int, ...] = (800, 500)) -> Line:
    return Line(
        reference=reference,
        seller_id=ATELIER,
        quantity=quantity,
        unit_minor=unit_minor,
        amount_minor=quantity * unit_minor,
        splits=splits(*bps),
    )


SHIRTS = line("shirts", unit_minor=3499, quantity=2)
ROOMS = line("rooms", unit_minor=18450, bps=(1200,))


def order(*lines: Line, amount_minor: int | None = None) -> CheckoutOrder:
    return CheckoutOrder(
        checkout_id=CHECKOUT,
        programme_id=PROGRAMME,
        payer_id=PartyId(derived("pty", "ana")),
        reference="order-1",
        currency="EUR",
        amount_minor=sum(item.amount_minor for item in lines) if amount_minor is None else amount_minor,
        lines=lines,
        expires_at=EXPIRY,
    )


def checkout(*lines: Line, state: CheckoutState = CheckoutState.AUTHORISED) -> Checkout:
    fresh = [
        CartLine(place, item, 0, 0, (0,) * len(item.splits), (0,) * len(item.splits), final=False)
        for place, item in enumerate(lines, start=1)
    ]
    return Checkout(
        id=CHECKOUT,
        programme_id=PROGRAMME,
        payer_id=PartyId(derived("pty", "ana")),
        reference="order-1",
        currency="EUR",
        amount_minor=sum(item.amount_minor for item in lines),
        state=state,
        hold_id=TransferId(derived("xfr", "hold")),
        expires_at=EXPIRY,
        lines=tuple(fresh),
    )


def capture(*lines: LineAmount) -> CaptureOrder:
    return CaptureOrder(
        capture_id=derived("cap", "1"), programme_id=PROGRAMME, checkout_id=CHECKOUT, lines=lines
    )


def refund(*lines: LineAmount) -> RefundOrder:
    return RefundOrder(
        refund_id=RefundId(derived("rfd", "1")), programme_id=PROGRAMME, checkout_id=CHECKOUT, lines=lines
    )


def some(reference: str, amount_minor: int, *, final: bool = False) -> LineAmount:
    return LineAmount(line=reference, amount_minor=amount_minor, final=final)


def captured(before: Checkout, *lines: LineAmount) -> Checkout:
    steps = plan_capture(before, capture(*lines))
    assert not isinstance(steps, Declined), steps
    return after_capture(before, steps)


def refunded(before: Checkout, *lines: LineAmount) -> Checkout:
    steps = plan_refund(before, refund(*lines))
    assert not isinstance(steps, Declined), steps
    return after_refund(before, steps)


def code_of(answer: tuple[Step, ...] | Declined | None) -> str | None:
    return answer.code if isinstance(answer, Declined) else None


# The cart adds up -------------------------------------------------------------------------------------------


def test_a_cart_that_adds_up_is_sound() -> None:
    assert check_cart(order(SHIRTS, ROOMS)) is None


@pytest.mark.parametrize(("count", "code"), [(0, "too_many_lines"), (1, None), (LINES_MAX, None)])
def test_a_cart_has_at_least_one_line_and_at_most_a_hundred(count: int, code: str | None) -> None:
    assert code_of(check_cart(order(*(line(str(place), unit_minor=10) for place in range(count))))) == code


def test_one_line_more_than_the_most_is_declined() -> None:
    lines = [line(str(place), unit_minor=10) for place in range(LINES_MAX + 1)]

    assert check_cart(order(*lines)) == Declined("too_many_lines", "A cart has 1 to 100 lines.", "lines")


def test_two_lines_of_one_id_are_declined() -> None:
    answer = check_cart(order(SHIRTS, SHIRTS))

    assert answer is not None
    assert (answer.code, answer.field) == ("line_repeated", "lines")


@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_line_that_is_not_quantity_times_price_is_declined(off_by: int) -> None:
    wrong = replace(ROOMS, amount_minor=ROOMS.amount_minor + off_by)

    answer = check_cart(order(SHIRTS, wrong))

    assert answer is not None
    assert (answer.code, answer.field) == ("line_does_not_add_up", "lines.1.amount_minor")


@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_cart_that_is_not_the_sum_of_its_lines_is_declined(off_by: int) -> None:
    answer = check_cart(order(SHIRTS, ROOMS, amount_minor=25448 + off_by))

    assert answer is not None
    assert (answer.code, answer.field) == ("cart_does_not_add_up", "amount_minor")


@pytest.mark.parametrize(
    ("quantity", "unit_minor", "code"),
    [
        (1, 1, None),
        (0, 1, "amount_out_of_range"),
        (1, 0, "amount_out_of_range"),
        (-2, -50, "amount_out_of_range"),
        (QUANTITY_MAX, 1, None),
        (QUANTITY_MAX + 1, 1, "amount_out_of_range"),
    ],
)
def test_a_line_has_pieces_and_each_has_a_price(quantity: int, unit_minor: int, code: str | None) -> None:
    assert code_of(check_cart(order(line("odd", unit_minor=unit_minor, quantity=quantity)))) == code


@pytest.mark.parametrize("bps", [(10_001,), (5_000, 5_001), (-1,)])
def test_shares_that_are_not_parts_of_the_whole_are_declined(bps: tuple[int, ...]) -> None:
    answer = check_cart(order(SHIRTS, line("odd", unit_minor=1000, bps=bps)))

    assert answer is not None
    assert (answer.code, answer.field) == ("split_does_not_add_up", "lines.1.splits")


def test_a_line_without_a_remainder_is_declined() -> None:
    bare = replace(SHIRTS, splits=SHIRTS.splits[:-1])

    assert code_of(check_cart(order(bare))) == "split_does_not_add_up"


# Captures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "code"),
    [(0, "amount_out_of_range"), (1, None), (6997, None), (6998, None), (6999, "exceeds_authorised")],
)
def test_a_line_is_captured_up_to_its_amount(amount_minor: int, code: str | None) -> None:
    assert code_of(plan_capture(checkout(SHIRTS), capture(some("shirts", amount_minor)))) == code


@pytest.mark.parametrize(("amount_minor", "code"), [(2997, None), (2998, None), (2999, "exceeds_authorised")])
def test_a_second_capture_is_measured_against_what_the_first_left(
    amount_minor: int, code: str | None
) -> None:
    before = captured(checkout(SHIRTS), some("shirts", 4000))

    assert code_of(plan_capture(before, capture(some("shirts", amount_minor)))) == code


def test_a_final_capture_gives_back_the_rest() -> None:
    steps = plan_capture(checkout(ROOMS), capture(some("rooms", 15450, final=True)))

    assert not isinstance(steps, Declined)
    assert [(step.amount_minor, step.parts, step.released_minor) for step in steps] == [
        (15450, (1854, 13596), 3000)
    ]


def test_after_a_final_capture_nothing_more_is_captured_of_that_line() -> None:
    before = captured(checkout(ROOMS, SHIRTS), some("rooms", 15450, final=True))

    answer = plan_capture(before, capture(some("rooms", 1)))

    assert before.state is CheckoutState.AUTHORISED
    assert code_of(answer) == "line_final"


def test_a_line_is_final_once_it_is_captured_in_full() -> None:
    before = captured(checkout(ROOMS, SHIRTS), some("rooms", 18450))

    assert [item.final for item in before.lines] == [True, False]
    assert code_of(plan_capture(before, capture(some("rooms", 1)))) == "line_final"


def test_a_line_in_parts_is_final_with_its_last_part() -> None:
    before = checkout(SHIRTS, ROOMS)

    almost = captured(before, some("shirts", 6997))
    whole = captured(almost, some("shirts", 1))

    assert not almost.lines[0].final
    assert whole.lines[0].final
    assert sum(whole.lines[0].captured_parts) == 6998


def test_a_checkout_is_closed_when_every_line_is_final() -> None:
    first = captured(checkout(SHIRTS, ROOMS), some("shirts", 6998))

    closed = captured(first, some("rooms", 15450, final=True))

    assert (first.state, closed.state) == (CheckoutState.AUTHORISED, CheckoutState.CLOSED)
    assert code_of(plan_capture(closed, capture(some("rooms", 1)))) == "line_final"


@pytest.mark.parametrize("state", [CheckoutState.REQUIRES_AUTHENTICATION, CheckoutState.EXPIRED])
def test_only_an_authorised_checkout_is_captured(state: CheckoutState) -> None:
    answer = plan_capture(checkout(SHIRTS, state=state), capture(some("shirts", 1)))

    assert code_of(answer) == "checkout_not_authorised"


@pytest.mark.parametrize(
    ("lines", "code", "field"),
    [
        ((some("shirts", 1), some("shirts", 1)), "line_repeated", "lines"),
        ((some("shirts", 1), some("socks", 1)), "line_unknown", "lines.1.line"),
        ((some("shirts", 1), some("rooms", -1)), "amount_out_of_range", "lines.1.amount_minor"),
    ],
)
def test_lines_are_named_once_exist_and_have_amounts(
    lines: tuple[LineAmount, ...], code: str, field: str
) -> None:
    before = captured(checkout(SHIRTS, ROOMS), some("shirts", 5), some("rooms", 5))

    for answer in (plan_capture(before, capture(*lines)), plan_refund(before, refund(*lines))):
        assert isinstance(answer, Declined)
        assert (answer.code, answer.field) == (code, field)


def test_one_bad_line_stops_the_whole_capture() -> None:
    before = checkout(SHIRTS, ROOMS)

    assert (
        code_of(plan_capture(before, capture(some("shirts", 1), some("rooms", 18451))))
        == "exceeds_authorised"
    )


# Refunds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "code"),
    [(0, "amount_out_of_range"), (3999, None), (4000, None), (4001, "exceeds_captured")],
)
def test_a_line_is_refunded_up_to_what_was_captured(amount_minor: int, code: str | None) -> None:
    before = captured(checkout(SHIRTS), some("shirts", 4000))

    assert code_of(plan_refund(before, refund(some("shirts", amount_minor)))) == code


@pytest.mark.parametrize(("amount_minor", "code"), [(3498, None), (3499, None), (3500, "exceeds_captured")])
def test_a_second_refund_is_measured_against_what_the_first_left(amount_minor: int, code: str | None) -> None:
    before = refunded(captured(checkout(SHIRTS), some("shirts", 6998)), some("shirts", 3499))

    assert code_of(plan_refund(before, refund(some("shirts", amount_minor)))) == code


@pytest.mark.parametrize("state", list(CheckoutState))
def test_nothing_captured_is_nothing_to_refund_in_any_state(state: CheckoutState) -> None:
    assert (
        code_of(plan_refund(checkout(SHIRTS, state=state), refund(some("shirts", 1)))) == "exceeds_captured"
    )


def test_an_expired_checkout_still_refunds_what_it_captured() -> None:
    before = replace(captured(checkout(SHIRTS), some("shirts", 100)), state=CheckoutState.EXPIRED)

    assert code_of(plan_refund(before, refund(some("shirts", 100)))) is None


def test_a_refund_does_not_open_a_line_to_new_captures() -> None:
    before = refunded(captured(checkout(SHIRTS, ROOMS), some("shirts", 6998)), some("shirts", 6998))

    assert code_of(plan_capture(before, capture(some("shirts", 1)))) == "line_final"


def test_a_part_of_a_line_whose_shares_all_round_up_can_still_be_captured() -> None:
    halves = line("halves", unit_minor=4, bps=(5_000, 5_000))  # 2 + 2 + 0, but 3 would be 2 + 2 - 1

    assert check_cart(order(halves)) is None
    first = captured(checkout(halves), some("halves", 3))
    whole = captured(first, some("halves", 1))

    assert first.lines[0].captured_parts == (1, 2, 0)
    assert whole.lines[0].captured_parts == (2, 2, 0)


@given(data=st.data(), unit_minor=st.integers(1, 300), quantity=st.integers(1, 3))
def test_what_a_cart_takes_in_parts_it_can_give_back_in_parts(
    data: st.DataObject, unit_minor: int, quantity: int
) -> None:
    bps = data.draw(st.sampled_from([(800, 500), (3_333, 3_333, 3_333), (9_999,), ()]))
    now = checkout(line("goods", unit_minor=unit_minor, quantity=quantity, bps=bps))

    while not now.lines[0].final:
        left = now.lines[0].line.amount_minor - now.lines[0].captured_minor
        now = captured(now, some("goods", data.draw(st.integers(1, left)), final=data.draw(st.booleans())))
    while now.lines[0].refunded_minor < now.lines[0].captured_minor:
        back = now.lines[0].captured_minor - now.lines[0].refunded_minor
        now = refunded(now, some("goods", data.draw(st.integers(1, back))))

    assert now.state is CheckoutState.CLOSED
    assert now.lines[0].refunded_parts == now.lines[0].captured_parts
    assert sum(now.lines[0].captured_parts) == now.lines[0].captured_minor
