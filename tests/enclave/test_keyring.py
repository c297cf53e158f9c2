"""The keyring: which keys are opened, which sign when, and what is never used."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.backends.software import SoftwareKeys
from enclave.keyring import Custodians, Keyring, KeyringRefused, NoKey
from enclave.keys import KeyAddress, KeyBackendFailure, KeyIdentity, Purpose, algorithm_of
from enclave.resolutions import (
    AdmitKey,
    Head,
    Item,
    ResolutionsUnavailable,
    SignedResolution,
    instant_text,
)
from tests.enclave.council import NOON, SECOND, TRIO, Minutes, retire

HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Table:
    """Resolutions that a test adds to, takes away, or makes unreadable."""

    minutes: Minutes = field(default_factory=Minutes)
    is_silent: bool = False

    def all(self) -> list[SignedResolution]:
        if self.is_silent:
            raise ResolutionsUnavailable("down")
        return list(self.minutes.chain)


class Token(SoftwareKeys):
    """Software keys, of which a test counts how often each was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.is_searchable = True

    def open(self, address: KeyAddress) -> KeyIdentity:
        self.opened.append(str(address))
        return super().open(address)

    def stock(self) -> Collection[str]:
        if not self.is_searchable:
            raise KeyBackendFailure("gone")
        return super().stock()


@dataclass(slots=True)
class Vault:
    """A token, a table and the keyring between them."""

    token: Token = field(default_factory=Token)
    table: Table = field(default_factory=Table)
    keyring: Keyring = field(init=False)

    def __post_init__(self) -> None:
        self.keyring = Keyring(self.token, Custodians(self.table, TRIO))

    def made(self, key_id: str, *, not_before: datetime = NOON) -> AdmitKey:
        """A key on the token, and what has to be resolved so that it may be used."""
        identity = self.token.make(KeyAddress.parse(key_id))
        return AdmitKey(
            key_id=key_id,
            algorithm=str(algorithm_of(identity.address.purpose)),
            sha256=identity.sha256,
            public_key_pem=identity.public_key_pem,
            not_before=instant_text(not_before),
        )

    def resolve(self, *items: Item) -> None:
        self.table.minutes.resolve(*items)

    def current(self, now: datetime) -> str | None:
        try:
            return str(self.keyring.current(Purpose.IDENTITY, now))
        except NoKey:
            return None


@pytest.fixture
def vault() -> Vault:
    return Vault()


def test_only_what_is_on_the_token_and_admitted_is_used(vault: Vault) -> None:
    admitted, unregistered = vault.made("identity/v1"), vault.made("identity/v2")
    elsewhere = Vault().made("identity/v3")
    vault.resolve(admitted, elsewhere)

    sweep = vault.keyring.load()

    assert [str(address) for address in sweep.ready] == ["identity/v1"]
    assert sweep.unregistered == ("identity/v2",)
    assert {str(address) for address in sweep.unusable} == {"identity/v3"}
    assert unregistered.key_id not in vault.token.opened[3:]
    assert vault.current(NOON) == "identity/v1"


def test_a_key_of_another_hash_than_was_admitted_is_not_used(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"))
    vault.made("identity/v1")

    sweep = vault.keyring.load()

    assert sweep.ready == ()
    assert list(sweep.unusable.values()) == [
        "the key identity/v1 on the token is another one than was admitted"
    ]
    assert vault.current(NOON) is None


def test_a_key_is_opened_once_and_one_that_was_missing_is_looked_for_again(vault: Vault) -> None:
    there = vault.made("identity/v1")
    vault.resolve(there)
    vault.token.opened.clear()
    vault.keyring.load()
    missing = Vault().made("identity/v2")
    vault.resolve(missing)

    assert len(vault.keyring.load().unusable) == 1
    assert len(vault.keyring.load().unusable) == 1

    assert vault.token.opened == ["identity/v1", "identity/v2", "identity/v2"]


def test_the_latest_version_whose_time_has_come_signs(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"), vault.made("identity/v2", not_before=NOON + HOUR))
    vault.resolve(vault.made("identity/v10", not_before=NOON + 2 * HOUR))
    vault.keyring.load()

    turns = [NOON - SECOND, NOON, NOON + HOUR - SECOND, NOON + HOUR, NOON + 2 * HOUR]

    assert [vault.current(now) for now in turns] == [
        None,
        "identity/v1",
        "identity/v1",
        "identity/v2",
        "identity/v10",
    ]
    believed = vault.keyring.believed(Purpose.IDENTITY, NOON)
    assert [str(key.address) for key in believed] == ["identity/v1", "identity/v2", "identity/v10"]


def test_an_old_key_signs_again_when_the_new_one_is_retired_unless_it_was_retired_itself(
    vault: Vault,
) -> None:
    vault.resolve(vault.made("identity/v1"), vault.made("identity/v2"), vault.made("identity/v3"))
    vault.resolve(retire("identity/v2", NOON))
    vault.resolve(retire("identity/v3", NOON + HOUR, verify_until=NOON + 2 * HOUR))
    vault.keyring.load()

    assert [vault.current(now) for now in (NOON, NOON + HOUR)] == ["identity/v3", "identity/v1"]
    later = vault.keyring.believed(Purpose.IDENTITY, NOON + 2 * HOUR)
    assert [str(key.address) for key in later] == ["identity/v1", "identity/v2"]
    assert vault.keyring.all_current(NOON)["identity"].address.version == 3


@given(
    st.dictionaries(st.integers(1, 6), st.tuples(st.integers(0, 5), st.none() | st.integers(0, 5))),
    st.integers(0, 6),
)
def test_who_signs_is_a_matter_of_versions_and_times_alone(
    versions: dict[int, tuple[int, int | None]], hour: int
) -> None:
    vault = Vault()
    for version, (begin, end) in versions.items():
        vault.resolve(vault.made(f"identity/v{version}", not_before=NOON + begin * HOUR))
        if end is not None:
            vault.resolve(retire(f"identity/v{version}", NOON + end * HOUR))
    vault.keyring.load()

    signing = [
        version for version, (begin, end) in versions.items() if begin <= hour and (end is None or hour < end)
    ]

    assert vault.current(NOON + hour * HOUR) == (f"identity/v{max(signing)}" if signing else None)


# What was loaded stays in force -----------------------------------------------------------------------------------


def test_a_register_that_lost_what_was_seen_is_not_taken(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"))
    vault.resolve(vault.made("identity/v2"))
    vault.keyring.load()
    taken = vault.table.minutes.chain.pop()

    for chain in ([], vault.table.minutes.chain, [taken]):
        vault.table.minutes.chain = list(chain)
        with pytest.raises(KeyringRefused):
            vault.keyring.load()
        assert vault.current(NOON) == "identity/v2"


def test_a_register_that_is_another_than_was_seen_is_not_taken(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"))
    seen = vault.table.minutes.head

    vault.keyring.load(seen=seen)
    for head in (Head(1, "0" * 64), Head(2, seen.sha256), Head(0, seen.sha256)):
        with pytest.raises(KeyringRefused):
            Keyring(vault.token, Custodians(vault.table, TRIO)).load(seen=head)


def test_silence_changes_nothing(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"))
    vault.keyring.load()

    vault.table.is_silent = True
    with pytest.raises(ResolutionsUnavailable):
        vault.keyring.load()
    vault.table.is_silent, vault.token.is_searchable = False, False
    vault.resolve(retire("identity/v1", NOON))
    with pytest.raises(KeyBackendFailure):
        vault.keyring.load()

    assert vault.current(NOON) == "identity/v1"
    assert vault.keyring.register.head.number == 1


def test_before_anything_was_loaded_nothing_signs(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"))

    assert vault.current(NOON) is None
    assert vault.keyring.all_current(NOON) == {}
    assert vault.keyring.believed(Purpose.IDENTITY, NOON) == []


def test_what_was_left_out_is_named(vault: Vault) -> None:
    vault.resolve(vault.made("identity/v1"))
    vault.table.minutes.chain.insert(0, SignedResolution("junk", {}))

    assert vault.keyring.load().left_out == ("document 1: it is no resolution: ",)
