"""A bank that is silent is left alone, and tried again by one payment before all others."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.host.breaker import FAILURES_MAX, OPEN_FOR, OPEN_FOR_MAX, Breaker

OPEN_S = OPEN_FOR.total_seconds()


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def silences(breaker: Breaker, count: int) -> None:
    for _ in range(count):
        breaker.was_silent()


def test_a_few_silences_stop_nothing_and_an_answer_forgets_them(breaker: Breaker) -> None:
    for _ in range(3):
        silences(breaker, FAILURES_MAX - 1)
        assert breaker.room(64) == 64
        breaker.answered()


def test_a_bank_that_is_silent_again_and_again_is_left_alone_for_a_time(
    breaker: Breaker, clock: Clock
) -> None:
    silences(breaker, FAILURES_MAX)

    assert breaker.room(64) == 0
    clock.now_s += OPEN_S - 0.001
    assert breaker.room(64) == 0
    clock.now_s += 0.001
    assert breaker.room(64) == 1


def test_one_payment_tries_and_the_others_wait_for_it(breaker: Breaker, clock: Clock) -> None:
    silences(breaker, FAILURES_MAX)
    clock.now_s += OPEN_S

    assert [breaker.room(64) for _ in range(3)] == [1, 0, 0]
    breaker.answered()
    assert breaker.room(64) == 64


def test_each_try_in_vain_is_waited_after_twice_as_long_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    silences(breaker, FAILURES_MAX)
    waited = []

    for _ in range(8):
        before_s = clock.now_s
        while breaker.room(1) == 0:
            clock.now_s += 1
        waited.append(clock.now_s - before_s)
        breaker.was_silent()

    assert waited == [10, 20, 40, 80, 160, 300, 300, 300]
    assert timedelta(seconds=300) == OPEN_FOR_MAX


def test_an_answer_makes_the_next_wait_short_again(breaker: Breaker, clock: Clock) -> None:
    silences(breaker, FAILURES_MAX)
    clock.now_s += OPEN_S
    breaker.room(1)
    breaker.was_silent()
    clock.now_s += 2 * OPEN_S
    breaker.room(1)
    breaker.answered()

    silences(breaker, FAILURES_MAX)
    clock.now_s += OPEN_S
    assert breaker.room(64) == 1


def test_a_bank_that_asks_for_time_gets_it(breaker: Breaker, clock: Clock) -> None:
    breaker.answered()
    breaker.wait(timedelta(seconds=30))

    clock.now_s += 29.9
    assert breaker.room(64) == 0
    clock.now_s += 0.1
    assert breaker.room(64) == 1


def test_a_bank_cannot_ask_to_be_left_alone_for_ever(breaker: Breaker, clock: Clock) -> None:
    breaker.wait(timedelta(days=365))

    clock.now_s += OPEN_FOR_MAX.total_seconds()
    assert breaker.room(64) == 1


def test_a_payment_that_was_to_try_and_was_not_sent_lets_another_one_try(
    breaker: Breaker, clock: Clock
) -> None:
    silences(breaker, FAILURES_MAX)
    clock.now_s += OPEN_S
    assert breaker.room(64) == 1

    breaker.gave_up_trying()

    assert breaker.room(64) == 1


def test_a_try_of_which_nobody_hears_any_more_is_not_waited_for_for_ever(
    breaker: Breaker, clock: Clock
) -> None:
    silences(breaker, FAILURES_MAX)
    clock.now_s += OPEN_S
    assert breaker.room(64) == 1

    clock.now_s += OPEN_S - 0.001
    assert breaker.room(64) == 0
    clock.now_s += 0.001
    assert breaker.room(64) == 1


def test_only_a_try_is_given_up(breaker: Breaker) -> None:
    silences(breaker, FAILURES_MAX)

    breaker.gave_up_trying()

    assert breaker.room(64) == 0


@given(
    st.lists(st.sampled_from(["answered", "was_silent", "gave_up_trying", "room", "a minute"]), max_size=60)
)
def test_a_bank_is_never_left_alone_for_longer_than_the_limit(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for step in steps:
        match step:
            case "a minute":
                clock.now_s += 60
            case "room":
                breaker.room(2)
            case _:
                getattr(breaker, step)()

    breaker.gave_up_trying()
    clock.now_s += OPEN_FOR_MAX.total_seconds()
    assert breaker.room(2) >= 1
