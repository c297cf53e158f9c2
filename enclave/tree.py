"""The Merkle tree over a log, as far as it takes to go on: how many leaves it has, and its peaks.

Pure: hashes in, hashes out. A tree never changes; with more leaves it is another one. Written here once more, because
the ledger's own is the ledger's word, and the enclave takes nobody's.
Follows: RFC 9162 section 2.1.1.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from enclave.notes import ROOT_BYTES, Checkpoint

_EMPTY_ROOT = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """So many leaves, and the roots of the full subtrees over them, the largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def of_peaks(cls, size: int, peaks: bytes) -> "Tree":
        """The tree of this size with these peaks, one after another.

        Raises: ValueError when a tree of this size has not so many.
        """
        if size < 0 or len(peaks) != size.bit_count() * ROOT_BYTES:
            raise ValueError("a tree of this size has another number of peaks")
        return cls(size, tuple(peaks[at : at + ROOT_BYTES] for at in range(0, len(peaks), ROOT_BYTES)))

    def with_leaves(self, leaf_hashes: Iterable[bytes]) -> "Tree":
        """The tree that has these leaves more."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaf_hashes:
            node, full = leaf, size
            while full & 1:
                node = _node_hash(peaks.pop(), node)
                full >>= 1
            peaks.append(node)
            size += 1
        return Tree(size, tuple(peaks))

    def root(self) -> bytes:
        """The root over all leaves."""
        if not self.peaks:
            return _EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = _node_hash(peak, node)
        return node

    def is_under(self, checkpoint: Checkpoint) -> bool:
        """Whether this is the tree that a checkpoint says."""
        return self.size == checkpoint.size and self.root() == checkpoint.root

    def contradicts(self, checkpoint: Checkpoint) -> bool:
        """Whether it is as large as a checkpoint says, and another tree."""
        return self.size == checkpoint.size and self.root() != checkpoint.root


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
