"""Misbehaving on command: answers that get lost, errors after the fact, rejections."""

import httpx
import pytest

from tests.partners.sandbox.bank_process import SigningClient, wait_for
from tests.partners.sandbox.customers import (
    CT_PATH,
    INST_PATH,
    Customer,
    balances,
    ct_order,
    fresh_id,
    inst_order,
    pay_in,
    postings,
)
from tests.partners.sandbox.webhook_listener import WebhookListener


def times_left(client: SigningClient, fault_id: object) -> object:
    return next(item["timesLeft"] for item in client.listing("faults") if item["id"] == fault_id)


def test_lost_answer_books_once_and_says_nothing(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id, request_id = fresh_id(), fresh_id("req")
    fault = client.control("faults", {"kind": "lost_answer", "match": {"endToEndId": end_to_end_id}})
    order = inst_order(customer, end_to_end_id)

    with pytest.raises(httpx.RemoteProtocolError):
        client.post(INST_PATH, order, request_id=request_id)
    again = client.post(INST_PATH, order, request_id=request_id)

    [booked] = wait_for("settlement", lambda: settled(client, customer, end_to_end_id))
    assert booked["amount"] == 116.1
    assert again.status_code == 409
    assert balances(client, customer) == {"available": 883.9, "actual": 883.9}
    [taken] = [item for item in client.listing("payments") if item["endToEndId"] == end_to_end_id]
    assert (taken["requestIds"], taken["repeats"]) == ([request_id], 1)
    assert times_left(client, fault["id"]) == 0
    listener.wait_for("Sepa.Ct.InboundPayment.Completed", pay_in(client, customer, amount="1.00"))
    assert listener.about(end_to_end_id) == []


def settled(client: SigningClient, customer: Customer, end_to_end_id: str) -> list[dict[str, object]] | None:
    found = postings(client, customer, end_to_end_id)
    return found if found and found[0]["status"] == "Settled" else None


def test_error_after_the_fact_takes_the_order(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id, request_id = fresh_id(), fresh_id("req")
    client.control("faults", {"kind": "error_500_after", "match": {"endToEndId": end_to_end_id}})

    first = client.post(CT_PATH, ct_order(customer, end_to_end_id), request_id=request_id)
    again = client.post(CT_PATH, ct_order(customer, end_to_end_id), request_id=request_id)

    assert (first.status_code, again.status_code) == (500, 409)
    assert listener.wait_for("Sepa.Ct.OutboundPayment.Completed", end_to_end_id)


def test_refused_with_500_may_be_sent_again_under_the_same_id(
    client: SigningClient, customer: Customer
) -> None:
    end_to_end_id, request_id = fresh_id(), fresh_id("req")
    client.control("faults", {"kind": "refuse_500", "match": {"endToEndId": end_to_end_id}, "times": 2})

    statuses = [
        client.post(CT_PATH, ct_order(customer, end_to_end_id), request_id=request_id).status_code
        for _ in range(3)
    ]

    assert statuses == [500, 500, 202]


def test_fault_on_a_path_strikes_look_ups(client: SigningClient, customer: Customer) -> None:
    path = f"/mccy/v1/Accounts/{customer.account_id}"
    client.control("faults", {"kind": "refuse_500", "match": {"path": path}})

    statuses = [client.get(f"{path}/balances").status_code for _ in range(2)]

    assert statuses == [500, 200]


def test_fault_without_a_path_leaves_look_ups_alone(client: SigningClient, customer: Customer) -> None:
    client.control("faults", {"kind": "refuse_500"})

    look_up = client.get(f"/mccy/v1/Accounts/{customer.account_id}")
    order = client.post(CT_PATH, ct_order(customer, fresh_id()))

    assert (look_up.status_code, order.status_code) == (200, 500)


def test_credit_transfer_is_rejected_for_the_ordered_reason(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    match = {"endToEndId": end_to_end_id}
    client.control("faults", {"kind": "reject", "match": match, "reason": "AC01"})
    client.post(CT_PATH, ct_order(customer, end_to_end_id))

    [failed] = listener.wait_for("Sepa.Ct.OutboundPayment.Failed", end_to_end_id)

    assert failed.payload["Reason"] == "AC01"
    assert balances(client, customer)["actual"] == 1000.0


def test_instant_payment_is_rejected_for_the_ordered_reason(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    match = {"endToEndId": end_to_end_id}
    client.control("faults", {"kind": "reject", "match": match, "reason": "MS03"})
    client.post(INST_PATH, inst_order(customer, end_to_end_id))

    [cancelled] = listener.wait_for("Sepa.Instant.Outbound.Payment.Cancelled", end_to_end_id)

    assert cancelled.payload["CancellationCode"] == "MS03"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reject"},
        {"kind": "lost_answer", "reason": "AC01"},
        {"kind": "lost_webhook", "match": {"path": "/"}},
        {"kind": "refuse_500", "match": {"webhookType": "FITestEvent"}},
        {"kind": "unheard_of"},
        {"kind": "refuse_500", "times": 0},
    ],
)
def test_fault_that_could_never_strike_is_refused(client: SigningClient, fault: dict[str, object]) -> None:
    assert client.http.post("/sandbox/faults", json=fault).status_code == 400
