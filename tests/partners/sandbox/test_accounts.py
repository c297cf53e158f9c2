"""Opening and reading accounts through the published API."""

from typing import cast

import pytest
from schwifty import IBAN

from tests.partners.sandbox.bank_process import SigningClient
from tests.partners.sandbox.customers import Customer, account_order, balances, open_customer


def test_generated_ibans_are_valid_and_different(client: SigningClient) -> None:
    customers = [open_customer(client, funds="0") for _ in range(3)]

    ibans = {iban for customer in customers for iban in (customer.iban, customer.virtual_iban)}
    assert len(ibans) == 6
    for iban in ibans:
        assert IBAN(iban).bban[:4] == "CLRB"


def test_opened_account_is_listed_and_shown(client: SigningClient) -> None:
    opened = client.post("/mccy/v2/Accounts", account_order("YourFunds", "Operating"))

    shown = client.get(f"/mccy/v1/Accounts/{opened.json()['id']}")

    assert opened.status_code == 201
    assert (opened.json()["name"], opened.json()["type"]) == ("Operating", "Customer")
    assert shown.json() == {name: value for name, value in opened.json().items() if name != "type"}
    listed = client.get("/mccy/v1/Accounts?pageNumber=1&pageSize=1000").json()["accounts"]
    assert shown.json() in listed


def test_list_is_cut_into_pages(client: SigningClient) -> None:
    for _ in range(2):
        open_customer(client, funds="0")
    pages = [client.get(f"/mccy/v1/Accounts?pageNumber={n}&pageSize=1").json()["accounts"] for n in (1, 2)]

    assert [len(page) for page in pages] == [1, 1]
    assert pages[0] != pages[1]
    assert client.get("/mccy/v1/Accounts?pageNumber=0").status_code == 400


def test_virtual_account_belongs_to_its_real_account(client: SigningClient, customer: Customer) -> None:
    shown = client.get(f"/mccy/v1/VirtualAccounts/{customer.virtual_account_id}").json()

    assert (shown["accountId"], shown["owner"]) == (customer.account_id, "Ana Moreau")


def test_virtual_account_needs_a_general_segregated_account(client: SigningClient) -> None:
    operating = client.post("/mccy/v2/Accounts", account_order("YourFunds", "Operating")).json()
    order = {"accountId": operating["id"], "virtualAccount": {"owner": "Ana Moreau"}}

    assert client.post("/mccy/v1/VirtualAccounts", order).status_code == 422


def test_virtual_account_under_an_unknown_account_is_not_found(client: SigningClient) -> None:
    order = {"accountId": "00000000-0000-4000-8000-000000000000", "virtualAccount": {"owner": "Ana Moreau"}}

    assert client.post("/mccy/v1/VirtualAccounts", order).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", ""),
        ("owner", "Pay <EU>"),
        ("kind", "Savings"),
        ("currencies", ["USD"]),
        ("nickname", "unknown field"),
        ("identifiers", [{"identifier": "NL25CLRB0066110345", "kind": "IBAN"}]),
    ],
)
def test_broken_rule_of_an_account_is_named(client: SigningClient, field: str, value: object) -> None:
    answer = client.post("/mccy/v2/Accounts", {**account_order(), field: value})

    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["errors"])


def test_money_for_a_virtual_iban_sits_in_the_real_account(client: SigningClient) -> None:
    customer = open_customer(client, funds="500.00")

    assert balances(client, customer) == {"available": 500.0, "actual": 500.0}
    [shown] = [item for item in client.listing("accounts") if item["accountId"] == customer.account_id]
    assert (shown["actualMinor"], shown["availableMinor"]) == (50000, 50000)
    virtual = cast("list[dict[str, object]]", shown["virtualAccounts"])
    assert [item["iban"] for item in virtual] == [customer.virtual_iban]


def test_unknown_paths_and_methods_answer_with_problems(client: SigningClient) -> None:
    assert client.get("/mccy/v1/Accounts/none").json()["status"] == 404
    assert client.get("/mccy/v9/Accounts").json()["status"] == 404
    assert client.http.delete("/mccy/v1/Accounts").json()["status"] == 405


def test_home_page_shows_accounts_and_escapes_what_clients_wrote(client: SigningClient) -> None:
    customer = open_customer(client, funds="500.00")
    client.post("/mccy/v2/Accounts", account_order("YourFunds", "R&D"))

    page = client.http.get("/").text

    assert customer.iban in page
    assert "500.00 EUR" in page
    assert "R&amp;D" in page
