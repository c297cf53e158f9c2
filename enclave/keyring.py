"""The keyring: of the keys on the token, those that the custodians admitted, opened, checked and ready for use.

What is on the token without having been admitted is reported and never used; so is an admitted key that is missing
there, or is another one than was admitted. Which version of a key signs is a matter of time: the latest one whose time
has come and is not over. Loading again takes in what was resolved meanwhile, while the others go on. Reads no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from enclave.keys import KeyAddress, KeyBackend, KeyBackendFailure, KeyIdentity, Purpose
from enclave.resolutions import EMPTY, Head, KeyRecord, Register, Resolutions, register_of
from enclave.roster import Roster

_SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class KeyringRefused(Exception):
    """What was loaded cannot be relied on: the register is shorter than the enclave has seen it, or another one."""


class NoKey(Exception):
    """No key of this purpose may be used now."""


class Registrar(Protocol):
    """Who says which keys were admitted."""

    def register(self) -> Register:
        """What holds now.

        Raises:
            ResolutionsUnavailable: that could not be read.
        """


@dataclass(frozen=True, slots=True)
class Custodians:
    """The custodians' resolutions, as far as the roster bears them out."""

    resolutions: Resolutions
    roster: Roster

    def register(self) -> Register:
        """What holds after all resolutions."""
        return register_of(self.resolutions.all(), self.roster)


@dataclass(frozen=True, slots=True)
class SelfMade:
    """Admits these keys without anybody's word: software keys, made a moment ago by this very process."""

    identities: Iterable[KeyIdentity]

    def register(self) -> Register:
        """All of them, for good."""
        keys = {
            identity.address: KeyRecord(
                address=identity.address,
                sha256=identity.sha256,
                public_key_pem=identity.public_key_pem,
                not_before=_SINCE_EVER,
                sign_until=None,
                verify_until=None,
                endorsers=frozenset(),
            )
            for identity in self.identities
        }
        return replace(EMPTY, keys=keys)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What loading found: the keys that are ready, and what is not used and why.

    `unregistered`: on the token, and not admitted. `unusable`: admitted, and not on the token as it must be.
    """

    ready: tuple[KeyAddress, ...] = ()
    unregistered: tuple[str, ...] = ()
    unusable: Mapping[KeyAddress, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Keyring:
    """The keys that may be used, by purpose and time."""

    backend: KeyBackend
    registrar: Registrar
    _register: Register = EMPTY
    _opened: dict[KeyAddress, KeyIdentity] = field(default_factory=dict)
    _ready: Mapping[Purpose, Sequence[KeyRecord]] = field(default_factory=dict)

    @property
    def register(self) -> Register:
        """What was loaded last."""
        return self._register

    def load(self, *, seen: Head = EMPTY.head) -> Sweep:
        """Take in what has been resolved, and open the keys that are new. `seen`: a head known to have held.

        Raises:
            ResolutionsUnavailable: the resolutions could not be read; what was loaded before stays in force.
            KeyringRefused: what was seen does not hold any more; likewise.
            KeyBackendFailure: the token cannot be searched; likewise.
        """
        register = self.registrar.register()
        for head in (seen, self._register.head):
            if not register.holds(head):
                raise KeyringRefused(f"resolution {head.number} was in force, and is not there any more")
        stock = self.backend.stock()
        unusable = self._open_all(register)
        self._register = register
        self._ready = _latest_first(register.keys[address] for address in self._opened)
        names = {str(address) for address in register.keys}
        return Sweep(
            ready=tuple(sorted(self._opened, key=str)),
            unregistered=tuple(sorted(name for name in stock if name not in names)),
            unusable=unusable,
            left_out=register.left_out,
        )

    def current(self, purpose: Purpose, now: datetime) -> KeyAddress:
        """The key that signs for this purpose now.

        Raises:
            NoKey: none does.
        """
        # The latest comes first, and mostly it is the one.
        for record in self._ready.get(purpose, ()):
            if record.signs(now):
                return record.address
        raise NoKey(str(purpose))

    def changes_at(self, purpose: Purpose, now: datetime) -> datetime | None:
        """When another key may take its turn for this purpose at the earliest; None: nothing was resolved for later."""
        records = self._ready.get(purpose, ())
        instants = [instant for record in records for instant in (record.not_before, record.sign_until)]
        return min((instant for instant in instants if instant is not None and instant > now), default=None)

    def current_and_previous(self, purpose: Purpose, now: datetime) -> Sequence[KeyAddress]:
        """The key that signs for this purpose now, and the one that did before it, if that may and counts still.

        For signatures that stand side by side while their readers go over from one key to the next. A key that the
        custodians have retired from signing does not sign here either.

        Raises:
            NoKey: none does.
        """
        records = self._ready.get(purpose, ())
        usable = [record.address for record in records if record.signs(now) and record.is_believed(now)]
        current = self.current(purpose, now)
        return [current, *[address for address in usable if address.version < current.version][:1]]

    def all_current(self, now: datetime) -> Mapping[str, KeyIdentity]:
        """The key that each purpose uses now, by purpose, as far as there is one."""
        found = {}
        for purpose in Purpose:
            with suppress(NoKey):
                found[str(purpose)] = self._opened[self.current(purpose, now)]
        return found

    def believed(self, purpose: Purpose, now: datetime) -> Sequence[KeyIdentity]:
        """Every key of a purpose whose work counts now or will, in the order of versions."""
        records = reversed(self._ready.get(purpose, ()))
        return [self._opened[record.address] for record in records if record.is_believed(now)]

    def identity(self, address: KeyAddress) -> KeyIdentity:
        """Which key this is."""
        return self._opened[address]

    def close(self) -> None:
        """Let go of the token."""
        self.backend.close()

    def _open_all(self, register: Register) -> Mapping[KeyAddress, str]:
        unusable = {}
        for address, record in register.keys.items():
            if address in self._opened:
                continue
            try:
                identity = self.backend.open(address)
            except KeyBackendFailure as error:
                unusable[address] = str(error)
                continue
            if identity.sha256 != record.sha256:
                unusable[address] = f"the key {address} on the token is another one than was admitted"
                continue
            self._opened[address] = identity
        return unusable


def _latest_first(records: Iterable[KeyRecord]) -> Mapping[Purpose, Sequence[KeyRecord]]:
    found: dict[Purpose, list[KeyRecord]] = {}
    for record in sorted(records, key=lambda record: record.address.version, reverse=True):
        found.setdefault(record.address.purpose, []).append(record)
    return found
