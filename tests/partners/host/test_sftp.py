"""The drop at the bank, over SFTP: the same promises as on this machine, and who is at the other end."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import paramiko
import pytest

from api.bank_parts import file_drop
from api.settings import FileBankSettings, SettingsInvalid, read_banks
from partners.contract import Answer, NotSent, Unknown
from partners.host.files import FileDrop
from partners.host.inbox import Inbox
from partners.host.sftp import SftpAddress, SftpDirectory, read_host_key, read_login_key
from partners.iso20022.adapter import Iso20022
from tests.conftest import OpenTx
from tests.partners.host.drops import lies_in, make_drop
from tests.partners.host.sftp_bank import USER, SftpBank, sftp_bank
from tests.partners.iso20022.bank_files import detail, entry, notification

OURS: Final = paramiko.RSAKey.generate(2048)
OTHER: Final = paramiko.RSAKey.generate(2048)
STORED: Final = Answer(201, (), b"")


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[SftpBank]:
    with sftp_bank(make_drop(tmp_path / "drop"), OURS) as served:
        yield served


def directory(
    bank: SftpBank, *, host_key: paramiko.PKey | None = None, login_key: paramiko.PKey = OURS
) -> SftpDirectory:
    address = SftpAddress("127.0.0.1", bank.port, USER, "/drop", host_key or bank.host_key, login_key)
    return SftpDirectory(address, answer_timeout_s=5)


@pytest.fixture
def sftp(bank: SftpBank) -> Iterator[SftpDirectory]:
    with closing(directory(bank)) as opened:
        yield opened


def put(sftp: SftpDirectory, body: bytes = b"<file/>") -> Answer | NotSent | Unknown:
    return FileDrop(sftp).put("a.xml", body, signature="c2ln")


def test_file_appears_whole_with_its_signature(bank: SftpBank, sftp: SftpDirectory) -> None:
    body = b"<file>" + b"x" * 200_000 + b"</file>"

    assert put(sftp, body) == STORED
    assert lies_in(bank.root, "out") == {"a.xml": body, "a.xml.sig": b"c2ln"}


def test_same_file_again_is_there_already_and_another_is_refused(bank: SftpBank, sftp: SftpDirectory) -> None:
    assert [put(sftp), put(sftp), put(sftp, b"<other/>")] == [STORED, STORED, Answer(409, (), b"")]
    assert lies_in(bank.root, "out")["a.xml"] == b"<file/>"


def test_server_that_is_not_the_banks_is_told_nothing(bank: SftpBank) -> None:
    with closing(directory(bank, host_key=OTHER)) as sftp:
        assert isinstance(put(sftp), NotSent)
    assert lies_in(bank.root, "out") == {}


def test_bank_that_does_not_let_us_in_was_sent_nothing(bank: SftpBank) -> None:
    with closing(directory(bank, login_key=OTHER)) as sftp:
        assert isinstance(put(sftp), NotSent)


def test_bank_that_is_away_was_sent_nothing_and_is_found_again(bank: SftpBank, sftp: SftpDirectory) -> None:
    put(sftp)
    bank.hang_up()

    answers = [put(sftp, b"<file/>"), put(sftp, b"<file/>")]

    assert answers[-1] == STORED
    assert not any(isinstance(answer, Unknown) for answer in answers)


def test_nobody_listens(tmp_path: Path) -> None:
    with sftp_bank(make_drop(tmp_path / "drop"), OURS) as gone:
        sftp = directory(gone)

    assert isinstance(put(sftp), NotSent)


def test_server_that_loses_half_the_file_was_sent_nothing(bank: SftpBank, sftp: SftpDirectory) -> None:
    bank.swallow = True

    assert isinstance(put(sftp), NotSent)
    assert "a.xml" not in lies_in(bank.root, "out")


@pytest.mark.parametrize("happened", [True, False])
def test_connection_lost_while_renaming_may_mean_either(
    bank: SftpBank, sftp: SftpDirectory, happened: bool
) -> None:
    bank.drop_after, bank.drop_at = ("rename", "") if happened else ("", "rename")

    assert isinstance(put(sftp), Unknown)
    assert ("a.xml" in lies_in(bank.root, "out")) is happened


def test_directory_that_is_not_there_was_sent_nothing(bank: SftpBank, sftp: SftpDirectory) -> None:
    (bank.root / "out").rmdir()

    assert isinstance(put(sftp), NotSent)


def test_files_are_taken_in_and_put_away_at_the_bank(
    bank: SftpBank, sftp: SftpDirectory, open_tx: OpenTx
) -> None:
    news = notification(entry(10_00, detail()))
    (bank.root / "in" / "a.xml").write_bytes(news)
    (bank.root / "in" / "b.xml").write_bytes(b"junk")
    inbox = Inbox("bank", Iso20022(), FileDrop(sftp), None, open_tx)

    taken = [inbox.collect(), inbox.collect(), inbox.collect()]

    assert taken == [0, 1, 0]
    assert lies_in(bank.root, "in") == {}
    assert list(lies_in(bank.root, "archive").values()) == [news]
    assert len(lies_in(bank.root, "quarantine")) == 2


def test_keys_are_read_as_openssh_writes_them(bank: SftpBank, tmp_path: Path) -> None:
    OURS.write_private_key_file(str(tmp_path / "key"))
    line = f"{bank.host_key.get_name()} {bank.host_key.get_base64()}"

    assert read_login_key(tmp_path / "key") == OURS
    assert read_host_key(line) == read_host_key(f"[127.0.0.1]:22 {line} comment\n") == bank.host_key


@pytest.mark.parametrize("text", ["", "ssh-rsa", "ssh-rsa !!!", "ssh-dss AAAA", "ssh-rsa AAAA"])
def test_text_that_is_no_host_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_host_key(text)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"base_url": "sftp://bank.example/drop"}, "without a password"),
        ({"base_url": "sftp://us:secret@bank.example/drop"}, "without a password"),
        ({"base_url": "file://elsewhere/drop"}, "file:///its/path"),
        ({"host_key_file": None}, "host_key_file"),
        ({"login_key_file": None}, "host_key_file"),
        ({"adapter": "clearbank"}, "not reached by files"),
    ],
)
def test_connection_that_leaves_open_who_is_there_is_refused(
    tmp_path: Path, changes: dict[str, str | None], fault: str
) -> None:
    banks, key = tmp_path / "banks.json", tmp_path / "key"
    key.write_text("")
    said = {
        "adapter": "iso20022",
        "base_url": "sftp://us@bank.example/drop",
        "notice_key_file": None,
        "host_key_file": str(key),
        "login_key_file": str(key),
    }
    banks.write_text(json.dumps({"bank": said | changes}))
    (bank,) = read_banks(banks)
    assert isinstance(bank, FileBankSettings)

    with pytest.raises(SettingsInvalid, match=fault):
        file_drop(bank)
