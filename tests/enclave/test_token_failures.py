"""What can go wrong with a token, done to real processes: each time nothing is signed unlogged, and it is named."""

import fcntl
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from enclave.client import EnclaveClient, EnclaveError, EnclaveRefused, EnclaveUnavailable
from enclave.log import EntryKind
from tests.enclave.modules import copy_of, hsm_server, printed, tokens_of
from tests.enclave.process import PIN, SO_PIN, TOKEN_LABEL, RunningEnclave, SoftHsmToken, eventually
from tests.enclave.signing import MANIFEST, NONCE, ask_bank, signed

NEW_PIN = "another-pin-61c8e0f3a7d24b95"
OPEN_KEYS = f"""
import os, threading
from pathlib import Path
from enclave.backends.pkcs11 import Pkcs11Keys
from enclave.keys import KeyAddress, KeyBackendFailure, Purpose
from enclave.pin import Pin
keys = Pkcs11Keys.log_in_to(Path("{{module}}"), token_label="{TOKEN_LABEL}", pin=Pin("{PIN}"))
bank = KeyAddress(Purpose.BANK, version=1)
keys.open(bank)
def attempt(sign):
    try:
        return len(sign(b"m"))
    except Exception as error:
        return f"{{{{type(error).__name__}}}}: {{{{error}}}}"
through_the_door = lambda message: keys.sign(bank, message)
behind_it = keys._opened[bank].sign
"""
IN_A_THREAD = """
told = []
thread = threading.Thread(target=lambda: told.append(attempt(through_the_door)))
thread.start(); thread.join()
print(told[0]); print(attempt(through_the_door))
"""
IN_A_CHILD = """
child = os.fork()
if child == 0:
    print(attempt(through_the_door), attempt(behind_it), sep="\\n", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(attempt(through_the_door))
"""
CEREMONY_AS_ANOTHER = f"""
import os, sys
from enclave.__main__ import main
if os.geteuid() == 0:
    os.setuid({{uid}})
def secret(text):
    reader, writer = os.pipe()
    os.write(writer, text.encode()); os.close(writer)
    return str(reader)
sys.exit(main(["ceremony", "--module", "{{module}}", "--token-label", "{TOKEN_LABEL}", "--public-keys", "public",
    "--pin-fd", secret("{PIN}"), "--so-pin-fd", secret("{SO_PIN}"), "--draft", "draft.json"]))
"""
CHANGE_PIN = f"""
import pkcs11
token = pkcs11.lib("{{module}}").get_token(token_label="{TOKEN_LABEL}")
with token.open(rw=True, user_pin="{PIN}") as session:
    session.set_pin("{PIN}", "{NEW_PIN}")
"""


@pytest.fixture
def own(token: SoftHsmToken, tmp_path: Path) -> SoftHsmToken:
    """A token with its keys, for one test to spoil."""
    return copy_of(token, tmp_path)


# Threads and children ---------------------------------------------------------------------------------------------


def test_a_second_thread_does_not_reach_the_token(token: SoftHsmToken) -> None:
    refused, first = printed(token, OPEN_KEYS + IN_A_THREAD)

    assert refused == "KeyBackendFailure: the token is for the process and the thread that logged in"
    assert first == "256"


def test_a_forked_child_does_not_sign_with_its_parents_login(token: SoftHsmToken) -> None:
    by_us, by_the_module, parent = printed(token, OPEN_KEYS + IN_A_CHILD)

    assert by_us == "KeyBackendFailure: the token is for the process and the thread that logged in"
    assert "not initialized" in by_the_module
    assert parent == "256"


def test_a_module_that_lets_children_sign_does_not_let_ours(own: SoftHsmToken) -> None:
    text = own.configuration.read_text()
    own.configuration.write_text(text.replace("reset_on_fork = true", "reset_on_fork = false"))

    by_us, by_the_module, parent = printed(own, OPEN_KEYS + IN_A_CHILD)

    assert by_the_module == "256"
    assert by_us == "KeyBackendFailure: the token is for the process and the thread that logged in"
    assert parent == "256"


# The token's directory --------------------------------------------------------------------------------------------


def test_a_token_whose_directory_is_missing_keeps_it_from_starting(own: SoftHsmToken, tmp_path: Path) -> None:
    tokens_of(own).rename(tmp_path / "elsewhere")

    done = own.serve_and_fail(tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("enclave: ")
    assert done.stderr.count("\n") == 1


def test_a_token_removed_while_serving_ends_the_enclave_and_put_back_it_starts_again(
    own: SoftHsmToken, tmp_path: Path
) -> None:
    with own.serving(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))
        tokens_of(own).rename(tmp_path / "elsewhere")
        with pytest.raises(EnclaveRefused) as refused:
            ask_bank(enclave)
        assert enclave.complaint().startswith("enclave: the token is lost (")
    assert refused.value.code == "internal"
    assert enclave.kinds()[-2:] == [EntryKind.GRANTED, EntryKind.FAILED]
    assert enclave.records()[-1].entry.facts == {"error": "TokenLost"}

    (tmp_path / "elsewhere").rename(tokens_of(own))
    with own.serving(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))


@contextmanager
def owned_by_another(token: SoftHsmToken) -> Iterator[tuple[SoftHsmToken, Path, dict[str, str]]]:
    """A token that the enclave's user may read and not write, a directory of that user, and how to become him."""
    is_root = os.geteuid() == 0
    user = pwd.getpwnam("nobody") if is_root else pwd.getpwuid(os.geteuid())
    home = Path(tempfile.mkdtemp(prefix="tallystick-token-"))
    try:
        own = copy_of(token, home)
        (home / "enclave").mkdir()
        os.chown(home / "enclave", user.pw_uid, user.pw_gid)
        home.chmod(0o755)
        for path in own.configuration.parent.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        own.configuration.parent.chmod(0o755)
        for readable in (own.custodians_home, own.resolutions, *own.resolutions.iterdir()):
            readable.chmod(0o755)
        yield own, home / "enclave", {"user": user.pw_name} if is_root else {}
    finally:
        for path in home.rglob("*"):
            path.chmod(0o700)
        shutil.rmtree(home)
        shutil.rmtree(own.custodians_home)


def test_a_token_that_cannot_be_written_signs_all_the_same(token: SoftHsmToken) -> None:
    with (
        owned_by_another(token) as (own, place, user),
        own.serving(place, **user) as enclave,
    ):
        assert signed(token, ask_bank(enclave))


def test_a_ceremony_that_cannot_write_the_token_says_so(token: SoftHsmToken) -> None:
    with owned_by_another(token) as (own, _, _user):
        tokens_of(own).chmod(0o755)
        shutil.rmtree(tokens_of(own))
        tokens_of(own).mkdir(mode=0o555)
        code = CEREMONY_AS_ANOTHER.format(uid=pwd.getpwnam("nobody").pw_uid, module=own.module)
        done = own.python(code)

    assert done.returncode == 2
    assert done.stderr.startswith("enclave: the token cannot be initialised (")
    assert done.stderr.count("\n") == 1


# The PIN ----------------------------------------------------------------------------------------------------------


def test_a_pin_changed_under_a_running_enclave_counts_from_the_next_start(
    own: SoftHsmToken, tmp_path: Path
) -> None:
    with own.serving(tmp_path) as enclave:
        printed(own, CHANGE_PIN)
        assert signed(own, ask_bank(enclave))
        assert enclave.terminate() == 0

    old, new = (
        own.serve_and_fail(tmp_path),
        own.serve_and_fail(tmp_path, pin=NEW_PIN, socket="/nonexistent/s"),
    )

    assert old.stderr == "enclave: the token does not take this PIN\n"
    assert new.stderr.startswith("enclave: cannot make the socket"), "the new PIN opened the token"
    assert NEW_PIN not in old.stderr + new.stderr


# Slow and gone ----------------------------------------------------------------------------------------------------


@contextmanager
def held_up(token: SoftHsmToken) -> Iterator[None]:
    """Hold the lock that SoftHSM2 takes for every signature: it waits until we let go."""
    with ExitStack() as files:
        for path in tokens_of(token).rglob("generation"):
            file = files.enter_context(path.open("r+b"))
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def refuse_to_wait(enclave: RunningEnclave) -> list[type[EnclaveError]]:
    """How callers of two purposes fare who wait for half a second."""
    fared = []
    for ask in (
        lambda client: client.bank_message(profile="clearbank.webhook_ack", body=NONCE),
        lambda client: client.export(manifest=MANIFEST),
    ):
        with EnclaveClient(enclave.socket_path, timeout_s=0.5) as client:
            try:
                ask(client)
            except EnclaveError as error:
                fared.append(type(error))
    return fared


def test_a_token_that_is_slow_keeps_callers_waiting_and_gives_nothing_away_unlogged(
    own: SoftHsmToken, tmp_path: Path
) -> None:
    with own.serving(tmp_path) as enclave:
        with held_up(own):
            assert refuse_to_wait(enclave) == [EnclaveUnavailable] * 2
            # The first is decided and recorded, and waits for the token; the second waits for the first.
            assert eventually(lambda: enclave.kinds()[-1] is EntryKind.GRANTED)

        assert signed(own, ask_bank(enclave))
        assert enclave.terminate() == 0
    purposes = [
        record.entry.purpose for record in enclave.records() if record.entry.kind is EntryKind.GRANTED
    ]
    assert sorted(purposes) == ["bank_message", "bank_message", "export"]


def test_an_hsm_in_another_process_that_stops_answering_goes_on_when_it_does(
    own: SoftHsmToken, tmp_path: Path
) -> None:
    with hsm_server(own) as (far, server), far.serving_far(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))
        server.halt()
        assert refuse_to_wait(enclave) == [EnclaveUnavailable] * 2
        assert eventually(lambda: enclave.kinds()[-2:] == [EntryKind.GRANTED] * 2)
        server.resume()

        assert signed(own, ask_bank(enclave))
        assert enclave.terminate() == 0


def test_an_hsm_in_another_process_that_is_gone_ends_the_enclave(own: SoftHsmToken, tmp_path: Path) -> None:
    with hsm_server(own) as (far, server), far.serving_far(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))
        server.kill()
        with pytest.raises(EnclaveRefused) as refused:
            ask_bank(enclave)
        assert enclave.complaint().startswith("enclave: the token is lost (")
    assert refused.value.code == "internal"
    assert enclave.kinds()[-2:] == [EntryKind.GRANTED, EntryKind.FAILED]

    with hsm_server(own) as (far, _), far.serving_far(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))


def test_an_hsm_that_dies_in_the_middle_of_a_signature_answers_nobody(
    own: SoftHsmToken, tmp_path: Path
) -> None:
    with hsm_server(own) as (far, server), far.serving_far(tmp_path) as enclave:
        server.halt()
        with EnclaveClient(enclave.socket_path, timeout_s=0.5) as client, pytest.raises(EnclaveUnavailable):
            client.bank_message(profile="clearbank.webhook_ack", body=NONCE)
        server.kill()

        assert enclave.complaint().startswith("enclave: the token is lost (")
    assert enclave.kinds()[-2:] == [EntryKind.GRANTED, EntryKind.FAILED]
