"""Keyrings of software keys, each loaded and ready, and what tests ask of them."""

from enclave.backends.software import SoftwareKeys
from enclave.keyring import Keyring, SelfMade
from enclave.keys import KeyAddress, Purpose


def software_keyring() -> Keyring:
    """A fresh key of every purpose."""
    keys = SoftwareKeys.generate()
    keyring = Keyring(keys, SelfMade(keys.identities()))
    keyring.load()
    return keyring


def public_pem(keyring: Keyring, purpose: Purpose) -> str:
    pem = keyring.identity(first(purpose)).public_key_pem
    assert pem is not None
    return pem


def first(purpose: Purpose) -> KeyAddress:
    return KeyAddress(purpose, version=1)
