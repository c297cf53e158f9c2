"""What other banks bring about: payments to IBANs nobody has, returns in part and days later, recalls."""

import pytest

from tests.partners.sandbox.bank_process import SigningClient
from tests.partners.sandbox.customers import (
    CT_PATH,
    INST_PATH,
    OUTSIDE_IBAN,
    Customer,
    account_order,
    balances,
    ct_order,
    fresh_id,
    inst_order,
    postings,
)
from tests.partners.sandbox.scenes import Scene
from tests.partners.sandbox.webhook_listener import WebhookListener

POSTED = "CustomerAccounts.TransactionCompleted"
RETURNED = "Sepa.Ct.OutboundPayment.ReturnCompleted"
RETURNS = "/payments/sepa-ct/v1/payment-returns"
CT_RECALL = "/payments/sepa-ct/v1/recall"
CT_ANSWER = "/payments/sepa-ct/v1/recall-response"


def come_in(client: SigningClient, iban: str, **changes: object) -> dict[str, object]:
    order = {
        "creditorIban": iban,
        "amount": 50,
        "endToEndId": fresh_id("IN"),
        "reference": "Order 12",
        "debtorName": "Ben Silva",
        "debtorIban": OUTSIDE_IBAN,
        **changes,
    }
    return {**client.control("simulations/incoming-payments", order), "endToEndId": order["endToEndId"]}


def nobodys_iban(client: SigningClient) -> str:
    """An IBAN under the bank's own code that leads nowhere yet."""
    for number in range(1, 98):
        candidate = f"NL{number:02d}CLRB0000000001"
        answer = client.http.post("/sandbox/fees", json={"iban": candidate, "amount": 1, "text": "Probe"})
        if answer.status_code == 404:
            return candidate
    raise AssertionError("one of 97 check digits is right")


def test_money_for_an_iban_that_nobody_has_goes_to_repair_suspense(
    client: SigningClient, listener: WebhookListener
) -> None:
    iban = nobodys_iban(client)
    came = come_in(client, iban)

    [posted] = listener.wait_for(POSTED, str(came["endToEndId"]))

    account = posted.payload["CreditorAccount"]
    assert isinstance(account, dict)
    [suspense] = [item for item in client.listing("accounts") if item["kind"] == "RepairSuspense"]
    assert account["AccountId"] == suspense["accountId"]
    assert account["Iban"] == iban
    assert [item.type for item in listener.about(str(came["endToEndId"]))] == [POSTED]


def test_money_for_another_banks_iban_does_not_come_here(client: SigningClient) -> None:
    order = {"creditorIban": OUTSIDE_IBAN, "amount": 1, "endToEndId": "E", "reference": "R"}
    order |= {"debtorName": "B", "debtorIban": OUTSIDE_IBAN}

    assert client.http.post("/sandbox/simulations/incoming-payments", json=order).status_code == 404


def settle(client: SigningClient, listener: WebhookListener, customer: Customer) -> tuple[str, str]:
    """A settled credit transfer of 30.44: its end-to-end id and its payment id."""
    end_to_end_id = fresh_id()
    payment_id = client.post(CT_PATH, ct_order(customer, end_to_end_id)).json()["paymentId"]
    listener.wait_for(POSTED, end_to_end_id)
    return end_to_end_id, payment_id


def test_payment_comes_back_in_parts_and_never_more_than_it_was(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id, payment_id = settle(client, listener, customer)
    client.control("simulations/returns", {"paymentId": payment_id, "amount": 10, "reason": "AC06"})
    too_much = {"paymentId": payment_id, "amount": 20.45}
    refused = client.http.post("/sandbox/simulations/returns", json=too_much)
    client.control("simulations/returns", {"paymentId": payment_id})
    nothing_left = client.http.post("/sandbox/simulations/returns", json={"paymentId": payment_id})

    listener.wait_for(RETURNED, end_to_end_id, count=2)

    assert (refused.status_code, nothing_left.status_code) == (409, 409)
    assert [item["amount"] for item in postings(client, customer, end_to_end_id)] == [30.44, 10, 20.44]
    assert balances(client, customer)["actual"] == 1000.0
    [shown] = [item for item in client.listing("payments") if item["paymentId"] == payment_id]
    assert (shown["status"], shown["returnedMinor"]) == ("returned", 3044)


def test_instant_payment_comes_back_by_recall_only(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.post(INST_PATH, inst_order(customer, end_to_end_id))
    listener.wait_for(POSTED, end_to_end_id)

    for days in (0, 1):
        order = {"endToEndId": end_to_end_id, "afterDays": days}
        assert client.http.post("/sandbox/simulations/returns", json=order).status_code == 409


def test_payment_comes_back_days_later(scene: Scene) -> None:
    client, listener = scene.client, scene.listener
    end_to_end_id, _ = settle(client, listener, scene.customer)
    client.control("simulations/returns", {"endToEndId": end_to_end_id, "afterDays": 3})
    fault = {"kind": "return", "seconds": 2 * 86_400, "amount": 5, "reason": "MD07"}
    client.control("faults", fault)
    partly, _ = settle(client, listener, scene.customer)
    scene.set_clock("2031-03-06T08:00:00Z")
    assert balances(client, scene.customer)["actual"] == 439.12

    scene.set_clock("2031-03-06T09:30:00Z")
    [part] = listener.wait_for(RETURNED, partly)
    scene.set_clock("2031-03-07T09:30:00Z")
    [whole] = listener.wait_for(RETURNED, end_to_end_id)

    assert (part.payload["Reason"], whole.payload["Reason"]) == ("MD07", "AC04")
    assert balances(client, scene.customer)["actual"] == 474.56


def test_client_sends_a_payment_back_that_came_in(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    came = come_in(client, customer.virtual_iban)
    answer = client.post(RETURNS, {"paymentId": came["paymentId"]})
    again = client.post(RETURNS, {"paymentId": came["paymentId"]})

    end_to_end_id = str(came["endToEndId"])
    [done] = listener.wait_for("Sepa.Ct.InboundPayment.ReturnCompleted", end_to_end_id)
    debit = listener.wait_for(POSTED, end_to_end_id, count=2)[1]

    assert (answer.status_code, answer.content, again.status_code) == (202, b"", 409)
    assert done.payload["TransactionId"] == debit.payload["TransactionId"]
    assert debit.payload["DebitCreditCode"] == "Debit"
    assert balances(client, customer)["actual"] == 1000.0
    assert client.post(RETURNS, {"paymentId": debit.payload["TransactionId"]}).status_code == 400


def test_return_after_three_business_days_fails(scene: Scene) -> None:
    came = come_in(scene.client, scene.customer.virtual_iban)
    scene.set_clock("2031-03-07T09:30:00Z")
    in_time = come_in(scene.client, scene.customer.virtual_iban)
    scene.set_clock("2031-03-12T08:30:00Z")

    for payment in (came, in_time):
        assert scene.client.post(RETURNS, {"paymentId": payment["paymentId"]}).status_code == 202

    failed = "Sepa.Ct.InboundPayment.ReturnFailed"
    [late] = scene.listener.wait_for(failed, str(came["endToEndId"]))
    assert late.payload["Reason"] == "TM01"
    assert scene.listener.wait_for("Sepa.Ct.InboundPayment.ReturnCompleted", str(in_time["endToEndId"]))


def test_return_without_funds_fails(client: SigningClient, listener: WebhookListener) -> None:
    account = client.post("/mccy/v2/Accounts", account_order("YourFunds", "Operating")).json()
    iban = account["identifiers"][0]["identifier"]
    came = come_in(client, iban)
    client.control("simulations/fees", {"iban": iban, "amount": 0.01, "text": "Account keeping"})

    assert client.post(RETURNS, {"paymentId": came["paymentId"]}).status_code == 202

    [failed] = listener.wait_for("Sepa.Ct.InboundPayment.ReturnFailed", str(came["endToEndId"]))
    assert failed.payload["Reason"] == "AM04"


def test_incoming_recall_is_accepted_and_paid(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    came = come_in(client, customer.virtual_iban)
    end_to_end_id, payment_id = str(came["endToEndId"]), came["paymentId"]
    order = {"paymentId": payment_id, "reason": "FRAD", "information": "Stolen card"}
    client.control("simulations/incoming-recalls", order)
    [asked] = listener.wait_for("Sepa.Ct.InboundPayment.Recalled", end_to_end_id)
    twice = client.http.post("/sandbox/simulations/incoming-recalls", json=order)

    answer = client.post(CT_ANSWER, {"paymentId": payment_id, "recallResponseAccepted": True})
    listener.wait_for("Sepa.Ct.InboundPayment.ReturnCompleted", end_to_end_id)
    again = client.post(CT_ANSWER, {"paymentId": payment_id, "recallResponseAccepted": True})

    assert asked.payload["CancellationReasonInformation"] == {
        "Reason": "FRAD",
        "AdditionalInformation": "Stolen card",
    }
    assert (twice.status_code, answer.status_code, again.status_code) == (409, 202, 400)
    assert balances(client, customer)["actual"] == 1000.0


def test_incoming_recall_of_an_instant_payment_speaks_of_a_negative_amount(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    came = come_in(client, customer.virtual_iban, scheme="sepa-instant")
    end_to_end_id = str(came["endToEndId"])
    client.control("simulations/incoming-recalls", {"paymentId": came["paymentId"], "reason": "TECH"})
    [asked] = listener.wait_for("Sepa.Instant.RecallRequest.Received", end_to_end_id)
    path = f"/v1/payments/sepa-instant/{came['paymentId']}/recall-response"

    with_code = client.post(path, {"approve": True, "rejectionCode": "CUST"})
    answer = client.post(path, {"approve": True})
    [created] = listener.wait_for("Sepa.Instant.RecallPayment.Created", end_to_end_id)
    [settled] = listener.wait_for("Sepa.Instant.RecallPayment.Settled", end_to_end_id)

    assert (with_code.status_code, answer.status_code) == (400, 202)
    assert (asked.message["Version"], asked.payload["ReasonCode"]) == (2, "TECH")
    assert asked.payload["OriginalTransactionId"] == came["transactionId"]
    assert settled.payload["TotalReturnedAmount"] == -50
    assert created.payload["RecallTransactionId"] == settled.payload["RecallTransactionId"]


def test_accepted_recall_without_funds_can_be_answered_again(
    client: SigningClient, listener: WebhookListener
) -> None:
    account = client.post("/mccy/v2/Accounts", account_order("YourFunds", "Operating")).json()
    iban = account["identifiers"][0]["identifier"]
    came = come_in(client, iban, scheme="sepa-instant")
    end_to_end_id = str(came["endToEndId"])
    client.control("simulations/fees", {"iban": iban, "amount": 1, "text": "Account keeping"})
    client.control("simulations/incoming-recalls", {"paymentId": came["paymentId"]})
    path = f"/v1/payments/sepa-instant/{came['paymentId']}/recall-response"
    client.post(path, {"approve": True})
    [failed] = listener.wait_for("Sepa.Instant.RecallPayment.Cancelled", end_to_end_id)
    come_in(client, iban, amount=1)

    assert client.post(path, {"approve": True}).status_code == 202

    assert failed.payload["CancellationCode"] == "AM04"
    assert listener.wait_for("Sepa.Instant.RecallPayment.Settled", end_to_end_id)


def test_recall_left_alone_for_fifteen_business_days_is_closed(scene: Scene) -> None:
    came = come_in(scene.client, scene.customer.virtual_iban)
    recall = scene.client.control("simulations/incoming-recalls", {"paymentId": came["paymentId"]})
    assert str(recall["answerBy"]).startswith("2031-03-25T09:0")
    scene.set_clock("2031-03-25T09:30:00Z")
    scene.wait_for_recall("expired")

    late = {"paymentId": came["paymentId"], "recallResponseAccepted": True}

    assert scene.client.post(CT_ANSWER, late).status_code == 400
    assert balances(scene.client, scene.customer)["actual"] == 550.0


@pytest.mark.parametrize(("accepts", "reason"), [(True, None), (False, "LEGL")])
def test_other_bank_answers_a_recall(
    client: SigningClient,
    listener: WebhookListener,
    customer: Customer,
    accepts: bool,
    reason: str | None,
) -> None:
    end_to_end_id, payment_id = settle(client, listener, customer)
    asked = client.post(CT_RECALL, {"paymentId": payment_id, "recallCode": "DUPL"})
    again = client.post(CT_RECALL, {"paymentId": payment_id, "recallCode": "DUPL"})
    order = {"paymentId": payment_id, "accepts": accepts} | ({"reason": reason} if reason else {})
    client.control("simulations/recall-answers", order)

    kind = RETURNED if accepts else "Sepa.Ct.OutboundPayment.RecallRejected"
    [told] = listener.wait_for(kind, end_to_end_id)

    assert (asked.status_code, asked.content, again.status_code) == (202, b"", 409)
    assert told.payload["Reason"] == (reason or "FOCR")
    assert balances(client, customer)["actual"] == (1000.0 if accepts else 969.56)


def test_recall_of_an_instant_payment_is_refused_by_time_and_granted_after_it(scene: Scene) -> None:
    client, listener = scene.client, scene.listener
    end_to_end_id = fresh_id()
    payment_id = client.post(INST_PATH, inst_order(scene.customer, end_to_end_id)).json()["paymentId"]
    listener.wait_for(POSTED, end_to_end_id)
    path = f"/v1/payments/sepa-instant/{payment_id}/recall"
    body = {"originalInstructedAmount": 116.1, "reasonCodeForRecall": "CUST"}
    body |= {"originalInstructedDate": "2031-03-04"}
    wrong = client.post(path, {**body, "originalInstructedAmount": 116})
    assert (wrong.status_code, client.post(path, body).status_code) == (400, 202)
    late = {"paymentId": payment_id, "accepts": True, "afterBusinessDays": 16}
    client.control("simulations/recall-answers", late)

    scene.set_clock("2031-03-25T09:30:00Z")
    [rejected] = listener.wait_for("Sepa.Instant.RecallRequest.Rejected", end_to_end_id)
    scene.set_clock("2031-03-26T09:30:00Z")
    [paid] = listener.wait_for("Sepa.Instant.RecallPayment.Settled", end_to_end_id)

    assert rejected.payload["RejectionCode"] == "NOAS"
    assert paid.payload["TotalReturnedAmount"] == 116.1
    assert balances(client, scene.customer)["actual"] == 500.0


def test_recall_that_comes_too_late_is_refused(scene: Scene) -> None:
    _, payment_id = settle(scene.client, scene.listener, scene.customer)
    scene.set_clock("2031-03-19T09:00:00Z")

    too_late = scene.client.post(CT_RECALL, {"paymentId": payment_id, "recallCode": "TECH"})
    in_time = scene.client.post(CT_RECALL, {"paymentId": payment_id, "recallCode": "FRAD"})

    assert (too_late.status_code, in_time.status_code) == (400, 202)
