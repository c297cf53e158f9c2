"""Parties come in through the gate, with an account, or are held without one."""

from tests.api.promises import keep_promises
from tests.api.talk import refused
from tests.api.world import HOTEL_IBAN, LISTED, Shop


def test_party_gets_an_account_of_its_role(shared_shop: Shop) -> None:
    codes = {
        party["role"]: shared_shop.account(party)["code"]
        for party in (shared_shop.ana, shared_shop.hotel, shared_shop.lea)
    }

    assert codes == {
        "customer": "customer_wallet",
        "merchant": "seller_balance",
        "creator": "creator_balance",
    }
    assert shared_shop.hotel["payout_iban"] == HOTEL_IBAN


def test_listed_name_is_held_with_its_finding_and_has_no_account(shop: Shop) -> None:
    asked = {"role": "customer", "name": LISTED, "reference": "viktor"}

    with shop.at.only_changes("parties", "cases", "events", "idempotency_keys"):
        made = shop.api.make("/v1/parties", asked)

    assert (made["status"], made["account_id"]) == ("held", None)
    assert made["findings"][0]["rule"] == "sanctions_name"
    assert [case["id"] for case in shop.api.read("/v1/cases")["data"]] == [made["case_id"]]
    shown = {party["reference"]: party for party in shop.api.read("/v1/parties")["data"]}
    assert (shown["viktor"]["status"], shown["viktor"]["account_id"]) == ("held", None)


def test_held_party_can_neither_pay_nor_be_paid_nor_sell(shop: Shop) -> None:
    customer = shop.api.make("/v1/parties", {"role": "customer", "name": LISTED, "reference": "viktor"})
    merchant = shop.api.make(
        "/v1/parties",
        {"role": "merchant", "name": LISTED, "reference": "viktor-shop", "payout_iban": HOTEL_IBAN},
    )
    sold = shop.line(2_000, seller=merchant["id"], splits=[{"to": merchant["id"], "remainder": True}])

    with shop.at.nothing_changes():
        refused(shop.api.post("/v1/virtual-ibans", {"party_id": customer["id"]}), 409, "no_wallet")
        refused(
            shop.api.post("/v1/payouts", shop.payout(party_id=merchant["id"])), 422, "payout_account_missing"
        )
    for cart in (shop.cart(payer=customer["id"]), shop.cart(lines=[sold])):
        with shop.at.only_changes("cases", "idempotency_keys"):
            answer = shop.api.post("/v1/checkouts", cart)
        assert refused(answer, 403, "held_for_review")["errors"][0]["code"] == "party_active"


def test_reference_that_is_taken_is_refused(shop: Shop) -> None:
    for name in ("Ana Moreau", "Somebody Else", LISTED):
        with shop.at.only_changes(*(["cases"] if name == LISTED else [])):
            answer = shop.api.post("/v1/parties", {"role": "customer", "name": name, "reference": "ana"})

        refused(answer, 409, "reference_taken", "reference")


def test_references_that_come_at_once_are_taken_once(shop: Shop) -> None:
    asked = {"role": "customer", "name": "Maria Silva", "reference": "maria"}
    headers = {"Authorization": f"Bearer {shop.api.token}"}

    answers = shop.at.http.at_once(
        [
            {
                "method": "POST",
                "url": "/v1/parties",
                "json": asked,
                "headers": headers | {"Idempotency-Key": f"k{n}"},
            }
            for n in range(10)
        ]
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


def test_same_list_again_is_the_same_list(shop: Shop) -> None:
    body = {"name": "eu", "legal_basis": "eu", "csv": "entry,name\nE-1,Somebody Bad\nE-1,Somebody Bad\n"}
    first = shop.api.make("/v1/sanctions-lists", body)

    with shop.at.only_changes("idempotency_keys"):
        again = shop.api.make("/v1/sanctions-lists", body)

    assert (first["new"], first["names"], first["duplicates"]) == (True, 1, 1)
    assert (again["new"], again["id"]) == (False, first["id"])


def test_programmes_name_is_taken_once(shop: Shop) -> None:
    taken = {
        "name": shop.name,
        "legal_name": "Somebody Else B.V.",
        "bank_connection": "sandbox",
        "safeguarding": {"bank_id": shop.safeguarding.bank_id, "iban": shop.safeguarding.iban},
        "operating": {"bank_id": shop.operating.bank_id, "iban": shop.operating.iban},
        "currency": "EUR",
    }

    with shop.at.nothing_changes():
        refused(shop.at.operator.post("/v1/programmes", taken), 409, "name_taken", "name")
        unknown = taken | {"name": "another", "bank_connection": "nowhere"}
        refused(shop.at.operator.post("/v1/programmes", unknown), 422, "bank_unknown", "bank_connection")


def test_parties_come_page_by_page(shop: Shop) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = shop.api.read(f"/v1/parties?limit=2{after}")
        seen += [party["id"] for party in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={seen[-1]}"

    assert seen == [shop.ana["id"], shop.hotel["id"], shop.lea["id"]]


def test_a_new_list_holds_at_once_who_is_on_it(shop: Shop) -> None:
    """Instant payments are not screened one by one, so customers are screened when a list changes."""
    listed = f'entry,name\nE-1,"{shop.hotel["name"]}"\n'
    body = {"name": "eu-list", "legal_basis": "eu_tfs", "csv": listed}

    shop.api.make("/v1/sanctions-lists", body)
    keep_promises(shop.at.parts)

    shown = {party["reference"]: party["status"] for party in shop.api.read("/v1/parties")["data"]}
    assert shown[shop.hotel["reference"]] == "held"
    assert shown[shop.ana["reference"]] == "active"
    order = {
        "party_id": shop.hotel["id"],
        "reference": "instant",
        "amount_minor": 1,
        "currency": "EUR",
        "rail": "SCT_INST",
        "remittance": "Payout",
    }
    refused(shop.api.post("/v1/payouts", order), 403, "held_for_review")
