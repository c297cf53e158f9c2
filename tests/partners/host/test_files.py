"""Files put out for a bank: whole or not there, once, and never said to be unsent when they might be."""

from pathlib import Path

import pytest

from partners.contract import Answer, NotSent, Request, Signing, Unknown
from partners.host.files import FileDrop, FileWire
from tests.partners.host.drops import Failing, Killed, lies_in, local, make_drop

STORED = Answer(201, (), b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_drop(tmp_path / "drop")


def put(root: Path, body: bytes = b"<file/>", *, signature: str = "c2ln") -> Answer | NotSent | Unknown:
    return FileDrop(local(root)).put("a.xml", body, signature=signature)


def test_file_appears_whole_with_its_signature(root: Path) -> None:
    assert put(root) == STORED
    assert lies_in(root, "out") == {"a.xml": b"<file/>", "a.xml.sig": b"c2ln"}


def test_same_file_again_is_there_already(root: Path) -> None:
    put(root)

    assert put(root, signature="bmV3") == STORED
    assert lies_in(root, "out") == {"a.xml": b"<file/>", "a.xml.sig": b"c2ln"}


@pytest.mark.parametrize("other", [b"<other/>", b"<file/", b"<file/>\n", b""])
def test_another_file_of_the_same_name_is_left_as_it_is(root: Path, other: bytes) -> None:
    put(root)

    assert put(root, other) == Answer(409, (), b"")
    assert lies_in(root, "out")["a.xml"] == b"<file/>"


@pytest.mark.parametrize(
    ("at", "beginning"),
    [("read", ""), ("write", "out/a.xml.sig"), ("write", "out/.a.xml.part")],
)
def test_nothing_was_sent_before_the_file_has_its_name(root: Path, at: str, beginning: str) -> None:
    answer = FileDrop(Failing(local(root), at, beginning)).put("a.xml", b"<file/>", signature="c2ln")

    assert isinstance(answer, NotSent)
    assert "a.xml" not in lies_in(root, "out")
    assert put(root) == STORED
    assert lies_in(root, "out")["a.xml"] == b"<file/>"


@pytest.mark.parametrize("late", [True, False])
def test_renaming_that_fails_may_have_happened(root: Path, late: bool) -> None:
    answer = FileDrop(Failing(local(root), "rename", late=late)).put("a.xml", b"<file/>", signature="c2ln")

    assert isinstance(answer, Unknown)
    assert ("a.xml" in lies_in(root, "out")) is late


def test_drop_that_is_not_there_was_sent_nothing(tmp_path: Path) -> None:
    assert isinstance(put(tmp_path / "nowhere"), NotSent)


def test_process_that_dies_before_the_renaming_leaves_nothing_that_a_bank_would_take(root: Path) -> None:
    with pytest.raises(Killed):
        FileDrop(Failing(local(root), "rename", failure=Killed())).put("a.xml", b"<file/>", signature="c2ln")

    assert sorted(lies_in(root, "out")) == [".a.xml.part", "a.xml.sig"]


def send(root: Path, request: Request) -> Answer | NotSent | Unknown:
    return FileWire(FileDrop(local(root))).send(
        base_url="",
        token="",
        request=request,
        request_id="",
        request_time=0,
        signed={"DigitalSignature": "c2ln"},
    )


def test_request_is_put_out_under_its_paths_name(root: Path) -> None:
    request = Request("PUT", "/a.xml", b"<file/>", Signing.PAYOUT, "iso20022.sct")

    assert send(root, request) == STORED
    assert lies_in(root, "out") == {"a.xml": b"<file/>", "a.xml.sig": b"c2ln"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/a.xml"),
        ("POST", "/a.xml"),
        ("PUT", "/../in/a.xml"),
        ("PUT", "/"),
        ("PUT", "/.a.xml"),
        ("PUT", "/a b"),
    ],
)
def test_request_that_is_no_file_is_not_sent(root: Path, method: str, path: str) -> None:
    assert isinstance(send(root, Request(method, path, b"<file/>", Signing.PAYOUT, "iso20022.sct")), NotSent)
    assert lies_in(root, "out") == {}


@pytest.mark.parametrize("name", [".a.xml", "a.xml.part", "A.XML.FILEPART", "a.tmp", "ä.xml", "a b.xml"])
def test_file_that_is_not_whole_by_its_name_is_left_alone(root: Path, name: str) -> None:
    (root / "in" / name).write_bytes(b"<file/>")

    assert FileDrop(local(root)).waiting() == {}


def test_only_files_are_files(root: Path) -> None:
    (root / "secret").write_bytes(b"secret")
    (root / "in" / "a.xml").symlink_to(root / "secret")
    (root / "in" / "b.xml").mkdir()

    assert FileDrop(local(root)).waiting() == {}
    with pytest.raises(OSError, match="symbolic link"):
        FileDrop(local(root)).get("a.xml")


def test_files_of_one_name_are_put_away_beside_each_other(root: Path) -> None:
    drop = FileDrop(local(root))
    for body in (b"one", b"two", b"one"):
        (root / "in" / "a.xml").write_bytes(body)
        drop.done("a.xml", body)

    assert lies_in(root, "in") == {}
    assert sorted(lies_in(root, "archive").values()) == [b"one", b"two"]


def test_file_that_is_set_aside_says_why(root: Path) -> None:
    (root / "in" / "a.xml").write_bytes(b"junk")
    (root / "in" / "a.xml.sig").write_bytes(b"c2ln")

    FileDrop(local(root)).set_aside("a.xml", b"junk", why="It is empty.")

    assert lies_in(root, "in") == {}
    assert sorted(lies_in(root, "quarantine").values()) == [b"It is empty.\n", b"c2ln", b"junk"]
