"""Attestations: one that is fresh, whole and of the pinned enclave passes; any other is refused, and says in what."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from enclave import canonical
from enclave.attestation import (
    AGE_MAX,
    PREFIX,
    AttestationRefused,
    Statement,
    pins_of,
    read_attestation,
    verify_attestation,
)
from enclave.client import EnclaveClient, EnclaveRefused
from enclave.keys import Purpose
from enclave.log import audit, read_log
from enclave.measurement import Measurement
from enclave.pinned_hashes import Pins, PinsUnreadable, read_pins, write_pins
from enclave.protocol import Attestation
from tests.enclave.attesting import (
    KEYRING,
    MEASUREMENT,
    NONCE,
    NOW,
    OTHER_KEYRING,
    PINS,
    STATEMENT,
    attestation_of,
    attesting_enclave,
    keys_of,
    pins,
    signed,
)
from tests.enclave.rings import first, public_pem

MEMBERS: Mapping[str, canonical.JsonValue] = json.loads(STATEMENT.text())


def refused(attestation: Attestation, *, pins: Pins = PINS, nonce: bytes = NONCE, now: datetime = NOW) -> str:
    with pytest.raises(AttestationRefused) as error:
        verify_attestation(attestation, pins=pins, nonce=nonce, now=now)
    return str(error.value)


def test_an_attestation_that_is_fresh_whole_and_of_the_pinned_enclave_passes() -> None:
    attestation = attestation_of()

    assert verify_attestation(attestation, pins=PINS, nonce=NONCE, now=NOW) == STATEMENT
    assert read_attestation(attestation, nonce=NONCE, now=NOW) == STATEMENT
    assert pins_of(attestation, STATEMENT) == PINS


def test_the_statement_is_the_json_that_the_decision_describes() -> None:
    assert set(MEMBERS) == {"format", "nonce", "measurement", "keys", "boot", "log", "at"}
    assert MEMBERS["format"] == "tallystick-attestation-v1"
    assert MEMBERS["measurement"] == asdict(MEASUREMENT)
    assert MEMBERS["log"] == {"count": 17, "hash": "ab" * 32}
    assert MEMBERS["at"] == "2026-11-22T09:30:00.000000+00:00"
    assert [key.key_id for key in STATEMENT.keys] == sorted(f"{purpose}/v1" for purpose in Purpose)


@pytest.mark.parametrize("hash_name", [field.name for field in fields(Measurement)])
def test_each_hash_that_differs_is_named_and_no_other(hash_name: str) -> None:
    other = replace(MEASUREMENT, **{hash_name: "00" * 32})

    said = refused(attestation_of(replace(STATEMENT, measurement=other)))

    assert said.startswith(f"another than pinned: {hash_name.removesuffix('_sha256')} (pinned ")
    named = [field.name for field in fields(Pins) if f"{field.name.removesuffix('_sha256')} (" in said]
    assert named == [hash_name]


def test_all_hashes_that_differ_are_named() -> None:
    said = refused(attestation_of(), pins=pins(code_sha256="00" * 32, identity_sha256="11" * 32))

    assert "code (pinned 0000000000000000, found c0c0c0c0c0c0c0c0)" in said
    assert "identity (pinned 1111111111111111, found " in said


def test_another_identity_key_is_refused() -> None:
    statement = replace(STATEMENT, keys=keys_of(OTHER_KEYRING))

    assert refused(attestation_of(statement, keyring=OTHER_KEYRING)).startswith(
        "another than pinned: identity ("
    )


def test_a_statement_by_a_key_that_the_enclave_does_not_list_is_refused() -> None:
    assert "does not list" in refused(attestation_of(STATEMENT, keyring=OTHER_KEYRING))


def test_a_signature_by_another_key_under_the_pinned_keys_name_is_refused() -> None:
    forged = attestation_of(STATEMENT, keyring=OTHER_KEYRING)

    assert "not signed" in refused(replace(forged, identity_pem=public_pem(KEYRING, Purpose.IDENTITY)))


@pytest.mark.parametrize("purpose", [Purpose.PAYOUT, Purpose.BANK, Purpose.ACCESS_TOKEN, Purpose.REPORT])
def test_no_key_of_another_purpose_can_attest(purpose: Purpose) -> None:
    forged = Attestation(
        statement=STATEMENT.text(),
        signature=KEYRING.backend.sign(first(purpose), STATEMENT.signed_bytes()),
        identity_pem=public_pem(KEYRING, purpose),
    )

    assert refused(forged) in {
        "the attestation is not signed by the key that came with it",
        "the attestation is signed by a key that the enclave does not list as its identity",
    }


@pytest.mark.parametrize("pem", ["", "no key", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_a_key_that_is_none_is_refused(pem: str) -> None:
    assert "not signed" in refused(replace(attestation_of(), identity_pem=pem))


def test_an_attestation_for_another_nonce_is_refused() -> None:
    assert "another nonce" in refused(attestation_of(), nonce=bytes(32))


@pytest.mark.parametrize("seconds", [-1, 1])
def test_a_statement_is_good_for_two_minutes_and_no_longer(seconds: int) -> None:
    edge = NOW + seconds * AGE_MAX

    assert verify_attestation(attestation_of(), pins=PINS, nonce=NONCE, now=edge) == STATEMENT
    late = edge + timedelta(microseconds=seconds)
    assert "not of now" in refused(attestation_of(), now=late)


@pytest.mark.parametrize("place", range(0, len(STATEMENT.text()), 7))
def test_no_byte_of_a_signed_statement_can_be_changed(place: int) -> None:
    text = bytearray(STATEMENT.text())
    text[place] ^= 1

    assert "not signed" in refused(replace(attestation_of(), statement=bytes(text)))


def test_a_signature_without_the_prefix_is_refused() -> None:
    assert "not signed" in refused(signed(STATEMENT.text(), prefix=b""))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    signature = (attestation_of().signature * 2)[:length]

    assert "not signed" in refused(replace(attestation_of(), signature=signature))


@pytest.mark.parametrize(
    "text",
    [
        STATEMENT.text() + b" ",
        json.dumps(MEMBERS).encode(),
        json.dumps(MEMBERS, separators=(",", ":")).encode()[:-1] + b',"boot":4}',
        STATEMENT.text().replace(b'"boot":3', b'"boot":3,"boot":3'),
        STATEMENT.text().replace(b'"boot":3', b'"boot":"3"'),
        STATEMENT.text().replace(b'"boot":3', b'"boot":3.0'),
        STATEMENT.text().replace(b'"boot":3', b'"boot":true'),
        STATEMENT.text().replace(b"+00:00", b"Z"),
        STATEMENT.text().replace(b"09:30:00.000000+00:00", b"10:30:00.000000+01:00"),
        STATEMENT.text().replace(b"+00:00", b""),
        canonical.encode({**MEMBERS, "more": 1}),
        canonical.encode({**MEMBERS, "measurement": {**asdict(MEASUREMENT), "more": "x"}}),
        canonical.encode({**MEMBERS, "format": "tallystick-attestation-v2"}),
        canonical.encode({**MEMBERS, "nonce": "AAA"}),
        canonical.encode({**MEMBERS, "at": "0001-01-01T00:00:00.000000+14:00"}),
        canonical.encode({**MEMBERS, "at": 0}),
        canonical.encode({**MEMBERS, "keys": {}}),
        *(
            canonical.encode({key: value for key, value in MEMBERS.items() if key != name})
            for name in MEMBERS
        ),
        b"[]",
        b"",
        b"\xff",
    ],
)
def test_a_statement_in_another_spelling_is_refused_even_if_it_is_signed(text: bytes) -> None:
    said = refused(signed(text, prefix=PREFIX))

    assert said.startswith("the statement ")


def test_openssl_and_cryptography_verify_what_we_sign(tmp_path: Path) -> None:
    attestation = attestation_of()
    half = len(attestation.signature) // 2
    der = encode_dss_signature(
        int.from_bytes(attestation.signature[:half]), int.from_bytes(attestation.signature[half:])
    )
    message = b"tallystick-attestation-v1\n" + attestation.statement
    files = {"key.pem": attestation.identity_pem.encode(), "signature": der, "message": message}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    key = load_pem_public_key(attestation.identity_pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(der, message, ec.ECDSA(hashes.SHA256()))
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(spki).hexdigest() == PINS.identity_sha256
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.stdout == "Verified OK\n"


def attested(socket_path: Path, nonce: bytes = NONCE) -> Statement:
    with EnclaveClient(socket_path) as client:
        return read_attestation(client.attest(nonce), nonce=nonce, now=NOW)


def test_the_enclave_says_what_it_measured_its_keys_its_starts_and_where_its_log_ends(
    tmp_path: Path,
) -> None:
    with attesting_enclave(tmp_path):
        pass
    with attesting_enclave(tmp_path) as socket_path:
        statement = attested(socket_path)
        ended = audit(tmp_path / "signing.log")

    assert statement == replace(STATEMENT, boot=2, log=ended)
    assert ended.count == 5


def test_each_attestation_is_in_the_log_before_it_is_given(tmp_path: Path) -> None:
    with attesting_enclave(tmp_path) as socket_path:
        first, second = attested(socket_path), attested(socket_path, bytes(32))
    records = list(read_log(tmp_path / "signing.log"))

    told = [(str(record.entry.kind), record.entry.purpose) for record in records]
    assert told == [
        ("started", "enclave"),
        ("keys_loaded", "keys"),
        ("granted", "attestation"),
        ("granted", "attestation"),
    ]
    assert [record.hash for record in records[2:]] == [first.log.hash, second.log.hash]
    assert records[2].entry.facts["nonce"] == NONCE.hex()
    assert records[2].entry.facts["key_id"] == "identity/v1"


@pytest.mark.parametrize("nonce", [b"", bytes(31), bytes(33)])
def test_a_nonce_of_another_length_is_not_answered(tmp_path: Path, nonce: bytes) -> None:
    with (
        attesting_enclave(tmp_path) as socket_path,
        EnclaveClient(socket_path) as client,
        pytest.raises(EnclaveRefused) as error,
    ):
        client.attest(nonce)
    assert error.value.code == "message_fields_refused"


def test_an_enclave_that_was_not_measured_does_not_attest(tmp_path: Path) -> None:
    with (
        attesting_enclave(tmp_path, measurement=None) as socket_path,
        EnclaveClient(socket_path) as client,
        pytest.raises(EnclaveRefused) as error,
    ):
        client.attest(NONCE)
    assert error.value.code == "not_measured"


def test_pins_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_pins(tmp_path / "pins.json", PINS)

    assert read_pins(tmp_path / "pins.json") == PINS
    assert [file.name for file in tmp_path.iterdir()] == ["pins.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        json.dumps({**asdict(PINS), "more": "00" * 32}).encode(),
        json.dumps({**asdict(PINS), "code_sha256": "C0" * 32}).encode(),
        json.dumps({**asdict(PINS), "code_sha256": "c0" * 31}).encode(),
        json.dumps({**asdict(PINS), "code_sha256": None}).encode(),
        json.dumps(asdict(PINS)).encode()[:-1] + b', "code_sha256": "' + b"c0" * 32 + b'"}',
        json.dumps({**asdict(PINS), "policy_sha256": "b0" * 32 + "\n"}).encode(),
    ],
)
def test_a_file_that_does_not_hold_exactly_the_pins_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pins.json").write_bytes(content)

    with pytest.raises(PinsUnreadable, match=r"pins\.json"):
        read_pins(tmp_path / "pins.json")


def test_a_missing_file_of_pins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PinsUnreadable, match="No such file"):
        read_pins(tmp_path / "pins.json")
