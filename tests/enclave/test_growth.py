"""How the enclave grows its trees: from where it goes on, what it reads, and where it stops."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from enclave.allowance import LEAVES_MAX, PAGE, QUESTION, Allowance, NotReadYet
from enclave.facts import FactsUnavailable
from enclave.growth import DOUBT_AFTER, Growth
from enclave.leaves import Leaves
from enclave.notes import Checkpoint
from enclave.protocol import CheckpointRequest
from enclave.tree import Tree
from tests.enclave.council import NOON
from tests.enclave.logs import ORIGIN, ListedLogs, leaves_of, root_of

LARGE = leaves_of(LEAVES_MAX + 2 * PAGE)


@dataclass(slots=True)
class Asked:
    """A growth that is asked, each time in a round of its own."""

    leaves: Leaves
    growth: Growth = field(init=False)

    def __post_init__(self) -> None:
        self.growth = Growth(self.leaves)

    def __call__(  # as the growth is asked
        self,
        size: int,
        last: Checkpoint | None,
        *,
        root: bytes = bytes(32),
        allowance: Allowance | None = None,
        later: timedelta = timedelta(),
    ) -> Tree | None:
        request = CheckpointRequest(purpose="checkpoint", origin=ORIGIN, size=size, root=root)
        return self.growth.towards(request, last, allowance=allowance or Allowance(), now=NOON + later)

    def in_the_end(self, size: int, last: Checkpoint | None) -> tuple[Tree | None, int]:
        """What it says after so many rounds in which it had not read all yet."""
        for rounds in range(1000):
            try:
                return self(size, last), rounds
            except NotReadYet:
                continue
        raise AssertionError("it reads for ever")


def signed(size: int, history: int = 0) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root_of(size, history))


def tree_of(size: int, history: int = 0) -> Tree:
    return Tree().with_leaves(leaves_of(size, history))


def logs_of(size: int, *kept: Tree) -> ListedLogs:
    return ListedLogs({ORIGIN: leaves_of(size)}, {ORIGIN: list(kept)})


def test_a_process_goes_on_from_the_tree_that_it_has_grown() -> None:
    logs = logs_of(9)
    asked = Asked(logs)

    first = asked(5, None)
    second = asked(9, signed(5))

    assert (first, second) == (tree_of(5), tree_of(9))
    assert logs.read == [(4, 5), (0, 5), (8, 9), (5, 9)]


def test_another_process_goes_on_from_the_tree_that_is_kept() -> None:
    logs = logs_of(9, tree_of(3), tree_of(5), tree_of(7))

    assert Asked(logs)(9, signed(5)) == tree_of(9)
    assert logs.read == [(8, 9), (5, 9)]


def test_what_was_signed_and_never_kept_is_grown_past_and_looked_at() -> None:
    logs = logs_of(9, tree_of(3), tree_of(7))

    assert Asked(logs)(9, signed(5)) == tree_of(9)
    assert logs.read == [(8, 9), (3, 5), (5, 9)]


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ([tree_of(5, history=1), tree_of(3)], [(3, 5), (5, 9)]),
        ([tree_of(4, history=1), tree_of(3)], [(4, 5), (3, 5), (5, 9)]),
        ([tree_of(5, history=1), tree_of(4, history=1)], [(4, 5), (0, 5), (5, 9)]),
    ],
    ids=["one of the signed size", "one below it", "all"],
)
def test_a_kept_tree_that_does_not_come_to_the_signed_root_is_passed_over(
    kept: list[Tree], read: list[tuple[int, int]]
) -> None:
    logs = logs_of(9, *kept)

    assert Asked(logs)(9, signed(5)) == tree_of(9)
    assert logs.read == [(8, 9), *read]


def test_leaves_that_do_not_come_to_the_signed_root_are_where_it_stops_and_read_once() -> None:
    logs = ListedLogs({ORIGIN: leaves_of(9, history=1)}, {ORIGIN: [tree_of(3)]})
    asked = Asked(logs)

    for _ in range(3):
        stopped = asked(9, signed(5))
        assert stopped is not None
        assert stopped.contradicts(signed(5))

    assert logs.read == [(8, 9), (3, 5), (0, 5)]
    logs.logs[ORIGIN] = leaves_of(9)
    assert asked(9, signed(5), later=DOUBT_AFTER) == tree_of(9)


def test_while_nothing_was_signed_no_kept_tree_is_believed() -> None:
    logs = logs_of(9, tree_of(7, history=1))

    assert Asked(logs)(9, None) == tree_of(9)


@pytest.mark.parametrize("size", [0, 4, 5])
def test_up_to_the_last_checkpoint_nothing_is_read(size: int) -> None:
    logs = logs_of(9)

    assert Asked(logs)(size, signed(5)) is None
    assert logs.read == []


@pytest.mark.parametrize("size", [10, 2**63 - 1])
def test_of_a_log_with_fewer_leaves_only_one_is_asked_for(size: int) -> None:
    logs = logs_of(9)

    assert Asked(logs)(size, signed(5)) is None
    assert logs.read == [(size - 1, size)]


def test_of_a_log_that_nobody_has_nothing_is_read() -> None:
    logs = ListedLogs()

    assert Asked(logs)(0, None) is None
    assert logs.read == []


def test_an_empty_log_has_the_empty_tree() -> None:
    assert Asked(logs_of(0))(0, None) == Tree()


class Gap(ListedLogs):
    """A log from which one leaf was taken out."""

    missing = 6

    def hashes(self, origin: str, *, start: int, end: int) -> list[bytes]:
        self.read.append((start, end))
        return [
            leaf
            for place, leaf in enumerate(self.logs[origin])
            if start <= place < end and place != self.missing
        ]


def test_a_log_with_a_gap_has_not_so_many_leaves() -> None:
    assert Asked(Gap({ORIGIN: leaves_of(9)}))(9, signed(5)) is None


def test_leaves_behind_a_gap_are_read_again_once_a_round() -> None:
    logs = Gap({ORIGIN: LARGE})
    asked = Asked(logs)
    assert asked(PAGE, None) is None
    logs.read.clear()
    allowance = Allowance()

    assert asked(PAGE, None, allowance=allowance) is None
    with pytest.raises(NotReadYet):
        asked(PAGE, None, allowance=allowance)

    assert logs.read == [(PAGE - 1, PAGE), (0, PAGE), (PAGE - 1, PAGE)]
    assert allowance.leaves >= LEAVES_MAX - PAGE - 10 * QUESTION


def test_a_large_log_takes_several_rounds_of_pages_and_reads_nothing_twice() -> None:
    logs = ListedLogs({ORIGIN: LARGE})

    told, rounds = Asked(logs).in_the_end(len(LARGE), None)

    assert (told, rounds) == (Tree().with_leaves(LARGE), 1)
    last_leaf = (len(LARGE) - 1, len(LARGE))
    pages = [page for page in logs.read if page != last_leaf]
    assert [start for start, _ in pages] == [0, *(end for _, end in pages[:-1])]
    assert pages[-1][1] == len(LARGE)
    assert max(end - start for start, end in pages) == PAGE


def test_all_requests_of_a_round_read_no_more_than_one_may() -> None:
    logs, allowance = ListedLogs({ORIGIN: LARGE}), Allowance()
    asked = Asked(logs)

    for _ in range(60):
        with pytest.raises(NotReadYet):
            asked(len(LARGE), None, allowance=allowance)

    assert 0.9 * LEAVES_MAX < sum(end - start for start, end in logs.read) <= LEAVES_MAX


class Breaking(ListedLogs):
    """A log whose second page does not come the first time."""

    broken = True

    def hashes(self, origin: str, *, start: int, end: int) -> list[bytes]:
        self.read.append((start, end))
        if self.broken and start == PAGE:
            self.broken = False
            raise FactsUnavailable("no answer in time")
        return self.logs[origin][start:end]


def test_a_page_that_does_not_come_takes_none_of_those_before_it_away() -> None:
    logs = Breaking({ORIGIN: LARGE})
    asked = Asked(logs)
    with pytest.raises(FactsUnavailable):
        asked(2 * PAGE, None)

    assert asked(2 * PAGE, None) == Tree().with_leaves(LARGE[: 2 * PAGE])
    assert logs.read.count((0, PAGE)) == 1


def test_for_a_root_that_the_leaves_do_not_have_they_are_read_once() -> None:
    logs = logs_of(9)
    asked = Asked(logs)
    asked(9, signed(5))
    logs.read.clear()

    assert asked(9, signed(5)) == tree_of(9)
    assert logs.read == []


def test_a_size_that_was_grown_past_is_read_again_and_costs_what_was_grown_nothing() -> None:
    logs = logs_of(9)
    asked = Asked(logs)
    asked(9, signed(5))
    logs.read.clear()

    sizes = (7, 7, 8, 6, 9)
    assert [asked(size, signed(5)) for size in sizes] == [tree_of(size) for size in sizes]
    assert logs.read == [(5, 7), (7, 8), (5, 6)]


def test_what_is_read_again_leaves_a_round_enough_to_go_on() -> None:
    logs, allowance = ListedLogs({ORIGIN: LARGE}), Allowance()
    asked = Asked(logs)
    asked.in_the_end(4 * PAGE, None)
    logs.read.clear()

    for size in (2 * PAGE, 3 * PAGE):
        with pytest.raises(NotReadYet):
            asked(size, None, allowance=allowance)

    assert logs.read == [(0, PAGE)]
    assert asked(5 * PAGE, None, allowance=allowance) == Tree().with_leaves(LARGE[: 5 * PAGE])
    assert asked.in_the_end(3 * PAGE, None)[0] == Tree().with_leaves(LARGE[: 3 * PAGE])


def test_leaves_that_were_mended_are_read_a_minute_later() -> None:
    logs = logs_of(7)
    logs.logs[ORIGIN][6] = leaves_of(7, history=1)[6]
    asked = Asked(logs)
    spoilt = asked(7, signed(5), root=root_of(7))
    logs.logs[ORIGIN][6] = leaves_of(7)[6]

    soon = asked(7, signed(5), root=root_of(7), later=DOUBT_AFTER / 2)
    later = asked(7, signed(5), root=root_of(7), later=DOUBT_AFTER)
    again = asked(7, signed(5), root=bytes(32), later=DOUBT_AFTER * 1.5)

    assert spoilt == soon
    assert spoilt != tree_of(7)
    assert later == again == tree_of(7)
    assert logs.read.count((5, 7)) == 2


def test_a_root_that_the_leaves_have_is_no_reason_to_read_them_anew() -> None:
    logs = logs_of(7)
    asked = Asked(logs)
    asked(7, signed(5))
    logs.read.clear()

    assert asked(7, signed(5), root=root_of(7), later=DOUBT_AFTER * 2) == tree_of(7)
    assert logs.read == []


def test_only_what_was_signed_is_gone_on_from_if_leaves_changed_meanwhile() -> None:
    logs = logs_of(9)
    asked = Asked(logs)
    asked(9, signed(5))
    other = leaves_of(5) + leaves_of(9, history=1)[5:]
    logs.logs[ORIGIN] = other
    aside = asked(7, signed(5))

    assert aside == Tree().with_leaves(other[:7])
    last = Checkpoint(ORIGIN, 7, aside.root())
    assert asked(9, last) == Tree().with_leaves(other)


def test_a_checkpoint_that_was_not_signed_after_all_is_not_gone_on_from() -> None:
    logs = logs_of(9, tree_of(3))
    asked = Asked(logs)
    asked(5, signed(3))
    asked(7, signed(5))

    assert asked(6, signed(3)) == tree_of(6)
    assert logs.read[-2:] == [(5, 6), (3, 6)]
