"""What the enclave remembers of what it signed, as far as policy asks; rebuilt from the log at the start.

A round of requests is decided on a branch, so that each sees what the ones before it did; the branch joins
the memory once its records are on the disk, and is dropped if they are not. Holds no keys and does no I/O.
"""

from collections import ChainMap
from collections.abc import Iterable, MutableMapping
from typing import Self

from enclave.log import EntryKind, LogEntry, LogRecord
from enclave.notes import Checkpoint


class Memory:
    """Which body was signed for each payout, and the last checkpoint of each origin."""

    def __init__(
        self,
        payouts: MutableMapping[str, str] | None = None,
        checkpoints: MutableMapping[str, Checkpoint] | None = None,
    ) -> None:
        self._payouts = {} if payouts is None else payouts
        self._checkpoints = {} if checkpoints is None else checkpoints

    @classmethod
    def rebuilt(cls, records: Iterable[LogRecord]) -> Self:
        """The memory that a log bears witness to."""
        memory = cls()
        for record in records:
            memory.remember(record.entry)
        return memory

    def signed_digest(self, payout_id: str) -> str | None:
        """The digest, in hex, of the body that was signed for a payout, if one was."""
        return self._payouts.get(payout_id)

    def last_checkpoint(self, origin: str) -> Checkpoint | None:
        """The last checkpoint signed for an origin, if one was."""
        return self._checkpoints.get(origin)

    def branch(self) -> "Memory":
        """A memory that begins with this one and does not change it."""
        return Memory(payouts=ChainMap({}, self._payouts), checkpoints=ChainMap({}, self._checkpoints))

    def join(self, entries: Iterable[LogEntry]) -> None:
        """Take over what has become durable."""
        for entry in entries:
            self.remember(entry)

    def remember(self, entry: LogEntry) -> None:
        """Note what an entry says was granted; refusals and failures leave no trace here."""
        if entry.kind is not EntryKind.GRANTED:
            return
        facts = entry.facts
        match entry.purpose:
            case "payout":
                self._payouts[str(facts["payout_id"])] = str(facts["digest"])
            case "checkpoint":
                origin, root = str(facts["origin"]), bytes.fromhex(str(facts["root"]))
                self._checkpoints[origin] = Checkpoint(origin=origin, size=int(facts["size"] or 0), root=root)
            case _:
                pass
