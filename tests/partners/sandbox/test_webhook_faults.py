"""Webhooks that come in the wrong order, again, by another key or by another clock."""

import base64
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.partners.sandbox.bank_process import BankProcess, SigningClient, wait_for
from tests.partners.sandbox.customers import INST_PATH, Customer, fresh_id, inst_order, open_customer, pay_in
from tests.partners.sandbox.webhook_listener import Answer, Delivery, WebhookListener

POSTED = "CustomerAccounts.TransactionCompleted"
INBOUND = "Sepa.Ct.InboundPayment.Completed"
INST = "Sepa.Instant.Outbound.Payment."


def published_keys(client: SigningClient) -> list[rsa.RSAPublicKey]:
    pem = client.http.get("/sandbox/public-key").text
    end = "-----END PUBLIC KEY-----\n"
    keys = [serialization.load_pem_public_key((one + end).encode()) for one in pem.split(end)[:-1]]
    assert all(isinstance(key, rsa.RSAPublicKey) for key in keys)
    return [key for key in keys if isinstance(key, rsa.RSAPublicKey)]


def is_by(key: rsa.RSAPublicKey, delivery: Delivery) -> bool:
    signature = base64.b64decode(delivery.headers["digitalsignature"])
    try:
        key.verify(signature, delivery.body, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def test_webhook_is_held_back_until_after_the_next(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    match = {"endToEndId": end_to_end_id, "webhookType": f"{INST}Created"}
    client.control("faults", {"kind": "late_webhook", "match": match, "seconds": 60})
    client.post(INST_PATH, inst_order(customer, end_to_end_id))

    listener.wait_for(f"{INST}Created", end_to_end_id)

    types = [item.type for item in listener.about(end_to_end_id)]
    assert types.index(f"{INST}Settled") < types.index(f"{INST}Created")


def test_webhook_that_is_held_back_comes_without_a_next_when_its_time_is_over(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    match = {"creditorIban": customer.virtual_iban, "webhookType": POSTED}
    client.control("faults", {"kind": "late_webhook", "match": match, "seconds": 0.2})
    end_to_end_id = pay_in(client, customer, amount="5.00")

    assert listener.wait_for(POSTED, end_to_end_id)


def test_replayed_webhook_is_the_same_to_the_byte(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    match = {"creditorIban": customer.virtual_iban, "webhookType": INBOUND}
    client.control("faults", {"kind": "replayed_webhook", "match": match})
    end_to_end_id = pay_in(client, customer, amount="5.00")

    first, second = listener.wait_for(INBOUND, end_to_end_id, count=2)

    assert first.body == second.body
    assert first.headers["digitalsignature"] == second.headers["digitalsignature"]
    assert second.headers["x-delivery-attempt"] == "1"


@pytest.mark.parametrize("seconds", [600, -600, -86_400])
def test_webhook_tells_the_time_of_a_wrong_clock(
    client: SigningClient, listener: WebhookListener, customer: Customer, seconds: int
) -> None:
    match = {"creditorIban": customer.virtual_iban, "webhookType": POSTED}
    client.control("faults", {"kind": "skewed_clock", "match": match, "seconds": seconds})
    skewed = pay_in(client, customer, amount="5.00")
    right = pay_in(client, customer, amount="5.00")

    [wrong] = listener.wait_for(POSTED, skewed)
    [later] = listener.wait_for(POSTED, right)

    apart = datetime.fromisoformat(str(wrong.payload["CreatedDateTime"])) - datetime.fromisoformat(
        str(later.payload["CreatedDateTime"])
    )
    assert abs(apart - timedelta(seconds=seconds)) < timedelta(seconds=30)


def test_webhook_signed_by_a_strange_key_is_followed_by_a_good_one(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    wait_for("quiet", lambda: all(item["state"] != "pending" for item in client.listing("events")))
    match = {"creditorIban": customer.virtual_iban, "webhookType": POSTED}
    client.control("faults", {"kind": "wrong_key", "match": match})
    listener.next_answers += [listener.acknowledge, lambda _: Answer(400, b"", "")]
    end_to_end_id = pay_in(client, customer, amount="5.00")

    first, second = listener.wait_for(POSTED, end_to_end_id, count=2)

    [key] = published_keys(client)
    assert [is_by(key, item) for item in (first, second)] == [False, True]


def test_changed_key_is_published_beside_the_old_one_for_a_while(tmp_path: Path) -> None:
    with BankProcess() as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        client.control("clock", {"now": "2031-03-04T09:00:00Z"})
        with WebhookListener(client.sign) as listener:
            client.control("webhooks", {"url": listener.url})
            customer = open_customer(client, funds="0")
            [old] = published_keys(client)
            client.control("webhook-key", {"publishedForHours": 24})
            [before] = listener.wait_for(INBOUND, pay_in(client, customer, amount="5.00"))
            during = published_keys(client)
            bank.restart(int(bank.url.rpartition(":")[2]))
            kept = published_keys(client)
            client.control("clock", {"now": "2031-03-05T10:00:00Z"})

            assert [is_by(key, before) for key in during] == [True, False]
            assert during[1].public_numbers() == old.public_numbers()
            assert [key.public_numbers() for key in kept] == [key.public_numbers() for key in during]
            [left] = published_keys(client)
            assert left.public_numbers() == during[0].public_numbers()
