"""What the enclave works with, when it does not work: at the ports, so that each failure comes when a test wants it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from enclave.facts import FactsUnavailable, PayoutRecord
from enclave.keys import KeyBackend, KeyBackendFailure, Purpose


@dataclass(frozen=True, slots=True)
class SilentDatabase:
    """Facts that are not to be had."""

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        raise FactsUnavailable("down")


@dataclass(frozen=True, slots=True)
class BrokenFacts:
    """Facts whose code is wrong."""

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        raise ZeroDivisionError


@dataclass(frozen=True, slots=True)
class LostToken:
    """A back end whose token was pulled out after the start."""

    keys: KeyBackend

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        raise KeyBackendFailure("gone")

    def public_key_pem(self, purpose: Purpose) -> str:
        return self.keys.public_key_pem(purpose)

    def close(self) -> None:
        """Nothing is left to close."""
