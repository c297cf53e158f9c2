"""The desk for keys: which of them sign now, whose signatures count, and what loading them anew has found.

Shows public halves alone, and signs nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

from enclave.keyring import Keyring
from enclave.keys import Purpose
from enclave.loading import Loading
from enclave.memory import Memory
from enclave.pen import public_half
from enclave.protocol import (
    NAMED_MAX,
    VERSIONS_MAX,
    KeysLoaded,
    KeyVersions,
    KeyVersionsRequest,
    LoadKeysRequest,
    PublicKeys,
    PublicKeysRequest,
)
from enclave.refusals import Refusal, refusal

NAMED_CHARS_MAX = 256

KeysRequest: TypeAlias = PublicKeysRequest | KeyVersionsRequest | LoadKeysRequest


class KeyDesk:
    """Answers about the keys of one keyring."""

    def __init__(self, keyring: Keyring, loading: Loading) -> None:
        self._keyring = keyring
        self._loading = loading

    def answer(
        self, request: KeysRequest, memory: Memory, *, now: datetime
    ) -> PublicKeys | KeyVersions | KeysLoaded | Refusal:
        """What a caller hears about keys."""
        why = (
            self._loading.load(memory, now=now)
            if isinstance(request, LoadKeysRequest)
            else self._loading.refuse(memory, now=now)
        )
        if why is not None:
            return refusal(why)
        match request:
            case PublicKeysRequest():
                current = self._keyring.all_current(now)
                return PublicKeys(
                    keys={name: public_half(key) for name, key in current.items() if key.public_key_pem}
                )
            case KeyVersionsRequest():
                return self._versions(request, now)
            case LoadKeysRequest():
                return self._loaded(now)
            case _:
                assert_never(request)

    def _loaded(self, now: datetime) -> KeysLoaded:
        sweep, sealing = self._loading.sweep, self._keyring.all_current(now).get(Purpose.CARD_VAULT)
        changes_at = self._keyring.changes_at(Purpose.CARD_VAULT, now)
        return KeysLoaded(
            resolution=self._keyring.register.head.number,
            ready=len(sweep.ready),
            unregistered=_named(sweep.unregistered),
            unusable=_named(tuple(sweep.unusable.values())),
            left_out=_named(sweep.left_out),
            sealing=None if sealing is None else str(sealing.address),
            sealing_changes_at=None if changes_at is None else int(changes_at.timestamp()),
        )

    def _versions(self, request: KeyVersionsRequest, now: datetime) -> KeyVersions:
        if request.of not in set(Purpose):
            return KeyVersions(versions=[], more=False)
        believed = self._keyring.believed(Purpose(request.of), now)
        later = [key for key in believed if key.address.version > request.after and key.public_key_pem]
        return KeyVersions(
            versions=[public_half(identity) for identity in later[:VERSIONS_MAX]],
            more=len(later) > VERSIONS_MAX,
        )


def _named(things: Sequence[str]) -> list[str]:
    """As many as an answer has room for, each as far as it has."""
    return [thing[:NAMED_CHARS_MAX] for thing in things[:NAMED_MAX]]
