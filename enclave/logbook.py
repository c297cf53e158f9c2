"""The signing log as the enclave works with it: open, and what was in it when it was opened.

The log is read once. What was signed before, how often each key has sealed and which heads the database took are all
gathered in that one pass, while the chain is verified; so nobody can have a memory of another log than the one that is
written on. Decides nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from enclave.log import LogRecord, Place, SigningLog
from enclave.memory import Memory
from enclave.seal_count import SealCount
from enclave.seen_heads import SeenHeads


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
        memory, seals, heads = Memory(), SealCount(), SeenHeads()

        def take(record: LogRecord, place: Place) -> None:
            memory.take(record)
            seals.remember(record.entry)
            heads.take(record, place)

        return cls(SigningLog.open(path, now=now, reader=take), memory, seals, heads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.log.close()
