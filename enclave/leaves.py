"""The port through which the enclave looks at a ledger's log: the hashes of its leaves, and the trees kept of it.

A leaf counts because it is there; a kept tree counts for nothing until its root is one that the enclave has signed.
May not do I/O; `store` does.
"""

from collections.abc import Sequence
from typing import Protocol

from enclave.tree import Tree


class Leaves(Protocol):
    """Where leaves come from: the database, or lists in tests."""

    def kept(self, origin: str, *, size_max: int) -> Sequence[Tree] | None:
        """The largest trees kept of a log, of at most this size: a few, the empty one last, and None of no log.

        Raises:
            FactsUnavailable: it could not be read.
        """

    def hashes(self, origin: str, *, start: int, end: int) -> Sequence[bytes]:
        """The hashes of the leaves from one position until just before another, in order, as far as there are any.

        Raises:
            FactsUnavailable: they could not be read.
        """
