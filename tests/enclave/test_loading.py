"""Loading the keyring at the desk: when it is tried, what is refused meanwhile, and what the log says of it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from enclave.keyring import Custodians, Keyring
from enclave.keys import Purpose
from enclave.loading import Loading
from enclave.log import EntryKind, LogRecord, SigningLog, read_log
from enclave.memory import Memory
from enclave.refusals import RefusalCode
from enclave.resolutions import EMPTY, Head, SignedResolution
from tests.enclave.council import NOON, TRIO, retire
from tests.enclave.process import eventually
from tests.enclave.test_keyring import Vault

HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing.log"


@pytest.fixture
def log(path: Path) -> Iterator[SigningLog]:
    with SigningLog.open(path, now=NOON) as opened:
        yield opened


@pytest.fixture
def vault() -> Vault:
    """Two keys, of which the second is to follow the first."""
    made = Vault()
    made.resolve(made.made("identity/v1"), made.made("identity/v2", not_before=NOON + HOUR))
    return made


def told(path: Path) -> list[LogRecord]:
    return [record for record in read_log(path) if record.entry.purpose == "keys"]


def remembered(path: Path) -> Memory:
    memory = Memory()
    for record in read_log(path):
        memory.take(record)
    return memory


def test_until_it_is_loaded_no_key_may_be_used(vault: Vault, log: SigningLog, path: Path) -> None:
    loading, memory = Loading(vault.keyring, log), Memory()
    vault.table.is_silent = True

    assert loading.refuse(memory, now=NOON) is RefusalCode.REGISTER_UNAVAILABLE
    assert told(path) == []
    vault.table.is_silent = False

    assert eventually(lambda: loading.refuse(memory, now=NOON) is None)
    assert len(told(path)) == 1
    assert vault.current(NOON) == "identity/v1"


def test_what_was_loaded_is_in_the_log_with_the_keys_that_sign(
    vault: Vault, log: SigningLog, path: Path
) -> None:
    loading, memory = Loading(vault.keyring, log), Memory()
    vault.table.minutes.chain.append(SignedResolution("junk", {}))
    vault.made("identity/v3")

    assert loading.load(memory, now=NOON) is None

    [record] = told(path)
    head = vault.keyring.register.head
    assert record.entry.kind is EntryKind.KEYS_LOADED
    assert record.entry.facts == {
        "number": 1,
        "sha256": head.sha256,
        "ready": 2,
        "unregistered": 1,
        "unusable": 0,
        "left_out": 1,
        "identity/v1": vault.keyring.all_current(NOON)["identity"].sha256,
    }
    assert memory.resolved == remembered(path).resolved == head


@pytest.mark.parametrize("kept", [0, 1])
def test_the_log_remembers_over_a_restart_how_far_the_resolutions_went(
    vault: Vault, log: SigningLog, path: Path, kept: int
) -> None:
    vault.resolve(retire("identity/v1", NOON))
    assert Loading(vault.keyring, log).load(Memory(), now=NOON) is None
    del vault.table.minutes.chain[kept:]

    fresh = Keyring(vault.token, Custodians(vault.table, TRIO))
    loading, memory = Loading(fresh, log), remembered(path)

    for _ in range(3):
        assert loading.load(memory, now=NOON) is RefusalCode.REGISTER_PUT_BACK
        assert loading.refuse(memory, now=NOON) is RefusalCode.REGISTER_PUT_BACK
    assert fresh.all_current(NOON) == {}
    assert [record.entry.kind for record in told(path)] == [EntryKind.KEYS_LOADED, EntryKind.PUT_BACK]


def test_what_was_deleted_and_registered_again_is_taken(vault: Vault, log: SigningLog, path: Path) -> None:
    assert Loading(vault.keyring, log).load(Memory(), now=NOON) is None
    [taken] = vault.table.minutes.chain
    vault.table.minutes.chain = [SignedResolution("junk", {})]
    fresh = Keyring(vault.token, Custodians(vault.table, TRIO))
    loading, memory = Loading(fresh, log), remembered(path)
    assert loading.load(memory, now=NOON) is RefusalCode.REGISTER_PUT_BACK

    vault.table.minutes.chain.append(taken)

    assert eventually(lambda: loading.refuse(memory, now=NOON) is None)


def test_a_put_back_register_stops_nobody_who_has_loaded(vault: Vault, log: SigningLog, path: Path) -> None:
    loading, memory = Loading(vault.keyring, log), Memory()
    assert loading.load(memory, now=NOON) is None
    vault.table.minutes.chain.clear()

    assert loading.load(memory, now=NOON) is RefusalCode.REGISTER_PUT_BACK

    assert loading.refuse(memory, now=NOON) is None
    assert vault.current(NOON) == "identity/v1"
    assert told(path)[-1].entry.kind is EntryKind.PUT_BACK


def test_a_token_that_cannot_be_searched_is_a_reason_of_its_own(vault: Vault, log: SigningLog) -> None:
    loading = Loading(vault.keyring, log)
    vault.token.is_searchable = False

    assert loading.load(Memory(), now=NOON) is RefusalCode.KEY_UNAVAILABLE


def test_what_cannot_be_logged_is_not_in_force(vault: Vault, tmp_path: Path) -> None:
    with SigningLog.open(tmp_path / "closed.log", now=NOON) as closed:
        pass
    loading, memory = Loading(vault.keyring, closed), Memory()

    assert loading.load(memory, now=NOON) is RefusalCode.LOG_UNAVAILABLE
    assert loading.refuse(memory, now=NOON) is RefusalCode.LOG_UNAVAILABLE
    assert memory.resolved == EMPTY.head


def test_what_was_taken_in_later_and_cannot_be_logged_stops_all(vault: Vault, tmp_path: Path) -> None:
    memory = Memory()
    with SigningLog.open(tmp_path / "closed.log", now=NOON) as closed:
        loading = Loading(vault.keyring, closed)
        assert loading.load(memory, now=NOON) is None
    vault.resolve(retire("identity/v1", NOON))

    assert loading.load(memory, now=NOON) is RefusalCode.LOG_UNAVAILABLE

    assert loading.refuse(memory, now=NOON) is RefusalCode.LOG_UNAVAILABLE


def test_each_loading_says_what_it_found(vault: Vault, log: SigningLog) -> None:
    loading = Loading(vault.keyring, log)
    assert loading.sweep.ready == ()

    loading.load(Memory(), now=NOON)

    assert [address.purpose for address in loading.sweep.ready] == 2 * [Purpose.IDENTITY]
    assert vault.keyring.register.holds(Head(0, EMPTY.head.sha256))
