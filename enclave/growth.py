"""The trees that the enclave has grown, by leaves that it has read itself: one of each log, the last.

A tree goes on from the last checkpoint that was signed, so what is signed next can only be an extension of it, by
leaves that are there. A tree that is remembered here counts because its root was signed, or because it has begun with
one that was: so a round whose decisions are lost leaves nothing behind that matters.
Decides nothing; may read through its port.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from enclave.leaves import Leaves
from enclave.notes import Checkpoint
from enclave.protocol import CheckpointRequest
from enclave.tree import Tree

LEAVES_MAX: Final = 100_000
"""For one request: other callers wait meanwhile, and whoever wants more asks again."""

PAGE: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Grown:
    """A tree, and the checkpoint from which it went on; None: from no leaf at all."""

    since: Checkpoint | None
    tree: Tree


class Growth:
    """Grows trees towards the checkpoints that are asked for."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self._grown: dict[str, _Grown] = {}

    def towards(self, request: CheckpointRequest, last: Checkpoint | None) -> Tree | None:
        """The tree of the size that is asked for, or how far it has come; None if there are not so many leaves.

        It stops where a request has read as much as it may, and where the tree is not the one that was signed `last`.
        Not larger than that, nothing is read: what was signed decides.

        Raises:
            FactsUnavailable: what it takes could not be read.
        """
        if last is not None and request.size <= last.size:
            return None
        begun = self._begun(request, last)
        if begun is None or not self._reaches(request):
            return None
        tree = self._grow(request, begun, last)
        if tree is not None and (last is None or not tree.contradicts(last)):
            self._grown[request.origin] = _Grown(last, tree)
        return tree

    def _begun(self, request: CheckpointRequest, last: Checkpoint | None) -> Tree | None:
        """The tree to go on from: one that was signed, or that has begun with it, or is kept in the database."""
        grown = self._grown.get(request.origin)
        if grown is not None and last is not None and grown.tree.is_under(last):
            return grown.tree
        # One that has this size already was asked for and did not become the last: it is grown anew.
        if grown is not None and grown.since == last and grown.tree.size < request.size:
            return grown.tree
        # Without a signed root, nothing says that what the database keeps was ever a tree over its leaves.
        return self._leaves.kept(request.origin, size_max=0 if last is None else last.size)

    def _reaches(self, request: CheckpointRequest) -> bool:
        return request.size == 0 or bool(self._read(request.origin, request.size - 1, request.size))

    def _grow(self, request: CheckpointRequest, tree: Tree, last: Checkpoint | None) -> Tree | None:
        end = min(request.size, tree.size + LEAVES_MAX)
        while tree.size < end and not (last is not None and tree.contradicts(last)):
            # Whether it is the tree that was signed can be seen at that size only.
            stop = last.size if last is not None and tree.size < last.size else end
            stop = min(stop, end, tree.size + PAGE)
            found = self._read(request.origin, tree.size, stop)
            if len(found) != stop - tree.size:
                return None
            tree = tree.with_leaves(found)
        return tree

    def _read(self, origin: str, start: int, end: int) -> Sequence[bytes]:
        return self._leaves.hashes(origin, start=start, end=end)
