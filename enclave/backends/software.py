"""Keys in this process's memory, for development and for tests that must not touch a token.

Made anew at every start and gone at its end. Not for production: the command line refuses the combination.
"""

import hashlib
from collections.abc import Collection
from typing import Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.keys import (
    AES_BITS,
    CHECK_NONCE,
    CHECK_TEXT,
    RSA_BITS,
    Algorithm,
    KeyAddress,
    KeyBackendFailure,
    KeyIdentity,
    Purpose,
    SealBroken,
    algorithm_of,
    fingerprint,
    refuse_other_points,
)

_COORDINATE_BYTES = 32
_HmacKey: TypeAlias = bytes
_Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey | AESGCM | _HmacKey


class SoftwareKeys:
    """Fresh keys: version 1 of every purpose, and whatever is made later."""

    def __init__(self) -> None:
        """Use `generate`."""
        self._keys: dict[KeyAddress, _Key] = {}

    @classmethod
    def generate(cls) -> Self:
        """Make the keys."""
        keys = cls()
        for purpose in Purpose:
            keys.make(KeyAddress(purpose, version=1))
        return keys

    def make(self, address: KeyAddress) -> KeyIdentity:
        """Make one more key."""
        self._keys[address] = _made(algorithm_of(address.purpose))
        return self.open(address)

    def identities(self) -> list[KeyIdentity]:
        """Which keys there are."""
        return [self.open(address) for address in self._keys]

    def stock(self) -> Collection[str]:
        """The names of the keys."""
        return [str(address) for address in self._keys]

    def open(self, address: KeyAddress) -> KeyIdentity:
        """Which key it is."""
        key = self._keys.get(address)
        match key:
            case None:
                raise KeyBackendFailure(f"there is no key {address}")
            case bytes():
                return KeyIdentity(address, hashlib.sha256(_mac(key, CHECK_TEXT)).hexdigest(), None)
            case AESGCM():
                tag = key.encrypt(CHECK_NONCE, b"", CHECK_TEXT)
                return KeyIdentity(address, hashlib.sha256(tag).hexdigest(), None)
            case _:
                public = key.public_key()
                pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
                return KeyIdentity(address, fingerprint(pem), pem)

    def sign(self, address: KeyAddress, message: bytes) -> bytes:
        """Sign; ES256 answers r||s."""
        match self._keys.get(address):
            case rsa.RSAPrivateKey() as key:
                return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
            case ec.EllipticCurvePrivateKey() as key if algorithm_of(address.purpose) is Algorithm.ES256:
                return _raw(key.sign(message, ec.ECDSA(hashes.SHA256())))
            case Ed25519PrivateKey() as key:
                return key.sign(message)
            case _:
                raise KeyBackendFailure(f"{address} does not sign")

    def mac(self, address: KeyAddress, message: bytes) -> bytes:
        """The HMAC of a message."""
        match self._keys.get(address):
            case bytes() as key:
                return _mac(key, message)
            case _:
                raise KeyBackendFailure(f"{address} is no key for HMAC")

    def seal(self, address: KeyAddress, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """Ciphertext and tag."""
        return self._cipher(address).encrypt(nonce, plaintext, context)

    def unseal(self, address: KeyAddress, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """The plaintext, if nothing of what was sealed has changed."""
        try:
            return self._cipher(address).decrypt(nonce, sealed, context)
        except InvalidTag as error:
            raise SealBroken("what was sealed does not open") from error

    def agree(self, address: KeyAddress, peer_public_point: bytes) -> bytes:
        """The shared x coordinate with a peer."""
        match self._keys.get(address):
            case ec.EllipticCurvePrivateKey() as key if algorithm_of(address.purpose) is Algorithm.ECDH_P256:
                refuse_other_points(peer_public_point)
                peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer_public_point)
                return key.exchange(ec.ECDH(), peer)
            case _:
                raise KeyBackendFailure(f"{address} is no key for ECDH")

    def close(self) -> None:
        """Nothing to let go of."""

    def _cipher(self, address: KeyAddress) -> AESGCM:
        match self._keys.get(address):
            case AESGCM() as key:
                return key
            case _:
                raise KeyBackendFailure(f"{address} is no key for AES-GCM")


def _made(algorithm: Algorithm) -> _Key:
    match algorithm:
        case Algorithm.RSA_SHA256:
            return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        case Algorithm.ES256 | Algorithm.ECDH_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.ED25519:
            return Ed25519PrivateKey.generate()
        case Algorithm.AES_256_GCM:
            return AESGCM(AESGCM.generate_key(bit_length=AES_BITS))
        case Algorithm.HMAC_SHA256:
            return AESGCM.generate_key(bit_length=AES_BITS)


def _mac(key: _HmacKey, message: bytes) -> bytes:
    mac = HMAC(key, hashes.SHA256())
    mac.update(message)
    return mac.finalize()


def _raw(der_signature: bytes) -> bytes:
    r, s = decode_dss_signature(der_signature)
    return r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)
