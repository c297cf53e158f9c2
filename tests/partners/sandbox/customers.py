"""A client's accounts at the bank, and the orders it sends, for tests to start from."""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from tests.partners.sandbox.bank_process import SigningClient

CT_PATH = "/payments/sepa-ct/v1/customer-payments"
INST_PATH = "/v1/payments/sepa-instant"
OUTSIDE_IBAN = "FR7630006000011234567890189"


@dataclass(frozen=True, slots=True)
class Customer:
    """A real account, its IBAN, and a virtual IBAN under it."""

    account_id: str
    iban: str
    virtual_account_id: str
    virtual_iban: str


def fresh_id(prefix: str = "E2E") -> str:
    """An end-to-end id that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:20]}"


def account_order(kind: str = "GeneralSegregated", label: str = "Safeguarding") -> dict[str, object]:
    return {
        "label": label,
        "owner": "Pay EU B.V.",
        "kind": kind,
        "currencies": ["EUR"],
        "bankIdentifierCode": "CLRBNL2AXXX",
    }


def open_customer(client: SigningClient, *, funds: str) -> Customer:
    """Open the accounts and let money in."""
    account = client.post("/mccy/v2/Accounts", account_order()).json()
    order = {"accountId": account["id"], "virtualAccount": {"owner": "Ana Moreau"}}
    virtual = client.post("/mccy/v1/VirtualAccounts", order).json()
    customer = Customer(
        account_id=account["id"],
        iban=account["identifiers"][0]["identifier"],
        virtual_account_id=virtual["id"],
        virtual_iban=virtual["identifiers"][0]["identifier"],
    )
    if Decimal(funds):
        pay_in(client, customer, amount=funds)
    return customer


def pay_in(
    client: SigningClient, customer: Customer, *, amount: str, end_to_end_id: str | None = None
) -> str:
    """Money from Ana's own bank to her virtual IBAN; its end-to-end id."""
    identifier = end_to_end_id or fresh_id("IN")
    client.http.post(
        "/sandbox/inbound",
        content=(
            f'{{"creditorIban":"{customer.virtual_iban}","amount":{amount},"endToEndId":"{identifier}",'
            f'"reference":"Top up","debtorName":"Ana Moreau","debtorIban":"{OUTSIDE_IBAN}"}}'
        ),
    ).raise_for_status()
    return identifier


def ct_order(customer: Customer, end_to_end_id: str, **changes: object) -> dict[str, object]:
    return {
        "endToEndId": end_to_end_id,
        "amount": 30.44,
        "currency": "EUR",
        "debtor": {"name": "Pay EU B.V.", "accountIban": customer.iban},
        "creditor": {"name": "Atelier Nord SARL", "accountIban": OUTSIDE_IBAN},
        "remittanceInformationUnstructured": "Payout 17",
        **changes,
    }


def inst_order(customer: Customer, end_to_end_id: str, **changes: object) -> dict[str, object]:
    return {
        "endToEndId": end_to_end_id,
        "amount": 116.1,
        "debtor": {"name": "Pay EU B.V.", "accountIban": customer.iban},
        "creditor": {"name": "Soundbar GmbH", "accountIban": "DE75512108001245126199"},
        "reference": "Payout 18",
        **changes,
    }


def balances(client: SigningClient, customer: Customer) -> dict[str, object]:
    answer = client.get(f"/mccy/v1/Accounts/{customer.account_id}/balances")
    return dict(answer.json()["balances"]["EUR"])


def postings(client: SigningClient, customer: Customer, end_to_end_id: str) -> list[dict[str, object]]:
    """The postings about a payment that the published list shows."""
    answer = client.get(f"/mccy/v1/Accounts/{customer.account_id}/transactions?Currency=EUR&PageSize=1000")
    return [item for item in answer.json()["transactions"] if item["endToEndId"] == end_to_end_id]
