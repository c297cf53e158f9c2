"""Files that a bank leaves: kept raw, heeded once, put away after that, and none in the way of another."""

import base64
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from partners.host.directories import Directory
from partners.host.files import FileDrop
from partners.host.inbox import Inbox
from partners.iso20022.adapter import Iso20022
from tests.conftest import Database, OpenTx
from tests.partners.host.drops import Failing, Killed, lies_in, local, make_drop
from tests.partners.iso20022.bank_files import detail, entry, notification

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NEWS, MORE_NEWS = (
    notification(entry(10_00, detail())),
    notification(entry(11_00, detail(), bank_reference="B-2")),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_drop(tmp_path / "drop")


def inbox(open_tx: OpenTx, directory: Directory, *, key: bytes | None = None) -> Inbox:
    return Inbox("bank", Iso20022(), FileDrop(directory), key, open_tx)


def collect(open_tx: OpenTx, directory: Directory, *, key: bytes | None = None) -> int:
    """Two looks, as a worker that has just started has them."""
    box = inbox(open_tx, directory, key=key)
    return box.collect() + box.collect()


def leave(root: Path, name: str, body: bytes, *, signed: bytes | None = None) -> None:
    (root / "in" / name).write_bytes(body)
    if signed is not None:
        signature = base64.b64encode(KEY.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
        (root / "in" / f"{name}.sig").write_bytes(signature + b"\n")


def notices(database: Database) -> list[tuple[str, bytes, bool]]:
    """What was kept, and whether it still waits to have its effect."""
    query = sa.text("SELECT source, body, processed_at IS NULL FROM notices ORDER BY 3, body")
    with database.owner_engine.connect() as connection:
        return [(source, bytes(body), waits) for source, body, waits in connection.execute(query)]


def promised(database: Database) -> set[str]:
    """The notices that somebody will heed."""
    query = sa.text("SELECT args FROM procrastinate_jobs WHERE task_name = 'process_notice'")
    with database.owner_engine.connect() as connection:
        return {json.dumps(arguments) for (arguments,) in connection.execute(query)}


def test_file_is_kept_raw_promised_and_put_away(root: Path, open_tx: OpenTx, database: Database) -> None:
    leave(root, "a.xml", NEWS)

    assert collect(open_tx, local(root)) == 1

    assert notices(database) == [("file", NEWS, True)]
    assert len(promised(database)) == 1
    assert lies_in(root, "in") == {}
    assert list(lies_in(root, "archive").values()) == [NEWS]


def test_file_that_still_grows_is_waited_for(root: Path, open_tx: OpenTx, database: Database) -> None:
    box = inbox(open_tx, local(root))
    taken = []
    for part in (NEWS[:10], NEWS[:500], NEWS, NEWS):
        leave(root, "a.xml", part)
        taken.append(box.collect())

    assert taken == [0, 0, 0, 1]
    assert notices(database) == [("file", NEWS, True)]


@pytest.mark.parametrize("again", ["a.xml", "b.xml"])
def test_same_bytes_are_one_notice_under_any_name(
    root: Path, open_tx: OpenTx, database: Database, again: str
) -> None:
    leave(root, "a.xml", NEWS)
    collect(open_tx, local(root))
    leave(root, again, NEWS)

    collect(open_tx, local(root))

    assert notices(database) == [("file", NEWS, True)]
    assert len(promised(database)) == 1
    assert lies_in(root, "in") == {}


@pytest.mark.parametrize("failure", [None, Killed()])
def test_process_that_stops_between_keeping_and_putting_away_does_neither_twice(
    root: Path, open_tx: OpenTx, database: Database, failure: BaseException | None
) -> None:
    leave(root, "a.xml", NEWS)
    stopping = Failing(local(root), "rename", "in/", failure=failure)
    if failure is None:
        assert collect(open_tx, stopping) == 0
    else:
        with pytest.raises(Killed):
            collect(open_tx, stopping)
    assert lies_in(root, "in") == {"a.xml": NEWS}

    collect(open_tx, local(root))

    assert notices(database) == [("file", NEWS, True)]
    assert len(promised(database)) == 1
    assert list(lies_in(root, "archive").values()) == [NEWS]


@pytest.mark.parametrize("junk", [b"", b"junk", NEWS[:-30], b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
def test_file_that_cannot_be_read_is_set_aside_and_keeps_no_other_back(
    root: Path, open_tx: OpenTx, database: Database, junk: bytes
) -> None:
    leave(root, "a.xml", junk)
    leave(root, "b.xml", NEWS)

    assert collect(open_tx, local(root)) == 1

    assert notices(database) == [("file", junk, False), ("file", NEWS, True)]
    assert len(promised(database)) == 1
    assert lies_in(root, "in") == {}
    aside = lies_in(root, "quarantine")
    assert [body for name, body in aside.items() if not name.endswith(".why")] == [junk]
    assert any(name.endswith("-a.xml.why") for name in aside)


def test_file_that_cannot_be_fetched_keeps_no_other_back(
    root: Path, open_tx: OpenTx, database: Database
) -> None:
    leave(root, "a.xml", NEWS)
    leave(root, "b.xml", MORE_NEWS)

    assert collect(open_tx, Failing(local(root), "read", "in/a.xml")) == 1

    assert notices(database) == [("file", MORE_NEWS, True)]


def test_drop_that_cannot_be_looked_at_is_said(root: Path, open_tx: OpenTx) -> None:
    with pytest.raises(OSError, match="no space"):
        collect(open_tx, Failing(local(root), "sizes"))


def test_other_files_are_left_where_they_are(root: Path, open_tx: OpenTx, database: Database) -> None:
    leave(root, "readme.txt", b"Dear customer")

    assert collect(open_tx, local(root)) == 0
    assert lies_in(root, "in") == {"readme.txt": b"Dear customer"}
    assert notices(database) == []


def test_signed_file_is_believed(root: Path, open_tx: OpenTx, database: Database) -> None:
    leave(root, "a.xml", NEWS, signed=NEWS)

    assert collect(open_tx, local(root), key=PEM) == 1
    assert notices(database) == [("file", NEWS, True)]
    assert len(lies_in(root, "archive")) == 2


def test_file_that_waits_for_its_signature_is_left(root: Path, open_tx: OpenTx, database: Database) -> None:
    leave(root, "a.xml", NEWS)

    assert collect(open_tx, local(root), key=PEM) == 0
    assert lies_in(root, "in") == {"a.xml": NEWS}
    assert notices(database) == []


@pytest.mark.parametrize("key", [PEM, b""])
def test_file_that_the_bank_did_not_sign_is_set_aside_and_not_kept(
    root: Path, open_tx: OpenTx, database: Database, key: bytes
) -> None:
    leave(root, "a.xml", NEWS, signed=MORE_NEWS)

    assert collect(open_tx, local(root), key=key) == 0

    assert notices(database) == []
    assert lies_in(root, "in") == {}
    assert len(lies_in(root, "quarantine")) == 3
