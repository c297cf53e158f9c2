"""The tree against the vectors that transparency logs share, and its proofs against lies of every kind."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    GrowingTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves, the roots over the first one to eight of them and the proofs are those of the reference
# implementation of Certificate Transparency, against which other logs test as well.
LEAVES = tuple(
    leaf_hash(bytes.fromhex(text))
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {  # (index, size): proof
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CONSISTENCY = {  # (old size, new size): proof
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}

# Distinct leaves: of two equal leaves each is truly in the other's place.
leaf_lists = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70, unique=True)


@dataclass(frozen=True)
class Tree:
    """A drawn tree, a leaf of it and an earlier size of it."""

    leaves: list[bytes]
    index: int
    old_size: int

    @property
    def size(self) -> int:
        return len(self.leaves)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    leaves = draw(leaf_lists)
    index = draw(st.integers(0, len(leaves) - 1))
    return Tree(leaves, index, draw(st.integers(1, len(leaves))))


def _included(tree: Tree, **changed: object) -> bool:
    said = {
        "leaf": tree.leaves[tree.index],
        "index": tree.index,
        "size": tree.size,
        "proof": inclusion_proof(tree.leaves, tree.index),
        "expected_root": root(tree.leaves),
    }
    return verify_inclusion(**(said | changed))  # type: ignore[arg-type]


def _consistent(tree: Tree, **changed: object) -> bool:
    said = {
        "old_size": tree.old_size,
        "old_root": root(tree.leaves[: tree.old_size]),
        "new_size": tree.size,
        "new_root": root(tree.leaves),
        "proof": consistency_proof(tree.leaves, tree.old_size),
    }
    return verify_consistency(**(said | changed))  # type: ignore[arg-type]


def _hex(proof: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(node.hex() for node in proof)


def _flipped(value: bytes, bit: int) -> bytes:
    raw = bytearray(value)
    raw[bit // 8] ^= 1 << bit % 8
    return bytes(raw)


def _altered(proof: Sequence[bytes], data: st.DataObject) -> list[bytes]:
    """The proof with a bit flipped, a node left out, a node put in, or two different nodes swapped."""
    lies = [[*proof[:at], *proof[at + 1 :]] for at in range(len(proof))]
    lies += [[*proof[:at], leaf_hash(b"put in"), *proof[at:]] for at in range(len(proof) + 1)]
    lies += [[*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]] for at in range(len(proof) - 1)]
    bit = data.draw(st.integers(0, 255))
    lies += [[*proof[:at], _flipped(proof[at], bit), *proof[at + 1 :]] for at in range(len(proof))]
    return data.draw(st.sampled_from(lies))


def _by_definition(leaves: Sequence[bytes]) -> bytes:
    """The recursive definition of RFC 9162 section 2.1.1, as it stands there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    both = _by_definition(leaves[:split]) + _by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + both).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_known_ones(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root([]) == EMPTY_ROOT


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_the_known_ones(index: int, size: int) -> None:
    proof = inclusion_proof(LEAVES[:size], index)

    assert _hex(proof) == INCLUSION[index, size]


@pytest.mark.parametrize(("old_size", "new_size"), CONSISTENCY)
def test_consistency_proofs_are_the_known_ones(old_size: int, new_size: int) -> None:
    proof = consistency_proof(LEAVES[:new_size], old_size)

    assert _hex(proof) == CONSISTENCY[old_size, new_size]


@given(leaf_lists)
def test_the_root_is_the_one_that_the_definition_gives(leaves: list[bytes]) -> None:
    assert root(leaves) == _by_definition(leaves)


@given(leaf_lists)
def test_a_growing_tree_has_at_every_size_the_root_of_its_leaves(leaves: list[bytes]) -> None:
    tree = GrowingTree()

    for size, leaf in enumerate(leaves, start=1):
        tree.append(leaf)
        assert (tree.size, tree.root()) == (size, root(leaves[:size]))


@given(trees())
def test_a_tree_goes_on_from_its_peaks_as_if_it_had_never_stopped(tree: Tree) -> None:
    grown = GrowingTree()
    for leaf in tree.leaves[: tree.old_size]:
        grown.append(leaf)

    resumed = GrowingTree.resumed(grown.size, grown.peaks)

    assert (resumed.size, resumed.root()) == (grown.size, grown.root())
    for leaf in tree.leaves[tree.old_size :]:
        resumed.append(leaf)
    assert resumed.root() == root(tree.leaves)


@given(leaf_lists)
def test_peaks_are_the_roots_of_the_full_subtrees_from_the_largest_on(leaves: list[bytes]) -> None:
    tree = GrowingTree()
    for leaf in leaves:
        tree.append(leaf)

    start, peaks = 0, b""
    for bit in reversed(range(8)):
        if len(leaves) >> bit & 1:
            peaks += root(leaves[start : start + 2**bit])
            start += 2**bit
    assert tree.peaks == peaks


@pytest.mark.parametrize(("size", "peaks"), [(-1, 0), (0, 1), (1, 0), (3, 1), (3, 3), (4, 2)])
def test_a_tree_cannot_go_on_from_another_number_of_peaks(size: int, peaks: int) -> None:
    with pytest.raises(ValueError, match="peaks"):
        GrowingTree.resumed(size, bytes(HASH_BYTES * peaks))


@given(trees())
def test_every_leaf_can_be_proved(tree: Tree) -> None:
    assert _included(tree)


@given(trees(), st.integers(0, 255))
def test_another_leaf_is_not_included(tree: Tree, bit: int) -> None:
    assert not _included(tree, leaf=_flipped(tree.leaves[tree.index], bit))


@given(trees(), st.data())
def test_an_altered_inclusion_proof_fails(tree: Tree, data: st.DataObject) -> None:
    proof = inclusion_proof(tree.leaves, tree.index)

    assert not _included(tree, proof=_altered(proof, data))


@given(trees(), st.integers(0, 255))
def test_a_leaf_is_not_included_under_another_root(tree: Tree, bit: int) -> None:
    assert not _included(tree, expected_root=_flipped(root(tree.leaves), bit))


@given(trees(), st.integers(-1, 80))
def test_a_leaf_is_not_included_in_another_place(tree: Tree, place: int) -> None:
    assert _included(tree, index=place) == (place == tree.index)


@given(trees(), st.integers(0, 3))
def test_a_leaf_is_not_included_in_a_tree_of_another_height(tree: Tree, more: int) -> None:
    assert not _included(tree, size=2 * tree.size + more)
    assert not _included(tree, size=tree.index)


@given(trees())
def test_every_earlier_tree_can_be_proved(tree: Tree) -> None:
    assert _consistent(tree)


@given(trees(), st.data())
def test_an_altered_consistency_proof_fails(tree: Tree, data: st.DataObject) -> None:
    proof = consistency_proof(tree.leaves, tree.old_size)

    assert not _consistent(tree, proof=_altered(proof, data))


@given(trees(), st.integers(0, 255))
def test_consistency_fails_under_another_root(tree: Tree, bit: int) -> None:
    assert not _consistent(tree, old_root=_flipped(root(tree.leaves[: tree.old_size]), bit))
    assert not _consistent(tree, new_root=_flipped(root(tree.leaves), bit))


@given(trees(), st.integers(-1, 80))
def test_consistency_fails_for_another_earlier_size(tree: Tree, old_size: int) -> None:
    assert _consistent(tree, old_size=old_size) == (old_size == tree.old_size)


@given(trees(), st.integers(0, 3))
def test_consistency_fails_for_a_tree_of_another_height(tree: Tree, more: int) -> None:
    assert not _consistent(tree, new_size=2 * tree.size + more)
    assert not _consistent(tree, new_size=tree.old_size - 1)


@given(trees(), st.data())
def test_a_rewritten_history_is_not_consistent(tree: Tree, data: st.DataObject) -> None:
    changed_at = data.draw(st.integers(0, tree.old_size - 1))
    rewritten = list(tree.leaves)
    rewritten[changed_at] = leaf_hash(b"rewritten long after")

    proof = consistency_proof(rewritten, tree.old_size)

    assert not _consistent(tree, new_root=root(rewritten), proof=proof)


@given(leaf_lists)
def test_every_tree_begins_with_the_empty_tree_and_only_with_its_root(leaves: list[bytes]) -> None:
    size, whole = len(leaves), root(leaves)

    assert verify_consistency(old_size=0, old_root=EMPTY_ROOT, new_size=size, new_root=whole, proof=())
    assert not verify_consistency(old_size=0, old_root=whole, new_size=size, new_root=whole, proof=())
    assert not verify_consistency(
        old_size=0, old_root=EMPTY_ROOT, new_size=size, new_root=whole, proof=[whole]
    )


@pytest.mark.parametrize("index", [-1, 8])
def test_a_leaf_that_is_not_there_has_no_proof(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, index)


@pytest.mark.parametrize("old_size", [-1, 9])
def test_a_size_that_never_was_has_no_proof(old_size: int) -> None:
    with pytest.raises(IndexError):
        consistency_proof(LEAVES, old_size)
