"""The signing log as the enclave works with it: open, and what was in it when it was opened.

The log is read once. What was signed before, how often each key has sealed, which heads the database took and what was
refused without a record of its own are all gathered in that one pass, while the chain is verified; so nobody can have a
memory of another log than the one that is written on, and an audit finds broken what a start would. Decides nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from enclave.log import LogRecord, Place, SigningLog
from enclave.memory import Memory
from enclave.refusal_tally import ToldSums
from enclave.seal_count import SealCount
from enclave.seen_heads import SeenHeads


@dataclass(frozen=True, slots=True)
class Testimony:
    """What a log bears witness to, taken in record by record."""

    memory: Memory = field(default_factory=Memory)
    seals: SealCount = field(default_factory=SealCount)
    heads: SeenHeads = field(default_factory=SeenHeads)
    sums: ToldSums = field(default_factory=ToldSums)

    def take(self, record: LogRecord, place: Place) -> None:
        """Take in the next record, and where it begins.

        Raises:
            LookupError, ValueError, TypeError, OverflowError: it does not tell what one of its kind does.
        """
        self.memory.take(record)
        self.seals.remember(record.entry)
        self.heads.take(record, place)
        self.sums.take(record)


@dataclass(frozen=True, slots=True)
class Logbook:
    """A log and what it bears witness to; whoever writes to the log keeps memory and seals up to date."""

    log: SigningLog
    memory: Memory
    seals: SealCount
    heads: SeenHeads

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> Self:
        """Open the log, making it if there is none, verify it and take in what it says.

        Raises:
            LogUnavailable, LogBroken: as `SigningLog.open`.
        """
        told = Testimony()
        log = SigningLog.open(path, now=now, reader=told.take)
        return cls(log, told.memory, told.seals, told.heads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.log.close()
