"""Budgets of refusals: whatever is asked when, nothing is lost, and what stands singly has a bound."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement

from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.log import EntryKind, LogEntry
from enclave.refusal_tally import COUNTED_FOR, REFILL, SINGLY_MAX, RefusalTally

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CODES = ("message_not_canonical", "message_fields_refused", "internal")

bursts = st.lists(
    st.tuples(
        st.integers(-4_000, 4_000),  # seconds on, or back if somebody puts the clock back
        st.integers(0, 1_300),  # refusals
        st.integers(1, 3),  # of whom
        st.sampled_from(CODES),
        st.booleans(),  # whether the log is told of sums first
    ),
    max_size=8,
)


def refused(uid: int = 1, code: str = CODES[0]) -> LogEntry:
    return LogEntry(EntryKind.REFUSED, "unreadable", {"peer_uid": uid, "request": "0f" * 32, "code": code})


def taken(tally: RefusalTally, count: int, *, now: datetime = NOON, uid: int = 1) -> list[LogEntry]:
    """What the log is told of so many refusals at once."""
    told = [tally.take(refused(uid), now=now) for _ in range(count)]
    return [entry for entry in told if entry is not None]


def counted(told: Sequence[LogEntry]) -> Counter[tuple[object, object]]:
    """How often the log says that which user was refused by which code."""
    counts: Counter[tuple[object, object]] = Counter()
    for entry in told:
        if entry.kind is EntryKind.REFUSED:
            counts[entry.facts["peer_uid"], entry.facts["code"]] += 1
        else:
            for code in CODES:
                counts[entry.facts["peer_uid"], code] += int(entry.facts.get(code, 0) or 0)
    return +counts


def states(told: Sequence[LogEntry]) -> list[object]:
    return [entry.facts["state"] for entry in told if entry.kind is EntryKind.REFUSED_MORE]


@settings(deadline=None, max_examples=60)
@given(bursts)
def test_every_refusal_is_told_once_singly_or_in_a_sum(
    bursts: list[tuple[int, int, int, str, bool]],
) -> None:
    tally, now, told, asked = RefusalTally(), NOON, list[LogEntry](), Counter[tuple[object, object]]()

    for pause, count, uid, code, are_sums_told in bursts:
        now += pause * SECOND
        told += tally.sums(now=now) if are_sums_told else []
        for _ in range(count):
            entry = tally.take(refused(uid, code), now=now)
            told += [] if entry is None else [entry]
        asked[uid, code] += count
    told += tally.sums(now=now, at_once=True)

    assert counted(told) == +asked
    assert tally.due_in(now=now) is None
    for uid in range(1, 4):
        of_one = states([entry for entry in told if entry.facts["peer_uid"] == uid])
        assert of_one == ["begins", "ends"] * (len(of_one) // 2)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1_500), st.integers(0, 1_300)), max_size=8))
def test_what_is_told_in_any_time_has_a_bound(bursts: list[tuple[int, int]]) -> None:
    tally, now, told = RefusalTally(), NOON, list[tuple[datetime, Counter[EntryKind]]]()

    for pause, count in bursts:
        now += pause * SECOND
        entries = [*tally.sums(now=now), *taken(tally, count, now=now)]
        told.append((now, Counter(entry.kind for entry in entries)))

    for first, last in combinations_with_replacement(range(len(told)), 2):
        length, kinds = told[last][0] - told[first][0], Counter[EntryKind]()
        for _, of_burst in told[first : last + 1]:
            kinds += of_burst
        assert kinds[EntryKind.REFUSED] <= SINGLY_MAX + length // REFILL
        assert kinds[EntryKind.REFUSED_MORE] <= 2 + 2 * (length // COUNTED_FOR)


def test_the_log_is_told_that_counting_begins_and_then_nothing_until_a_minute_is_over() -> None:
    tally = RefusalTally()

    told = taken(tally, SINGLY_MAX + 300)

    assert [entry.kind for entry in told] == [EntryKind.REFUSED] * SINGLY_MAX + [EntryKind.REFUSED_MORE]
    assert told[-1].facts == {"peer_uid": 1, "state": "begins"}
    assert tally.due_in(now=NOON + 20 * SECOND) == 40 * SECOND
    assert tally.sums(now=NOON + 59 * SECOND) == []
    (sum_,) = tally.sums(now=NOON + COUNTED_FOR)
    assert sum_.facts == {"peer_uid": 1, "state": "ends", CODES[0]: 300}


def test_after_a_minute_there_is_room_for_a_minutes_worth() -> None:
    tally = RefusalTally()
    taken(tally, SINGLY_MAX + 1)
    later = NOON + COUNTED_FOR
    tally.sums(now=later)

    told = taken(tally, 500, now=later)

    assert [entry.kind for entry in told] == [EntryKind.REFUSED] * 60 + [EntryKind.REFUSED_MORE]


def test_the_budget_of_one_is_not_the_budget_of_another() -> None:
    tally = RefusalTally()
    taken(tally, 5_000, uid=1)

    assert [entry.kind for entry in taken(tally, 10, uid=2)] == [EntryKind.REFUSED] * 10


def test_a_clock_that_is_put_back_ends_the_minute_and_leaves_no_hole() -> None:
    tally = RefusalTally()
    taken(tally, SINGLY_MAX + 7)
    before = NOON - timedelta(days=400)

    assert tally.due_in(now=before) == timedelta()
    assert states(tally.sums(now=before)) == ["ends"]
    assert states(taken(tally, 3, now=before)) == ["begins"]
    tally.sums(now=before + COUNTED_FOR)
    assert len(taken(tally, 60, now=before + COUNTED_FOR)) == 60


def test_a_branch_leaves_no_trace() -> None:
    tally = RefusalTally()
    branch = tally.branch()

    taken(branch, SINGLY_MAX + 5)

    assert tally.due_in(now=NOON) is None
    assert len(taken(tally, SINGLY_MAX)) == SINGLY_MAX
