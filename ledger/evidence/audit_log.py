"""Part of the auditor's check of a database: a programme's log, leaf by leaf and checkpoint by checkpoint. Pure.

Follows: RFC 9162 section 2.1 (tree), C2SP tlog-checkpoint (what a note says).
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ledger.core.merkle import HASH_BYTES, GrowingTree
from ledger.evidence.discrepancy import Discrepancy, in_transfer
from ledger.store.audit import CheckpointRow, LeafRow

RUNS_MAX: Final = 1000  # of rows that different transactions have written, for one checkpoint
MISSING_MAX: Final = 3  # of one gap; the rest of it is the same gap

CheckNote = Callable[[str, str], tuple[int, bytes]]
"""Size and root of a note of a programme's log, by the programme's name. Raises ValueError: it is none."""


def note_text(note: str) -> tuple[str, int, bytes]:
    """Origin, size and root in the text of a checkpoint note, whoever signed it.

    Raises: ValueError when it is not the text of a checkpoint.
    """
    text, blank, _ = note.partition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) < 3 or not lines[1].isdecimal():
        raise ValueError("not the text of a checkpoint")
    try:
        return lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    except binascii.Error as error:
        raise ValueError("its root is not base64") from error


@dataclass(slots=True)
class _Run:
    """Leaves one behind the other whose rows one transaction has written."""

    written_by: int
    start: int
    end: int


@dataclass(slots=True)
class Log:
    """One programme's log: the tree so far, and the last checkpoint that was seen."""

    programme_id: str
    check_note: CheckNote
    _tree: GrowingTree = field(default_factory=GrowingTree)
    _signed: int = 0
    _writers: list[_Run] = field(default_factory=list)
    _reached: datetime | None = None

    def take_leaf(self, row: LeafRow) -> Iterator[Discrepancy]:
        """The next leaf."""
        if row.position > self._tree.size:
            yield self._leaf(row.position, f"stands behind a gap that begins at {self._tree.size}")
        yield from self._missing(row.position)
        if row.position < self._tree.size:
            yield self._leaf(row.position, "stands there twice")
            return
        self._see_writer(row)
        if row.of_programme_id is None:
            yield self._leaf(row.position, f"there is no transfer {row.transfer_id}")
            yield in_transfer(row.transfer_id, f"is gone, and is sealed at {row.position}")
        elif row.of_programme_id != self.programme_id:
            yield self._leaf(row.position, f"{row.transfer_id} is of another programme")
        self._tree.append(row.leaf_hash)
        if row.recorded_at is not None and (self._reached is None or row.recorded_at > self._reached):
            self._reached = row.recorded_at

    def take_checkpoint(self, row: CheckpointRow) -> Iterator[Discrepancy]:
        """The next checkpoint, before any leaf beyond it."""
        yield from self._missing(row.size)
        yield from self._check_writers()
        if row.programme_name is None or row.created_at is None:
            yield self._checkpoint(row.size, f"there is no programme {row.programme_id}")
            return
        if (self._tree.root(), self._tree.peaks) != (row.root, row.peaks):
            first = f"the leaves from {self._signed} to {row.size - 1}"
            yield self._checkpoint(
                row.size,
                f"its root or its peaks are not those of the tree: if not itself, {first} were changed",
            )
        yield from self._check_note(row)
        reached = max(row.created_at, self._reached or row.created_at)
        if row.sealed_at != reached:
            yield self._checkpoint(row.size, f"sealed_at is {row.sealed_at}; the newest fact is of {reached}")
        self._signed = row.size
        self._go_on_from(row)

    def end(self) -> Iterator[Discrepancy]:
        """There is nothing more in this log."""
        yield from self._check_writers()
        if self._signed < self._tree.size:
            detail = "and what follows stand under no checkpoint; if no sealing is going on, one is missing"
            yield self._leaf(self._signed, detail)
            yield self._checkpoint(self._tree.size, "is missing: there are leaves that no checkpoint signs")

    def _missing(self, size: int) -> Iterator[Discrepancy]:
        """The leaves before this size that are not there; the tree goes on as if they were nothing."""
        start = self._tree.size
        for position in range(start, min(size, start + MISSING_MAX)):
            yield self._leaf(position, f"is missing, and so are all before {size}")
        if start < size:
            self._tree = GrowingTree.resumed(size, bytes(HASH_BYTES * size.bit_count()))

    def _see_writer(self, row: LeafRow) -> None:
        if self._writers and self._writers[-1].written_by == row.written_by:
            self._writers[-1].end = row.position + 1
        elif len(self._writers) < RUNS_MAX:
            self._writers.append(_Run(row.written_by, row.position, row.position + 1))

    def _check_writers(self) -> Iterator[Discrepancy]:
        """One sealing writes all leaves up to its checkpoint: whoever wrote a row stands in the row itself.

        Where two have written them, either a checkpoint between them is missing, or some were written anew.
        """
        runs = self._writers if len(self._writers) > 1 else []
        for run in runs:
            if run is not runs[0]:
                detail = f"is missing, or the leaves around {run.start} were written anew"
                yield self._checkpoint(run.start, detail)
            for position in range(run.start, min(run.end, run.start + MISSING_MAX)):
                yield self._leaf(position, "was not written together with its neighbours")
        self._writers.clear()

    def _check_note(self, row: CheckpointRow) -> Iterator[Discrepancy]:
        try:
            size, root = self.check_note(row.programme_name or "", row.note)
        except ValueError as error:
            yield self._checkpoint(row.size, f"its note: {error}")
            return
        if (size, root) != (row.size, row.root):
            yield self._checkpoint(row.size, "its note is of another size or root")

    def _go_on_from(self, row: CheckpointRow) -> None:
        """From what was signed, so that one wrong leaf is not heard of at every checkpoint behind it."""
        try:
            tree = GrowingTree.resumed(row.size, row.peaks)
        except ValueError:
            return
        if tree.root() == row.root:
            self._tree = tree

    def _leaf(self, position: int, detail: str) -> Discrepancy:
        return Discrepancy("log_leaves", f"{self.programme_id}, {position}", detail)

    def _checkpoint(self, size: int, detail: str) -> Discrepancy:
        return Discrepancy("checkpoints", f"{self.programme_id}, {size}", detail)
