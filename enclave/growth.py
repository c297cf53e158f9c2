"""The trees that the enclave has grown, by leaves that it has read itself: of each log, from the last one signed on.

A tree goes on from the last checkpoint that was signed, so what is signed next can only be an extension of it, by
leaves that are there. A tree that is remembered here counts because its root was signed, or because it has begun with
one that was: so a round whose decisions are lost leaves nothing behind that matters. What was read stays read, whatever
becomes of the request: whoever asks for a wrong root has the leaves read once, and not each time.
Decides nothing; may read through its port.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from enclave.allowance import Allowance
from enclave.leaves import Leaves
from enclave.notes import Checkpoint
from enclave.protocol import CheckpointRequest
from enclave.tree import Tree

DOUBT_AFTER: Final = timedelta(minutes=1)
"""A log that has grown no further for so long is read anew when it is not as somebody says: it may have been mended."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A log as it was read since a checkpoint was signed; None: since its first leaf.

    `begun` is the tree that it goes on from: the signed one, or before that is reached one that may lead to it, and if
    not, `others` may. `grown` is how far it has come; `aside` a smaller one, which somebody asked for later.
    """

    since: Checkpoint | None
    begun: Tree
    grown: Tree
    aside: Tree
    others: tuple[Tree, ...]
    tried: int
    """Up to where leaves were asked for, whether they came or not."""
    grown_at: datetime

    @classmethod
    def of(cls, since: Checkpoint | None, trees: Sequence[Tree], now: datetime) -> Self:
        """One that goes on from the first of these trees that leads to what was signed."""
        first, *others = trees
        return cls(since, first, first, first, tuple(others), first.size, now).settled(now)

    @property
    def forks(self) -> bool:
        """Whether the leaves themselves do not come to the root that was signed."""
        return self.since is not None and self.grown.contradicts(self.since)

    def next_stop(self, size: int) -> int:
        """Whether it leads to the tree that was signed can be seen at that size only."""
        return size if self.since is None or self.grown.size >= self.since.size else self.since.size

    def with_leaves(self, leaf_hashes: Sequence[bytes], now: datetime) -> Self:
        """The line that has these leaves more."""
        return replace(self, grown=self.grown.with_leaves(leaf_hashes), grown_at=now).settled(now)

    def after(self, last: Checkpoint | None, now: datetime) -> Self | None:
        """The line since another checkpoint, if a tree of this one is what was signed.

        Of that tree alone: what else was read may have been read at another time, and need not go on from it.
        """
        signed = [tree for tree in (self.grown, self.aside) if last is not None and tree.is_under(last)]
        return self.of(last, signed[:1], now) if signed else None

    def is_doubtful(self, request: CheckpointRequest, now: datetime) -> bool:
        """Whether it is time to read anew what is not as somebody says."""
        wanted = Checkpoint(request.origin, request.size, request.root)
        differs = self.grown.contradicts(wanted) or self.aside.contradicts(wanted)
        return (self.forks or differs) and now - self.grown_at >= DOUBT_AFTER

    def settled(self, now: datetime) -> Self:
        """The line that goes on from what was signed, once it has come so far; or from the next tree, if it has not."""
        if self.since is None:
            return self
        if self.grown.is_under(self.since):
            return replace(self, begun=self.grown, aside=self.grown, others=())
        if self.forks and self.others:
            return self.of(self.since, self.others, now)
        return self


class Growth:
    """Grows trees towards the checkpoints that are asked for."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self._lines: dict[str, _Line] = {}

    def towards(
        self, request: CheckpointRequest, last: Checkpoint | None, *, allowance: Allowance, now: datetime
    ) -> Tree | None:
        """The tree of the size that is asked for, or of `last` if it is not the one that was signed.

        None if there are not so many leaves. Not larger than `last`, nothing is read: what was signed decides.

        Raises:
            NotReadYet: it takes more than this round may read.
            FactsUnavailable: what it takes could not be read.
        """
        if last is not None and request.size <= last.size:
            return None
        line = self._line(request, last, allowance, now)
        if line is None or line.forks:
            return None if line is None else line.grown
        if request.size <= line.grown.size:
            return self._look_back(request, line, allowance)
        return self._grow(request, line, allowance, now)

    def _line(
        self, request: CheckpointRequest, last: Checkpoint | None, allowance: Allowance, now: datetime
    ) -> _Line | None:
        """The line to go on with, since `last`; None: there is no such log."""
        line = self._lines.get(request.origin)
        if line is not None and line.since != last:
            line = line.after(last, now)
        if line is not None and line.is_doubtful(request, now):
            line = None if line.forks else _Line.of(last, [line.begun], now)
        if line is None:
            allowance.take(1)
            # Without a signed root, nothing says that what the database keeps was ever a tree over its leaves.
            kept = self._leaves.kept(request.origin, size_max=0 if last is None else last.size)
            line = None if kept is None else _Line.of(last, kept, now)
        return line if line is None else self._remember(request, line)

    def _grow(
        self, request: CheckpointRequest, line: _Line, allowance: Allowance, now: datetime
    ) -> Tree | None:
        allowance.take(1)
        if not self._read(request, request.size - 1, request.size):
            return None
        while line.grown.size < request.size and not line.forks:
            start = line.grown.size
            count = allowance.take(line.next_stop(request.size) - start, again=start < line.tried)
            line = self._remember(request, replace(line, tried=max(line.tried, start + count)))
            found = self._read(request, start, start + count)
            if len(found) != count:
                return None
            line = self._remember(request, line.with_leaves(found, now))
        return line.grown

    def _look_back(self, request: CheckpointRequest, line: _Line, allowance: Allowance) -> Tree | None:
        """The tree of a size that the log has grown past."""
        if request.size == line.grown.size:
            return line.grown
        tree = line.aside if line.aside.size <= request.size else line.begun
        while tree.size < request.size:
            count = allowance.take(request.size - tree.size, again=True)
            found = self._read(request, tree.size, tree.size + count)
            if len(found) != count:
                return None
            tree = tree.with_leaves(found)
            line = self._remember(request, replace(line, aside=tree))
        return tree

    def _read(self, request: CheckpointRequest, start: int, end: int) -> Sequence[bytes]:
        return self._leaves.hashes(request.origin, start=start, end=end)

    def _remember(self, request: CheckpointRequest, line: _Line) -> _Line:
        self._lines[request.origin] = line
        return line
