"""The key ceremony: a token made ready, and keys made inside it, never outside. A rotation makes the next version.

May be held again at any time: what is there is checked and left alone. A key that was half made when the machine
stopped (half a pair, or a secret without a value: nothing was ever done with it) is cleared away and made anew, unless
its public half was already given out. A key that was made is not used before the custodians have admitted it
(`enclave.resolutions`). PINs come in through file descriptors and go to the token alone.
Follows: PKCS #11 v2.40, C_InitToken, C_InitPIN, C_GenerateKeyPair.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, PKCS11Error, TokenFlag
from pkcs11.util.ec import encode_named_curve_parameters

from enclave.backends.function_list import initialise_token
from enclave.backends.mechanisms import refuse_missing_mechanisms
from enclave.backends.pkcs11 import (
    KeyHalves,
    check_key,
    find_halves,
    find_token,
    find_token_after_restart,
    log_in,
    slots_with_tokens,
    uses_of,
)
from enclave.keys import (
    AES_BITS,
    HMAC_BITS,
    RSA_BITS,
    VERSION_MAX,
    Algorithm,
    KeyAddress,
    KeyBackendFailure,
    KeyIdentity,
    Purpose,
    algorithm_of,
)
from enclave.pin import Pin

_ED25519_OID = "1.3.101.112"
_NOTHING = KeyHalves(public=None, hidden=None)
_HIDDEN_TEMPLATE = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
}
_USE_OF_PAIR = {
    Algorithm.RSA_SHA256: MechanismFlag.SIGN | MechanismFlag.VERIFY,
    Algorithm.ES256: MechanismFlag.SIGN | MechanismFlag.VERIFY,
    Algorithm.ED25519: MechanismFlag.SIGN | MechanismFlag.VERIFY,
    Algorithm.ECDH_P256: MechanismFlag.DERIVE,
}


class Deed(StrEnum):
    """What the ceremony did about a key."""

    MADE = "made"
    MADE_ANEW = "made anew (half a key was cleared away)"
    WAS_THERE = "was there"


@dataclass(frozen=True, slots=True)
class CeremonyLine:
    """One key's line in the protocol of the ceremony."""

    identity: KeyIdentity
    deed: Deed
    public_key_file: Path | None


def hold_ceremony(
    module: Path,
    *,
    token_label: str,
    pin: Pin,
    so_pin: Pin,
    public_keys: Path,
    token_serial: str | None = None,
) -> tuple[CeremonyLine, ...]:
    """Make the token and its keys as far as they are missing, and write the public keys to a directory.

    Which of several tokens with that label is meant, its serial number says; a token so named is there already.

    Raises:
        KeyBackendFailure: the token cannot be made or entered, lacks a mechanism, a key is not as it must be, or
            a public key file holds another key than the token.
    """
    token = _token_made_ready(module, token_label=token_label, serial=token_serial, pin=pin, so_pin=so_pin)
    refuse_missing_mechanisms(token)
    with log_in(token, pin, may_write=True) as session:
        return tuple(
            _key_made_ready(session, KeyAddress(purpose, version=1), public_keys) for purpose in Purpose
        )


def make_versions(
    module: Path,
    *,
    token_label: str,
    pin: Pin,
    purpose: Purpose,
    versions: Iterable[int],
    public_keys: Path,
    token_serial: str | None = None,
) -> tuple[CeremonyLine, ...]:
    """Make these versions of a purpose's key, as far as they are missing; an enclave may go on serving meanwhile.

    Raises:
        KeyBackendFailure: as `hold_ceremony`, or a version is larger than versions are.
    """
    token = find_token(module, token_label, serial=token_serial)
    if token is None:
        raise KeyBackendFailure(f"there is no token labelled {token_label}: hold the key ceremony first")
    addresses = [KeyAddress(purpose, version) for version in versions]
    if any(address.version > VERSION_MAX for address in addresses):
        raise KeyBackendFailure(f"there is no version of {purpose} after {VERSION_MAX}")
    with log_in(token, pin, may_write=True) as session:
        return tuple(_key_made_ready(session, address, public_keys) for address in addresses)


def _token_made_ready(
    module: Path, *, token_label: str, serial: str | None, pin: Pin, so_pin: Pin
) -> pkcs11.Token:
    token = find_token(module, token_label, serial=serial)
    if token is None and serial is not None:
        raise KeyBackendFailure(f"there is no token labelled {token_label} with serial {serial}")
    if token is None:
        initialise_token(module, slot_id=_free_slot(module), label=token_label, so_pin=so_pin)
        token = find_token_after_restart(module, token_label)
    if token is None:
        raise KeyBackendFailure("the token was initialised but cannot be found")
    if not token.flags & TokenFlag.USER_PIN_INITIALIZED:
        _set_user_pin(token, pin=pin, so_pin=so_pin)
    return token


def _free_slot(module: Path) -> int:
    try:
        free = [
            slot
            for slot in slots_with_tokens(module)
            if not slot.get_token().flags & TokenFlag.TOKEN_INITIALIZED
        ]
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the slots cannot be listed ({type(error).__name__})") from error
    if not free:
        raise KeyBackendFailure("there is no slot left for a new token")
    return int(free[0].slot_id)


def _set_user_pin(token: pkcs11.Token, *, pin: Pin, so_pin: Pin) -> None:
    try:
        with token.open(rw=True, so_pin=so_pin.reveal()) as session:
            session.init_pin(pin.reveal())
    except PKCS11Error as error:
        # Not chained: nothing that came near a PIN belongs into a traceback.
        raise KeyBackendFailure(f"the user's PIN cannot be set ({type(error).__name__})") from None


def _key_made_ready(session: pkcs11.Session, address: KeyAddress, directory: Path) -> CeremonyLine:
    is_secret = algorithm_of(address.purpose).is_secret
    name = f"{address.purpose}-v{address.version}.pem"
    file = None if is_secret else directory / name
    is_given_out = file is not None and file.exists()
    halves = find_halves(session, address)
    if halves.hidden is not None and (is_given_out or not _is_half_made(halves.hidden)):
        (identity, _), deed = check_key(address, halves), Deed.WAS_THERE
    elif is_given_out:
        raise KeyBackendFailure(f"{name} was given out, but the token lacks the private half of {address}")
    else:
        deed = Deed.MADE if halves == _NOTHING else Deed.MADE_ANEW
        identity = _make_key(session, address, instead_of=halves)
    if file is not None:
        _write_public_key(file, identity)
    return CeremonyLine(identity=identity, deed=deed, public_key_file=file)


def _is_half_made(hidden: pkcs11.PrivateKey | pkcs11.SecretKey) -> bool:
    """Whether the machine stopped while the token wrote it: it does not say yet that it was made there.

    A secret that was brought into the token from elsewhere does not say so either, but it has a value.
    """
    if hidden[Attribute.LOCAL]:
        return False
    return isinstance(hidden, pkcs11.PrivateKey) or hidden[Attribute.VALUE_LEN] == 0


def _make_key(session: pkcs11.Session, address: KeyAddress, *, instead_of: KeyHalves) -> KeyIdentity:
    """Makes a key in place of what is left of one that nobody has seen; nothing was ever signed or sealed by it."""
    try:
        for half in (instead_of.hidden, instead_of.public):
            if half is not None:
                half.destroy()
        _generate(session, address)
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the key {address} cannot be made ({type(error).__name__})") from error
    identity, _ = check_key(address, find_halves(session, address))
    return identity


def _generate(session: pkcs11.Session, address: KeyAddress) -> None:
    algorithm = algorithm_of(address.purpose)
    match algorithm:
        case Algorithm.AES_256_GCM:
            _generate_secret(session, address, KeyType.AES, AES_BITS)
        case Algorithm.HMAC_SHA256:
            _generate_secret(session, address, KeyType.GENERIC_SECRET, HMAC_BITS)
        case Algorithm.RSA_SHA256:
            session.generate_keypair(
                KeyType.RSA,
                RSA_BITS,
                id=address.object_id,
                label=str(address),
                store=True,
                capabilities=_USE_OF_PAIR[algorithm],
                public_template=_public_template(algorithm),
                private_template={**_hidden_template(algorithm), Attribute.SIGN_RECOVER: False},
            )
        case Algorithm.ES256 | Algorithm.ECDH_P256:
            _generate_on_curve(session, address, curve="secp256r1")
        case Algorithm.ED25519:
            _generate_on_curve(session, address, curve=_ED25519_OID)


def _generate_secret(session: pkcs11.Session, address: KeyAddress, kind: KeyType, bits: int) -> None:
    is_cipher = kind is KeyType.AES
    session.generate_key(
        kind,
        bits,
        id=address.object_id,
        label=str(address),
        store=True,
        mechanism=Mechanism.AES_KEY_GEN if is_cipher else Mechanism.GENERIC_SECRET_KEY_GEN,
        capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT if is_cipher else MechanismFlag.SIGN,
        template=_hidden_template(algorithm_of(address.purpose)),
    )


def _generate_on_curve(session: pkcs11.Session, address: KeyAddress, *, curve: str) -> None:
    edwards = curve == _ED25519_OID
    algorithm = algorithm_of(address.purpose)
    parameters = session.create_domain_parameters(
        KeyType.EC_EDWARDS if edwards else KeyType.EC,
        {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)},
        local=True,
    )
    parameters.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN,
        id=address.object_id,
        label=str(address),
        store=True,
        capabilities=_USE_OF_PAIR[algorithm],
        public_template=_public_template(algorithm),
        private_template=_hidden_template(algorithm),
    )


def _public_template(algorithm: Algorithm) -> dict[Attribute, bool]:
    return {
        Attribute.TOKEN: True,
        Attribute.VERIFY: algorithm is not Algorithm.ECDH_P256,
        Attribute.MODIFIABLE: False,
    }


def _hidden_template(algorithm: Algorithm) -> dict[Attribute, bool]:
    return {**_HIDDEN_TEMPLATE, **uses_of(algorithm)}


def _write_public_key(file: Path, identity: KeyIdentity) -> None:
    assert identity.public_key_pem is not None, "a secret key has no public half to write"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            unfinished = file.with_suffix(".pem.new")
            unfinished.write_text(identity.public_key_pem, encoding="ascii")
            unfinished.chmod(0o644)
            unfinished.replace(file)
        written = file.read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        raise KeyBackendFailure(f"cannot write {file}: {type(error).__name__}") from error
    if written != identity.public_key_pem:
        raise KeyBackendFailure(f"{file} holds another key than the token")
