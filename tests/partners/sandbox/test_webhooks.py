"""Delivery of webhooks: signed by the bank, acknowledged with a signature, tried again until then."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.partners.sandbox.bank_process import SigningClient, wait_for
from tests.partners.sandbox.customers import Customer, pay_in
from tests.partners.sandbox.webhook_listener import Answer, Delivery, WebhookListener

POSTED = "CustomerAccounts.TransactionCompleted"
INBOUND = "Sepa.Ct.InboundPayment.Completed"


def is_signed_by_the_bank(client: SigningClient, delivery: Delivery) -> bool:
    key = serialization.load_pem_public_key(client.http.get("/sandbox/public-key").content)
    assert isinstance(key, rsa.RSAPublicKey)
    signature = base64.b64decode(delivery.headers["digitalsignature"])
    try:
        key.verify(signature, delivery.body, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def event_about(client: SigningClient, kind: str, end_to_end_id: str) -> dict[str, object]:
    [event] = [
        item
        for item in client.listing("events")
        if (item["type"], item["endToEndId"]) == (kind, end_to_end_id)
    ]
    return event


def test_webhook_is_signed_and_acknowledged(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = pay_in(client, customer, amount="5.00")

    [delivery] = listener.wait_for(INBOUND, end_to_end_id)

    assert is_signed_by_the_bank(client, delivery)
    assert set(delivery.message) == {"Type", "Version", "Payload", "Nonce"}
    assert delivery.headers["x-delivery-attempt"] == "1"
    assert "x-retry-reason" not in delivery.headers
    wait_for("delivery", lambda: event_about(client, INBOUND, end_to_end_id)["state"] == "delivered")


def unsigned(delivery: Delivery) -> Answer:
    return Answer(200, b'{"Nonce": %d}' % int(str(delivery.message["Nonce"])), "")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unsigned", "Non-repudiation"),
        ("wrong nonce", "Payload / Response Format"),
        ("no json", "Payload / Response Format"),
        ("error", "HTTP"),
    ],
)
def test_wrong_acknowledgement_is_tried_again(
    client: SigningClient, listener: WebhookListener, customer: Customer, fault: str, reason: str
) -> None:
    answers = {
        "unsigned": unsigned,
        "wrong nonce": lambda _: Answer(200, b'{"Nonce": 1}', listener.sign(b'{"Nonce": 1}')),
        "no json": lambda _: Answer(200, b"thanks", listener.sign(b"thanks")),
        "error": lambda _: Answer(400, b"", ""),
    }
    wait_for("quiet", lambda: all(item["state"] != "pending" for item in client.listing("events")))
    listener.next_answers.append(answers[fault])
    end_to_end_id = pay_in(client, customer, amount="5.00")

    first, second = listener.wait_for(INBOUND, end_to_end_id, count=2)

    assert first.body == second.body
    assert second.headers["x-delivery-attempt"] == "2"
    assert second.headers["x-retry-reason"] == reason
    wait_for("delivery", lambda: event_about(client, INBOUND, end_to_end_id)["state"] == "delivered")


def test_failing_webhook_does_not_hold_back_the_next(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    wait_for("quiet", lambda: all(item["state"] != "pending" for item in client.listing("events")))
    listener.next_answers.append(lambda _: Answer(500, b"", ""))
    end_to_end_id = pay_in(client, customer, amount="5.00")

    listener.wait_for(INBOUND, end_to_end_id, count=2)

    assert [item.type for item in listener.about(end_to_end_id)] == [INBOUND, POSTED, INBOUND]


def test_duplicated_webhook_comes_with_another_nonce(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    match = {"creditorIban": customer.virtual_iban, "webhookType": INBOUND}
    client.control("faults", {"kind": "duplicate_webhook", "match": match})
    end_to_end_id = pay_in(client, customer, amount="5.00")

    first, second = listener.wait_for(INBOUND, end_to_end_id, count=2)

    assert first.payload == second.payload
    assert first.message["Nonce"] != second.message["Nonce"]
    assert "x-retry-reason" not in second.headers


def test_lost_webhook_never_comes(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    match = {"creditorIban": customer.virtual_iban, "webhookType": INBOUND}
    client.control("faults", {"kind": "lost_webhook", "match": match})
    lost = pay_in(client, customer, amount="5.00")
    later = pay_in(client, customer, amount="6.00")

    listener.wait_for(POSTED, later)

    assert [item.type for item in listener.about(lost)] == [POSTED]
    assert event_about(client, INBOUND, lost)["state"] == "withheld"
    assert INBOUND in [item.type for item in listener.about(later)]


def test_badly_signed_webhook_is_followed_by_a_good_one(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    match = {"creditorIban": customer.virtual_iban, "webhookType": POSTED}
    # Before the fault: a webhook that is still on its way would take it.
    wait_for("quiet", lambda: all(item["state"] != "pending" for item in client.listing("events")))
    client.control("faults", {"kind": "bad_signature", "match": match})
    listener.next_answers += [listener.acknowledge, lambda _: Answer(400, b"", "")]
    end_to_end_id = pay_in(client, customer, amount="5.00")

    first, second = listener.wait_for(POSTED, end_to_end_id, count=2)

    assert [is_signed_by_the_bank(client, item) for item in (first, second)] == [False, True]


def test_wrong_amount_is_told_but_not_booked(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    client.control("faults", {"kind": "wrong_amount", "match": {"creditorIban": customer.virtual_iban}})
    end_to_end_id = pay_in(client, customer, amount="5.00")

    [posted] = listener.wait_for(POSTED, end_to_end_id)

    assert posted.payload["Amount"] == 5.01
    account = client.get(f"/mccy/v1/Accounts/{customer.account_id}/balances").json()
    assert account["balances"]["EUR"]["actual"] == 1005.0
