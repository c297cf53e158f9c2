"""Messages about cards: only true ones are answered, no answer holds a number, and the log learns no digit."""

import json
from collections import Counter
from random import Random

import pytest

from enclave.backends.software import SoftwareKeys
from enclave.card_desk import CardDesk, card_subject
from enclave.keys import KeyAddress, KeyBackendFailure, SealBroken
from enclave.memory import Memory
from enclave.protocol import (
    CardForwardRequest,
    CardResealRequest,
    CardSealRequest,
    SealedCard,
    read_request,
    write_answer,
)
from enclave.refusals import Refusal
from enclave.seal_count import SealCount
from tests.enclave.card_examples import FORWARD, JWE, KEYS, RESEAL, SEAL, STORED
from tests.enclave.cards import (
    CARD_ID,
    NOW,
    PROGRAMME_ID,
    RECIPIENTS,
    VISA,
    NotedKeys,
    card_ring,
    made,
)
from tests.enclave.mutations import Members, altered_message, datagram

MUTATIONS = 3_000
SEED = 20_261_122
CARD_REQUESTS = CardSealRequest | CardResealRequest | CardForwardRequest


def desk(keys: SoftwareKeys = KEYS, *, vault: int = 1) -> CardDesk:
    ring = card_ring(keys, vault=vault)
    ring.load()
    return CardDesk(ring, recipients=RECIPIENTS, seals=SealCount(), per_hour=None)


def answered(message: Members, *, vault: int = 1) -> bytes:
    """The datagram that a message is answered with."""
    request = read_request(datagram(message))
    assert isinstance(request, CARD_REQUESTS)
    return write_answer(desk(vault=vault).decide(request, Memory(), now=NOW).outcome)


def test_a_card_is_answered_with_what_may_be_shown_of_it() -> None:
    told = json.loads(answered(SEAL))

    assert told == {
        "ok": True,
        "card_id": CARD_ID,
        "bin": "411111",
        "last_four": "1111",
        "expiry_month": 12,
        "expiry_year": 2028,
        "fingerprint": STORED.fingerprint,
        "key_id": "card_vault/v1",
        "sealed": told["sealed"],
    }


@pytest.mark.parametrize("message", [SEAL, RESEAL, FORWARD])
@pytest.mark.parametrize("vault", [1, 2])
def test_no_answer_holds_a_number(message: Members, vault: int) -> None:
    data = answered(message, vault=vault)

    assert json.loads(data)["ok"] is True
    assert VISA.encode() not in data
    assert VISA[4:-4].encode() not in data


def test_the_log_learns_ids_and_keys_and_nothing_else() -> None:
    expected: list[tuple[Members, int, dict[str, str]]] = [
        (SEAL, 1, {"sealed_under": "card_vault/v1"}),
        (RESEAL, 1, {"key_id": "card_vault/v1"}),
        (RESEAL, 2, {"key_id": "card_vault/v1", "sealed_under": "card_vault/v2"}),
        (FORWARD, 1, {"key_id": "card_vault/v1", "recipient": "processor"}),
    ]
    for message, version, facts in expected:
        request = read_request(datagram(message))
        assert isinstance(request, CARD_REQUESTS)

        decision = desk(vault=version).decide(request, Memory(), now=NOW)

        assert decision.facts == {"programme_id": PROGRAMME_ID, "card_id": CARD_ID} | facts


def test_a_refused_card_is_no_seal() -> None:
    request = read_request(datagram(SEAL | {"jwe": JWE[:-1]}))
    assert isinstance(request, CARD_REQUESTS)

    decision = desk().decide(request, Memory(), now=NOW)

    assert isinstance(decision.outcome, Refusal)
    assert decision.facts == card_subject(request)


class LostKeys(NotedKeys):
    """A token that went away."""

    def unseal(self, address: KeyAddress, sealed: bytes, *, nonce: bytes, context: bytes) -> bytes:
        raise KeyBackendFailure("gone")


def test_a_back_end_that_breaks_down_has_decided_nothing() -> None:
    request = read_request(datagram(FORWARD))
    assert isinstance(request, CARD_REQUESTS)

    with pytest.raises(KeyBackendFailure) as raised:
        desk(made(LostKeys())).decide(request, Memory(), now=NOW)

    assert not isinstance(raised.value, SealBroken)


def test_no_spoilt_message_is_answered_for_another_card() -> None:
    dice = Random(SEED)
    ours = desk(vault=2)
    told: Counter[str] = Counter()
    for _ in range(MUTATIONS):
        good = dice.choice((SEAL, RESEAL, FORWARD))
        data = altered_message(dice, good)
        request = read_request(data)
        if not isinstance(request, CARD_REQUESTS):
            told["unreadable"] += 1
            continue
        decision = ours.decide(request, Memory(), now=NOW)
        assert VISA.encode() not in write_answer(decision.outcome)
        if isinstance(decision.outcome, Refusal):
            told[decision.outcome.code] += 1
            continue
        told["answered"] += 1
        # A card that comes in may be put under any id; one that was put away is answered as it is, or not at all.
        if isinstance(request, CardSealRequest):
            assert request.jwe == JWE
        else:
            assert data == datagram(good)
        if isinstance(decision.outcome, SealedCard):
            assert (decision.outcome.bin, decision.outcome.last_four) == ("411111", "1111")

    assert {"unreadable", "answered", "card_unreadable", "card_context_mismatch"} <= set(told), told
