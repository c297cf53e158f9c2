"""How the enclave grows its trees: from where it goes on, what it reads, and where it stops."""

import pytest

from enclave.growth import LEAVES_MAX, PAGE, Growth
from enclave.notes import Checkpoint
from enclave.protocol import CheckpointRequest
from enclave.tree import Tree
from tests.enclave.logs import ORIGIN, ListedLogs, leaves_of, root_of

LARGE = leaves_of(LEAVES_MAX + PAGE + 1)


def wanted(size: int, origin: str = ORIGIN) -> CheckpointRequest:
    return CheckpointRequest(purpose="checkpoint", origin=origin, size=size, root=root_of(0))


def signed(size: int, history: int = 0) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root_of(size, history))


def tree_of(size: int, history: int = 0) -> Tree:
    return Tree().with_leaves(leaves_of(size, history))


def logs_of(size: int, *kept: Tree) -> ListedLogs:
    return ListedLogs({ORIGIN: leaves_of(size)}, {ORIGIN: list(kept)})


def test_a_process_goes_on_from_the_tree_that_it_has_grown() -> None:
    logs = logs_of(9)
    growth = Growth(logs)

    first = growth.towards(wanted(5), None)
    second = growth.towards(wanted(9), signed(5))

    assert (first, second) == (tree_of(5), tree_of(9))
    assert logs.read == [(4, 5), (0, 5), (8, 9), (5, 9)]


def test_another_process_goes_on_from_the_tree_that_is_kept() -> None:
    logs = logs_of(9, tree_of(3), tree_of(5), tree_of(7))

    assert Growth(logs).towards(wanted(9), signed(5)) == tree_of(9)
    assert logs.read == [(8, 9), (5, 9)]


def test_what_was_signed_and_never_kept_is_grown_past_and_looked_at() -> None:
    logs = logs_of(9, tree_of(3), tree_of(7))

    assert Growth(logs).towards(wanted(9), signed(5)) == tree_of(9)
    assert logs.read == [(8, 9), (3, 5), (5, 9)]


@pytest.mark.parametrize(
    "kept", [tree_of(3, history=1), tree_of(5, history=1)], ids=["below what was signed", "of its size"]
)
def test_a_kept_tree_that_does_not_come_to_the_signed_root_is_where_it_stops(kept: Tree) -> None:
    logs = logs_of(9, kept)
    growth = Growth(logs)

    for _ in range(2):
        stopped = growth.towards(wanted(9), signed(5))
        assert stopped is not None
        assert stopped.contradicts(signed(5))

    logs.trees[ORIGIN] = [tree_of(5)]
    assert growth.towards(wanted(9), signed(5)) == tree_of(9), "nothing of it was remembered"


def test_while_nothing_was_signed_no_kept_tree_is_believed() -> None:
    logs = logs_of(9, tree_of(7, history=1))

    assert Growth(logs).towards(wanted(9), None) == tree_of(9)


@pytest.mark.parametrize("size", [0, 4, 5])
def test_up_to_the_last_checkpoint_nothing_is_read(size: int) -> None:
    logs = logs_of(9)

    assert Growth(logs).towards(wanted(size), signed(5)) is None
    assert logs.read == []


@pytest.mark.parametrize("size", [10, 2**63 - 1])
def test_of_a_log_with_fewer_leaves_only_one_is_asked_for(size: int) -> None:
    logs = logs_of(9)

    assert Growth(logs).towards(wanted(size), signed(5)) is None
    assert logs.read == [(size - 1, size)]


def test_of_a_log_that_nobody_has_nothing_is_read_or_remembered() -> None:
    logs = logs_of(9)

    assert Growth(logs).towards(wanted(0, "nobody.example"), None) is None
    assert logs.read == []


def test_an_empty_log_has_the_empty_tree() -> None:
    assert Growth(logs_of(0)).towards(wanted(0), None) == Tree()


class Gap(ListedLogs):
    """A log from which one leaf in the middle was taken out."""

    def hashes(self, origin: str, *, start: int, end: int) -> list[bytes]:
        return [leaf for place, leaf in enumerate(self.logs[origin]) if start <= place < end and place != 6]


def test_a_log_with_a_gap_has_not_so_many_leaves() -> None:
    assert Growth(Gap({ORIGIN: leaves_of(9)})).towards(wanted(9), signed(5)) is None


def test_a_large_log_takes_several_requests_of_pages() -> None:
    logs = ListedLogs({ORIGIN: LARGE})
    growth = Growth(logs)

    first = growth.towards(wanted(len(LARGE)), None)
    pages = list(logs.read)
    second = growth.towards(wanted(len(LARGE)), None)

    assert first == Tree().with_leaves(LARGE[:LEAVES_MAX])
    assert second == Tree().with_leaves(LARGE)
    last_leaf = (len(LARGE) - 1, len(LARGE))
    assert pages == [last_leaf, *((at, at + PAGE) for at in range(0, LEAVES_MAX, PAGE))]
    assert logs.read[len(pages) :] == [
        last_leaf,
        (LEAVES_MAX, LEAVES_MAX + PAGE),
        (LEAVES_MAX + PAGE, len(LARGE)),
    ]


def test_what_was_asked_for_in_vain_is_grown_anew_from_what_was_signed() -> None:
    logs = logs_of(7)
    logs.logs[ORIGIN][6] = leaves_of(7, history=1)[6]
    growth = Growth(logs)
    growth.towards(wanted(5), None)
    growth.towards(wanted(7), signed(5))

    logs.logs[ORIGIN][6] = leaves_of(7)[6]

    assert growth.towards(wanted(6), signed(5)) == tree_of(6)
    assert growth.towards(wanted(7), signed(6)) == tree_of(7)


def test_a_checkpoint_that_was_not_signed_after_all_is_not_gone_on_from() -> None:
    logs = logs_of(9, tree_of(3))
    growth = Growth(logs)
    growth.towards(wanted(5), signed(3))
    growth.towards(wanted(7), signed(5))

    assert growth.towards(wanted(6), signed(3)) == tree_of(6)
    assert logs.read[-2:] == [(5, 6), (3, 6)]
