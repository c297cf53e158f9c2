"""Carts: authorised in one go, captured and refunded in parts, shared to the cent; and the payer's own signature."""

import base64
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from api.jobs import Jobs
from tests.api.promises import promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop, part, public_pem


def waiting(shop: Shop, amount_minor: int = 3_001) -> Json:
    """A cart that waits for its payer."""
    asked = shop.api.make("/v1/checkouts", shop.cart(amount_minor))
    assert asked["state"] == "requires_authentication"
    return asked


def answer_path(checkout: Json) -> str:
    return f"/v1/checkouts/{checkout['id']}/authentication"


def test_cart_is_held_captured_and_shared_to_the_cent(shop: Shop) -> None:
    checkout = shop.authorised(1_999)
    held = (shop.balance(shop.ana), shop.available(shop.ana))

    done = shop.api.make(f"/v1/checkouts/{checkout['id']}/captures", part(1_999))

    assert held == (50_000, 48_001)
    assert done["checkout_state"] == "closed"
    assert [split["amount_minor"] for split in done["lines"][0]["splits"]] == [240, 100, 1_659]
    assert [shop.balance(party) for party in (shop.ana, shop.lea, shop.hotel)] == [48_001, 100, 1_659]


def test_final_capture_gives_the_rest_back(shop: Shop) -> None:
    checkout = shop.authorised(2_000)

    done = shop.api.make(f"/v1/checkouts/{checkout['id']}/captures", part(1_500, final=True))

    assert done["lines"][0]["released_minor"] == 500
    assert (shop.balance(shop.ana), shop.available(shop.ana)) == (48_500, 48_500)


def test_refund_takes_back_from_everyone_who_shared(shop: Shop) -> None:
    checkout = shop.captured(2_000)

    done = shop.api.make(f"/v1/checkouts/{checkout['id']}/refunds", part(2_000))

    assert [split["amount_minor"] for split in done["lines"][0]["splits"]] == [240, 100, 1_660]
    assert [shop.balance(party) for party in (shop.ana, shop.lea, shop.hotel)] == [50_000, 0, 0]
    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/checkouts/{checkout['id']}/refunds", part(1))
    refused(answer, 409, "exceeds_captured", "lines")


def test_refund_that_a_seller_cannot_bear_moves_nothing(shop: Shop) -> None:
    checkout = shop.captured(2_000)
    shop.api.make("/v1/payouts", shop.payout(1_660))

    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/checkouts/{checkout['id']}/refunds", part(2_000))

    assert refused(answer, 409, "insufficient_funds")["retry"] == "new_key"


def test_cart_beyond_the_wallet_is_declined_and_leaves_nothing(shop: Shop) -> None:
    poor = open_shop(shop.at)

    with shop.at.nothing_changes():
        answer = poor.api.post("/v1/checkouts", poor.cart(1))

    assert refused(answer, 409, "insufficient_funds")["retry"] == "new_key"


def test_reference_that_is_taken_is_refused(shop: Shop) -> None:
    taken = [shop.authorised()["reference"], waiting(shop)["reference"]]

    with shop.at.nothing_changes():
        answers = [
            shop.api.post("/v1/checkouts", shop.cart(amount, reference=reference))
            for reference in taken
            for amount in (2_000, 3_001)
        ]

    for answer in answers:
        refused(answer, 409, "reference_taken", "reference")


def test_cart_that_expires_in_the_past_is_refused(shop: Shop) -> None:
    past = (shop.at.now() - timedelta(seconds=1)).isoformat()

    with shop.at.nothing_changes():
        answers = [
            shop.api.post("/v1/checkouts", shop.cart(amount, expires_at=past)) for amount in (2_000, 3_001)
        ]

    for answer in answers:
        refused(answer, 422, "expires_in_the_past", "expires_at")


def test_expired_hold_is_given_back_and_can_no_longer_be_captured(shop: Shop) -> None:
    expires_at = shop.at.now() + timedelta(minutes=10)
    checkout = shop.authorised(2_000, expires_at=expires_at.isoformat())
    shop.at.set_clock(expires_at + timedelta(seconds=1))

    Jobs(shop.at.parts).expire_holds()

    assert shop.available(shop.ana) == 50_000
    assert shop.api.read(f"/v1/checkouts/{checkout['id']}")["state"] == "expired"
    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/checkouts/{checkout['id']}/captures", part(1))
    refused(answer, 409, "checkout_not_authorised")


def test_hold_that_has_expired_unnoticed_cannot_be_captured(shop: Shop) -> None:
    expires_at = shop.at.now() + timedelta(minutes=10)
    checkout = shop.authorised(2_000, expires_at=expires_at.isoformat())
    shop.at.set_clock(expires_at + timedelta(seconds=1))

    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/checkouts/{checkout['id']}/captures", part(1))

    assert answer.status_code == 409
    refused(answer, 409, answer.json()["code"])


# --- the payer's own signature ------------------------------------------------------------------------------


def test_thirty_euros_need_no_authentication_and_a_cent_more_does(shop: Shop) -> None:
    exempt = shop.api.make("/v1/checkouts", shop.cart(3_000))
    asked = shop.api.make("/v1/checkouts", shop.cart(3_001))

    assert (exempt["state"], asked["state"]) == ("authorised", "requires_authentication")
    assert shop.available(shop.ana) == 47_000


def test_payers_signature_authorises_the_cart(shop: Shop) -> None:
    asked = waiting(shop)

    done = shop.api.make(answer_path(asked), shop.sign(asked["next_action"]["challenge"]))

    assert (done["id"], done["state"]) == (asked["id"], "authorised")
    assert shop.available(shop.ana) == 50_000 - 3_001


def test_cart_that_waits_cannot_be_captured(shop: Shop) -> None:
    asked = waiting(shop)

    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/checkouts/{asked['id']}/captures", part(3_001))

    refused(answer, 409, "checkout_not_authorised")


def test_fifth_wrong_signature_locks_the_authentication(shop: Shop) -> None:
    asked = waiting(shop)
    challenge = asked["next_action"]["challenge"]
    wrong = shop.sign(challenge + " ")

    for _ in range(5):
        with shop.at.only_changes("authentications", "idempotency_keys"):
            refused(shop.api.post(answer_path(asked), wrong), 403, "signature_wrong")

    with shop.at.only_changes("idempotency_keys"):
        refused(shop.api.post(answer_path(asked), shop.sign(challenge)), 403, "authentication_locked")
    assert shop.available(shop.ana) == 50_000


def test_wrong_signature_sent_again_under_its_key_is_counted_once(shop: Shop) -> None:
    asked = waiting(shop)
    challenge, wrong = asked["next_action"]["challenge"], shop.sign("x")

    for _ in range(6):
        refused(shop.api.post(answer_path(asked), wrong, key="again"), 403, "signature_wrong")

    assert shop.api.make(answer_path(asked), shop.sign(challenge))["state"] == "authorised"


def test_authentication_is_answered_once(shop: Shop) -> None:
    asked = waiting(shop)
    signed = shop.sign(asked["next_action"]["challenge"])
    shop.api.make(answer_path(asked), signed)

    with shop.at.only_changes("idempotency_keys"):
        answer = shop.api.post(answer_path(asked), signed)

    refused(answer, 403, "authentication_spent")
    assert shop.available(shop.ana) == 50_000 - 3_001


def test_signature_for_one_cart_authorises_no_other(shop: Shop) -> None:
    first, second = waiting(shop), waiting(shop)

    with shop.at.only_changes("authentications", "idempotency_keys"):
        answer = shop.api.post(answer_path(second), shop.sign(first["next_action"]["challenge"]))

    refused(answer, 403, "signature_wrong")


def test_expired_challenge_is_refused_whoever_signed_it(shop: Shop) -> None:
    asked = waiting(shop)
    shop.at.set_clock(datetime.fromisoformat(asked["next_action"]["expires_at"]))

    with shop.at.only_changes("idempotency_keys"):
        answer = shop.api.post(answer_path(asked), shop.sign(asked["next_action"]["challenge"]))

    refused(answer, 403, "authentication_expired")


def test_only_the_newest_device_answers(shop: Shop) -> None:
    asked = waiting(shop)
    challenge = asked["next_action"]["challenge"]
    newer = ec.generate_private_key(ec.SECP256R1())
    shop.api.make(f"/v1/parties/{shop.ana['id']}/authenticators", {"public_key_pem": public_pem(newer)})

    refused(shop.api.post(answer_path(asked), shop.sign(challenge)), 403, "signature_wrong")
    signature = newer.sign(challenge.encode(), ec.ECDSA(hashes.SHA256()))
    done = shop.api.make(answer_path(asked), {"signature": base64.b64encode(signature).decode()})

    assert done["state"] == "authorised"


@pytest.mark.parametrize("signature", ["AAAAAAAA", "A" * 200, "A" * 199, "MEUCIQDx", "////////"])
def test_signature_that_is_none_is_counted_as_wrong(shop: Shop, signature: str) -> None:
    asked = waiting(shop)

    with shop.at.only_changes("authentications", "idempotency_keys"):
        answer = shop.api.post(answer_path(asked), {"signature": signature})

    refused(answer, 403, "signature_wrong")


def test_answer_for_a_cart_that_was_never_asked_about_is_refused(shop: Shop) -> None:
    checkout = shop.authorised()

    with shop.at.only_changes("idempotency_keys"):
        answer = shop.api.post(answer_path(checkout), shop.sign("x"))

    refused(answer, 403, "authentication_unknown")


def test_payer_who_was_short_may_answer_again_once_there_is_money(shop: Shop) -> None:
    asked = waiting(shop, 50_001)
    signed = shop.sign(asked["next_action"]["challenge"])
    with shop.at.nothing_changes():
        refused(shop.api.post(answer_path(asked), signed), 409, "insufficient_funds")
    shop.fund(1)

    done = shop.api.make(answer_path(asked), signed)

    assert done["state"] == "authorised"
    assert shop.available(shop.ana) == 0


def test_cart_promises_no_job(shop: Shop) -> None:
    shop.captured()

    assert promises(shop.at.parts) == []
