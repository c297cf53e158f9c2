"""The desk for cards: a message in, an answer or a refusal out, and what the log says of it.

What goes out waits for the log like every other answer: the caller of this desk makes the entry durable first. The log
learns which card, which keys and which recipient; never a digit, a fingerprint or a month.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from enclave.card_vault import CardKeys, CardRefused, CardVault, Recipient, StoredCard
from enclave.keyring import Keyring, NoKey
from enclave.keys import KeyAddress, KeyIdentity, Purpose
from enclave.log import LogFacts
from enclave.memory import Memory, cards_of
from enclave.protocol import (
    CardAnswer,
    CardForwardRequest,
    CardRequest,
    CardResealRequest,
    CardRow,
    CardSealRequest,
    ForwardedCard,
    SealedCard,
)
from enclave.refusals import Refusal, RefusalCode, refusal
from enclave.seal_count import SEALED_UNDER, SealCount
from enclave.spending import Window


@dataclass(frozen=True, slots=True)
class CardDecision:
    """What a message is told, and what the log has to say of it first."""

    outcome: CardAnswer | Refusal
    facts: LogFacts


class CardDesk:
    """Answers messages about cards, one at a time."""

    def __init__(
        self,
        keyring: Keyring,
        *,
        recipients: Mapping[str, Recipient],
        seals: SealCount,
        per_hour: int | None,
    ) -> None:
        """`per_hour` is how many cards a programme may have taken in in an hour; None: any number."""
        self._keyring = keyring
        self._recipients = recipients
        self._seals = seals
        self._per_hour = per_hour

    def decide(self, request: CardRequest, memory: Memory, *, now: datetime) -> CardDecision:
        """The decision on one message. What goes wrong in the back end is raised: then nothing was decided."""
        subject = card_subject(request)
        try:
            self._check_not_many(request, memory, now)
            outcome = self._answer(request, self._vault(now), now)
        except CardRefused as refused:
            return CardDecision(outcome=refusal(refused.code), facts=subject)
        except NoKey:
            return CardDecision(outcome=refusal(RefusalCode.CARD_VAULT_CLOSED), facts=subject)
        return CardDecision(outcome=outcome, facts={**subject, **_seal_made(request, outcome)})

    def _check_not_many(self, request: CardRequest, memory: Memory, now: datetime) -> None:
        """Who may have any number sealed could find out a card's by its fingerprint: it must not be quick."""
        if not isinstance(request, CardSealRequest) or self._per_hour is None:
            return
        if memory.spent(cards_of(request.programme_id), Window.HOUR, now=now) >= self._per_hour:
            raise CardRefused(RefusalCode.CARDS_OVER_HOUR)

    def _vault(self, now: datetime) -> CardVault:
        """The vault with the keys of now."""
        keys = CardKeys(
            vault=self._keyring.current(Purpose.CARD_VAULT, now),
            fingerprint=self._keyring.current(Purpose.CARD_FINGERPRINT, now),
            opens=_by_id(self._keyring.believed(Purpose.CARD_VAULT, now)),
            intakes=_by_id(self._keyring.believed(Purpose.CARD_INTAKE, now)),
        )
        return CardVault(self._keyring.backend, keys, recipients=self._recipients, seals=self._seals)

    def _answer(self, request: CardRequest, vault: CardVault, now: datetime) -> CardAnswer:
        match request:
            case CardSealRequest():
                sealed = vault.seal(
                    programme_id=request.programme_id,
                    card_id=request.card_id,
                    jwe_text=request.jwe,
                    now=now,
                )
                return _shown(sealed)
            case CardResealRequest():
                return _shown(vault.reseal(_stored(request.programme_id, request.card)))
            case CardForwardRequest():
                stored = _stored(request.programme_id, request.card)
                text = vault.forward(stored, request.recipient)
                return ForwardedCard(card_id=stored.card_id, recipient=request.recipient, jwe=text)
            case _:
                assert_never(request)


def card_subject(request: CardRequest) -> LogFacts:
    """What the log says a message was about, whatever becomes of it."""
    match request:
        case CardSealRequest():
            return {"programme_id": request.programme_id, "card_id": request.card_id}
        case CardResealRequest():
            return _row_subject(request.programme_id, request.card)
        case CardForwardRequest():
            return {**_row_subject(request.programme_id, request.card), "recipient": request.recipient}
        case _:
            assert_never(request)


def _by_id(keys: Sequence[KeyIdentity]) -> Mapping[str, KeyAddress]:
    return {str(key.address): key.address for key in keys}


def _row_subject(programme_id: str, row: CardRow) -> LogFacts:
    return {"programme_id": programme_id, "card_id": row.card_id, "key_id": row.key_id}


def _seal_made(request: CardRequest, answer: CardAnswer) -> LogFacts:
    """Which key sealed, if one did: by this the seals of a key are counted."""
    if not isinstance(answer, SealedCard):
        return {}
    was_there = isinstance(request, CardResealRequest) and answer.key_id == request.card.key_id
    return {} if was_there else {SEALED_UNDER: answer.key_id}


def _stored(programme_id: str, row: CardRow) -> StoredCard:
    return StoredCard(
        programme_id=programme_id,
        card_id=row.card_id,
        bin=row.bin,
        last_four=row.last_four,
        expiry_month=row.expiry_month,
        expiry_year=row.expiry_year,
        fingerprint=row.fingerprint,
        key_id=row.key_id,
        sealed=row.sealed,
    )


def _shown(stored: StoredCard) -> SealedCard:
    return SealedCard(
        card_id=stored.card_id,
        bin=stored.bin,
        last_four=stored.last_four,
        expiry_month=stored.expiry_month,
        expiry_year=stored.expiry_year,
        fingerprint=stored.fingerprint,
        key_id=stored.key_id,
        sealed=stored.sealed,
    )
