"""Cards for tests: numbers that are nobody's, keys in memory, and a vault over them."""

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.card_number import has_check_digit
from enclave.card_vault import CardKeys, CardVault, Recipient, StoredCard
from enclave.jwe import encrypt
from enclave.keys import KeyAddress, SealBroken
from enclave.protocol import PublicKey
from enclave.seal_count import SealCount
from tests.enclave.mutations import Members, Tree

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PROGRAMME_ID, CARD_ID = f"prg_{1:032x}", f"crd_{1:032x}"
# The schemes' own test numbers.
VISA, AMEX, MAESTRO_19 = "4111111111111111", "378282246310005", "6799990100000000019"
PROCESSOR = "processor"


class CardPurpose(StrEnum):
    """What the keys of cards are for."""

    VAULT = "card_vault"
    FINGERPRINT = "card_fingerprint"
    INTAKE = "card_intake"


def address(purpose: CardPurpose, version: int = 1) -> KeyAddress:
    return KeyAddress(purpose=purpose, version=version)  # type: ignore[arg-type]  # a purpose by its name


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(slots=True)
class MemoryVaultKeys:
    """The keys of cards in this process's memory, made when they are first asked for; every nonce is noted."""

    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    intakes: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict, repr=False)
    nonces: list[bytes] = field(default_factory=list)

    def seal(self, address: KeyAddress, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        self.nonces.append(nonce)
        return AESGCM(self._secret(address)).encrypt(nonce, plaintext, context)

    def unseal(self, address: KeyAddress, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        try:
            return AESGCM(self._secret(address)).decrypt(nonce, sealed, context)
        except InvalidTag:
            raise SealBroken from None

    def mac(self, address: KeyAddress, message: bytes) -> bytes:
        return hmac.digest(self._secret(address), message, "sha256")

    def agree(self, address: KeyAddress, peer_public_point: bytes) -> bytes:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer_public_point)
        return self._intake(str(address)).exchange(ec.ECDH(), peer)

    def intake(self, version: int = 1) -> PublicKey:
        key_id = str(address(CardPurpose.INTAKE, version))
        return PublicKey(key_id=key_id, pem=pem_of(self._intake(key_id)))

    def _secret(self, address: KeyAddress) -> bytes:
        # Derived from the name, so that several processes of one test have the same keys.
        return self.secrets.setdefault(str(address), hashlib.sha256(f"test {address}".encode()).digest())

    def _intake(self, key_id: str) -> ec.EllipticCurvePrivateKey:
        number = int.from_bytes(hashlib.sha256(f"test {key_id}".encode()).digest()) >> 1
        return self.intakes.setdefault(key_id, ec.derive_private_key(number, ec.SECP256R1()))


PROCESSOR_KEY = ec.generate_private_key(ec.SECP256R1())


def keyring(*, vault: int = 1, vaults: int | None = None) -> CardKeys:
    """The keys at a moment: so many versions of the vault's key, one of which seals."""
    known = [address(CardPurpose.VAULT, number + 1) for number in range(vaults or vault)]
    intake = address(CardPurpose.INTAKE)
    return CardKeys(
        vault=address(CardPurpose.VAULT, vault),
        fingerprint=address(CardPurpose.FINGERPRINT),
        opens={str(one): one for one in known},
        intakes={str(intake): intake},
    )


def vault_of(keys: MemoryVaultKeys, *, vault: int = 1, seals: SealCount | None = None) -> CardVault:
    recipients = {PROCESSOR: Recipient(PROCESSOR, pem_of(PROCESSOR_KEY))}
    return CardVault(keys, keyring(vault=vault), recipients=recipients, seals=seals or SealCount())


def card_text(**changes: Any) -> bytes:
    """A card as its caller writes it down; None leaves a member out."""
    members = {"pan": VISA, "expiry_month": 12, "expiry_year": 2028} | changes
    said = {name: value for name, value in members.items() if value is not None}
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def encrypted(keys: MemoryVaultKeys, text: bytes | None = None, *, version: int = 1) -> str:
    intake = keys.intake(version)
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
