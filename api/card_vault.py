"""Cards between the database and the enclave: the same card as each of them calls it. No number ever comes by here."""

import secrets
from datetime import datetime

from api.problems import Problem
from enclave.client import EnclaveClient, EnclaveError, EnclaveRefused
from enclave.jwe import jwk_of, p256_public_key
from enclave.protocol import SealedCard
from ledger.core.card import Card
from ledger.core.ids import CardId, ProgrammeId, to_text, uuid7

INTAKE = "card_intake"
# What the enclave refuses because of the card itself: the same card again is refused again.
_ABOUT_THE_CARD = {
    "card_unreadable": "The card is not a JWE of the kind that we take, or was changed on its way.",
    "card_key_unknown": "The card was encrypted to a key that we do not have: ask for the intake key again.",
    "card_fields_refused": "A card is exactly pan, expiry_month and expiry_year, in canonical JSON.",
    "card_number_refused": "The digits are not a card's number.",
    "card_expired": "The card's last month is over.",
    "message_fields_refused": "The card is not a JWE of the kind that we take, or was changed on its way.",
}


def new_card_id(now: datetime) -> CardId:
    """A token for a card. It is made before there is a transaction, because the enclave binds the seal to it."""
    unix_ms = int(now.timestamp() * 1000)
    return CardId(to_text("crd", uuid7(unix_ms, secrets.randbits(12), secrets.token_bytes(8))))


def seal_card(
    enclave: EnclaveClient, *, programme_id: ProgrammeId, card_id: CardId, jwe: str
) -> Card | Problem:
    """The card as it is to be kept, or why there is none. Blocks: asks the enclave."""
    try:
        sealed = enclave.card_seal(programme_id=programme_id, card_id=card_id, jwe=jwe)
    except EnclaveRefused as refused:
        return _refused(refused.code)
    except EnclaveError:
        return _unavailable()
    return _kept(programme_id, sealed)


def reseal_card(enclave: EnclaveClient, card: Card) -> Card:
    """The same card under the current key. Raises: EnclaveError; Problem `card_erased` when its number is gone."""
    return _kept(card.programme_id, enclave.card_reseal(programme_id=card.programme_id, card=_row(card)))


def intake_key(enclave: EnclaveClient) -> dict[str, object]:
    """The public key that cards are encrypted to, as a JWK. Raises: Problem `unavailable`."""
    try:
        key = enclave.public_keys().get(INTAKE)
    except EnclaveError as error:
        raise _unavailable() from error
    if key is None:
        raise _unavailable()
    return {**jwk_of(p256_public_key(key.pem)), "kid": key.key_id, "use": "enc", "alg": "ECDH-ES"}


def _refused(code: str) -> Problem:
    detail = _ABOUT_THE_CARD.get(code)
    if detail is None:
        # The enclave's own state, or a vault without keys: nothing that the caller could do otherwise.
        return _unavailable()
    shown = "card_unreadable" if code == "message_fields_refused" else code
    return Problem(422, shown, detail, ({"field": "jwe", "code": shown, "detail": detail},))


def _unavailable() -> Problem:
    headers = {"Retry-After": "1"}
    return Problem(503, "unavailable", "Cards cannot be taken in now.", retry="same_key", headers=headers)


def _kept(programme_id: ProgrammeId, sealed: SealedCard) -> Card:
    return Card(
        id=CardId(sealed.card_id),
        programme_id=programme_id,
        bin=sealed.bin,
        last_four=sealed.last_four,
        expiry_month=sealed.expiry_month,
        expiry_year=sealed.expiry_year,
        fingerprint=bytes.fromhex(sealed.fingerprint),
        key_id=sealed.key_id,
        sealed=sealed.sealed,
    )


def _row(card: Card) -> SealedCard:
    if card.sealed is None:
        raise Problem(
            410, "card_erased", "The card's number was erased: nothing can be done with it any more."
        )
    return SealedCard(
        card_id=card.id,
        bin=card.bin,
        last_four=card.last_four,
        expiry_month=card.expiry_month,
        expiry_year=card.expiry_year,
        fingerprint=card.fingerprint.hex(),
        key_id=card.key_id,
        sealed=card.sealed,
    )
