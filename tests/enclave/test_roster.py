"""The roster: who is a custodian, and whose signatures count as whose."""

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from enclave.roster import Roster, RosterInvalid, is_person_id, p256_key, read_roster, signed_by
from tests.enclave.council import TRIO, pem_of, person, roster_file, roster_of, signature_by

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DOCUMENT = "a document"
MESSAGE = b"tallystick-resolution-v1\na document"


def file_of(custodians: object, threshold: object = 1) -> bytes:
    return json.dumps({"threshold": threshold, "custodians": custodians}).encode()


def public_pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


ADA = pem_of(person("ada"))
BY_ADA = signature_by("ada", DOCUMENT)
PRIVATE = person("ada").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_a_roster_is_read_as_it_was_written() -> None:
    assert read_roster(roster_file(TRIO)) == TRIO


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"threshold": 1}',
        b'{"threshold": NaN, "custodians": {}}',
        b'{"threshold": ' + b"9" * 5000 + b', "custodians": {}}',
        file_of({}),
        file_of({"ada": ADA}, 0),
        file_of({"ada": ADA}, -1),
        file_of({"ada": ADA}, 2),
        file_of({"ada": ADA}, 1.0),
        file_of({"ada": ADA}, "1"),
        file_of({"ada": ADA}, True),
        file_of({"ada": None}),
        file_of({"ada": "key"}),
        file_of({"ada": "\ud800"}),
        file_of({"": ADA}),
        file_of({"Ada": ADA}),
        file_of({"ada\n": ADA}),
        file_of({"ada\x1b[1A": ADA}),
        file_of({"ada": ADA, "twin": ADA}),
        file_of({"ada": ADA, "twin": ADA.replace("\n", "\r\n")}),
        file_of({"ada": PRIVATE}),
        file_of({"ada": public_pem(rsa.generate_private_key(65537, 2048))}),
        file_of({"ada": public_pem(ed25519.Ed25519PrivateKey.generate())}),
        file_of({"ada": public_pem(ec.generate_private_key(ec.SECP384R1()))}),
        file_of({"ada": public_pem(ec.generate_private_key(ec.SECP256K1()))}),
        file_of({f"p{number}": ADA for number in range(21)}),
        roster_file(TRIO)[:-1] + b', "threshold": 1}',
        roster_file(TRIO).replace(b'"ben"', b'"ada"'),
        roster_file(TRIO)[:-1] + b', "more": 1}',
    ],
)
def test_what_is_no_roster_is_refused(data: bytes) -> None:
    with pytest.raises(RosterInvalid) as refused:
        read_roster(data)
    assert str(refused.value).isprintable()


def test_a_curve_that_nobody_knows_is_no_custodians_key() -> None:
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"]
    private = subprocess.run(command, capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, capture_output=True, check=True)

    with pytest.raises(RosterInvalid):
        read_roster(file_of({"ada": public.stdout.decode()}))


@given(st.integers(0, len(roster_file(TRIO)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_seen_in_the_rosters_hash_or_changes_nothing(place: int, change: int) -> None:
    spoilt = bytearray(roster_file(TRIO))
    spoilt[place] ^= change

    try:
        read = read_roster(bytes(spoilt))
    except RosterInvalid:
        return
    assert (read.sha256 == TRIO.sha256) is (decided_by(read) == decided_by(TRIO))


def decided_by(roster: Roster) -> object:
    """The roster apart from how its keys are spelt: by the points on the curve."""
    keys = {name: p256_key(pem) for name, pem in roster.custodians.items()}
    return roster.threshold, {name: key and key.public_numbers() for name, key in keys.items()}


def test_the_hash_is_of_threshold_names_and_keys() -> None:
    others = [
        roster_of("ada", "ben", "cleo", threshold=3),
        roster_of("ada", "ben"),
        Roster(2, {**TRIO.custodians, "dora": TRIO.custodians["cleo"]}),
        Roster(2, {**TRIO.custodians, "cleo": ADA}),
    ]

    assert TRIO.sha256 not in {other.sha256 for other in others}
    assert TRIO.sha256 == roster_of("cleo", "ben", "ada").sha256


# Signatures -------------------------------------------------------------------------------------------------------


def test_openssl_signs_as_custodians_sign(tmp_path: Path) -> None:
    key, text = tmp_path / "ada.pem", tmp_path / "text"
    key.write_text(PRIVATE)
    text.write_bytes(MESSAGE)
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key), str(text)], capture_output=True, check=True
    )

    assert TRIO.endorsers(MESSAGE, {"ada": done.stdout}) == {"ada"}


def test_a_signature_counts_for_its_own_custodian_and_document_only() -> None:
    by_ada = signature_by("ada", DOCUMENT)
    by_mallory = signature_by("mallory", DOCUMENT)

    assert TRIO.endorsers(MESSAGE, {"ada": by_ada, "ben": by_ada, "mallory": by_mallory}) == {"ada"}
    assert TRIO.endorsers(MESSAGE, {"ada": by_mallory, "": by_ada}) == set()
    assert TRIO.endorsers(MESSAGE + b" ", {"ada": by_ada}) == set()
    assert TRIO.endorsers(b"", {"ada": by_ada}) == set()


@given(st.data())
def test_no_changed_bit_of_a_signature_counts(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 8 * len(BY_ADA) - 1))
    spoilt = bytearray(BY_ADA)
    spoilt[place // 8] ^= 1 << place % 8

    assert not signed_by(ADA, message=MESSAGE, signature=bytes(spoilt))


def test_a_signature_has_one_spelling_and_garbage_none() -> None:
    good = signature_by("ada", DOCUMENT)
    r, s = decode_dss_signature(good)
    long_form = bytes([0x30, 0x81, good[1]]) + good[2:]
    padded = bytes([0x30, good[1] + 1, 0x02, good[3] + 1, 0x00]) + good[4:]

    for oddity in (
        b"",
        good + b"\0",
        good[:-1],
        long_form,
        padded,
        b"\x30\x80" + good[2:] + b"\0\0",
        r.to_bytes(32) + s.to_bytes(32),
        encode_dss_signature(r, s + P256_ORDER),
        encode_dss_signature(0, 0),
        encode_dss_signature(r, 0),
        encode_dss_signature(1, 1),
        encode_dss_signature(P256_ORDER, P256_ORDER),
        b"\x30" * 100_000,
    ):
        assert not signed_by(ADA, message=MESSAGE, signature=oddity)


def test_the_mirrored_signature_is_still_one_custodian() -> None:
    r, s = decode_dss_signature(signature_by("ada", DOCUMENT))
    mirrored = encode_dss_signature(r, P256_ORDER - s)

    assert TRIO.endorsers(MESSAGE, {"ada": mirrored}) == {"ada"}


@pytest.mark.parametrize(
    "text", ["", "a" * 65, "A", "1a", "a b", "a\n", "ä", "a\u202eb", "\ud800", "-a", "a/b"]
)
def test_ids_of_people_are_such_as_a_screen_shows(text: str) -> None:
    assert not is_person_id(text)
    assert is_person_id("ada.l_2-x")
