"""Who gets in: tokens, signatures, request ids and request times, as the published API checks them."""

import time

import pytest

from tests.partners.sandbox.bank_process import BankProcess, SigningClient
from tests.partners.sandbox.customers import CT_PATH, Customer, account_order, ct_order, fresh_id


def orders_with(client: SigningClient, end_to_end_id: str) -> list[dict[str, object]]:
    return [item for item in client.listing("payments") if item["endToEndId"] == end_to_end_id]


def test_signed_requests_are_answered(client: SigningClient, customer: Customer) -> None:
    answer = client.get(f"/mccy/v1/Accounts/{customer.account_id}")

    assert answer.status_code == 200
    assert answer.json()["identifiers"] == [{"identifier": customer.iban, "kind": "IBAN"}]
    assert answer.headers["X-Correlation-Id"]


def test_unknown_token_is_forbidden_and_the_body_has_the_status_alone(client: SigningClient) -> None:
    answer = client.get("/mccy/v1/Accounts", headers={"Authorization": "Bearer somebody-else"})

    assert (answer.status_code, answer.json()) == (403, {"status": 403})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_missing_request_id_is_named(client: SigningClient, method: str) -> None:
    without = {"X-Request-Id": None}
    if method == "GET":
        answer = client.get("/mccy/v1/Accounts", headers=without)
    else:
        answer = client.post("/mccy/v2/Accounts", account_order(), headers=without)

    expected = {"type": "about:blank", "title": "Missing X-Request-Id Header", "status": 400}
    assert (answer.status_code, answer.json()) == (400, expected)


def test_request_id_of_more_than_83_characters_is_refused(client: SigningClient) -> None:
    longest = fresh_id().ljust(83, "x")

    assert client.get("/mccy/v1/Accounts", request_id=longest).status_code == 200
    assert client.get("/mccy/v1/Accounts", request_id=longest + "x").status_code == 400


def test_signature_over_other_bytes_is_refused(client: SigningClient, customer: Customer) -> None:
    forged = {"DigitalSignature": client.sign(b"something else")}
    answers = [
        client.get("/mccy/v1/Accounts", headers=forged),
        client.post(CT_PATH, ct_order(customer, fresh_id()), headers=forged),
        client.post(CT_PATH, ct_order(customer, fresh_id()), headers={"DigitalSignature": "no base64!"}),
        client.post(CT_PATH, ct_order(customer, fresh_id()), headers={"DigitalSignature": None}),
    ]

    expected = {"type": "about:blank", "title": "Invalid DigitalSignature Header", "status": 400}
    assert [(answer.status_code, answer.json()) for answer in answers] == [(400, expected)] * 4


def test_signature_of_a_get_covers_the_query(client: SigningClient, customer: Customer) -> None:
    path = f"/mccy/v1/Accounts/{customer.account_id}/transactions"
    now = int(time.time())
    identifier = fresh_id()
    over_path_only = client.sign(f"GET{path}{identifier}{now}".encode())

    answer = client.get(
        f"{path}?Currency=EUR",
        request_id=identifier,
        request_time=now,
        headers={"DigitalSignature": over_path_only},
    )

    assert answer.json()["title"] == "Invalid DigitalSignature Header"


def test_another_clients_key_does_not_sign_for_this_token(bank: BankProcess, client: SigningClient) -> None:
    with SigningClient(bank.url, token=client.token) as impostor:
        answer = impostor.get("/mccy/v1/Accounts")

    assert answer.json()["title"] == "Invalid DigitalSignature Header"


@pytest.mark.parametrize("drift_s", [-65, 65])
def test_request_time_off_the_wall_clock_is_refused(client: SigningClient, drift_s: int) -> None:
    answer = client.get("/mccy/v1/Accounts", request_time=int(time.time()) + drift_s)

    assert (answer.status_code, answer.json()["title"]) == (400, "Invalid X-Request-Time Header")


def test_reused_request_id_is_a_conflict(client: SigningClient, customer: Customer) -> None:
    request_id, end_to_end_id = fresh_id("req"), fresh_id()
    order = ct_order(customer, end_to_end_id)
    first = client.post(CT_PATH, order, request_id=request_id)

    again = client.post(CT_PATH, order, request_id=request_id)

    assert first.status_code == 202
    assert (again.status_code, again.json()) == (409, {"status": 409})
    [taken] = orders_with(client, end_to_end_id)
    assert (taken["requestIds"], taken["repeats"]) == ([request_id], 1)


def test_reused_request_id_of_a_look_up_is_a_conflict(client: SigningClient) -> None:
    request_id = fresh_id("req")

    statuses = [client.get("/mccy/v1/Accounts", request_id=request_id).status_code for _ in range(2)]

    assert statuses == [200, 409]


def test_refused_request_leaves_its_id_free(client: SigningClient, customer: Customer) -> None:
    request_id, end_to_end_id = fresh_id("req"), fresh_id()
    refused = client.post(CT_PATH, ct_order(customer, end_to_end_id, amount=0), request_id=request_id)

    taken = client.post(CT_PATH, ct_order(customer, end_to_end_id), request_id=request_id)

    assert (refused.status_code, taken.status_code) == (400, 202)


def test_same_order_under_a_new_request_id_is_paid_twice(client: SigningClient, customer: Customer) -> None:
    end_to_end_id = fresh_id()
    order = ct_order(customer, end_to_end_id)

    statuses = [client.post(CT_PATH, order).status_code for _ in range(2)]

    assert statuses == [202, 202]
    assert len(orders_with(client, end_to_end_id)) == 2


def test_body_of_another_media_type_is_refused(client: SigningClient) -> None:
    answer = client.post("/mccy/v2/Accounts", account_order(), headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415
