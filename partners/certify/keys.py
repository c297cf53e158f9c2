"""The keys by which the kit's bank signs its notices: made for one run and thrown away with it."""

from dataclasses import dataclass
from typing import assert_never

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from partners.contract import NoticeKey, Sign


@dataclass(frozen=True, slots=True)
class Pair:
    """A key to sign with, and what verifies it."""

    sign: Sign
    public_pem: bytes


def make_pair(kind: NoticeKey) -> Pair:
    """A new pair of the kind that a bank uses."""
    match kind:
        case NoticeKey.RSA_SHA256:
            by_rsa = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
            return Pair(lambda content: by_rsa.sign(content, PKCS1v15(), SHA256()), _pem(by_rsa.public_key()))
        case NoticeKey.ECDSA_P256_SHA256:
            by_curve = ec.generate_private_key(ec.SECP256R1())
            return Pair(
                lambda content: by_curve.sign(content, ec.ECDSA(SHA256())), _pem(by_curve.public_key())
            )
        case NoticeKey.ED25519:
            by_edwards = ed25519.Ed25519PrivateKey.generate()
            return Pair(by_edwards.sign, _pem(by_edwards.public_key()))
        case NoticeKey.NONE:
            return Pair(lambda _: b"", b"")
        case _:
            assert_never(kind)


def _pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
