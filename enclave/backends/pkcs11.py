"""Keys in a PKCS#11 token: found once, checked before first use, never taken out.

One session and one thread: python-pkcs11 initialises the module without locks, and SoftHSM dies of a second
thread. Another thread, or a child that inherited the login, is turned away here, whatever the module would do. A key
that could be taken out or changed, that was brought in from outside, that is there twice, that may do more than its
purpose wants, or that fails its own trial is not used. Raw ECDSA signs and cuts short whatever it is given, so the
hash is made here and is always 32 bytes long.
Follows: PKCS #11 v2.40 (objects, mechanisms) and v3.0 (EDDSA).
"""

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import KDF, Attribute, GCMParams, KeyType, Mechanism, ObjectClass, PKCS11Error, Slot
from pkcs11.types import DecryptMixin, DeriveMixin, EncryptMixin, SignMixin

from enclave.keys import (
    CHECK_NONCE,
    CHECK_TEXT,
    Algorithm,
    KeyAddress,
    KeyBackendFailure,
    KeyIdentity,
    Purpose,
    SealBroken,
    TokenLost,
    algorithm_of,
    fingerprint,
    refuse_other_points,
    verifies,
)
from enclave.pin import Pin

SELF_TEST_MESSAGE = b"tallystick enclave self-test"
TAG_BITS = 128
P256_BITS = 256

_DER_OCTET_STRING = 0x04
_UNREADABLE = "a key with an unreadable label"
# What a key must say of itself. ALWAYS_SENSITIVE, NEVER_EXTRACTABLE and LOCAL cannot be set by anybody: a key that
# was made elsewhere and put here says False.
_REQUIRED_ATTRIBUTES: Mapping[Attribute, bool] = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.MODIFIABLE: False,
    Attribute.LOCAL: True,
}
_USES = (Attribute.SIGN, Attribute.DECRYPT, Attribute.UNWRAP, Attribute.DERIVE)
_USES_OF_SECRETS = (*_USES, Attribute.ENCRYPT, Attribute.WRAP)

Catalogue: TypeAlias = Mapping[tuple[ObjectClass, str, bytes], Sequence[pkcs11.Object]]
"""The keys of a token by kind, label and id; mostly one each."""
PublicKeyTypes: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey
T = TypeVar("T")


def uses_of(algorithm: Algorithm) -> Mapping[Attribute, bool]:
    """What a private or secret key may do and what it may not: nothing but its algorithm, and above all no wrapping."""
    match algorithm:
        case Algorithm.RSA_SHA256 | Algorithm.ES256 | Algorithm.ED25519:
            return {use: use is Attribute.SIGN for use in _USES}
        case Algorithm.ECDH_P256:
            return {use: use is Attribute.DERIVE for use in _USES}
        case Algorithm.HMAC_SHA256:
            return {use: use is Attribute.SIGN for use in _USES_OF_SECRETS}
        case Algorithm.AES_256_GCM:
            return {use: use in {Attribute.ENCRYPT, Attribute.DECRYPT} for use in _USES_OF_SECRETS}


@dataclass(frozen=True, slots=True)
class KeyHalves:
    """What a token holds under one address: a key pair, half of one, one secret, or nothing."""

    public: pkcs11.PublicKey | None
    hidden: pkcs11.PrivateKey | pkcs11.SecretKey | None


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A key that passed its checks, ready to be used; the token's own errors pass through."""

    purpose: Purpose
    hidden: pkcs11.PrivateKey | pkcs11.SecretKey

    def sign(self, message: bytes) -> bytes:
        """Sign with a private key."""
        signer = self._able_to(SignMixin)
        match algorithm_of(self.purpose):
            case Algorithm.RSA_SHA256:
                return bytes(signer.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS))
            case Algorithm.ES256:
                return bytes(signer.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))
            case Algorithm.ED25519:
                return bytes(signer.sign(message, mechanism=Mechanism.EDDSA))
            case other:
                raise KeyBackendFailure(f"a key for {other} does not sign")

    def mac(self, message: bytes) -> bytes:
        """The HMAC of a message."""
        self._insist_on(Algorithm.HMAC_SHA256)
        return bytes(self._able_to(SignMixin).sign(message, mechanism=Mechanism.SHA256_HMAC))

    def seal(self, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """Ciphertext and tag."""
        self._insist_on(Algorithm.AES_256_GCM)
        parameters = GCMParams(nonce, context, TAG_BITS)
        cipher = self._able_to(EncryptMixin)
        return _whole(cipher.encrypt(plaintext, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

    def unseal(self, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """The plaintext, if nothing of what was sealed has changed."""
        self._insist_on(Algorithm.AES_256_GCM)
        parameters = GCMParams(nonce, context, TAG_BITS)
        cipher = self._able_to(DecryptMixin)
        return _whole(cipher.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

    def agree(self, peer_public_point: bytes) -> bytes:
        """The shared x coordinate; the object that holds it lives no longer than this call."""
        self._insist_on(Algorithm.ECDH_P256)
        shared = self._able_to(DeriveMixin).derive_key(
            KeyType.GENERIC_SECRET,
            P256_BITS,
            mechanism=Mechanism.ECDH1_DERIVE,
            mechanism_param=(KDF.NULL, None, peer_public_point),
            store=False,
            template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
        )
        try:
            return bytes(shared[Attribute.VALUE])
        finally:
            shared.destroy()

    def try_out(self) -> None:
        """Do something harmless; the token's own errors pass through."""
        match algorithm_of(self.purpose):
            case Algorithm.HMAC_SHA256:
                self.mac(CHECK_TEXT)
            case Algorithm.AES_256_GCM:
                self.seal(b"", nonce=CHECK_NONCE, context=CHECK_TEXT)
            case Algorithm.ECDH_P256:
                self.agree(_point(ec.generate_private_key(ec.SECP256R1())))
            case _:
                self.sign(SELF_TEST_MESSAGE)

    def _insist_on(self, algorithm: Algorithm) -> None:
        if algorithm_of(self.purpose) is not algorithm:
            raise KeyBackendFailure(f"{self.purpose} is no key for {algorithm}")

    def _able_to(self, use: type[T]) -> T:
        if not isinstance(self.hidden, use):
            raise KeyBackendFailure(f"the key for {self.purpose} cannot be used in this way")
        return self.hidden


def _whole(pieces: bytes | Iterator[bytes]) -> bytes:
    return pieces if isinstance(pieces, bytes) else b"".join(pieces)


class Pkcs11Keys:
    """The keys of one token, in one session."""

    def __init__(self, session: pkcs11.Session) -> None:
        """Use `log_in_to`."""
        self._session = session
        self._opened: dict[KeyAddress, OpenKey] = {}
        self._catalogue: Catalogue | None = None
        self._owner = _asker()

    @classmethod
    def log_in_to(
        cls, module: Path, *, token_label: str | None, pin: Pin, token_serial: str | None = None
    ) -> Self:
        """Log in to the token with this label, serial number or both.

        Raises:
            KeyBackendFailure: no module, no token, or a wrong PIN.
        """
        token = find_token(module, token_label, serial=token_serial)
        if token is None:
            named = _named(token_label, token_serial)
            raise KeyBackendFailure(f"there is no token {named}: hold the key ceremony first")
        return cls(log_in(token, pin, may_write=False))

    def stock(self) -> Collection[str]:
        """The labels of all keys on the token, ours or not. From now on `open` finds these and no others."""
        try:
            self._catalogue = _catalogue_of(self._session)
        except PKCS11Error as error:
            raise KeyBackendFailure(f"the token cannot be searched ({type(error).__name__})") from error
        return {label or "a key without a label" for _, label, _ in self._catalogue}

    def open(self, address: KeyAddress) -> KeyIdentity:
        """Find a key, check its attributes, try it out, and keep it at hand.

        Raises:
            KeyBackendFailure: it is missing, is there twice, may do too much, or fails its trial.
        """
        halves = self._find_halves(address)
        if halves.hidden is None:
            raise KeyBackendFailure(f"the token holds no key {address}: hold the key ceremony first")
        identity, key = check_key(address, halves)
        self._opened[address] = key
        return identity

    def sign(self, address: KeyAddress, message: bytes) -> bytes:
        """Sign; ES256 answers r||s."""
        return self._using(address, lambda key: key.sign(message))

    def mac(self, address: KeyAddress, message: bytes) -> bytes:
        """The HMAC of a message."""
        return self._using(address, lambda key: key.mac(message))

    def seal(self, address: KeyAddress, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """Ciphertext and tag; the token takes a nonce that was used before, so the caller brings a fresh one."""
        return self._using(address, lambda key: key.seal(plaintext, nonce=nonce, context=context))

    def unseal(self, address: KeyAddress, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """The plaintext. Raises: SealBroken, which SoftHSM calls GeneralError, so that a working token proves it."""
        try:
            return self._using(address, lambda key: key.unseal(sealed, nonce=nonce, context=context))
        except TokenLost:
            raise
        except KeyBackendFailure as error:
            raise SealBroken(str(error)) from None

    def agree(self, address: KeyAddress, peer_public_point: bytes) -> bytes:
        """The shared x coordinate with a peer."""
        refuse_other_points(peer_public_point)
        return self._using(address, lambda key: key.agree(peer_public_point))

    def close(self) -> None:
        """Log out; from a token that is lost there is nothing to log out of."""
        with suppress(PKCS11Error):
            self._session.close()

    def _find_halves(self, address: KeyAddress) -> KeyHalves:
        catalogue = self._catalogue
        if catalogue is None:
            return find_halves(self._session, address)
        name, number = str(address), address.object_id
        return _halves(address, lambda kind: catalogue.get((kind, name, number), ()))

    def _using(self, address: KeyAddress, use: Callable[[OpenKey], T]) -> T:
        if _asker() != self._owner:
            raise KeyBackendFailure("the token is for the process and the thread that logged in")
        key = self._opened.get(address)
        if key is None:
            raise KeyBackendFailure(f"the key {address} was not opened")
        try:
            return use(key)
        except PKCS11Error as error:
            # Nothing of a PKCS#11 error is about what was asked: its kind is all there is to say.
            raise _failure(key, error) from None


def _failure(key: OpenKey, error: PKCS11Error) -> KeyBackendFailure:
    """Lost is a token that cannot even repeat what it did at the start: modules name that in many ways."""
    try:
        key.try_out()
    except PKCS11Error:
        return TokenLost(f"the token is lost ({type(error).__name__})")
    return KeyBackendFailure(f"the token did not do it ({type(error).__name__})")


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
    return _halves(address, lambda kind: _search(session, address, kind))


def _halves(address: KeyAddress, find: Callable[[ObjectClass], Sequence[pkcs11.Object]]) -> KeyHalves:
    public = _the_one(address, find(ObjectClass.PUBLIC_KEY))
    kind = ObjectClass.SECRET_KEY if algorithm_of(address.purpose).is_secret else ObjectClass.PRIVATE_KEY
    hidden = _the_one(address, find(kind))
    if not isinstance(public, pkcs11.PublicKey | None) or not isinstance(
        hidden, pkcs11.PrivateKey | pkcs11.SecretKey | None
    ):
        raise KeyBackendFailure(f"the key {address} is of another kind than its purpose wants")
    return KeyHalves(public=public, hidden=hidden)


def check_key(address: KeyAddress, halves: KeyHalves) -> tuple[KeyIdentity, OpenKey]:
    """Which key it is, and the key, once its attributes and a trial have shown that it may be used.

    Raises:
        KeyBackendFailure: a half is missing, an attribute is not as it must be, or the trial fails.
    """
    if halves.hidden is None:
        raise KeyBackendFailure(f"the token does not hold both halves of the key {address}")
    try:
        _check_attributes(address, halves.hidden)
        key = OpenKey(purpose=address.purpose, hidden=halves.hidden)
        if algorithm_of(address.purpose).is_secret:
            return KeyIdentity(address, sha256=_check_value(key), public_key_pem=None), key
        if halves.public is None:
            raise KeyBackendFailure(f"the token does not hold both halves of the key {address}")
        public = _public_key(address.purpose, halves.public)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        passed = _passes_trial(key, public, pem)
    except (PKCS11Error, ValueError) as error:
        raise KeyBackendFailure(f"the key {address} cannot be used ({type(error).__name__})") from error
    if not passed:
        raise KeyBackendFailure(f"the key {address} does not pass its own trial")
    return KeyIdentity(address, sha256=fingerprint(pem), public_key_pem=pem), key


def _passes_trial(key: OpenKey, public: PublicKeyTypes, pem: str) -> bool:
    """Whether the hidden half is the public half's."""
    if isinstance(public, ec.EllipticCurvePublicKey) and algorithm_of(key.purpose) is Algorithm.ECDH_P256:
        peer = ec.generate_private_key(ec.SECP256R1())
        return key.agree(_point(peer)) == peer.exchange(ec.ECDH(), public)
    signature = key.sign(SELF_TEST_MESSAGE)
    return verifies(key.purpose, pem, message=SELF_TEST_MESSAGE, signature=signature)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _check_value(key: OpenKey) -> str:
    """What tells a secret key from every other without telling anything about it."""
    if algorithm_of(key.purpose) is Algorithm.HMAC_SHA256:
        return hashlib.sha256(key.mac(CHECK_TEXT)).hexdigest()
    # Always the same nonce, with always the same text: nothing is learnt from the second time.
    tag = key.seal(b"", nonce=CHECK_NONCE, context=CHECK_TEXT)
    if key.unseal(tag, nonce=CHECK_NONCE, context=CHECK_TEXT) != b"":
        raise ValueError("what was sealed does not open")
    return hashlib.sha256(tag).hexdigest()


def _search(session: pkcs11.Session, address: KeyAddress, kind: ObjectClass) -> Sequence[pkcs11.Object]:
    wanted = {Attribute.CLASS: kind, Attribute.LABEL: str(address), Attribute.ID: address.object_id}
    try:
        return list(session.get_objects(wanted))
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the token cannot be searched ({type(error).__name__})") from error


def _the_one(address: KeyAddress, found: Sequence[pkcs11.Object]) -> pkcs11.Object | None:
    if len(found) > 1:
        raise KeyBackendFailure(f"the token holds the key {address} more than once")
    return found[0] if found else None


def _catalogue_of(session: pkcs11.Session) -> Catalogue:
    """All keys, in three searches: a search looks at every object, so that one a key would take the square of that."""
    found: dict[tuple[ObjectClass, str, bytes], list[pkcs11.Object]] = {}
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY, ObjectClass.PUBLIC_KEY):
        for key in session.get_objects({Attribute.CLASS: kind}):
            found.setdefault((kind, _label(key), bytes(key[Attribute.ID])), []).append(key)
    return found


def _label(key: pkcs11.Object) -> str:
    try:
        label = str(key[Attribute.LABEL])
    except UnicodeDecodeError:
        return _UNREADABLE
    # Nothing of ours is called what a screen shows otherwise.
    return label if label.isprintable() else _UNREADABLE


def _check_attributes(address: KeyAddress, hidden: pkcs11.PrivateKey | pkcs11.SecretKey) -> None:
    uses = uses_of(algorithm_of(address.purpose))
    for attribute, required in (*_REQUIRED_ATTRIBUTES.items(), *uses.items()):
        if bool(hidden[attribute]) is not required:
            raise KeyBackendFailure(f"the key {address} may not be used: {attribute.name} is not {required}")


def _public_key(purpose: Purpose, public: pkcs11.PublicKey) -> PublicKeyTypes:
    match algorithm_of(purpose):
        case Algorithm.RSA_SHA256:
            modulus = int.from_bytes(public[Attribute.MODULUS])
            exponent = int.from_bytes(public[Attribute.PUBLIC_EXPONENT])
            return rsa.RSAPublicNumbers(e=exponent, n=modulus).public_key()
        case Algorithm.ES256 | Algorithm.ECDH_P256:
            point = _unwrapped_point(public)
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        case Algorithm.ED25519:
            return Ed25519PublicKey.from_public_bytes(_unwrapped_point(public))
        case Algorithm.HMAC_SHA256 | Algorithm.AES_256_GCM:
            raise ValueError("a secret key has no public half")


def _unwrapped_point(public: pkcs11.PublicKey) -> bytes:
    """EC_POINT is a DER octet string; both of our curves are short enough for a one-byte length."""
    encoded = bytes(public[Attribute.EC_POINT])
    if len(encoded) < 2 or encoded[0] != _DER_OCTET_STRING or encoded[1] != len(encoded) - 2:
        raise ValueError("the point is not a DER octet string")
    return encoded[2:]
