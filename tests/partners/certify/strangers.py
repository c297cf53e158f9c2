"""What a stranger's package may bring: an adapter that is broken, and half a rehearsal."""

from dataclasses import replace

from partners.contract import Golden, Manifest
from tests.partners.certify.broken import TakesADuplicateForAccepted


class Broken(TakesADuplicateForAccepted):
    """A bank by another name."""

    def manifest(self) -> Manifest:
        return replace(super().manifest(), adapter="broken")


class HalfARehearsal:
    """Knows recorded cases and nothing else."""

    def golden(self) -> Golden:
        raise NotImplementedError
