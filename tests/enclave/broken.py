"""What the enclave works with, when it does not work: at the ports, so that each failure comes when a test wants it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from enclave.backends.software import SoftwareKeys
from enclave.facts import FactsUnavailable, PayoutRecord
from enclave.keyring import Keyring, SelfMade
from enclave.keys import KeyAddress, KeyBackendFailure
from enclave.resolutions import EMPTY, Register, ResolutionsUnavailable


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


class _LostToken(SoftwareKeys):
    """A back end whose token was pulled out after the start."""

    def sign(self, address: KeyAddress, message: bytes) -> bytes:
        raise KeyBackendFailure("gone")


def lost_token() -> Keyring:
    """A keyring that opened its keys, and whose token is gone."""
    keys = _LostToken.generate()
    return Keyring(keys, SelfMade(keys.identities()))


@dataclass(frozen=True, slots=True)
class SilentRegistrar:
    """Resolutions that are not to be had."""

    def register(self) -> Register:
        raise ResolutionsUnavailable("down")


@dataclass(frozen=True, slots=True)
class NothingResolved:
    """Custodians who have not met yet."""

    def register(self) -> Register:
        return EMPTY
