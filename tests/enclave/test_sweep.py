"""What an enclave finds at its start, on the token and in the register: real processes name it, and use none of it."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from enclave.client import EnclaveRefused
from enclave.drafts import read_draft
from enclave.keys import Purpose
from enclave.log import EntryKind
from enclave.registration import put_in_force
from enclave.resolutions import AdmitKey
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions
from tests.conftest import Database
from tests.enclave.council import admit
from tests.enclave.modules import copy_of, printed
from tests.enclave.process import PIN, TOKEN_LABEL, RunningEnclave, SoftHsmToken, eventually
from tests.enclave.signing import ask_bank, signed

IN_A_HUNDRED_YEARS = "2126-01-01T00:00:00Z"
MAKE = f"""
from enclave.backends.pkcs11 import find_token, log_in
from enclave.ceremony import _generate
from enclave.keys import KeyAddress, Purpose
from enclave.pin import Pin
from pathlib import Path
import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag
token = find_token(Path("{{module}}"), "{TOKEN_LABEL}")
session = log_in(token, Pin("{PIN}"), may_write=True)
"""
STRANGERS = (
    MAKE
    + """
_generate(session, KeyAddress(Purpose.BANK, version=2))
_generate(session, KeyAddress(Purpose.CARD_VAULT, version=7))
session.generate_keypair(KeyType.RSA, 2048, store=True, label="a stranger's")
"""
)
EXTRACTABLE = (
    MAKE
    + """
session.generate_keypair(KeyType.RSA, 2048, store=True, label="bank/v2",
    id=KeyAddress(Purpose.BANK, version=2).object_id, capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
    private_template={{Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True,
        Attribute.MODIFIABLE: False}})
"""
)


@pytest.fixture
def own(token: SoftHsmToken, tmp_path: Path) -> SoftHsmToken:
    """A token with its keys, for one test to spoil."""
    return copy_of(token, tmp_path / "own")


@pytest.fixture
def registered(token: SoftHsmToken, database: Database) -> Database:
    """A database in which the token's keys were admitted."""
    register(token, database)
    return database


def register(token: SoftHsmToken, database: Database) -> None:
    with DatabaseResolutions(database.url("tallystick_custodian")) as resolutions:
        first = read_draft(token.resolutions / "0001.json")
        put_in_force(resolutions, first, read_roster(token.custodians.read_bytes()))


def change(database: Database, statement: str) -> None:
    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())


def code(enclave: RunningEnclave) -> str:
    """What it answers to who asks for a signature."""
    try:
        ask_bank(enclave)
    except EnclaveRefused as refused:
        return refused.code
    return "signed"


def said(enclave: RunningEnclave) -> list[str]:
    """What it has said on standard error, once it has ended."""
    enclave.terminate()
    return [line.removeprefix("enclave: ") for line in enclave.errors().splitlines()]


def test_a_key_that_nobody_admitted_is_named_and_not_used(own: SoftHsmToken, tmp_path: Path) -> None:
    printed(own, STRANGERS)
    names = ["a stranger's", "bank/v2", "card_vault/v7"]

    with own.serving(tmp_path) as enclave:
        with enclave.client() as client:
            assert client.load_keys().unregistered == names
            assert client.public_keys()["bank"].key_id == "bank/v1"
            assert [key.key_id for key in client.key_versions("bank")] == ["bank/v1"]
        assert signed(own, ask_bank(enclave))
        told = said(enclave)

    assert f"{len(Purpose)} keys ready" in told
    for name in names:
        assert f"key {name} is on the token but was not admitted: not used" in told


@pytest.mark.parametrize("label", [b"\xff\xfe", b"bank/v1\nenclave: all is well", b"\x1b[2Kbank/v2"])
def test_a_key_whose_label_no_screen_shows_is_named_all_the_same(
    own: SoftHsmToken, tmp_path: Path, label: bytes
) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", key], check=True, capture_output=True)
    arguments = ["--import", str(key), "--token", TOKEN_LABEL, "--pin", PIN, "--id", "AA", "--label"]
    command = ["softhsm2-util", *arguments, os.fsdecode(label)]
    subprocess.run(command, env=own.environment, check=True, capture_output=True)

    with own.serving(tmp_path) as enclave:
        assert signed(own, ask_bank(enclave))
        told = said(enclave)

    assert told[-1] == "key a key with an unreadable label is on the token but was not admitted: not used"


def later(key_id: str) -> AdmitKey:
    """A key of the bank's kind that is to sign in a hundred years."""
    from_elsewhere = admit(key_id.replace("bank", "identity"))
    return from_elsewhere.model_copy(
        update={
            "key_id": key_id,
            "algorithm": "RSA-2048 PKCS#1 v1.5 SHA-256",
            "not_before": IN_A_HUNDRED_YEARS,
        }
    )


def test_a_key_of_later_that_is_missing_is_named_and_stops_nobody(own: SoftHsmToken, tmp_path: Path) -> None:
    resolutions = own.resolved(tmp_path / "resolutions", later("bank/v2"))

    with own.serving(tmp_path, resolutions=str(resolutions)) as enclave:
        with enclave.client() as client:
            [unusable] = client.load_keys().unusable
        assert signed(own, ask_bank(enclave))
        told = said(enclave)

    assert unusable == "the token holds no key bank/v2: hold the key ceremony first"
    assert f"{unusable}: not used" in told


def test_a_key_of_later_that_can_be_taken_out_is_not_used(own: SoftHsmToken, tmp_path: Path) -> None:
    printed(own, EXTRACTABLE)
    resolutions = own.resolved(tmp_path / "resolutions", later("bank/v2"))

    with own.serving(tmp_path, resolutions=str(resolutions)) as enclave:
        told = said(enclave)

    assert "the key bank/v2 may not be used: EXTRACTABLE is not False: not used" in told


def test_resolutions_that_were_deleted_stop_every_signature_until_they_are_back(
    token: SoftHsmToken, registered: Database, tmp_path: Path
) -> None:
    options = {"resolutions": None, "database_url": registered.url("tallystick_enclave")}
    with token.serving(tmp_path, **options) as enclave:
        assert signed(token, ask_bank(enclave))
        change(registered, "DELETE FROM key_resolutions")
        with enclave.client() as client, pytest.raises(EnclaveRefused) as refused:
            client.load_keys()
        assert refused.value.code == "register_put_back"
        assert signed(token, ask_bank(enclave))
        enclave.terminate()

    with token.serving(tmp_path, **options) as enclave:
        assert code(enclave) == "register_put_back"
        with enclave.client() as client:
            for asked in (client.public_keys, lambda: client.attest(b"n" * 32)):
                with pytest.raises(EnclaveRefused) as refused:
                    asked()
                assert refused.value.code == "register_put_back"
        assert EntryKind.PUT_BACK in enclave.kinds()

        register(token, registered)
        assert eventually(lambda: code(enclave) == "signed")


def test_a_database_that_is_silent_at_the_start_is_asked_again(
    token: SoftHsmToken, registered: Database, tmp_path: Path
) -> None:
    change(registered, "ALTER TABLE key_resolutions RENAME TO hidden")
    url = registered.url("tallystick_enclave")

    with token.serving(tmp_path, resolutions=None, database_url=url) as enclave:
        assert code(enclave) == "register_unavailable"
        change(registered, "ALTER TABLE hidden RENAME TO key_resolutions")

        assert eventually(lambda: code(enclave) == "signed")
        assert said(enclave)[-1] == "0 keys ready"


def test_a_document_that_does_not_count_is_named(
    token: SoftHsmToken, registered: Database, tmp_path: Path
) -> None:
    with psycopg.connect(registered.url("tallystick_custodian")) as connection:
        connection.execute("INSERT INTO key_resolutions (document, signatures) VALUES ('junk', '{}')")
    url = registered.url("tallystick_enclave")

    with token.serving(tmp_path, resolutions=None, database_url=url) as enclave:
        with enclave.client() as client:
            [left_out] = client.load_keys().left_out
        assert signed(token, ask_bank(enclave))
        told = said(enclave)

    assert left_out.startswith("document 2: it is no resolution")
    assert f"{left_out}: left out" in told
