"""The one kind of JWE that is read: against its RFCs, other implementations, and the ways in which they are spoilt."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from enclave.jwe import JWE_CHARS_MAX, JweRefused, decrypt, derive_key, encrypt, jwk_of, key_id_of
from tests.enclave.mutations import altered_bytes, altered_text, altered_tree, spell

KEY_ID = "card_intake/v1"
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
MUTATIONS = 4_000
SEED = 20_261_122


def agree(peer_point: bytes) -> bytes:
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer_point)
    return PRIVATE.exchange(ec.ECDH(), peer)


def opened(jwe: str) -> bytes:
    return decrypt(jwe, agree, key_id=KEY_ID)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def un64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sealed(
    header: Any, plaintext: bytes = b"{}", *, ephemeral: ec.EllipticCurvePrivateKey | None = None
) -> str:
    """A JWE by primitives alone, under whatever header: it opens if the header is accepted."""
    ours = ephemeral or EPHEMERAL
    shared = ours.exchange(ec.ECDH(), PRIVATE.public_key())
    kdf = ConcatKDFHash(hashes.SHA256(), 32, b"\0\0\0\x07A256GCM" + bytes(8) + b"\0\0\1\0")
    text = b64(header if isinstance(header, bytes) else json.dumps(header).encode())
    nonce = os.urandom(12)
    both = AESGCM(kdf.derive(shared)).encrypt(nonce, plaintext, text.encode())
    return ".".join((text, "", b64(nonce), b64(both[:-16]), b64(both[-16:])))


EPHEMERAL = ec.generate_private_key(ec.SECP256R1())
HEADER: dict[str, Any] = {
    "alg": "ECDH-ES",
    "enc": "A256GCM",
    "epk": jwk_of(EPHEMERAL.public_key()),
    "kid": KEY_ID,
}


def test_the_key_of_rfc_7518_appendix_c_is_derived() -> None:
    shared = bytes([
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156,
        251, 49, 110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ])  # fmt: skip

    derived = derive_key(shared, algorithm="A128GCM", key_bits=128, party_u=b"Alice", party_v=b"Bob")

    assert b64(derived) == "VqqN6vgjbSBcIijNcacQGg"


def test_the_agreement_of_rfc_7518_appendix_c_is_ours_too() -> None:
    numbers = ec.EllipticCurvePrivateNumbers(
        int.from_bytes(un64("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw")),
        ec.EllipticCurvePublicNumbers(
            int.from_bytes(un64("weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ")),
            int.from_bytes(un64("e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck")),
            ec.SECP256R1(),
        ),
    )
    alice = b"\x04" + un64("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0")
    alice += un64("SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps")

    shared = numbers.private_key().exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), alice)
    )

    derived = derive_key(shared, algorithm="A128GCM", key_bits=128, party_u=b"Alice", party_v=b"Bob")
    assert b64(derived) == "VqqN6vgjbSBcIijNcacQGg"


@given(shared=st.binary(min_size=32, max_size=32))
def test_our_derivation_is_that_of_another_implementation(shared: bytes) -> None:
    about = b"\0\0\0\x07A256GCM" + bytes(8) + b"\0\0\1\0"
    theirs = ConcatKDFHash(hashes.SHA256(), 32, about).derive(shared)

    assert derive_key(shared, algorithm="A256GCM", key_bits=256) == theirs


@given(plaintext=st.binary(min_size=1, max_size=300))
def test_what_is_encrypted_opens(plaintext: bytes) -> None:
    jwe = encrypt(plaintext, PEM, KEY_ID)

    assert key_id_of(jwe) == KEY_ID
    assert opened(jwe) == plaintext


def test_what_others_spell_out_by_primitives_opens() -> None:
    assert opened(sealed(HEADER, b"by hand")) == b"by hand"
    assert opened(sealed(dict(reversed(HEADER.items())), b"in another order")) == b"in another order"


def test_what_we_encrypt_opens_with_openssl_doing_the_agreement(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None, "this test needs OpenSSL"
    ours = tmp_path / "private.pem"
    ours.write_bytes(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def agree_by_openssl(peer_point: bytes) -> bytes:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer_point)
        theirs = tmp_path / "peer.pem"
        theirs.write_bytes(peer.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        command = [openssl, "pkeyutl", "-derive", "-inkey", str(ours), "-peerkey", str(theirs)]
        return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout

    assert decrypt(encrypt(b"to openssl", PEM, KEY_ID), agree_by_openssl, key_id=KEY_ID) == b"to openssl"


def test_no_two_are_alike() -> None:
    made = [encrypt(b"the same", PEM, KEY_ID).split(".") for _ in range(200)]

    for segment in (0, 2, 3, 4):
        assert len({parts[segment] for parts in made}) == 200


def test_it_opens_for_its_own_key_only() -> None:
    jwe = encrypt(b"secret", PEM, KEY_ID)
    other = ec.generate_private_key(ec.SECP256R1())

    def agree_with_another_key(peer_point: bytes) -> bytes:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer_point)
        return other.exchange(ec.ECDH(), peer)

    with pytest.raises(JweRefused):
        decrypt(jwe, agree_with_another_key, key_id=KEY_ID)
    with pytest.raises(JweRefused):
        decrypt(jwe, agree, key_id="card_intake/v2")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in HEADER.items() if key != name}


def epk(**changes: Any) -> dict[str, Any]:
    return HEADER | {"epk": {**HEADER["epk"], **changes}}


@pytest.mark.parametrize(
    "header",
    [
        *(without(name) for name in HEADER),
        HEADER | {"alg": "ECDH-ES+A256KW"},
        HEADER | {"alg": "dir"},
        HEADER | {"alg": "none"},
        HEADER | {"alg": "RSA-OAEP-256"},
        HEADER | {"enc": "A128GCM"},
        HEADER | {"enc": "A256CBC-HS512"},
        HEADER | {"enc": None},
        HEADER | {"zip": "DEF"},
        HEADER | {"crit": []},
        HEADER | {"apu": "QWxpY2U"},
        HEADER | {"apv": ""},
        HEADER | {"jku": "https://elsewhere.example"},
        HEADER | {"typ": "JWE"},
        HEADER | {"kid": ""},
        HEADER | {"kid": 1},
        HEADER | {"kid": "k" * 65},
        HEADER | {"epk": None},
        HEADER | {"epk": "P-256"},
        epk(crv="P-384"),
        epk(kty="OKP"),
        epk(d="AAAA"),
        epk(x=""),
        epk(y=HEADER["epk"]["x"]),
        epk(x=b64(bytes(32)), y=b64(bytes(32))),
        epk(x=HEADER["epk"]["x"] + "="),
        epk(x=7),
        json.dumps(HEADER).replace('"alg"', '"alg": "ECDH-ES", "alg"', 1).encode(),
        b"[]",
        b"null",
        b"\xff",
        b"",
        b"[" * 900,
    ],
)  # fmt: skip
def test_a_header_that_is_not_exactly_ours_is_refused(header: Any) -> None:
    with pytest.raises(JweRefused):
        opened(sealed(header))


def test_a_point_of_another_curve_is_refused_before_anything_agrees_with_it() -> None:
    asked: list[bytes] = []

    def agree_and_tell(peer_point: bytes) -> bytes:
        asked.append(peer_point)
        return bytes(32)

    # On y^2 = x^3 - 3x + b' for another b': the invalid curve attack.
    for x in range(1, 60):
        header = epk(x=b64(x.to_bytes(32)), y=b64((x + 1).to_bytes(32)))
        with pytest.raises(JweRefused):
            decrypt(sealed(header), agree_and_tell, key_id=KEY_ID)
    assert asked == []


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[:4],
        lambda parts: [*parts, ""],
        lambda parts: [parts[0], "AAAA", *parts[2:]],
        lambda parts: [parts[0], parts[1], b64(bytes(16)), *parts[3:]],
        lambda parts: [parts[0], parts[1], "", *parts[3:]],
        lambda parts: [*parts[:3], "", parts[4]],
        lambda parts: [*parts[:4], parts[4][:16]],
        lambda parts: [*parts[:4], parts[4] + "=="],
        lambda parts: [*parts[:4], parts[4] + "\n"],
        lambda parts: [parts[0] + "=", *parts[1:]],
        lambda parts: [*parts[:3], "A" * JWE_CHARS_MAX, parts[4]],
        lambda parts: [],
    ],
)
def test_segments_of_another_form_are_refused(change: Callable[[list[str]], list[str]]) -> None:
    parts = encrypt(b"secret", PEM, KEY_ID).split(".")

    with pytest.raises(JweRefused):
        opened(".".join(change(parts)))


def test_every_flipped_bit_is_refused() -> None:
    parts = encrypt(b"4111111111111111", PEM, KEY_ID).split(".")

    for segment in (0, 2, 3, 4):
        raw = un64(parts[segment])
        for bit in range(len(raw) * 8):
            flipped = bytearray(raw)
            flipped[bit // 8] ^= 1 << bit % 8
            spoilt = [*parts[:segment], b64(bytes(flipped)), *parts[segment + 1 :]]
            with pytest.raises(JweRefused):
                opened(".".join(spoilt))


def altered_octets(dice: Random, raw: bytes) -> bytes:
    at = dice.randrange(len(raw) + 1)
    return raw[:at] + dice.randbytes(dice.randrange(3)) + raw[at + dice.randrange(3) :]


def spoilt(dice: Random, jwe: str) -> str:
    """One random change: of the text, of a segment's bytes, of the header's JSON, or of the order of the parts."""
    parts = jwe.split(".")
    at = dice.randrange(len(parts))
    match dice.randrange(5):
        case 0:
            return altered_text(dice, jwe)
        case 1:
            return ".".join([*parts[:at], altered_text(dice, parts[at]), *parts[at + 1 :]])
        case 2:
            # Only the header is text.
            raw = altered_bytes(dice, un64(parts[0])) if at == 0 else altered_octets(dice, un64(parts[at]))
            return ".".join([*parts[:at], b64(raw), *parts[at + 1 :]])
        case 3:
            header = spell(
                altered_tree(dice, json.loads(un64(parts[0]))), dice if dice.random() < 0.5 else None
            )
            return ".".join([b64(header.encode("utf-8", "replace")), *parts[1:]])
        case _:
            dice.shuffle(parts)
            return ".".join(parts)


def test_no_spoilt_jwe_opens() -> None:
    dice = Random(SEED)
    jwes = [encrypt(f"card {number}".encode(), PEM, KEY_ID) for number in range(20)]
    changed = 0

    while changed < MUTATIONS:
        jwe = dice.choice(jwes)
        other = spoilt(dice, jwe)
        if other in jwes:
            continue
        changed += 1
        with pytest.raises(JweRefused):
            opened(other)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_a_recipient_on_another_curve_is_not_encrypted_to(curve: ec.EllipticCurve) -> None:
    public = ec.generate_private_key(curve).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(ValueError, match="P-256"):
        encrypt(b"secret", pem, KEY_ID)
