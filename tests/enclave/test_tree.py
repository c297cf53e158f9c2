"""The enclave's own tree against the ledger's, which is tested against the vectors that transparency logs share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.notes import Checkpoint
from enclave.tree import Tree
from ledger.core.merkle import GrowingTree
from tests.enclave.logs import ORIGIN, leaves_of, root_of

SIZES = st.integers(0, 300)


@given(size=SIZES, more=SIZES)
def test_it_has_the_ledgers_root_and_peaks_in_however_many_steps_it_has_grown(size: int, more: int) -> None:
    leaves, ledgers = leaves_of(size + more), GrowingTree()
    for leaf in leaves:
        ledgers.append(leaf)

    first = Tree().with_leaves(leaves[:size])
    tree = first.with_leaves(leaves[size:])

    assert (tree.size, tree.root(), b"".join(tree.peaks)) == (size + more, ledgers.root(), ledgers.peaks)
    assert first == Tree().with_leaves(leaves[:size]), "a tree never changes"


@given(size=SIZES)
def test_it_goes_on_from_its_peaks(size: int) -> None:
    tree = Tree().with_leaves(leaves_of(size))

    assert Tree.of_peaks(size, b"".join(tree.peaks)) == tree


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (3, 32), (3, 65), (4, 64), (-1, 0), (-1, 32)])
def test_a_tree_of_a_size_has_so_many_peaks_and_no_other_number(size: int, length: int) -> None:
    with pytest.raises(ValueError, match="peaks"):
        Tree.of_peaks(size, bytes(length))


def test_it_is_under_its_own_checkpoint_and_contradicts_another_of_its_size() -> None:
    tree = Tree().with_leaves(leaves_of(7))
    own, other = Checkpoint(ORIGIN, 7, root_of(7)), Checkpoint(ORIGIN, 7, root_of(7, history=1))
    larger = Checkpoint(ORIGIN, 8, root_of(8))

    assert [tree.is_under(said) for said in (own, other, larger)] == [True, False, False]
    assert [tree.contradicts(said) for said in (own, other, larger)] == [False, True, False]
