"""Faults between the client and the bank's door: down, dropped, busy, late, cut short."""

from pathlib import Path

import httpx
import pytest

from tests.partners.sandbox.bank_process import BankProcess, SigningClient, wait_for
from tests.partners.sandbox.customers import (
    CT_PATH,
    INST_PATH,
    OUTSIDE_IBAN,
    Customer,
    ct_order,
    fresh_id,
    inst_order,
    open_customer,
)
from tests.partners.sandbox.webhook_listener import WebhookListener


def test_bank_that_is_down_refuses_connections_and_comes_back_by_itself(tmp_path: Path) -> None:
    with BankProcess() as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        customer = open_customer(client, funds="100.00")
        client.control("faults", {"kind": "down", "seconds": 0.5})
        failures = set()

        def is_down() -> bool:
            try:
                httpx.get(f"{bank.url}/sandbox/clock", trust_env=False)
            except httpx.ConnectError:
                failures.add("refused")
                return True
            return False

        wait_for("refusal", is_down)
        wait_for("return", lambda: not is_down())
        answer = client.post(INST_PATH, inst_order(customer, fresh_id(), amount=5))

        assert failures == {"refused"}
        assert answer.status_code == 202
        assert client.listing("faults")[0]["timesLeft"] == 0


def test_bank_that_is_down_can_be_stopped(tmp_path: Path) -> None:
    with BankProcess() as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.control("faults", {"kind": "down", "seconds": 60})

        assert bank.stop() == 0


def test_dropped_request_has_no_effect_and_its_id_stays_free(
    client: SigningClient, customer: Customer
) -> None:
    end_to_end_id, request_id = fresh_id(), fresh_id("req")
    client.control("faults", {"kind": "dropped_request", "match": {"endToEndId": end_to_end_id}})
    order = inst_order(customer, end_to_end_id)

    with pytest.raises(httpx.RemoteProtocolError):
        client.post(INST_PATH, order, request_id=request_id)
    taken = [item["endToEndId"] for item in client.listing("payments")]
    again = client.post(INST_PATH, order, request_id=request_id)

    assert end_to_end_id not in taken
    assert again.status_code == 202


def test_busy_bank_says_when_to_come_back(client: SigningClient, customer: Customer) -> None:
    end_to_end_id, request_id = fresh_id(), fresh_id("req")
    fault = {"kind": "refuse_429", "match": {"endToEndId": end_to_end_id}, "seconds": 7}
    client.control("faults", fault)
    order = inst_order(customer, end_to_end_id)

    first = client.post(INST_PATH, order, request_id=request_id)
    again = client.post(INST_PATH, order, request_id=request_id)

    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert again.status_code == 202


def test_late_answer_comes_after_the_webhooks(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    fault = {"kind": "late_answer", "match": {"endToEndId": end_to_end_id}, "seconds": 20}
    client.control("faults", fault)

    answer = client.post(CT_PATH, ct_order(customer, end_to_end_id))
    told = {item.type for item in listener.about(end_to_end_id)}

    assert answer.status_code == 202
    assert told == {"Sepa.Ct.OutboundPayment.Completed", "CustomerAccounts.TransactionCompleted"}


def test_cut_answer_promises_more_than_it_brings(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.control("faults", {"kind": "truncated_answer", "match": {"endToEndId": end_to_end_id}})

    answer = client.http.send(client.prepare(INST_PATH, inst_order(customer, end_to_end_id)), stream=True)

    assert (answer.status_code, int(answer.headers["Content-Length"]) > 0) == (202, True)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        answer.read()
    assert listener.wait_for("Sepa.Instant.Outbound.Payment.Settled", end_to_end_id)


def test_bank_whose_clock_is_wrong_refuses_a_request_of_now(
    client: SigningClient, customer: Customer
) -> None:
    path = f"/mccy/v1/Accounts/{customer.account_id}"
    client.control("faults", {"kind": "skewed_clock", "match": {"path": path}, "seconds": 600})

    answers = [client.get(path) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [400, 200]
    assert answers[0].json()["title"] == "Invalid X-Request-Time Header"


def test_look_up_says_another_amount_than_is_booked(client: SigningClient, customer: Customer) -> None:
    path = f"/mccy/v1/Accounts/{customer.account_id}/transactions?Currency=EUR"
    fault = {"kind": "wrong_amount_listed", "match": {"creditorIban": customer.virtual_iban}}
    client.control("faults", fault)

    amounts = [client.get(path).json()["transactions"][0]["amount"] for _ in range(2)]

    assert amounts == [1000.01, 1000.0]


def test_instant_payment_is_delayed_on_command_and_settles_under_a_new_id(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.control("faults", {"kind": "delay", "match": {"endToEndId": end_to_end_id}})
    client.post(INST_PATH, inst_order(customer, end_to_end_id))

    [settled] = listener.wait_for("Sepa.Instant.Outbound.Payment.Settled", end_to_end_id)
    [delayed] = listener.wait_for("Sepa.Instant.Outbound.Payment.Delayed", end_to_end_id)

    assert settled.payload["PaymentId"] == delayed.payload["PaymentId"]
    assert settled.payload["TransactionId"] != delayed.payload["TransactionId"]


def test_delayed_instant_payment_is_cancelled_on_command(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.control("faults", {"kind": "cancel_delayed", "match": {"endToEndId": end_to_end_id}})
    client.post(INST_PATH, inst_order(customer, end_to_end_id))

    [cancelled] = listener.wait_for("Sepa.Instant.Outbound.Payment.Cancelled", end_to_end_id)

    assert cancelled.payload["CancellationCode"] == "CB05"


def test_rejection_for_a_reason_that_nobody_knows(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    fault = {"kind": "reject", "match": {"endToEndId": end_to_end_id}, "reason": "ZZ99"}
    client.control("faults", fault)
    client.post(CT_PATH, ct_order(customer, end_to_end_id))

    [failed] = listener.wait_for("Sepa.Ct.OutboundPayment.Failed", end_to_end_id)

    assert (failed.payload["Reason"], failed.payload["AdditionalInformation"]) == ("ZZ99", "ZZ99")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "down", "seconds": 61},
        {"kind": "down", "match": {"endToEndId": "E2E"}},
        {"kind": "skewed_clock"},
        {"kind": "skewed_clock", "seconds": 1, "match": {"path": "/", "webhookType": "X"}},
        {"kind": "lost_answer", "seconds": 1},
        {"kind": "late_webhook", "seconds": -1},
        {"kind": "swapped_pages", "match": {"creditorIban": OUTSIDE_IBAN}},
        {"kind": "reject", "reason": "AC01", "amount": 5},
    ],
)
def test_fault_that_does_not_say_how_is_refused(client: SigningClient, fault: dict[str, object]) -> None:
    assert client.http.post("/sandbox/faults", json=fault).status_code == 400
