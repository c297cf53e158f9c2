"""Shares round half-even, parts always sum to the whole, and many small steps end where one step would have."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from ledger.core.money import (
    BPS_WHOLE,
    MINOR_MAX,
    Split,
    SplitTo,
    allocate,
    allocate_step,
    share_half_even,
    targets,
)

PLATFORM = SplitTo.PLATFORM
AMOUNTS_MINOR = st.one_of(st.integers(0, 60), st.integers(0, MINOR_MAX))


def splits_of(*bps: int | None) -> tuple[Split, ...]:
    return tuple(Split(PLATFORM, None, share) for share in bps)


@st.composite
def sound_splits(draw: st.DrawFn) -> tuple[Split, ...]:
    """One to five shares that are together at most the whole, and the remainder anywhere among them."""
    even = st.integers(1, 5).map(lambda count: [BPS_WHOLE // count] * count)
    cuts = st.lists(st.integers(0, BPS_WHOLE), min_size=1, max_size=5).map(
        lambda places: [late - early for early, late in pairwise([0, *sorted(places)])]
    )
    bps: list[int | None] = [*draw(st.one_of(even, cuts))]
    bps.insert(draw(st.integers(0, len(bps))), None)
    return splits_of(*bps)


@st.composite
def steps_of(draw: st.DrawFn, amount_minor: int) -> list[int]:
    """An amount, taken in steps."""
    cuts = draw(st.lists(st.integers(1, max(amount_minor - 1, 1)), max_size=12, unique=True))
    inner = [cut for cut in sorted(cuts) if cut < amount_minor]
    return [late - early for early, late in pairwise([0, *inner, amount_minor])]


@given(amount_minor=st.integers(-MINOR_MAX, MINOR_MAX), bps=st.integers(0, BPS_WHOLE))
def test_a_share_is_the_exact_fraction_rounded_half_to_even(amount_minor: int, bps: int) -> None:
    # Python rounds fractions half to even.
    assert share_half_even(amount_minor, bps) == round(Fraction(amount_minor * bps, BPS_WHOLE))


@pytest.mark.parametrize(
    ("amount_minor", "share_minor"), [(1, 0), (3, 2), (5, 2), (7, 4), (9, 4), (-1, 0), (-3, -2)]
)
def test_a_half_goes_to_the_even_neighbour(amount_minor: int, share_minor: int) -> None:
    assert share_half_even(amount_minor, 5000) == share_minor


@given(amount_minor=AMOUNTS_MINOR, splits=sound_splits())
def test_parts_sum_to_the_whole_or_the_line_is_refused(amount_minor: int, splits: tuple[Split, ...]) -> None:
    shares = [share_half_even(amount_minor, split.bps) for split in splits if split.bps is not None]

    if sum(shares) > amount_minor:
        with pytest.raises(InvalidValue, match="rounded shares"):
            allocate(amount_minor, splits)
        return
    parts = allocate(amount_minor, splits)

    assert sum(parts) == amount_minor
    assert min(parts) >= 0
    assert [part for part, split in zip(parts, splits, strict=True) if split.bps is not None] == shares


@pytest.mark.parametrize(
    ("bps", "words"),
    [
        ((), "exactly one"),
        ((10_000,), "exactly one"),
        ((None, None), "exactly one"),
        ((5_000, 5_001, None), "exceed the whole"),
        ((-1, None), "never negative"),
        ((-5_000, 10_001, None), "never negative"),
    ],
)
def test_unsound_splits_are_refused(bps: tuple[int | None, ...], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        allocate(100, splits_of(*bps))


def test_shares_of_exactly_the_whole_leave_nothing_to_the_remainder() -> None:
    assert allocate(100, splits_of(4_000, None, 6_000)) == (40, 0, 60)


@pytest.mark.parametrize(
    ("amount_minor", "bps", "parts"),
    [
        (6998, (800, 500, None), (560, 350, 6088)),
        (12900, (1000, None), (1290, 11610)),
        (15450, (1200, None), (1854, 13596)),
        (3499, (800, 500, None), (280, 175, 3044)),
    ],
)
def test_the_lines_of_the_cart_are_shared_out_to_the_cent(
    amount_minor: int, bps: tuple[int | None, ...], parts: tuple[int, ...]
) -> None:
    assert allocate(amount_minor, splits_of(*bps)) == parts


def test_one_of_two_shirts_comes_back_with_every_share_of_it() -> None:
    splits = splits_of(800, 500, None)
    captured = allocate(6998, splits)

    first = allocate_step(3499, target=targets(3499, splits), done=(0, 0, 0), cap=captured)
    second = allocate_step(3499, target=targets(6998, splits), done=first, cap=captured)

    assert first == (280, 175, 3044)
    assert second == (280, 175, 3044)


class Running:
    """Running totals of parts, stepped as captures and refunds step them, with what must hold after each step."""

    def __init__(self, splits: tuple[Split, ...]) -> None:
        self.splits = splits
        self.done = tuple(0 for _ in splits)

    def step(self, amount_minor: int, *, cap: tuple[int, ...]) -> None:
        total = sum(self.done) + amount_minor
        target = targets(total, self.splits)

        parts = allocate_step(amount_minor, target=target, done=self.done, cap=cap)

        assert sum(parts) == amount_minor
        assert min(parts) >= 0
        self.done = tuple(had + part for had, part in zip(self.done, parts, strict=True))
        assert all(had <= most for had, most in zip(self.done, cap, strict=True))


@settings(max_examples=400)
@given(
    data=st.data(), splits=sound_splits(), amount_minor=st.one_of(st.integers(1, 60), st.integers(1, 10**9))
)
def test_partial_refunds_of_partial_captures_reverse_every_part_exactly(
    data: st.DataObject, splits: tuple[Split, ...], amount_minor: int
) -> None:
    captured, refunded = Running(splits), Running(splits)

    for step in data.draw(steps_of(amount_minor)):
        captured.step(step, cap=(amount_minor,) * len(splits))
    for step in data.draw(steps_of(amount_minor)):
        refunded.step(step, cap=captured.done)

    assert sum(captured.done) == amount_minor
    assert refunded.done == captured.done


@settings(max_examples=400)
@given(
    data=st.data(), splits=sound_splits(), amount_minor=st.one_of(st.integers(1, 40), st.integers(1, 10**9))
)
def test_captures_and_refunds_in_any_order_keep_every_part_within_its_cap(
    data: st.DataObject, splits: tuple[Split, ...], amount_minor: int
) -> None:
    captured, refunded = Running(splits), Running(splits)

    for _ in range(12):
        left, back = amount_minor - sum(captured.done), sum(captured.done) - sum(refunded.done)
        if left and data.draw(st.booleans() if back else st.just(True)):
            captured.step(data.draw(st.integers(1, left)), cap=(amount_minor,) * len(splits))
        elif back:
            refunded.step(data.draw(st.integers(1, back)), cap=captured.done)

    rest = sum(captured.done) - sum(refunded.done)
    if rest:
        refunded.step(rest, cap=captured.done)
    assert refunded.done == captured.done


@settings(max_examples=300)
@given(
    data=st.data(), splits=sound_splits(), amount_minor=st.one_of(st.integers(1, 60), st.integers(1, 10**9))
)
def test_rounding_never_accumulates_beyond_one_unit_a_split(
    data: st.DataObject, splits: tuple[Split, ...], amount_minor: int
) -> None:
    captured = Running(splits)

    for step in data.draw(steps_of(amount_minor)):
        captured.step(step, cap=(amount_minor,) * len(splits))
        aim = targets(sum(captured.done), splits)
        drift = max(abs(had - want) for had, want in zip(captured.done, aim, strict=True))
        assert drift <= len(splits)


@settings(max_examples=400)
@given(data=st.data(), count=st.integers(1, 5))
def test_a_step_finds_its_place_whatever_the_target(data: st.DataObject, count: int) -> None:
    minor = st.integers(0, 20)
    row = st.lists(minor, min_size=count, max_size=count)
    done, extra, target = data.draw(row), data.draw(row), data.draw(row)
    cap = [had + more for had, more in zip(done, extra, strict=True)]
    amount_minor = data.draw(st.integers(0, sum(extra)))

    parts = allocate_step(amount_minor, target=target, done=done, cap=cap)

    assert sum(parts) == amount_minor
    assert all(0 <= part <= more for part, more in zip(parts, extra, strict=True))


def test_a_step_beyond_all_room_is_a_bug_and_not_a_split() -> None:
    with pytest.raises(AssertionError, match="room"):
        allocate_step(3, target=(2, 1), done=(0, 0), cap=(1, 1))
