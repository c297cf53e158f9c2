"""Keys in a PKCS#11 token: found once at the start, checked before first use, never taken out.

One session and one thread: python-pkcs11 initialises the module without locks, and SoftHSM dies of a second
thread. Another thread, or a child that inherited the login, is turned away here, whatever the module would do.
A key that could be taken out or changed, that was brought in from outside, that is there twice, or that fails
its own signature is not used. Raw ECDSA signs and cuts short whatever it is given, so the hash is made here and
is always 32 bytes long.
Follows: PKCS #11 v2.40 (objects, mechanisms) and v3.0 (EDDSA).
"""

import hashlib
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, Mechanism, ObjectClass, PKCS11Error, Slot
from pkcs11.types import SignMixin

from enclave.keys import (
    Algorithm,
    KeyAddress,
    KeyBackendFailure,
    Purpose,
    TokenLost,
    algorithm_of,
    current_key,
    verifies,
)
from enclave.pin import Pin

SELF_TEST_MESSAGE = b"tallystick enclave self-test"

_DER_OCTET_STRING = 0x04
# What a private key must say of itself. ALWAYS_SENSITIVE, NEVER_EXTRACTABLE and LOCAL cannot be set by
# anybody: a key that was made elsewhere and put here says False.
_REQUIRED_ATTRIBUTES: Mapping[Attribute, bool] = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.MODIFIABLE: False,
    Attribute.LOCAL: True,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}

PublicKeyTypes: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class KeyHalves:
    """What a token holds under one address: both halves, one, or neither."""

    public: pkcs11.PublicKey | None
    private: SignMixin | None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key that passed its checks."""

    purpose: Purpose
    private: SignMixin
    public_key_pem: str

    def sign(self, message: bytes) -> bytes:
        """Sign; the token's own errors pass through."""
        match algorithm_of(self.purpose):
            case Algorithm.RSA_SHA256:
                return bytes(self.private.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS))
            case Algorithm.ES256:
                digest = hashlib.sha256(message).digest()
                return bytes(self.private.sign(digest, mechanism=Mechanism.ECDSA))
            case Algorithm.ED25519:
                return bytes(self.private.sign(message, mechanism=Mechanism.EDDSA))


class Pkcs11Keys:
    """The keys of one token, in one session."""

    def __init__(self, session: pkcs11.Session, keys: Mapping[Purpose, KeyPair]) -> None:
        """Use `open`: it finds and checks the keys."""
        self._session = session
        self._keys = keys
        self._owner = _asker()

    @classmethod
    def open(
        cls, module: Path, *, token_label: str | None, pin: Pin, token_serial: str | None = None
    ) -> Self:
        """Log in and get hold of one key a purpose, each checked and tried out.

        Raises:
            KeyBackendFailure: no module, no token, wrong PIN, or a key missing or not as it must be.
        """
        token = find_token(module, token_label, serial=token_serial)
        if token is None:
            named = _named(token_label, token_serial)
            raise KeyBackendFailure(f"there is no token {named}: hold the key ceremony first")
        session = log_in(token, pin, may_write=False)
        try:
            keys = {purpose: _checked_key(session, current_key(purpose)) for purpose in Purpose}
        except KeyBackendFailure:
            session.close()
            raise
        return cls(session, keys)

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """Sign with the purpose's key; ES256 answers r||s.

        Raises:
            KeyBackendFailure: the token did not sign, or is not this thread's; TokenLost if it is gone for good.
        """
        if _asker() != self._owner:
            raise KeyBackendFailure("the token is for the process and the thread that logged in")
        try:
            return self._keys[purpose].sign(message)
        except PKCS11Error as error:
            raise self._failure(purpose, error) from error

    def public_key_pem(self, purpose: Purpose) -> str:
        """The public half of the purpose's key, SubjectPublicKeyInfo in PEM."""
        return self._keys[purpose].public_key_pem

    def close(self) -> None:
        """Log out; from a token that is lost there is nothing to log out of."""
        with suppress(PKCS11Error):
            self._session.close()

    def _failure(self, purpose: Purpose, error: PKCS11Error) -> KeyBackendFailure:
        """Lost is a token that cannot even repeat what it did at the start: modules name that in many ways."""
        try:
            self._keys[purpose].sign(SELF_TEST_MESSAGE)
        except PKCS11Error:
            return TokenLost(f"the token is lost ({type(error).__name__})")
        return KeyBackendFailure(f"the token did not sign ({type(error).__name__})")


def _asker() -> tuple[int, int]:
    """The process and the thread that are running."""
    return os.getpid(), threading.get_ident()


def slots_with_tokens(module: Path) -> list[Slot]:
    """The slots of a PKCS#11 module that hold a token, ready for use or not.

    Raises:
        KeyBackendFailure: the module does not load or does not start.
    """
    try:
        return list(pkcs11.lib(str(module)).get_slots(token_present=True))
    except (RuntimeError, OSError) as error:
        # PKCS11Error is a RuntimeError. SoftHSM answers GeneralError when it finds no configuration.
        raise KeyBackendFailure(f"the PKCS#11 module does not start ({type(error).__name__})") from error


def find_token(module: Path, token_label: str | None, *, serial: str | None = None) -> pkcs11.Token | None:
    """The one token with this label, serial number or both, if there is one; slot numbers change, these do not.

    Raises:
        KeyBackendFailure: the module does not start, or two tokens are called so.
    """
    try:
        present = [slot.get_token() for slot in slots_with_tokens(module)]
        tokens = [token for token in present if _is_called(token, token_label, serial)]
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the tokens cannot be listed ({type(error).__name__})") from error
    if len(tokens) > 1:
        raise KeyBackendFailure(
            f"there is more than one token {_named(token_label, serial)}: give its serial"
        )
    return tokens[0] if tokens else None


def _is_called(token: pkcs11.Token, label: str | None, serial: str | None) -> bool:
    if serial is not None and token.serial.decode("ascii", "replace").strip() != serial:
        return False
    return label is None or token.label == label


def _named(label: str | None, serial: str | None) -> str:
    names = [f"labelled {label}"] if label is not None else []
    return " and ".join([*names, f"with serial {serial}"] if serial is not None else names)


def find_token_after_restart(module: Path, token_label: str) -> pkcs11.Token | None:
    """The token as `find_token`, after the module was stopped and started: some list their tokens only then.

    Ends every session and every token that was found before.

    Raises:
        KeyBackendFailure: as `find_token`.
    """
    try:
        pkcs11.lib(str(module)).reinitialize()
    except (RuntimeError, OSError) as error:
        raise KeyBackendFailure(f"the PKCS#11 module does not start ({type(error).__name__})") from error
    return find_token(module, token_label)


def log_in(token: pkcs11.Token, pin: Pin, *, may_write: bool) -> pkcs11.Session:
    """Open a session as the token's user.

    Raises:
        KeyBackendFailure: the PIN is wrong or locked, or the token takes no login.
    """
    try:
        return token.open(user_pin=pin.reveal(), rw=may_write)
    except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid):
        raise KeyBackendFailure("the token does not take this PIN") from None
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the token takes no login ({type(error).__name__})") from None


def find_halves(session: pkcs11.Session, address: KeyAddress) -> KeyHalves:
    """What the token holds under a key's address.

    Raises:
        KeyBackendFailure: two objects of one kind, so that nobody can say which is meant.
    """
    public = _find_one(session, address, ObjectClass.PUBLIC_KEY)
    private = _find_one(session, address, ObjectClass.PRIVATE_KEY)
    if not isinstance(public, pkcs11.PublicKey | None) or not isinstance(private, SignMixin | None):
        raise KeyBackendFailure(f"the key {address} is of another kind than its purpose wants")
    return KeyHalves(public=public, private=private)


def check_key(address: KeyAddress, halves: KeyHalves) -> KeyPair:
    """The key, once its attributes and a trial signature have shown that it may be used.

    Raises:
        KeyBackendFailure: a half is missing, an attribute is not as it must be, or the trial fails.
    """
    if halves.public is None or halves.private is None:
        raise KeyBackendFailure(f"the token does not hold both halves of the key {address}")
    try:
        _check_attributes(address, halves.private)
        pem = _pem(_public_key(address.purpose, halves.public))
        pair = KeyPair(purpose=address.purpose, private=halves.private, public_key_pem=pem)
        signature = pair.sign(SELF_TEST_MESSAGE)
    except (PKCS11Error, ValueError) as error:
        raise KeyBackendFailure(f"the key {address} cannot be used ({type(error).__name__})") from error
    if not verifies(address.purpose, pem, message=SELF_TEST_MESSAGE, signature=signature):
        raise KeyBackendFailure(f"the key {address} does not pass its own signature test")
    return pair


def _checked_key(session: pkcs11.Session, address: KeyAddress) -> KeyPair:
    halves = find_halves(session, address)
    if halves == KeyHalves(public=None, private=None):
        raise KeyBackendFailure(f"the token holds no key {address}: hold the key ceremony first")
    return check_key(address, halves)


def _find_one(session: pkcs11.Session, address: KeyAddress, kind: ObjectClass) -> pkcs11.Object | None:
    wanted = {Attribute.CLASS: kind, Attribute.LABEL: str(address), Attribute.ID: address.object_id}
    try:
        found = list(session.get_objects(wanted))
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the token cannot be searched ({type(error).__name__})") from error
    if len(found) > 1:
        raise KeyBackendFailure(f"the token holds the key {address} more than once")
    return found[0] if found else None


def _check_attributes(address: KeyAddress, private: SignMixin) -> None:
    for attribute, required in _REQUIRED_ATTRIBUTES.items():
        if bool(private[attribute]) is not required:
            raise KeyBackendFailure(f"the key {address} may not be used: {attribute.name} is not {required}")


def _public_key(purpose: Purpose, public: pkcs11.PublicKey) -> PublicKeyTypes:
    match algorithm_of(purpose):
        case Algorithm.RSA_SHA256:
            modulus = int.from_bytes(public[Attribute.MODULUS])
            exponent = int.from_bytes(public[Attribute.PUBLIC_EXPONENT])
            return rsa.RSAPublicNumbers(e=exponent, n=modulus).public_key()
        case Algorithm.ES256:
            point = _unwrapped_point(public)
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        case Algorithm.ED25519:
            return Ed25519PublicKey.from_public_bytes(_unwrapped_point(public))


def _unwrapped_point(public: pkcs11.PublicKey) -> bytes:
    """EC_POINT is a DER octet string; both of our curves are short enough for a one-byte length."""
    encoded = bytes(public[Attribute.EC_POINT])
    if len(encoded) < 2 or encoded[0] != _DER_OCTET_STRING or encoded[1] != len(encoded) - 2:
        raise ValueError("the point is not a DER octet string")
    return encoded[2:]


def _pem(key: PublicKeyTypes) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
