"""How often each key has sealed: a key takes so many random nonces and no more.

With random nonces of 96 bits, a key is good for 2^32 seals: then the chance that any two nonces met is still below
2^-32. The count is gathered from the signing log, in which every seal stands with the key that made it.
Follows: NIST SP 800-38D 8.3.
"""

from collections import Counter

from enclave.log import EntryKind, LogEntry

SEALS_MAX = 2**32
SEALED_UNDER = "sealed_under"
"""The member of a record's facts that names the key of a seal."""


class SealCount:
    """Seals by key id."""

    def __init__(self) -> None:
        self._seals: Counter[str] = Counter()

    def remember(self, entry: LogEntry) -> None:
        """Take in a record; those that tell of no seal change nothing."""
        if entry.kind is EntryKind.GRANTED and SEALED_UNDER in entry.facts:
            self.count(entry.text(SEALED_UNDER))

    def count(self, key_id: str) -> None:
        """One more."""
        self._seals[key_id] += 1

    def of(self, key_id: str) -> int:
        """How many seals a key has made."""
        return self._seals[key_id]
