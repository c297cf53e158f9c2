"""Accounts that money is paid out to: set by one client, verified by another, never changed."""

import pytest

from tests.api.promises import keep_promises
from tests.api.talk import Json, Session, refused
from tests.api.world import HOTEL_IBAN, LEA_IBAN, Shop, open_shop, programme_body

ADDED = ("events", "idempotency_keys", "payout_accounts")


def officer_of(shop: Shop) -> Session:
    """A client of compliance that sets no accounts."""
    made = shop.at.operator.make(f"/v1/programmes/{shop.programme_id}/clients", {"scopes": ["compliance"]})
    return shop.at.session(made["client_id"], made["client_secret"])


def listed(shop: Shop, party: Json | None = None) -> list[Json]:
    party_id = None if party is None else party["id"]
    found = shop.api.read("/v1/payout-accounts")["data"]
    return [item for item in found if item["party_id"] == party_id]


def changed(shop: Shop, **body: str) -> Json:
    return shop.api.make(f"/v1/parties/{shop.hotel['id']}/payout-accounts", {"iban": LEA_IBAN} | body)


def verification(account: Json) -> str:
    return f"/v1/payout-accounts/{account['id']}/verification"


def test_a_party_and_a_programme_come_in_with_accounts_that_nobody_has_verified(shop: Shop) -> None:
    [hotels] = listed(shop, shop.hotel)
    [own] = listed(shop)

    assert hotels | {"id": ""} == {
        "id": "",
        "party_id": shop.hotel["id"],
        "name": "Hotel Mirador SL",
        "iban": HOTEL_IBAN,
        "set_by": shop.client_id,
        "verifications": [],
    }
    assert (own["iban"], own["set_by"]) == (shop.operating.iban, shop.at.operator.client_id)
    assert listed(shop, shop.ana) == []


def test_a_programme_that_no_bank_can_name_is_not_founded(shared_shop: Shop) -> None:
    desk = shared_shop.at.bank
    accounts = (
        desk.open_account("GeneralSegregated", "safeguarding"),
        desk.open_account("YourFunds", "operating"),
    )
    body = programme_body(*accounts, legal_name="☃☃☃")

    with shared_shop.at.nothing_changes():
        answer = shared_shop.at.operator.post("/v1/programmes", body)

    refused(answer, 422, "invalid_value", "legal_name")


def test_an_account_is_verified_by_another_client_than_the_one_that_set_it(shop: Shop) -> None:
    [account] = listed(shop, shop.hotel)
    officer = officer_of(shop)

    with shop.at.nothing_changes():
        own = shop.api.post(verification(account), {"how": "four_eyes"})
    verified = officer.make(verification(account), {"how": "four_eyes"})
    again = officer.make(verification(account), {"how": "four_eyes"})
    asked = officer.make(verification(account), {"how": "payee_check"})

    refused(own, 409, "four_eyes")
    assert [item["how"] for item in verified["verifications"]] == ["four_eyes"]
    assert again == verified
    assert [item["how"] for item in asked["verifications"]] == ["four_eyes", "payee_check"]
    assert {item["verified_by"] for item in asked["verifications"]} == {officer.client_id}


def test_another_account_is_a_new_one_that_holds_from_now_on(shop: Shop) -> None:
    shop.captured(2_000)
    [first] = listed(shop, shop.hotel)
    officer_of(shop).make(verification(first), {"how": "four_eyes"})

    with shop.at.only_changes(*ADDED, "parties"):
        account = changed(shop, name="Hotel Mirador y Mar")

    assert (account["iban"], account["name"], account["verifications"]) == (
        LEA_IBAN,
        "Hotel Mirador y Mar",
        [],
    )
    assert [item["id"] for item in listed(shop, shop.hotel)] == [first["id"], account["id"]]
    payout = shop.api.make("/v1/payouts", shop.payout(100))
    assert (payout["creditor_iban"], payout["creditor_name"]) == (LEA_IBAN, "Hotel Mirador y Mar")
    parties = {item["id"]: item for item in shop.api.read("/v1/parties")["data"]}
    assert parties[shop.hotel["id"]]["payout_iban"] == LEA_IBAN
    keep_promises(shop.at.parts)


def test_without_a_name_the_payee_is_the_party(shop: Shop) -> None:
    assert changed(shop)["name"] == "Hotel Mirador SL"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"iban": "ES9121000418450200051333"}, "invalid_request"),
        ({"iban": ""}, "invalid_request"),
        ({"iban": None}, "invalid_request"),
        ({"iban": LEA_IBAN, "name": ""}, "invalid_request"),
        ({"iban": LEA_IBAN, "name": "☃☃☃"}, "invalid_value"),
        ({"iban": LEA_IBAN, "name": "x" * 141}, "invalid_request"),
        ({"iban": LEA_IBAN, "set_by": "cli_other"}, "invalid_request"),
        ({"iban": LEA_IBAN, "set_at": "2000-01-01T00:00:00Z"}, "invalid_request"),
    ],
)
def test_an_account_that_is_none_is_not_set(shared_shop: Shop, body: Json, code: str) -> None:
    with shared_shop.at.nothing_changes():
        answer = shared_shop.api.post(f"/v1/parties/{shared_shop.hotel['id']}/payout-accounts", body)

    refused(answer, 422, code)


@pytest.mark.parametrize("body", [{}, {"how": "looked"}, {"how": None}, {"how": "four_eyes", "by": "me"}])
def test_a_verification_that_says_nothing_of_use_is_refused(shared_shop: Shop, body: Json) -> None:
    [account] = listed(shared_shop, shared_shop.hotel)

    with shared_shop.at.nothing_changes():
        answer = shared_shop.api.post(verification(account), body)

    refused(answer, 422, "invalid_request")


@pytest.mark.parametrize("name", ["nobody", "pac_" + "0" * 32, "pty_" + "0" * 32])
def test_what_is_not_there_is_not_found(shared_shop: Shop, name: str) -> None:
    with shared_shop.at.nothing_changes():
        verified = shared_shop.api.post(f"/v1/payout-accounts/{name}/verification", {"how": "four_eyes"})
        moved = shared_shop.api.post(f"/v1/parties/{name}/payout-accounts", {"iban": LEA_IBAN})

    refused(verified, 404, "not_found")
    refused(moved, 404, "not_found")


def test_another_programmes_accounts_are_not_ours_to_see_to_set_or_to_verify(
    shop: Shop, shared_shop: Shop
) -> None:
    theirs = open_shop(shop.at)
    [account] = listed(theirs, theirs.hotel)

    with shop.at.nothing_changes():
        verified = shop.api.post(verification(account), {"how": "four_eyes"})
        moved = shop.api.post(f"/v1/parties/{theirs.hotel['id']}/payout-accounts", {"iban": LEA_IBAN})

    refused(verified, 404, "not_found")
    refused(moved, 404, "not_found")
    assert account["id"] not in {item["id"] for item in shop.api.read("/v1/payout-accounts")["data"]}
