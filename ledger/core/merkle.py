"""Merkle trees over a list that only grows: roots, and proofs that a leaf or an earlier tree is part of one.

Pure: hashes in, hashes out. A leaf and an inner node are hashed under different first bytes, so that neither
can pass for the other. Proofs are as short as the tree is high; a root needs no more room than one branch.
Source: RFC 9162 section 2.1 (the tree, inclusion and consistency proofs and how each is checked).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
Range = tuple[int, int]
"""Leaves from the first place until just before the second."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaves, in one pass."""
    tree = GrowingTree()
    for leaf in leaf_hashes:
        tree.append(leaf)
    return tree.root()


@dataclass(slots=True)
class GrowingTree:
    """A tree that is told its leaves one by one and keeps only the roots of its full subtrees: its peaks."""

    size: int = 0
    _peaks: list[bytes] = field(default_factory=list)

    @staticmethod
    def resumed(size: int, peaks: bytes) -> "GrowingTree":
        """The tree of this size with these peaks, one after another, the largest first.

        Raises: ValueError when a tree of this size has not so many.
        """
        if size < 0 or len(peaks) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks")
        return GrowingTree(size, [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)])

    @property
    def peaks(self) -> bytes:
        """The roots of the full subtrees, the largest first: all that it takes to go on."""
        return b"".join(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Adds the hash of the next leaf."""
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """What is needed besides the leaf at `index` to compute the root, from the leaf's side upwards.

    Raises: IndexError when there is no such leaf.
    Source: RFC 9162 section 2.1.3.1.
    """
    return tuple(root(leaf_hashes[start:end]) for start, end in inclusion_ranges(index, len(leaf_hashes)))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Over which leaves the subtrees stand whose roots are the inclusion proof, in its order.

    Raises: IndexError when there is no such leaf.
    """
    if not 0 <= index < size:
        raise IndexError(f"a tree of {size} leaves has no leaf {index}")
    start, end = 0, size
    ranges: list[Range] = []
    while end - start > 1:
        middle = middle_of(start, end)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> bool:
    """Says whether the leaf stands at `index` in the tree of this size and root.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            place, last = _up_to_right_child(place, last)
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == expected_root


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """What shows that the tree over the first `old_size` leaves is the beginning of the whole tree.

    Empty when the old tree is empty or the whole.
    Raises: IndexError when the tree never had that size.
    Source: RFC 9162 section 2.1.4.1.
    """
    ranges = consistency_ranges(old_size=old_size, size=len(leaf_hashes))
    return tuple(root(leaf_hashes[start:end]) for start, end in ranges)


def consistency_ranges(*, old_size: int, size: int) -> list[Range]:
    """Over which leaves the subtrees stand whose roots are the consistency proof, in its order.

    Raises: IndexError when a tree of this size never had that one.
    """
    if not 0 <= old_size <= size:
        raise IndexError(f"a tree of {size} leaves has no beginning of {old_size}")
    if old_size in {0, size}:
        return []
    start, end = 0, size
    ranges: list[Range] = []
    while end != old_size:
        middle = middle_of(start, end)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    # The verifier knows the old root, and needs the last common subtree only where it is not the whole old tree.
    if start > 0:
        ranges.append((start, end))
    return ranges[::-1]


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Says whether the new tree begins with the old one: nothing was taken out, changed or put in between.

    Source: RFC 9162 section 2.1.4.2; the empty tree is the beginning of every tree.
    """
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    return _verify_growth(old_size, old_root, new_size, new_root, list(proof))


def _verify_growth(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: list[bytes]
) -> bool:
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else proof
    if not path:
        return False
    place, last = _up_to_left_child(old_size - 1, new_size - 1)
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            place, last = _up_to_right_child(place, last)
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _up_to_right_child(place: int, last: int) -> tuple[int, int]:
    """Climbs past the levels on which the last node has no sibling and is carried up as it is."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _up_to_left_child(place: int, last: int) -> tuple[int, int]:
    """Climbs to the root of the largest full subtree that ends at `place`."""
    while place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def middle_of(start: int, end: int) -> int:
    """Where a subtree over two leaves or more divides: left of it stands the largest full subtree that fits."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over the two below it."""
    return hashlib.sha256(b"\x01" + left + right).digest()
