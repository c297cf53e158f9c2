"""Authentication end to end over a real database, with real keys: bound, once, in time, five tries."""

import json
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from compliance.rules.strong_authentication import digest_hex
from compliance.sca import AnswerCode, Answered, AnswerRefused, Challenge, answer, ask, enrol
from ledger.core.canonical import canonical_text
from ledger.core.errors import Conflict, InvalidValue, NotFound
from ledger.core.ids import PartyId, ProgrammeId
from ledger.core.orders import CheckoutOrder
from ledger.store.schema import authentications
from ledger.store.tx import Tx
from tests.compliance.given import (
    ANA,
    LEA,
    NOW,
    book_parties,
    checkout,
    key_pair,
    policies,
    sign,
    some_id,
)
from tests.conftest import OpenTx, make_programme

PRIVATE, PEM = key_pair()
OTHER_PRIVATE, OTHER_PEM = key_pair()
WRONG = AnswerRefused(AnswerCode.WRONG)


@pytest.fixture
def programme(open_tx: OpenTx, programme_id: ProgrammeId) -> ProgrammeId:
    """A programme in which Ana has enrolled her key."""
    with open_tx() as tx:
        book_parties(tx, programme_id)
        enrol(tx, programme_id, party_id=ANA, public_key_pem=PEM)
    return programme_id


@pytest.fixture
def order(programme: ProgrammeId) -> CheckoutOrder:
    return replace(checkout(5_000), programme_id=programme)


@pytest.fixture
def challenge(open_tx: OpenTx, order: CheckoutOrder) -> Challenge:
    with open_tx() as tx:
        (asked,) = ask(tx, policies(), [order])
    return asked


def answered(tx: Tx, order: CheckoutOrder, signature: bytes) -> Answered | AnswerRefused:
    return answer(
        tx,
        policies(),
        programme_id=order.programme_id,
        subject_id=order.checkout_id,
        signature=signature,
    )


def stored(tx: Tx, order: CheckoutOrder) -> tuple[str, int]:
    column = authentications.c
    row = tx.row(sa.select(column.state, column.failures).where(column.subject_id == order.checkout_id))
    assert row is not None
    return row["state"], row["failures"]


def test_a_challenge_links_the_amount_and_the_payees(challenge: Challenge, order: CheckoutOrder) -> None:
    text = json.loads(challenge.text)

    nonce = text.pop("nonce")
    assert len(bytes.fromhex(nonce)) == 16
    assert text == {
        "authentication_id": challenge.authentication_id,
        "amount_minor": 5_000,
        "currency": "EUR",
        "checkout_id": order.checkout_id,
        "expires_at": "2026-11-16T09:05:00+00:00",
        "order_digest": digest_hex(order),
        "payees": ["Hotel Mirador SL", "Soundbar GmbH"],
    }
    assert challenge.text == canonical_text(json.loads(challenge.text))


def test_the_payers_signature_is_accepted_once(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    signature = sign(PRIVATE, challenge.text)

    with open_tx() as tx:
        assert answered(tx, order, signature) == Answered(challenge.authentication_id, order.checkout_id, NOW)
    with open_tx() as tx:
        assert answered(tx, order, signature) == AnswerRefused(AnswerCode.SPENT)
        assert stored(tx, order) == ("answered", 0)


def test_two_answers_at_once_are_accepted_once(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    signature, barrier, results = sign(PRIVATE, challenge.text), Barrier(4), []

    def try_it() -> None:
        with open_tx() as tx:
            barrier.wait(timeout=10)
            results.append(answered(tx, order, signature))

    threads = [Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sum(isinstance(result, Answered) for result in results) == 1
    assert results.count(AnswerRefused(AnswerCode.SPENT)) == 3


def test_a_signature_of_another_amount_is_wrong(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    cheaper = challenge.text.replace('"amount_minor":5000', '"amount_minor":4999')
    assert cheaper != challenge.text

    with open_tx() as tx:
        assert answered(tx, order, sign(PRIVATE, cheaper)) == WRONG


@pytest.mark.parametrize("signature", [b"", b"\x00" * 64, b"\x30" * 72, b"\xff" * 10_000])
def test_bytes_that_are_no_signature_are_wrong(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge, signature: bytes
) -> None:
    with open_tx() as tx:
        assert answered(tx, order, signature) == WRONG


def test_which_element_was_wrong_is_not_told(open_tx: OpenTx, order: CheckoutOrder) -> None:
    of_lea = replace(order, payer_id=LEA)

    with open_tx() as tx:
        (asked,) = ask(tx, policies(), [of_lea])
        assert answered(tx, of_lea, sign(PRIVATE, asked.text)) == WRONG  # Lea never enrolled a key
        enrol(tx, order.programme_id, party_id=LEA, public_key_pem=OTHER_PEM)
        assert answered(tx, of_lea, sign(PRIVATE, asked.text)) == WRONG  # the key is another's


def test_the_fifth_failure_locks_and_the_count_outlives_each_refusal(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    wrong, right = sign(OTHER_PRIVATE, challenge.text), sign(PRIVATE, challenge.text)

    for failures in range(1, 6):
        with open_tx() as tx:
            assert answered(tx, order, wrong) == WRONG
        with open_tx() as tx:
            assert stored(tx, order) == ("locked" if failures == 5 else "asked", failures)

    with open_tx() as tx:
        assert answered(tx, order, right) == AnswerRefused(AnswerCode.LOCKED)


def test_after_four_failures_the_right_answer_still_counts(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    with open_tx() as tx:
        for _ in range(4):
            assert answered(tx, order, b"wrong") == WRONG
        assert isinstance(answered(tx, order, sign(PRIVATE, challenge.text)), Answered)


def test_an_answer_is_in_time_until_five_minutes_have_passed(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    signature = sign(PRIVATE, challenge.text)
    assert challenge.expires_at == NOW + timedelta(minutes=5)

    with open_tx(now=challenge.expires_at) as tx:
        assert answered(tx, order, signature) == AnswerRefused(AnswerCode.EXPIRED)
        assert stored(tx, order) == ("asked", 0)
    with open_tx(now=challenge.expires_at - timedelta(microseconds=1)) as tx:
        assert isinstance(answered(tx, order, signature), Answered)


def test_nothing_was_asked(open_tx: OpenTx, order: CheckoutOrder) -> None:
    with open_tx() as tx:
        assert answered(tx, order, b"") == AnswerRefused(AnswerCode.UNKNOWN)


def test_another_programme_knows_nothing_of_it(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    with open_tx() as tx:
        stranger = replace(order, programme_id=make_programme(tx, "pay-uk"))
        assert answered(tx, stranger, sign(PRIVATE, challenge.text)) == AnswerRefused(AnswerCode.UNKNOWN)


def test_the_newest_key_answers(open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge) -> None:
    with open_tx(now=NOW + timedelta(minutes=1)) as tx:
        enrol(tx, order.programme_id, party_id=ANA, public_key_pem=OTHER_PEM)

        assert answered(tx, order, sign(PRIVATE, challenge.text)) == WRONG
        assert isinstance(answered(tx, order, sign(OTHER_PRIVATE, challenge.text)), Answered)


def test_a_checkout_asked_about_again_keeps_its_challenge(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    second = replace(order, checkout_id=checkout(number=2).checkout_id)

    with open_tx(now=NOW + timedelta(minutes=1)) as tx:
        again, new = ask(tx, policies(), [order, second])

    assert again == challenge
    assert (new.checkout_id, new.expires_at) == (second.checkout_id, NOW + timedelta(minutes=6))


def test_a_checkout_asked_about_with_other_content_is_a_conflict(
    open_tx: OpenTx, order: CheckoutOrder, challenge: Challenge
) -> None:
    with open_tx() as tx, pytest.raises(Conflict):
        ask(tx, policies(), [replace(order, amount_minor=5_001)])


def test_nobody_is_asked_about_an_unknown_seller(open_tx: OpenTx, order: CheckoutOrder) -> None:
    nobody = replace(order.lines[0], seller_id=PartyId(some_id("pty", 99)))

    with open_tx() as tx, pytest.raises(NotFound):
        ask(tx, policies(), [replace(order, lines=(nobody,))])


def _pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@pytest.mark.parametrize(
    "public_key_pem",
    [
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(ec.generate_private_key(ec.SECP256K1())),
        _pem(rsa.generate_private_key(65537, 2048)),
        _pem(ed25519.Ed25519PrivateKey.generate()),
        PEM[:-40],
        "",
        "ключ",
        PEM + " " * 1_000,
    ],
    ids=["P-384", "K-256", "RSA", "Ed25519", "cut", "empty", "not ASCII", "too long"],
)
def test_only_a_p256_public_key_is_enrolled(
    open_tx: OpenTx, programme: ProgrammeId, public_key_pem: str
) -> None:
    with open_tx() as tx, pytest.raises(InvalidValue) as refused:
        enrol(tx, programme, party_id=ANA, public_key_pem=public_key_pem)

    assert refused.value.field == "public_key"


def test_only_the_programmes_own_party_enrols(open_tx: OpenTx, programme: ProgrammeId) -> None:
    with open_tx() as tx:
        stranger = make_programme(tx, "pay-uk")
        with pytest.raises(NotFound):
            enrol(tx, stranger, party_id=ANA, public_key_pem=PEM)
        with pytest.raises(NotFound):
            enrol(tx, programme, party_id=PartyId(some_id("pty", 99)), public_key_pem=PEM)
