"""The card vault: a card's number goes in under a token, and comes out only encrypted to a processor.

A number is sealed with AES-256-GCM under a fresh nonce and bound to everything that stands beside it: in another row,
under another programme, key version or expiry it does not open. The same card of the same programme always has the
same fingerprint, which without its key says nothing of the number. Pure over the port `VaultKeys`: no keys, no socket,
no log, no database.
Follows: NIST SP 800-38D (GCM; 8.3 bounds the random nonces of one key), PCI DSS 4.0.1 3.5.1 and 3.5.1.1 (keyed hashes).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from enclave import canonical, jwe
from enclave.card_number import (
    Card,
    CardFieldsRefused,
    CardNumberRefused,
    Expiry,
    checked_number,
    read_card,
)
from enclave.jwe import JweRefused
from enclave.keys import KeyAddress, SealBroken, fingerprint
from enclave.refusals import RefusalCode
from enclave.seal_count import SEALS_MAX, SealCount

NONCE_BYTES = 12
TAG_BYTES = 16
# Stands before a message to the keys: what is bound or counted for one use cannot be taken for another.
CONTEXT_PREFIX = b"tallystick-card-v1\n"


class VaultKeys(Protocol):
    """Whatever holds the keys of cards."""

    def seal(self, address: KeyAddress, plaintext: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """AES-256-GCM: ciphertext and tag.

        Raises:
            KeyBackendFailure: the back end did not seal.
        """

    def unseal(self, address: KeyAddress, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        """What `seal` was given.

        Raises:
            SealBroken: it does not open under this key, nonce and context.
            KeyBackendFailure: the back end did not try.
        """

    def mac(self, address: KeyAddress, message: bytes) -> bytes:
        """HMAC-SHA256.

        Raises:
            KeyBackendFailure: the back end did not answer.
        """

    def agree(self, address: KeyAddress, peer_public_point: bytes) -> bytes:
        """ECDH on P-256: the x coordinate, 32 bytes, from the other side's uncompressed point.

        Raises:
            KeyBackendFailure: the back end did not agree.
        """


class CardRefused(Exception):
    """The vault will not. `code` says why; nothing here says what was inside."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(str(code))
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class CardKeys:
    """Which keys there are.

    One seals and one makes fingerprints. `opens` are all that ever sealed, `intakes` all that callers may still encrypt
    to, by key id.
    """

    vault: KeyAddress
    fingerprint: KeyAddress
    opens: Mapping[str, KeyAddress]
    intakes: Mapping[str, KeyAddress]


@dataclass(frozen=True, slots=True)
class Recipient:
    """A processor that cards may be forwarded to, and its public key in PEM."""

    name: str
    public_key_pem: str

    @property
    def sha256(self) -> str:
        """Which key that is: the SHA-256 of its SubjectPublicKeyInfo, in hex."""
        return fingerprint(self.public_key_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard:
    """A card as the database keeps it. `sealed` is nonce, ciphertext and tag."""

    programme_id: str
    card_id: str
    bin: str
    last_four: str
    expiry_month: int
    expiry_year: int
    fingerprint: str
    key_id: str
    sealed: bytes


class CardVault:
    """Seals, seals anew and forwards."""

    def __init__(
        self,
        keys: VaultKeys,
        keyring: CardKeys,
        *,
        recipients: Mapping[str, Recipient],
        seals: SealCount,
    ) -> None:
        self._keys = keys
        self._keyring = keyring
        self._recipients = recipients
        self._seals = seals

    @property
    def sealing_key_id(self) -> str:
        """The key that seals now."""
        return str(self._keyring.vault)

    def seal(self, *, programme_id: str, card_id: str, jwe_text: str, now: datetime) -> StoredCard:
        """Take in a card that its caller encrypted, and seal it under the current key.

        Raises:
            CardRefused: `card_unreadable`, `card_key_unknown`, `card_fields_refused`, `card_number_refused`,
                `card_expired` or `card_key_worn_out`.
        """
        card = self._taken_in(jwe_text)
        if card.expiry.is_over(now):
            raise CardRefused(RefusalCode.CARD_EXPIRED)
        return self._sealed(card, programme_id=programme_id, card_id=card_id)

    def reseal(self, stored: StoredCard) -> StoredCard:
        """The same card under the current key; as it is, if it is under that key already. It is opened either way.

        Raises:
            CardRefused: `card_key_unknown`, `card_context_mismatch` or `card_key_worn_out`.
        """
        card = self._opened(stored)
        if stored.key_id == self.sealing_key_id:
            return stored
        return self._sealed(card, programme_id=stored.programme_id, card_id=stored.card_id)

    def forward(self, stored: StoredCard, recipient_name: str) -> str:
        """The card as a JWE for a processor that was configured when the enclave started.

        Raises:
            CardRefused: `card_recipient_unknown`, `card_key_unknown` or `card_context_mismatch`.
        """
        recipient = self._recipients.get(recipient_name)
        if recipient is None:
            raise CardRefused(RefusalCode.CARD_RECIPIENT_UNKNOWN)
        return jwe.encrypt(self._opened(stored).text(), recipient.public_key_pem, recipient.name)

    def _taken_in(self, jwe_text: str) -> Card:
        try:
            key_id = jwe.key_id_of(jwe_text)
            address = self._keyring.intakes.get(key_id)
            if address is None:
                raise CardRefused(RefusalCode.CARD_KEY_UNKNOWN)
            text = jwe.decrypt(jwe_text, lambda point: self._keys.agree(address, point), key_id=key_id)
            return read_card(text)
        except JweRefused:
            raise CardRefused(RefusalCode.CARD_UNREADABLE) from None
        except CardFieldsRefused:
            raise CardRefused(RefusalCode.CARD_FIELDS_REFUSED) from None
        except CardNumberRefused:
            raise CardRefused(RefusalCode.CARD_NUMBER_REFUSED) from None

    def _sealed(self, card: Card, *, programme_id: str, card_id: str) -> StoredCard:
        address = self._keyring.vault
        if self._seals.of(str(address)) >= SEALS_MAX:
            raise CardRefused(RefusalCode.CARD_KEY_WORN_OUT)
        unsealed = StoredCard(
            programme_id=programme_id,
            card_id=card_id,
            bin=card.bin,
            last_four=card.last_four,
            expiry_month=card.expiry.month,
            expiry_year=card.expiry.year,
            fingerprint=self._fingerprint(programme_id, card.number),
            key_id=str(address),
            sealed=b"",
        )
        nonce = os.urandom(NONCE_BYTES)
        # Counted before it is used: a nonce that went nowhere is one too many, never one too few.
        self._seals.count(str(address))
        number = self._keys.seal(address, card.number.encode(), nonce=nonce, context=context_of(unsealed))
        return replace(unsealed, sealed=nonce + number)

    def _opened(self, stored: StoredCard) -> Card:
        address = self._keyring.opens.get(stored.key_id)
        if address is None:
            raise CardRefused(RefusalCode.CARD_KEY_UNKNOWN)
        nonce, sealed = stored.sealed[:NONCE_BYTES], stored.sealed[NONCE_BYTES:]
        if len(sealed) <= TAG_BYTES:
            raise CardRefused(RefusalCode.CARD_CONTEXT_MISMATCH)
        try:
            number = self._keys.unseal(address, sealed, nonce=nonce, context=context_of(stored))
            checked = checked_number(number.decode("ascii"))
        except (SealBroken, CardNumberRefused, UnicodeDecodeError):
            raise CardRefused(RefusalCode.CARD_CONTEXT_MISMATCH) from None
        return Card(number=checked, expiry=Expiry(month=stored.expiry_month, year=stored.expiry_year))

    def _fingerprint(self, programme_id: str, number: str) -> str:
        return self._keys.mac(self._keyring.fingerprint, f"{programme_id}\n{number}".encode()).hex()


def context_of(stored: StoredCard) -> bytes:
    """Everything that a seal is bound to, in one spelling."""
    return CONTEXT_PREFIX + canonical.encode(
        {
            "programme_id": stored.programme_id,
            "card_id": stored.card_id,
            "bin": stored.bin,
            "last_four": stored.last_four,
            "expiry_month": stored.expiry_month,
            "expiry_year": stored.expiry_year,
            "fingerprint": stored.fingerprint,
            "key_id": stored.key_id,
        }
    )
