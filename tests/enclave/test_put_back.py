"""A token or a log that is not the one of last time, and two enclaves where one should be: real processes find out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from enclave.client import EnclaveRefused
from enclave.keys import Purpose
from enclave.log import EntryKind, read_log
from enclave.refusals import RefusalCode, refusal
from tests.conftest import Database
from tests.enclave.modules import copy_of, printed, tokens_of
from tests.enclave.process import PIN, TOKEN_LABEL, SoftHsmToken, eventually
from tests.enclave.signing import ask_bank, signed

LOSE_REPORT = f"""
import pkcs11
from pkcs11 import Attribute
token = pkcs11.lib("{{module}}").get_token(token_label="{TOKEN_LABEL}")
with token.open(rw=True, user_pin="{PIN}") as session:
    for key in list(session.get_objects({{{{Attribute.LABEL: "report/v1"}}}})):
        key.destroy()
"""


@pytest.fixture
def own(token: SoftHsmToken, tmp_path: Path) -> SoftHsmToken:
    """A token with its keys, for one test to spoil."""
    return copy_of(token, tmp_path)


# Two enclaves -----------------------------------------------------------------------------------------------------


def test_two_enclaves_do_not_share_a_socket(token: SoftHsmToken, tmp_path: Path) -> None:
    with token.serving(tmp_path) as enclave:
        done = token.serve_and_fail(tmp_path, log=str(tmp_path / "second.log"))

        assert done.returncode == 2
        assert "another enclave answers on the socket" in done.stderr
        assert signed(token, ask_bank(enclave))


def test_two_enclaves_with_a_log_each_on_one_token_are_found_out_by_the_database(
    token: SoftHsmToken, tmp_path: Path, database: Database
) -> None:
    url = database.url("tallystick_enclave")
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()

    with token.serving(first, database_url=url) as one, token.serving(second, database_url=url) as other:
        assert signed(token, ask_bank(one))
        assert eventually(lambda: EntryKind.MIRRORED in one.kinds())
        with pytest.raises(EnclaveRefused) as refused:
            ask_bank(other)

        assert refused.value.code == "log_put_back"
        assert EntryKind.PUT_BACK in other.kinds()
        assert signed(token, ask_bank(one))


# Put back ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def exchanged(own: SoftHsmToken, tmp_path: Path) -> SoftHsmToken:
    """A token that has signed, and in its place another of the same label, with keys of the same ids."""
    with own.serving(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))
        assert enclave.terminate() == 0
    tokens_of(own).rename(tmp_path / "the true one")
    own.public_keys.rename(tmp_path / "the true keys")
    tokens_of(own).mkdir(mode=0o700)
    assert own.hold_ceremony().returncode == 0
    return own


def test_other_keys_under_the_same_ids_keep_it_from_starting_and_are_in_the_log(
    exchanged: SoftHsmToken, tmp_path: Path
) -> None:
    for _ in range(2):
        done = exchanged.serve_and_fail(tmp_path)

        assert done.returncode == 2
        for purpose in Purpose:
            assert f"the key {purpose}/v1 on the token is another one than was admitted" in done.stderr
    told = [record.entry for record in read_log(tmp_path / "signing.log")]
    unusable = [str(entry.facts["key_id"]) for entry in told if entry.kind is EntryKind.FAILED]
    assert sorted(unusable) == sorted(2 * [f"{purpose}/v1" for purpose in Purpose])


def test_a_token_put_back_to_before_a_key_was_made_is_named(bare_token: SoftHsmToken, tmp_path: Path) -> None:
    assert bare_token.hold_ceremony().returncode == 0
    printed(bare_token, LOSE_REPORT)

    done = bare_token.serve_and_fail(tmp_path)

    assert done.returncode == 2
    assert done.stderr == "enclave: the token holds no key report/v1: hold the key ceremony first\n"
    again = bare_token.hold_ceremony()
    assert again.returncode == 2
    assert "report-v1.pem was given out" in again.stderr


def test_the_true_token_put_back_signs_again(exchanged: SoftHsmToken, tmp_path: Path) -> None:
    assert exchanged.serve_and_fail(tmp_path).returncode == 2
    shutil.rmtree(tokens_of(exchanged))
    (tmp_path / "the true one").rename(tokens_of(exchanged))

    with exchanged.serving(tmp_path) as enclave:
        signature = ask_bank(enclave)
    shutil.rmtree(exchanged.public_keys)
    (tmp_path / "the true keys").rename(exchanged.public_keys)
    assert signed(exchanged, signature)


def test_an_old_log_put_back_under_the_running_database_signs_nothing(
    token: SoftHsmToken, tmp_path: Path, database: Database
) -> None:
    url = database.url("tallystick_enclave")
    for day in range(2):
        with token.serving(tmp_path, database_url=url) as enclave:
            assert signed(token, ask_bank(enclave))
            assert enclave.terminate() == 0
        if day == 0:
            shutil.copy(enclave.log_path, tmp_path / "yesterday")
    shutil.copy(tmp_path / "yesterday", enclave.log_path)

    with token.serving(tmp_path, database_url=url) as enclave, pytest.raises(EnclaveRefused) as refused:
        ask_bank(enclave)
    assert refused.value.code == "log_put_back"
    assert enclave.kinds()[-2:] == [EntryKind.PUT_BACK, EntryKind.REFUSED]


# Cut back by hand -------------------------------------------------------------------------------------------------


def audited(token: SoftHsmToken, log: Path, *more: str) -> tuple[int, str, str]:
    done = token.command("audit", "--log", str(log), *more)
    return done.returncode, done.stdout, done.stderr


def cut_back(log: Path, complaint: str) -> None:
    """What the guide says to do about a log that is broken."""
    found = re.search(r"from byte ([0-9]+) on", complaint)
    assert found is not None
    subprocess.run(["truncate", "-s", found[1], str(log)], check=True)


def log_of_a_day(token: SoftHsmToken, directory: Path, database_url: str) -> Path:
    """The log of an enclave that has signed, and stopped in order."""
    with token.serving(directory, database_url=database_url) as enclave:
        assert signed(token, ask_bank(enclave))
        assert enclave.terminate() == 0
    return enclave.log_path


def test_a_last_round_that_the_disk_kept_in_part_is_cut_off_by_hand(
    token: SoftHsmToken, tmp_path: Path, database: Database
) -> None:
    url = database.url("tallystick_enclave")
    log = log_of_a_day(token, tmp_path, url)
    whole = log.read_bytes()
    # A block that was lost, and a later one that was not.
    log.write_bytes(whole + b'{"at":"2026-' + bytes(4096) + b'"seq":9}\n')
    said = f"the log is broken at line {whole.count(10) + 1} (from byte {len(whole)} on): the line is not a record\n"

    for _ in range(2):
        refused = token.serve_and_fail(tmp_path, database_url=url)
        assert (refused.returncode, refused.stderr) == (2, f"enclave: {said}")
    assert audited(token, log) == (1, "", f"enclave: {said}")
    cut_back(log, said)

    code, _, complaint = audited(token, log, "--database-url", url)
    assert (code, complaint) == (0, "")
    with token.serving(tmp_path, database_url=url) as again:
        assert signed(token, ask_bank(again))


def test_a_log_that_is_cut_back_behind_what_the_database_knows_signs_when_its_head_is_accepted(
    token: SoftHsmToken, tmp_path: Path, database: Database
) -> None:
    url = database.url("tallystick_enclave")
    log = log_of_a_day(token, tmp_path, url)
    log.write_bytes(log.read_bytes().replace(b'"granted"', b'"refused"'))
    refused = token.serve_and_fail(tmp_path, database_url=url)
    cut_back(log, refused.stderr)

    code, told, complaint = audited(token, log, "--database-url", url)
    assert code == 1
    assert complaint == f"enclave: {refusal(RefusalCode.LOG_PUT_BACK).detail}\n"
    found = re.search("the database has head ([0-9]+)", told)
    assert found is not None
    with token.serving(tmp_path, database_url=url) as again:
        with pytest.raises(EnclaveRefused) as why:
            ask_bank(again)
        assert why.value.code == "log_put_back"
        assert again.terminate() == 0
    with token.serving(tmp_path, database_url=url, accept_head=found[1]) as accepted:
        assert signed(token, ask_bank(accepted))
        assert EntryKind.ACCEPTED in accepted.kinds()
