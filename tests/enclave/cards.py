"""Cards for tests: numbers that are nobody's, software keys, and a vault over them."""

import base64
import json
from dataclasses import asdict
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.backends.software import SoftwareKeys
from enclave.card_number import has_check_digit
from enclave.card_vault import CardKeys, CardVault, Recipient, StoredCard
from enclave.jwe import encrypt
from enclave.keyring import Keyring, SelfMade
from enclave.keys import KeyAddress, Purpose
from enclave.protocol import PublicKey
from enclave.seal_count import SealCount
from tests.enclave.mutations import Members, Tree

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PROGRAMME_ID, CARD_ID = f"prg_{1:032x}", f"crd_{1:032x}"
# The schemes' own test numbers.
VISA, AMEX, MAESTRO_19 = "4111111111111111", "378282246310005", "6799990100000000019"
PROCESSOR = "processor"
VERSIONS = {Purpose.CARD_VAULT: 3, Purpose.CARD_INTAKE: 2, Purpose.CARD_FINGERPRINT: 1}
KeysT = TypeVar("KeysT", bound=SoftwareKeys)


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class NotedKeys(SoftwareKeys):
    """Software keys, and every nonce that they were ever given."""

    def __init__(self) -> None:
        super().__init__()
        self.nonces: list[bytes] = []

    def seal(self, address: KeyAddress, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        self.nonces.append(nonce)
        return super().seal(address, plaintext, nonce=nonce, context=context)


def made(keys: KeysT) -> KeysT:
    """The keys, and those for cards besides: three versions of the vault's, two of the intake's."""
    for purpose, versions in VERSIONS.items():
        for version in range(1, versions + 1):
            keys.make(KeyAddress(purpose, version))
    return keys


def card_keys() -> NotedKeys:
    return made(NotedKeys())


def intake_of(keys: SoftwareKeys, version: int = 1) -> PublicKey:
    identity = keys.open(KeyAddress(Purpose.CARD_INTAKE, version))
    assert identity.public_key_pem is not None
    return PublicKey(key_id=str(identity.address), pem=identity.public_key_pem)


def card_ring(keys: SoftwareKeys, *, vault: int = 1) -> Keyring:
    """The keys as far as they were admitted: so many versions of the vault's, and the first of all others."""
    latest = {Purpose.CARD_VAULT: vault}
    admitted = [key for key in keys.identities() if key.address.version <= latest.get(key.address.purpose, 1)]
    return Keyring(keys, SelfMade(admitted))


PROCESSOR_KEY = ec.generate_private_key(ec.SECP256R1())
RECIPIENTS = {PROCESSOR: Recipient(PROCESSOR, pem_of(PROCESSOR_KEY))}


def vault_of(keys: SoftwareKeys, *, vault: int = 1, seals: SealCount | None = None) -> CardVault:
    """The vault at a moment: so many versions of its key, the last of which seals."""
    known = [KeyAddress(Purpose.CARD_VAULT, number + 1) for number in range(vault)]
    intake = KeyAddress(Purpose.CARD_INTAKE, version=1)
    ring = CardKeys(
        vault=known[-1],
        fingerprint=KeyAddress(Purpose.CARD_FINGERPRINT, version=1),
        opens={str(one): one for one in known},
        intakes={str(intake): intake},
    )
    return CardVault(keys, ring, recipients=RECIPIENTS, seals=seals or SealCount())


def card_text(**changes: Any) -> bytes:
    """A card as its caller writes it down; None leaves a member out."""
    members = {"pan": VISA, "expiry_month": 12, "expiry_year": 2028} | changes
    said = {name: value for name, value in members.items() if value is not None}
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def encrypted(keys: SoftwareKeys, text: bytes | None = None, *, version: int = 1) -> str:
    return encrypted_to(intake_of(keys, version), text)


def encrypted_to(intake: PublicKey, text: bytes | None = None) -> str:
    return encrypt(card_text() if text is None else text, intake.pem, intake.key_id)


def some_number(dice: Random, *, first: str = "4", digits: int = 16) -> str:
    """A number that has its check digit."""
    body = first + "".join(dice.choices("0123456789", k=digits - 1 - len(first)))
    return next(body + last for last in "0123456789" if has_check_digit(body + last))


def card_row(stored: StoredCard) -> Members:
    """A row as a message brings it."""
    row = asdict(stored)
    del row["programme_id"]
    return row | {"sealed": base64.b64encode(stored.sealed).decode()}


def seal_message(jwe: str, **changes: Tree) -> Members:
    said: Members = {"purpose": "card_seal", "programme_id": PROGRAMME_ID, "card_id": CARD_ID, "jwe": jwe}
    return said | changes


def row_message(purpose: str, stored: StoredCard, **changes: Tree) -> Members:
    """A message about a card that was sealed: to seal it anew, or to forward it."""
    said: Members = {"purpose": purpose, "programme_id": stored.programme_id, "card": card_row(stored)}
    return said | changes
