"""The key ceremony: a token made ready and one key a purpose made inside it, never outside.

May be held again at any time: what is there is checked and left alone. A key that was half made when the
machine stopped (a public half alone: nothing was ever signed by it) is cleared away and made anew, unless its
public half was already given out. PINs come in through file descriptors and go to the token alone.
Key generation must have the token to itself: no enclave may be serving from it.
Follows: PKCS #11 v2.40, C_InitToken, C_InitPIN, C_GenerateKeyPair.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, PKCS11Error, TokenFlag
from pkcs11.util.ec import encode_named_curve_parameters

from enclave.backends.function_list import initialise_token
from enclave.backends.mechanisms import refuse_missing_mechanisms
from enclave.backends.pkcs11 import (
    KeyPair,
    check_key,
    find_halves,
    find_token,
    find_token_after_restart,
    log_in,
    slots_with_tokens,
)
from enclave.keys import (
    RSA_BITS,
    Algorithm,
    KeyAddress,
    KeyBackendFailure,
    Purpose,
    algorithm_of,
    current_key,
)
from enclave.keys import fingerprint as fingerprint_of
from enclave.pin import Pin

_ED25519_OID = "1.3.101.112"
_PUBLIC_TEMPLATE = {
    Attribute.TOKEN: True,
    Attribute.VERIFY: True,
    Attribute.MODIFIABLE: False,
}
_PRIVATE_TEMPLATE = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}


class Deed(StrEnum):
    """What the ceremony did about a key."""

    MADE = "made"
    MADE_ANEW = "made anew (half a key was cleared away)"
    WAS_THERE = "was there"


@dataclass(frozen=True, slots=True)
class CeremonyLine:
    """One key's line in the protocol of the ceremony."""

    address: KeyAddress
    algorithm: Algorithm
    deed: Deed
    fingerprint: str
    public_key_file: Path


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
    session = log_in(token, pin, may_write=True)
    try:
        return tuple(_key_made_ready(session, current_key(purpose), public_keys) for purpose in Purpose)
    finally:
        session.close()


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
    file = directory / f"{address.purpose}.pem"
    halves = find_halves(session, address)
    if halves.private is not None:
        pair, deed = check_key(address, halves), Deed.WAS_THERE
    elif file.exists():
        raise KeyBackendFailure(
            f"{file.name} was given out, but the token lacks the private half of {address}"
        )
    else:
        deed = Deed.MADE if halves.public is None else Deed.MADE_ANEW
        pair = _make_key(session, address, orphan=halves.public)
    _write_public_key(file, pair)
    return CeremonyLine(
        address=address,
        algorithm=algorithm_of(address.purpose),
        deed=deed,
        fingerprint=fingerprint_of(pair.public_key_pem),
        public_key_file=file,
    )


def _make_key(session: pkcs11.Session, address: KeyAddress, *, orphan: pkcs11.PublicKey | None) -> KeyPair:
    try:
        if orphan is not None:
            orphan.destroy()
        _generate(session, address)
    except PKCS11Error as error:
        raise KeyBackendFailure(f"the key {address} cannot be made ({type(error).__name__})") from error
    return check_key(address, find_halves(session, address))


def _generate(session: pkcs11.Session, address: KeyAddress) -> None:
    match algorithm_of(address.purpose):
        case Algorithm.RSA_SHA256:
            session.generate_keypair(
                KeyType.RSA,
                RSA_BITS,
                id=address.object_id,
                label=str(address),
                store=True,
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                public_template=_PUBLIC_TEMPLATE,
                private_template={**_PRIVATE_TEMPLATE, Attribute.SIGN_RECOVER: False},
            )
        case Algorithm.ES256:
            _generate_on_curve(session, address, curve="secp256r1")
        case Algorithm.ED25519:
            _generate_on_curve(session, address, curve=_ED25519_OID)


def _generate_on_curve(session: pkcs11.Session, address: KeyAddress, *, curve: str) -> None:
    edwards = curve == _ED25519_OID
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
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        public_template=_PUBLIC_TEMPLATE,
        private_template=_PRIVATE_TEMPLATE,
    )


def _write_public_key(file: Path, pair: KeyPair) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            unfinished = file.with_suffix(".pem.new")
            unfinished.write_text(pair.public_key_pem, encoding="ascii")
            unfinished.chmod(0o644)
            unfinished.replace(file)
        written = file.read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        raise KeyBackendFailure(f"cannot write {file}: {type(error).__name__}") from error
    if written != pair.public_key_pem:
        raise KeyBackendFailure(f"{file} holds another key than the token")
