"""Drafts: files that gather signatures on their way, and what becomes of those that were spoilt."""

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from enclave.backends.software import SoftwareKeys
from enclave.drafts import (
    DraftedResolutions,
    DraftInvalid,
    admissions,
    drafted,
    endorse,
    read_draft,
    signature_of,
    write_draft,
)
from enclave.keys import Purpose
from enclave.resolutions import (
    EMPTY,
    Register,
    ResolutionInvalid,
    ResolutionsUnavailable,
    read_document,
    register_of,
    resolved,
)
from tests.enclave.council import NOON, SECOND, TRIO, admit, approver, person, retire

PRIVATE = person("ada").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0001.json"


def written(path: Path, *names: str, register: Register = EMPTY) -> None:
    """A draft that these have endorsed."""
    write_draft(path, drafted([admit(f"identity/v{register.head.number + 1}")], register, at=NOON))
    endorsed_by(path, *names)


def endorsed_by(path: Path, *names: str) -> None:
    for name in names:
        key = person(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        endorse(path, name, signature_of(read_draft(path), key, passphrase=None))


def test_a_draft_gathers_signatures_and_counts(path: Path) -> None:
    written(path, "ada")
    assert register_of([read_draft(path)], TRIO).keys == {}

    written(path, "cleo")

    assert list(read_draft(path).signatures) == ["ada", "cleo"]
    assert len(resolved(EMPTY, read_draft(path), TRIO).keys) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_custodian_may_sign_again_in_place_of_his_earlier_signature(path: Path) -> None:
    written(path, "ada")

    endorse(path, "ada", b"changed his mind")

    assert read_draft(path).signatures == {"ada": b"changed his mind"}


def test_the_same_draft_again_keeps_its_signatures(path: Path) -> None:
    written(path, "ada")
    before = path.read_bytes()

    write_draft(path, drafted([admit("identity/v1")], EMPTY, at=NOON + SECOND))

    assert path.read_bytes() == before


def test_keys_that_begin_at_another_time_are_the_same_only_if_nobody_named_the_time(path: Path) -> None:
    written(path, "ada")
    later = drafted([admit("identity/v1", not_before=NOON + SECOND)], EMPTY, at=NOON)

    with pytest.raises(DraftInvalid, match="another draft"):
        write_draft(path, later)
    write_draft(path, later, at_any_time=True)

    assert list(read_draft(path).signatures) == ["ada"]
    with pytest.raises(DraftInvalid, match="another draft"):
        write_draft(path, drafted([admit("identity/v2")], EMPTY, at=NOON), at_any_time=True)


def test_a_draft_that_can_no_longer_follow_is_not_taken_for_the_next(path: Path, tmp_path: Path) -> None:
    written(path, "ada", "ben")
    elsewhere = tmp_path / "elsewhere.json"
    write_draft(elsewhere, drafted([approver("anna")], EMPTY, at=NOON))

    with pytest.raises(DraftInvalid, match="another draft"):
        write_draft(elsewhere, drafted([approver("anna")], register_of([read_draft(path)], TRIO), at=NOON))


@pytest.mark.parametrize("item", [retire("identity/v1", NOON), approver("anna", key_of="boris")])
def test_what_could_never_count_is_not_drafted(item: object) -> None:
    items = [approver("boris"), item]

    with pytest.raises(ResolutionInvalid):
        drafted(items, EMPTY, at=NOON)  # type: ignore[arg-type]  # either is an item


SPOILT = [
    b"",
    b"{}",
    b"[]",
    b"\xff",
    b"[" * 100_000,
    b'{"document": "x", "signatures": {}, "signatures": {}}',
    b'{"document": "x", "signatures": NaN}',
    b'{"document": 1, "signatures": {}}',
    b'{"document": "x", "signatures": []}',
    b'{"document": "x", "signatures": {"ada": 1}}',
    b'{"document": "x", "signatures": {"ada": "YQ"}}',
    b'{"document": "x", "signatures": {"ada": "YQ==\\n"}}',
    b'{"document": "x", "signatures": {"ada": "\\ud800"}}',
    b'{"document": "x", "signatures": {"": ""}}',
    b'{"document": "x", "signatures": {"ada\\u001b[2K": ""}}',
    b'{"document": "x", "signatures": {"ada\\nresolution 1": ""}}',
    b'{"document": "\\ud800", "signatures": {}}',
]


@pytest.mark.parametrize("data", SPOILT)
def test_what_is_no_draft_is_refused_wherever_it_is_read(path: Path, data: bytes) -> None:
    path.write_bytes(data)

    with pytest.raises(DraftInvalid):
        endorse(path, "ada", b"")
    with pytest.raises(DraftInvalid):
        write_draft(path, drafted([admit("identity/v1")], EMPTY, at=NOON))
    with pytest.raises(ResolutionsUnavailable):
        DraftedResolutions(path.parent).all()
    assert path.read_bytes() == data


def test_a_place_where_no_draft_can_be_is_refused(tmp_path: Path) -> None:
    draft = drafted([admit("identity/v1")], EMPTY, at=NOON)
    file = tmp_path / "file"
    file.touch()

    for place in (tmp_path, file / "draft.json", tmp_path / ("n" * 300), Path("/proc/no/draft.json")):
        with pytest.raises(DraftInvalid):
            write_draft(place, draft)
        with pytest.raises(DraftInvalid):
            read_draft(place)


@pytest.mark.parametrize("name", ["", "Ada", "ada ", "ada\n", "\ud800"])
def test_nobody_endorses_under_a_name_that_no_custodian_has(path: Path, name: str) -> None:
    written(path)

    with pytest.raises(DraftInvalid):
        endorse(path, name, b"")


# A person's key ---------------------------------------------------------------------------------------------------


def generated(*arguments: str) -> bytes:
    command = ["openssl", "genpkey", "-algorithm", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\n",
        PRIVATE[:-40],
        generated("EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        generated("EC", "-pkeyopt", "ec_paramgen_curve:SM2"),
        generated("ED25519"),
        generated("RSA"),
    ],
)
def test_only_a_p256_key_signs_and_nothing_is_told_of_another(path: Path, key: bytes) -> None:
    written(path)

    with pytest.raises(DraftInvalid) as refused:
        signature_of(read_draft(path), key, passphrase=None)
    assert refused.value.__cause__ is None


def test_a_key_under_a_passphrase_opens_with_it_alone(path: Path) -> None:
    written(path)
    locked = person("ada").private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"correct horse")
    )

    for passphrase in (None, b"", b"battery staple"):
        with pytest.raises(DraftInvalid) as refused:
            signature_of(read_draft(path), locked, passphrase=passphrase)
        assert "battery" not in str(refused.value)
    with pytest.raises(DraftInvalid):
        signature_of(read_draft(path), PRIVATE, passphrase=b"not needed")
    assert signature_of(read_draft(path), locked, passphrase=b"correct horse")


# Keys and directories ---------------------------------------------------------------------------------------------


def test_keys_that_were_admitted_are_not_drafted_again(path: Path) -> None:
    keys = SoftwareKeys.generate()
    write_draft(path, drafted(admissions(keys.identities(), EMPTY, not_before=NOON), EMPTY, at=NOON))
    assert len(read_document(read_draft(path).document).items) == len(Purpose)

    endorsed_by(path, "ada", "ben")
    register = register_of([read_draft(path)], TRIO)

    assert admissions(keys.identities(), register, not_before=NOON) == ()


def test_a_directory_is_as_good_as_a_table(tmp_path: Path) -> None:
    directory = tmp_path / "resolutions"
    kept = DraftedResolutions(directory)
    assert list(kept.all()) == []

    written(directory / "0001.json", "ada", "ben")
    written(directory / "0002.json", "ben", "cleo", register=register_of(kept.all(), TRIO))
    (directory / "0003.new").write_text("half a draft")

    assert register_of(kept.all(), TRIO).head.number == 2
    (directory / "0001.json").unlink()
    assert register_of(kept.all(), TRIO).head.number == 0


def test_a_draft_is_json_for_people_to_look_at(path: Path) -> None:
    written(path, "ada")

    assert set(json.loads(path.read_text())) == {"document", "signatures"}
    assert path.read_text().endswith("}\n")
