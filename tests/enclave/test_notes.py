"""Signed notes: what verifies, what does not, and a vector that others made."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.notes import Checkpoint, NoteInvalid, sign_off, verifier_key, verify_checkpoint

ORIGIN = "ledger.pay.example/universal"
ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint(origin=ORIGIN, size=20, root=ROOT)
KEY = Ed25519PrivateKey.generate()


def pem_of(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PEM = pem_of(KEY.public_key())


def sign(checkpoint: Checkpoint = CHECKPOINT, key: Ed25519PrivateKey = KEY) -> str:
    signature = key.sign(checkpoint.text().encode())
    return sign_off(checkpoint, signature=signature, public_key_pem=pem_of(key.public_key()))


NOTE = sign()


def test_a_note_is_text_a_blank_line_and_a_signature_line() -> None:
    lines = NOTE.split("\n")

    assert lines[:4] == [ORIGIN, "20", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]


def test_the_key_hash_is_the_one_that_the_format_defines() -> None:
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    expected = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + raw).digest()[:4]

    signed = base64.b64decode(NOTE.split("\n")[4].rpartition(" ")[2])
    assert signed[:4] == expected
    encoded = base64.b64encode(b"\x01" + raw).decode()
    assert verifier_key(ORIGIN, PEM) == f"{ORIGIN}+{expected.hex()}+{encoded}"


def test_the_verifier_reads_a_published_example() -> None:
    # The example of the note format's reference implementation, golang.org/x/mod/sumdb/note.
    name, key_hash, encoded = (
        "PeterNeumann",
        "c74f20a3",
        "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    )
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])

    assert verifier_key(name, pem_of(key)) == f"{name}+{key_hash}+{encoded}"


def test_a_signed_checkpoint_verifies() -> None:
    assert verify_checkpoint(NOTE, origin=ORIGIN, public_key_pem=PEM) == CHECKPOINT


def test_an_empty_log_has_a_checkpoint() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=ROOT)

    assert verify_checkpoint(sign(empty), origin=ORIGIN, public_key_pem=PEM) == empty


def test_a_witness_may_sign_beside_us() -> None:
    witness = f"— witness.example {base64.b64encode(b'x' * 68).decode()}\n"

    assert verify_checkpoint(NOTE + witness, origin=ORIGIN, public_key_pem=PEM) == CHECKPOINT


def test_the_signature_of_another_key_does_not_count() -> None:
    with pytest.raises(NoteInvalid):
        verify_checkpoint(sign(key=Ed25519PrivateKey.generate()), origin=ORIGIN, public_key_pem=PEM)


def test_a_checkpoint_of_another_origin_does_not_count() -> None:
    other = Checkpoint(origin="other.example", size=20, root=ROOT)
    note = sign(other)

    with pytest.raises(NoteInvalid):
        verify_checkpoint(note, origin=ORIGIN, public_key_pem=PEM)


def test_another_origin_over_our_own_key_name_does_not_count() -> None:
    text = Checkpoint(origin="other.example", size=20, root=ROOT).text()
    line = NOTE.split("\n")[4]
    key_hash = base64.b64decode(line.rpartition(" ")[2])[:4]
    signed = base64.b64encode(key_hash + KEY.sign(text.encode())).decode()

    with pytest.raises(NoteInvalid, match="origin"):
        verify_checkpoint(f"{text}\n— {ORIGIN} {signed}\n", origin=ORIGIN, public_key_pem=PEM)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "- not a signature line\n",
        NOTE.replace("20", "020"),
        NOTE.replace("20", "21"),
        NOTE.split("\n\n", maxsplit=1)[0] + "\n",
        NOTE + NOTE.split("\n")[4] * 2 + "\n",
        "x" * 70_000,
    ],
)
def test_what_is_not_our_note_is_refused(note: str) -> None:
    with pytest.raises(NoteInvalid):
        verify_checkpoint(note, origin=ORIGIN, public_key_pem=PEM)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(NOTE) - 1), character=st.characters())
def test_no_character_of_a_note_can_change(place: int, character: str) -> None:
    changed = NOTE[:place] + character + NOTE[place + 1 :]

    if changed == NOTE:
        assert verify_checkpoint(changed, origin=ORIGIN, public_key_pem=PEM) == CHECKPOINT
    else:
        with pytest.raises(NoteInvalid):
            verify_checkpoint(changed, origin=ORIGIN, public_key_pem=PEM)
