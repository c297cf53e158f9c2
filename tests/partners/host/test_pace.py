"""A bank is asked no faster than its manifest says, and at once only as often as it says."""

from hypothesis import given
from hypothesis import strategies as st

from partners.contract import Rate
from partners.host.pace import Pace


class Time:
    """Seconds that pass only while somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


def paced(per_second: int, at_once: int) -> tuple[Time, Pace]:
    time = Time()
    return time, Pace(Rate(per_second=per_second, at_once=at_once), time.monotonic, time.sleep)


def test_what_may_be_asked_at_once_waits_for_nothing_and_the_next_one_waits() -> None:
    time, pace = paced(10, 3)

    for _ in range(3):
        pace.take()
    assert time.now_s == 0
    pace.take()
    assert round(time.now_s, 6) == 0.1


def test_a_pause_gives_no_more_than_what_may_be_asked_at_once() -> None:
    time, pace = paced(10, 3)
    time.now_s += 3_600

    for _ in range(4):
        pace.take()

    assert round(time.now_s - 3_600, 6) == 0.1


@given(
    per_second=st.integers(1, 500),
    at_once=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=80),
)
def test_in_no_span_of_time_is_more_asked_than_the_rate_and_what_may_be_asked_at_once(
    per_second: int, at_once: int, pauses: list[float]
) -> None:
    time, pace = paced(per_second, at_once)
    asked = []
    for pause in pauses:
        time.now_s += pause
        pace.take()
        asked.append(time.now_s)

    for first in range(len(asked)):
        for last in range(first, len(asked)):
            allowed = at_once + per_second * (asked[last] - asked[first])
            assert last - first + 1 <= allowed + 1e-6
