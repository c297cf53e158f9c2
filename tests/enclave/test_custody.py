"""What custodians do at the command line, on a real token: and that whatever goes wrong is one line and exit code 2."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from enclave.__main__ import main
from enclave.drafts import drafted, read_draft, write_draft
from enclave.keys import Purpose, algorithm_of, fingerprint
from enclave.resolutions import AdmitApprover, AdmitKey, RetireKey, read_document
from tests.conftest import Database
from tests.enclave.council import EMPTY, NOON, TRIO, admit, pem_of, person, roster_file, signature_by
from tests.enclave.modules import copy_of
from tests.enclave.process import PIN, TOKEN_LABEL, SoftHsmToken, secret_on_a_descriptor

NOWHERE = "postgresql://tallystick_custodian:hidden@127.0.0.1:1/x"


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """Where a custodian sits: his files, the roster, and what was resolved so far."""

    home: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def draft(self) -> Path:
        return self.home / "draft.json"

    @property
    def sources(self) -> list[str | Path]:
        return ["--custodians", self.home / "roster.json", "--resolutions", self.home / "resolutions"]

    def endorse(self, name: str, draft: Path | None = None) -> list[str | Path]:
        roster: list[str | Path] = ["--custodians", self.home / "roster.json"]
        return ["endorse", "--draft", draft or self.draft, "--custodian", name, *roster]

    def run(self, *arguments: str | Path) -> Told:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self.capsys.readouterr()
        return Told(code, said.out, said.err)

    def file(self, name: str, content: bytes) -> Path:
        path = self.home / name
        path.write_bytes(content)
        return path

    def private_key(self, name: str, passphrase: bytes | None = None) -> Path:
        lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        return self.file(f"{name}.pem", person(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))

    def public_key(self, name: str) -> Path:
        return self.file(f"{name}.pub", pem_of(person(name)).encode())


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    made = Desk(tmp_path, capsys)
    made.file("roster.json", roster_file(TRIO))
    made.file("empty", b"")
    return made


@pytest.fixture
def drafted_key(desk: Desk) -> Desk:
    write_draft(desk.draft, drafted([admit("identity/v1")], EMPTY, at=NOON))
    return desk


def refused(told: Told, *words: str) -> None:
    assert (told.code, told.out) == (2, ""), told
    assert told.err.startswith("enclave: ")
    assert told.err.count("\n") == 1, told.err
    for word in words:
        assert word in told.err


# From draft to draft, without a token -----------------------------------------------------------------------------


def test_a_draft_is_read_signed_by_openssl_and_in_person_and_registered(
    drafted_key: Desk, database: Database
) -> None:
    desk, text, signature = drafted_key, drafted_key.home / "text", drafted_key.home / "ada.sig"
    assert desk.run("read", "--draft", desk.draft, "--signed-text", text).code == 0
    key = desk.private_key("ada")
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature, text], check=True)

    by_hand = desk.run(*desk.endorse("ada"), "--signature", signature)
    locked = desk.private_key("cleo", b"correct horse")
    with secret_on_a_descriptor("correct horse\n") as fd:
        here = desk.run(
            *desk.endorse("cleo"),
            *("--key", locked, "--passphrase-fd", str(os.dup(fd))),
        )
    assert (by_hand.out, here.out) == ("signed by ada\n", "signed by ada, cleo\n")

    url = database.url("tallystick_custodian")
    register = ("register", "--draft", desk.draft, "--custodians", desk.home / "roster.json")
    for _ in range(2):
        assert "resolution 1 is in force" in desk.run(*register, "--database-url", url).out


def test_what_is_read_is_all_that_is_resolved(desk: Desk) -> None:
    anna = AdmitApprover(
        approver_id="anna", public_key_pem=pem_of(person("anna")), programme_ids=("prg_1", "prg_2")
    )
    key = admit("identity/v1", sign_until="2027-01-01T00:00:00Z", verify_until="2028-01-01T00:00:00Z")
    until = RetireKey(key_id="identity/v1", sign_until="2026-12-01T00:00:00Z")
    write_draft(desk.draft, drafted([key, anna, until], EMPTY, at=NOON))
    times = "from 2026-11-22T12:00:00Z until 2027-01-01T00:00:00Z, believed until 2028-01-01T00:00:00Z"

    assert desk.run("read", "--draft", desk.draft).out.splitlines() == [
        "resolution 1, drafted 2026-11-22T12:00:00Z",
        f"admit key identity/v1 (ECDSA P-256 SHA-256), SHA-256 {key.sha256}, {times}",
        f"admit approver anna, SHA-256 {fingerprint(anna.public_key_pem)}, for prg_1, prg_2",
        "retire key identity/v1 from 2026-12-01T00:00:00Z",
    ]


def test_approvers_are_admitted_and_dismissed(desk: Desk) -> None:
    directory = desk.home / "resolutions"
    directory.mkdir()
    first = desk.run(
        *("admit-approver", "--id", "anna", "--key", desk.public_key("anna"), "--programme", "prg_1"),
        *("--draft", directory / "0001.json", *desk.sources),
    )
    assert first.code == 0, first
    for name in ("ada", "ben"):
        key = desk.private_key(name)
        assert desk.run(*desk.endorse(name, directory / "0001.json"), "--key", key).code == 0

    assert desk.run("dismiss-approver", "--id", "anna", "--draft", desk.draft, *desk.sources).code == 0

    assert read_document(read_draft(desk.draft).document).number == 2
    gone = desk.run("dismiss-approver", "--id", "boris", "--draft", desk.home / "b.json", *desk.sources)
    refused(gone, "boris is no approver")


# What goes wrong --------------------------------------------------------------------------------------------------


def mistakes(desk: Desk) -> Iterator[tuple[list[str | Path], str]]:
    """A command that cannot be done, and what is said of it."""
    draft, nowhere, empty = desk.draft, desk.home / "nowhere", desk.home / "empty"
    to_draft: list[str | Path] = ["--draft", desk.home / "new.json", *desk.sources]
    junk = desk.file("junk.json", b'{"document": "junk", "signatures": {}}')
    key, other = desk.private_key("ada"), desk.file("rsa.pem", b"-----BEGIN PRIVATE KEY-----\n")
    endorse = desk.endorse("ada")
    of_another_draft = desk.file("ada.sig", signature_by("ada", "another document"))
    register: list[str | Path] = ["register", "--draft", draft, "--custodians", desk.home / "roster.json"]
    retire: list[str | Path] = ["retire", "--key", "identity/v1"]
    admit_: list[str | Path] = ["admit-approver", "--id", "anna", "--key"]
    yield ["read", "--draft", nowhere], "no draft"
    yield ["read", "--draft", empty], "no draft"
    yield ["read", "--draft", desk.home], "no draft"
    yield ["read", "--draft", junk], "no resolution"
    yield ["read", "--draft", draft, "--signed-text", desk.home], "cannot write"
    yield endorse, "--key"
    yield [*endorse, "--key", key, "--signature", key], "--key"
    yield [*endorse, "--key", nowhere], "cannot read"
    yield [*endorse, "--key", empty], "private key"
    yield [*endorse, "--key", other], "private key"
    yield [*endorse, "--key", desk.public_key("ada")], "private key"
    yield [*endorse, "--key", desk.private_key("ben", b"secret")], "private key"
    yield [*endorse, "--key", desk.private_key("cleo")], "the key that the roster has for ada"
    yield [*endorse, "--key", desk.private_key("mallory")], "the key that the roster has for ada"
    yield [*endorse, "--signature", empty], "the key that the roster has for ada"
    yield [*endorse, "--signature", of_another_draft], "the key that the roster has for ada"
    yield [*desk.endorse("mallory"), "--key", desk.private_key("mallory")], "only ada, ben, cleo"
    yield [*endorse, "--key", key, "--passphrase-fd", "999"], "PIN"
    yield [*endorse, "--signature", nowhere], "cannot read"
    yield [*desk.endorse("Ada\n"), "--key", key], "name"
    yield [*desk.endorse("ada", junk), "--key", key], "no resolution"
    yield [*register, "--database-url", NOWHERE], "does not answer"
    yield [*register, "--database-url", "hidden"], "postgresql://ROLE@HOST:PORT/DATABASE"
    yield ["register", "--draft", draft, "--custodians", nowhere, "--database-url", NOWHERE], "cannot read"
    yield ["register", "--draft", draft, "--custodians", empty, "--database-url", NOWHERE], "roster"
    yield [*retire, "--draft", draft], "--database-url or --resolutions"
    yield [*retire, "--draft", draft, "--database-url", NOWHERE], "--custodians"
    yield [*retire, "--draft", draft, "--database-url", NOWHERE, *desk.sources[:2]], "does not answer"
    yield [*retire, "--draft", draft, "--database-url", "hid\udc80den", *desk.sources[:2]], "database URL"
    yield [*retire, *to_draft], "never admitted"
    yield [*admit_, nowhere, *to_draft], "cannot read"
    yield [*admit_, empty, *to_draft], "P-256"
    yield [*admit_, key, *to_draft], "P-256"
    yield [*admit_, desk.file("latin", b"\xff"), *to_draft], "cannot read"
    yield ["admit-approver", "--id", "Anna B", "--key", desk.public_key("anna"), *to_draft], "spelt"
    yield [*admit_, desk.public_key("anna"), "--programme", "p\n", *to_draft], "spelt"
    yield [*admit_, desk.public_key("anna"), *to_draft, "--draft", desk.home / ("n" * 300)], "cannot write"
    yield [*admit_, desk.public_key("anna"), *to_draft, "--draft", draft], "another draft"
    yield ["dismiss-approver", "--id", "\x1b", *to_draft], "spelt"


def test_every_mistake_is_one_line_and_tells_no_secret(drafted_key: Desk) -> None:
    before = drafted_key.draft.read_bytes()

    for arguments, word in mistakes(drafted_key):
        told = drafted_key.run(*arguments)
        refused(told, word)
        assert "hidden" not in told.err
        assert "BEGIN" not in told.err

    assert drafted_key.draft.read_bytes() == before
    assert not (drafted_key.home / "new.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["retire", "--key", "payout"],
        ["retire", "--key", "payout/v0"],
        ["retire", "--key", "root/v1"],
        ["retire", "--key", "payout/v1", "--sign-until", "tomorrow"],
        ["retire", "--key", "payout/v1", "--sign-until", "2026-13-01T00:00:00Z"],
        ["retire", "--key", "payout/v1", "--verify-until", "2026-11-22T12:00:00+01:00"],
        ["rotate", "--purpose", "root"],
        ["rotate", "--purpose", "payout", "--not-before", "0000-01-01T00:00:00Z"],
        ["register", "--draft", "draft.json", "--custodians", "roster.json"],
        ["endorse", "--draft", "draft.json", "--custodian", "ada", "--key", "ada.pem"],
        ["nothing"],
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(desk: Desk, arguments: list[str]) -> None:
    told = desk.run(*arguments)

    assert (told.code, told.out) == (2, "")
    assert "Traceback" not in told.err
    assert " error: " in told.err.splitlines()[-1]


def test_a_wrong_roster_is_seen_when_something_is_drafted(desk: Desk) -> None:
    directory = desk.home / "resolutions"
    write_draft(directory / "0001.json", drafted([admit("identity/v1")], EMPTY, at=NOON))

    told = desk.run(
        "admit-approver",
        "--id",
        "anna",
        "--key",
        desk.public_key("anna"),
        "--draft",
        desk.draft,
        *desk.sources,
    )

    assert told.code == 0
    assert told.err == "enclave: document 1: 0 of 2 custodians have signed it: left out\n"


# On a token -------------------------------------------------------------------------------------------------------


def at_token(token: SoftHsmToken, *arguments: str | Path, pin: str = PIN) -> Told:
    with ExitStack() as stack:
        fd = stack.enter_context(secret_on_a_descriptor(pin))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "enclave", *map(str, arguments)),
                *("--module", token.module, "--token-label", TOKEN_LABEL, "--pin-fd", str(fd)),
                *("--custodians", token.custodians, "--public-keys", token.public_keys),
            ],
            env=token.environment,
            pass_fds=(fd,),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    return Told(done.returncode, done.stdout, done.stderr)


def test_a_rotation_makes_the_next_version_once(token: SoftHsmToken, tmp_path: Path) -> None:
    own = copy_of(token, tmp_path / "own")
    draft = own.resolutions / "0002.json"
    rotate = ("rotate", "--purpose", "access_token", "--draft", draft, "--resolutions", own.resolutions)
    first = at_token(own, *rotate[:4], tmp_path / "draft.json", *rotate[5:])
    again = at_token(own, *rotate[:4], tmp_path / "draft.json", *rotate[5:])

    assert (first.code, again.code) == (0, 0), (first, again)
    assert "keys made: 1" in first.out
    assert "nothing new was made" in again.out
    (tmp_path / "draft.json").rename(draft)
    own.endorse(draft)
    third = at_token(own, *rotate[:4], tmp_path / "draft.json", *rotate[5:])

    assert "access_token/v3" in third.out
    [item] = read_document(read_draft(draft).document).items
    assert isinstance(item, AdmitKey)
    assert item.public_key_pem == (own.public_keys / "access_token-v2.pem").read_text()


@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_purpose_has_a_next_version_that_is_taken_in(
    token: SoftHsmToken, tmp_path: Path, purpose: Purpose
) -> None:
    own = copy_of(token, tmp_path / "own")
    draft = own.resolutions / "0002.json"

    told = at_token(
        own,
        *("rotate", "--purpose", purpose, "--not-before", "2026-01-01T00:00:00Z"),
        *("--draft", tmp_path / "draft.json", "--resolutions", own.resolutions),
    )
    assert told.code == 0, told
    (tmp_path / "draft.json").rename(draft)
    own.endorse(draft)

    with own.serving(tmp_path) as enclave, enclave.client() as client:
        assert client.load_keys().ready == len(Purpose) + 1
        if not algorithm_of(purpose).is_secret:
            assert client.public_keys()[purpose].key_id == f"{purpose}/v2"


def test_what_goes_wrong_at_the_token_is_one_line(token: SoftHsmToken, tmp_path: Path) -> None:
    rotate = ("rotate", "--purpose", "identity", "--draft", tmp_path / "draft.json", "--resolutions")
    elsewhere = SoftHsmToken(tmp_path / "absent.so", token.configuration, token.directory)

    refused(at_token(token, *rotate, token.resolutions, pin="not-the-pin"), "does not take this PIN")
    refused(at_token(elsewhere, *rotate, token.resolutions), "module does not start")
    refused(at_token(token, *rotate, tmp_path / "nowhere"), "no key for identity was admitted")
    assert not (tmp_path / "draft.json").exists()


def test_a_ceremony_that_nobody_has_endorsed_yet_may_be_held_again(bare_token: SoftHsmToken) -> None:
    assert bare_token.hold_ceremony().returncode == 0
    first = bare_token.resolutions / "0001.json"
    document = read_draft(first).document
    first.write_text(json.dumps({"document": document, "signatures": {}}))

    again = bare_token.hold_ceremony()

    assert again.returncode == 0, again.stderr
    assert read_draft(first).document == document
