"""Orders to pay: how they settle, fail, are delayed and come back, and what the bank tells of it."""

from decimal import Decimal

import pytest

from tests.partners.sandbox.bank_process import SigningClient, wait_for
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
    pay_in,
    postings,
)
from tests.partners.sandbox.webhook_listener import WebhookListener

CT = "Sepa.Ct.OutboundPayment."
INST = "Sepa.Instant.Outbound.Payment."
POSTED = "CustomerAccounts.TransactionCompleted"


def status_of(client: SigningClient, end_to_end_id: str) -> object:
    [found] = [item for item in client.listing("payments") if item["endToEndId"] == end_to_end_id]
    return found["status"]


def types_about(listener: WebhookListener, end_to_end_id: str) -> list[str]:
    return [item.type for item in listener.about(end_to_end_id)]


def test_credit_transfer_settles(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    payment_id = client.post(CT_PATH, ct_order(customer, end_to_end_id)).json()["paymentId"]

    [completed] = listener.wait_for(f"{CT}Completed", end_to_end_id)
    [posted] = listener.wait_for(POSTED, end_to_end_id)

    assert completed.payload["PaymentId"] == payment_id
    assert completed.payload["TransactionId"] == posted.payload["TransactionId"] != payment_id
    assert posted.payload["DebitCreditCode"] == "Debit"
    assert posted.payload["ClearingChannel"] == "SEPA"
    assert (posted.payload["Amount"], posted.payload["Currency"]) == (30.44, "EUR")
    assert posted.payload["DebtorAccount"] == {
        "AccountId": customer.account_id,
        "Iban": customer.iban,
        "Bban": None,
        "Descriptor": None,
    }
    assert balances(client, customer) == {"available": 969.56, "actual": 969.56}
    [listed] = postings(client, customer, end_to_end_id)
    assert (listed["transactionId"], listed["status"]) == (completed.payload["TransactionId"], "Settled")
    assert listed["reference"] == "Payout 17"


def test_posting_can_be_read_by_its_id(client: SigningClient, customer: Customer) -> None:
    end_to_end_id = pay_in(client, customer, amount="12.50")
    [listed] = postings(client, customer, end_to_end_id)

    shown = client.get(f"/mccy/v1/Transactions/{listed['transactionId']}")

    assert shown.json() == listed
    assert shown.json()["virtualAccountId"] == customer.virtual_account_id
    assert shown.json()["ultimateRemitter"]["payerName"] == "Ana Moreau"


def test_list_of_postings_is_bounded_by_time_and_page(client: SigningClient, customer: Customer) -> None:
    for _ in range(2):
        pay_in(client, customer, amount="1.00")
    path = f"/mccy/v1/Accounts/{customer.account_id}/transactions?Currency=EUR"

    first = client.get(f"{path}&PageNumber=1&PageSize=2").json()["transactions"]
    second = client.get(f"{path}&PageNumber=2&PageSize=2").json()["transactions"]
    long_ago = client.get(f"{path}&StartDateTime=2030-01-01T00:00:00Z&EndDateTime=2030-01-02T00:00:00Z")

    assert (len(first), len(second)) == (2, 1)
    assert long_ago.json() == {"transactions": []}
    assert client.get(f"{path}&PageSize=1001").status_code == 400
    assert client.get(path.partition("?")[0]).status_code == 400


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "30.44"}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": 0.001}, "amount"),
        ({"amount": 1000000000.00}, "amount"),
        ({"amount": True}, "amount"),
        ({"currency": "USD"}, "currency"),
        ({"endToEndId": ""}, "endToEndId"),
        ({"endToEndId": "x" * 36}, "endToEndId"),
        ({"remittanceInformationUnstructured": "Reçu 17"}, "remittanceInformationUnstructured"),
        ({"creditor": {"name": "Atelier Nord", "accountIban": "NL25CLRB0066110345"}}, "creditor"),
        ({"creditor": {"name": "Atelier", "accountIban": OUTSIDE_IBAN, "nick": "A"}}, "creditor.nick"),
        ({"purpose": "SALA"}, "purpose"),
    ],
)
def test_order_that_breaks_a_rule_is_not_taken(
    client: SigningClient, customer: Customer, changes: dict[str, object], field: str
) -> None:
    end_to_end_id = fresh_id()
    answer = client.post(CT_PATH, ct_order(customer, end_to_end_id, **changes))

    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["errors"])
    assert end_to_end_id not in {item["endToEndId"] for item in client.listing("payments")}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"amount": NaN}', b'{"endToEndId": "\\ud800"}', b"\xff"])
def test_body_that_is_no_order_is_refused(client: SigningClient, body: bytes) -> None:
    assert client.post(CT_PATH, body).status_code == 400


def test_amounts_keep_every_cent(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    pay_in(client, customer, amount="987654321.09")
    end_to_end_id = fresh_id()
    content = (
        f'{{"endToEndId":"{end_to_end_id}","amount":987654321.07,"currency":"EUR",'
        f'"debtor":{{"name":"Pay EU B.V.","accountIban":"{customer.iban}"}},'
        f'"creditor":{{"name":"Hotel Mirador SL","accountIban":"{OUTSIDE_IBAN}"}},'
        f'"remittanceInformationUnstructured":"Payout 19"}}'
    )
    client.post(CT_PATH, content.encode())

    [posted] = listener.wait_for(POSTED, end_to_end_id)

    assert b'"Amount":987654321.07,' in posted.body
    assert Decimal(str(balances(client, customer)["actual"])) == Decimal("1000.02")


def test_order_beyond_the_funds_fails(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.post(CT_PATH, ct_order(customer, end_to_end_id, amount=1000.01))

    [failed] = listener.wait_for(f"{CT}Failed", end_to_end_id)

    assert failed.payload["Reason"] == "AM04"
    assert failed.payload["AdditionalInformation"]
    assert postings(client, customer, end_to_end_id) == []
    assert balances(client, customer)["available"] == 1000.0


def test_order_from_a_foreign_account_fails(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    debtor = {"name": "Somebody Else", "accountIban": OUTSIDE_IBAN}
    client.post(CT_PATH, ct_order(customer, end_to_end_id, debtor=debtor))

    assert listener.wait_for(f"{CT}Failed", end_to_end_id)[0].payload["Reason"] == "BE01"


def test_order_to_an_underivable_creditor_bank_fails(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    creditor = {"name": "Nobody There", "accountIban": "NL51IKXV1050288017"}
    client.post(CT_PATH, ct_order(customer, end_to_end_id, creditor=creditor))

    assert listener.wait_for(f"{CT}Failed", end_to_end_id)[0].payload["Reason"] == "CB02"


def test_transfer_inside_the_bank_credits_the_other_account(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    operating = client.post("/mccy/v2/Accounts", account_order("YourFunds", "Operating")).json()
    operating_iban = operating["identifiers"][0]["identifier"]
    end_to_end_id = fresh_id()
    creditor = {"name": "Pay EU B.V.", "accountIban": operating_iban}

    client.post(CT_PATH, ct_order(customer, end_to_end_id, amount=34.24, creditor=creditor))
    posted = listener.wait_for(POSTED, end_to_end_id, count=2)

    assert [item.payload["DebitCreditCode"] for item in posted] == ["Debit", "Credit"]
    assert posted[0].payload["TransactionId"] != posted[1].payload["TransactionId"]
    assert listener.wait_for("Sepa.Ct.InboundPayment.Completed", end_to_end_id)
    assert balances(client, customer)["actual"] == 965.76
    shown = client.get(f"/mccy/v1/Accounts/{operating['id']}/balances").json()
    assert shown["balances"]["EUR"]["actual"] == 34.24


def test_magic_reference_sends_a_credit_transfer_back(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    order = ct_order(customer, end_to_end_id, remittanceInformationUnstructured="--SCTRETURN--")
    client.post(CT_PATH, order)

    [returned] = listener.wait_for(f"{CT}ReturnCompleted", end_to_end_id)
    debit, credit = listener.wait_for(POSTED, end_to_end_id, count=2)

    assert types_about(listener, end_to_end_id).index(f"{CT}Completed") == 0
    assert returned.payload["TransactionId"] == credit.payload["TransactionId"]
    assert debit.payload["TransactionId"] != credit.payload["TransactionId"]
    assert balances(client, customer)["actual"] == 1000.0


def test_settled_credit_transfer_comes_back_on_command(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    payment_id = client.post(CT_PATH, ct_order(customer, end_to_end_id)).json()["paymentId"]
    listener.wait_for(f"{CT}Completed", end_to_end_id)

    answer = client.control("returns", {"endToEndId": end_to_end_id, "reason": "AC04"})
    [returned] = listener.wait_for(f"{CT}ReturnCompleted", end_to_end_id)

    assert returned.payload["Reason"] == "AC04"
    assert (returned.payload["PaymentId"], returned.payload["TransactionId"]) == (
        payment_id,
        answer["transactionId"],
    )
    assert "Amount" not in returned.payload
    assert balances(client, customer)["actual"] == 1000.0
    again = client.http.post("/sandbox/returns", json={"paymentId": payment_id})
    assert again.status_code == 409


def test_instant_payment_settles(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    payment_id = client.post(INST_PATH, inst_order(customer, end_to_end_id)).json()["paymentId"]

    [settled] = listener.wait_for(f"{INST}Settled", end_to_end_id)
    [posted] = listener.wait_for(POSTED, end_to_end_id)

    assert types_about(listener, end_to_end_id) == [f"{INST}Created", f"{INST}Settled", POSTED]
    assert settled.payload["PaymentId"] == payment_id
    assert settled.payload["TransactionId"] == posted.payload["TransactionId"]
    assert posted.payload["ClearingChannel"] == "SEPA-Instant"
    assert status_of(client, end_to_end_id) == "settled"
    assert balances(client, customer)["actual"] == 883.9


def test_instant_payment_beyond_the_funds_is_cancelled(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.post(INST_PATH, inst_order(customer, end_to_end_id, amount=5000))

    [cancelled] = listener.wait_for(f"{INST}Cancelled", end_to_end_id)

    assert cancelled.payload["CancellationCode"] == "AM04"
    [listed] = postings(client, customer, end_to_end_id)
    assert (listed["transactionId"], listed["status"]) == (cancelled.payload["TransactionId"], "Cancelled")
    assert balances(client, customer) == {"available": 1000.0, "actual": 1000.0}


def test_delayed_instant_payment_settles_under_a_new_posting_id(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.post(INST_PATH, inst_order(customer, end_to_end_id, reference="--DelayPayment--"))

    [delayed] = listener.wait_for(f"{INST}Delayed", end_to_end_id)
    [settled] = listener.wait_for(f"{INST}Settled", end_to_end_id)

    assert delayed.payload["PaymentId"] == settled.payload["PaymentId"]
    assert delayed.payload["TransactionId"] != settled.payload["TransactionId"]
    assert {item["transactionId"]: item["status"] for item in postings(client, customer, end_to_end_id)} == {
        delayed.payload["TransactionId"]: "Cancelled",
        settled.payload["TransactionId"]: "Settled",
    }
    assert balances(client, customer) == {"available": 883.9, "actual": 883.9}


def test_delayed_instant_payment_keeps_its_money_aside(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.post(INST_PATH, inst_order(customer, end_to_end_id, reference="--CancelDelayedPayment--"))

    [created] = listener.wait_for(f"{INST}Created", end_to_end_id)
    aside = balances(client, customer)
    [cancelled] = listener.wait_for(f"{INST}Cancelled", end_to_end_id)

    assert aside == {"available": 883.9, "actual": 1000.0}
    assert cancelled.payload["CancellationCode"] == "CB05"
    assert cancelled.payload["TransactionId"] == created.payload["TransactionId"]
    assert types_about(listener, end_to_end_id) == [f"{INST}Created", f"{INST}Delayed", f"{INST}Cancelled"]
    assert balances(client, customer) == {"available": 1000.0, "actual": 1000.0}


def test_instant_payment_ignores_unknown_inner_fields_but_not_outer_ones(
    client: SigningClient, customer: Customer
) -> None:
    creditor = {"name": "Soundbar GmbH", "accountIban": OUTSIDE_IBAN, "nick": "S"}

    inner = client.post(INST_PATH, inst_order(customer, fresh_id(), creditor=creditor))
    outer = client.post(INST_PATH, inst_order(customer, fresh_id(), currency="EUR"))

    assert (inner.status_code, outer.status_code) == (202, 400)


def test_money_that_comes_in_is_announced_with_its_payer(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = pay_in(client, customer, amount="500.00")

    [inbound] = listener.wait_for("Sepa.Ct.InboundPayment.Completed", end_to_end_id)
    [posted] = listener.wait_for(POSTED, end_to_end_id)

    assert inbound.payload["InstructedAmount"] == {"Amount": 500.0, "Currency": "EUR"}
    assert inbound.payload["DebtorAccount"] == {"Iban": OUTSIDE_IBAN}
    assert inbound.payload["CreditorAccount"] == {"Iban": customer.virtual_iban}
    assert inbound.payload["TransactionId"] == posted.payload["TransactionId"]
    assert posted.payload["DebitCreditCode"] == "Credit"
    assert b'"Amount":500.00' in posted.body


def test_published_emulator_credits_with_a_made_up_payer(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id("IN")
    order = {
        "amount": 20.5,
        "creditorAccount": customer.virtual_iban,
        "endToEndId": end_to_end_id,
        "reference": "Top up",
        "debtorAgentBic": "ABNANL2A",
    }

    answer = client.post("/v1/payments/sepa-ct/emulator/inbound/payment", order)

    assert (answer.status_code, answer.content) == (202, b"")
    assert listener.wait_for("Sepa.Ct.InboundPayment.Completed", end_to_end_id)
    assert balances(client, customer)["actual"] == 1020.5


def test_fee_is_taken_without_a_word(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    fee = client.control("fees", {"iban": customer.iban, "amount": 1, "text": "Account keeping"})
    later = pay_in(client, customer, amount="2.00")

    listener.wait_for(POSTED, later)

    assert balances(client, customer)["actual"] == 1001.0
    shown = client.get(f"/mccy/v1/Transactions/{fee['transactionId']}").json()
    assert (shown["endToEndId"], shown["kind"]) == ("NOTPROVIDED", "Fee")
    told = {item.payload.get("TransactionId") for item in listener.deliveries}
    assert fee["transactionId"] not in told


def test_status_goes_from_clearing_to_settled_only(
    client: SigningClient, listener: WebhookListener, customer: Customer
) -> None:
    end_to_end_id = fresh_id()
    client.post(INST_PATH, inst_order(customer, end_to_end_id, reference="--DelayPayment--"))

    wait_for("the delay", lambda: status_of(client, end_to_end_id) == "delayed")
    [during] = postings(client, customer, end_to_end_id)
    wait_for("the end", lambda: status_of(client, end_to_end_id) == "settled")

    assert during["status"] == "Clearing"
    assert listener.wait_for(POSTED, end_to_end_id)
