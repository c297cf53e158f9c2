"""Keys in this process's memory, for development and for tests that must not touch a token.

Made anew at every start and gone at its end. Not for production: the command line refuses the combination.
"""

from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.keys import RSA_BITS, Purpose

_COORDINATE_BYTES = 32


class SoftwareKeys:
    """One fresh key a purpose."""

    def __init__(
        self,
        *,
        bank: rsa.RSAPrivateKey,
        access_token: ec.EllipticCurvePrivateKey,
        checkpoint: Ed25519PrivateKey,
        export: Ed25519PrivateKey,
        identity: ec.EllipticCurvePrivateKey,
    ) -> None:
        self._bank = bank
        self._access_token = access_token
        self._checkpoint = checkpoint
        self._export = export
        self._identity = identity

    @classmethod
    def generate(cls) -> Self:
        """Make the keys."""
        return cls(
            bank=rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS),
            access_token=ec.generate_private_key(ec.SECP256R1()),
            checkpoint=Ed25519PrivateKey.generate(),
            export=Ed25519PrivateKey.generate(),
            identity=ec.generate_private_key(ec.SECP256R1()),
        )

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """Sign with the purpose's key; ES256 answers r||s."""
        match purpose:
            case Purpose.BANK:
                return self._bank.sign(message, padding.PKCS1v15(), hashes.SHA256())
            case Purpose.ACCESS_TOKEN:
                return _raw(self._access_token.sign(message, ec.ECDSA(hashes.SHA256())))
            case Purpose.CHECKPOINT:
                return self._checkpoint.sign(message)
            case Purpose.EXPORT:
                return self._export.sign(message)
            case Purpose.IDENTITY:
                return _raw(self._identity.sign(message, ec.ECDSA(hashes.SHA256())))

    def public_key_pem(self, purpose: Purpose) -> str:
        """The public half of the purpose's key, SubjectPublicKeyInfo in PEM."""
        return (
            self._key(purpose)
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def _key(self, purpose: Purpose) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey:
        match purpose:
            case Purpose.BANK:
                return self._bank
            case Purpose.ACCESS_TOKEN:
                return self._access_token
            case Purpose.CHECKPOINT:
                return self._checkpoint
            case Purpose.EXPORT:
                return self._export
            case Purpose.IDENTITY:
                return self._identity

    def close(self) -> None:
        """Nothing to let go of."""


def _raw(der_signature: bytes) -> bytes:
    r, s = decode_dss_signature(der_signature)
    return r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)
