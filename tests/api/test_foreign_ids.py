"""Two programmes in one database: neither can find, move or name anything of the other's."""

from dataclasses import dataclass

import pytest

from tests.api.installation import Installation
from tests.api.promises import keep_promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop, part, public_pem


@dataclass(frozen=True, slots=True)
class Two:
    """Ours, and a stranger with one of everything: captured and open carts, a payout, a statement wish, an export."""

    ours: Shop
    theirs: Shop
    ids: Json


@pytest.fixture(scope="module")
def two(installation: Installation, shared_shop: Shop) -> Two:
    theirs = open_shop(installation)
    iban = theirs.open_iban()
    installation.hear(installation.bank.pay_in(iban["iban"], 50_000))
    captured = theirs.captured(2_000)
    ids = {
        "party": theirs.ana["id"],
        "hotel": theirs.hotel["id"],
        "lea": theirs.lea["id"],
        "account": theirs.ana["account_id"],
        "virtual IBAN": iban["id"],
        "checkout": theirs.authorised(2_000)["id"],
        "captured": captured["id"],
        "waiting": theirs.api.make("/v1/checkouts", theirs.cart(3_001))["id"],
        "payout": theirs.api.make("/v1/payouts", theirs.payout(100))["id"],
        "statement request": theirs.api.make("/v1/statement-requests", {"day": "2026-11-14"})["id"],
        "export": theirs.api.make("/v1/exports")["id"],
    }
    keep_promises(installation.parts)
    return Two(shared_shop, theirs, ids)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/checkouts/{}", "checkout"),
        ("/v1/checkouts/{}", "captured"),
        ("/v1/payouts/{}", "payout"),
        ("/v1/accounts/{}", "account"),
        ("/v1/accounts/{}/entries", "account"),
        ("/v1/virtual-ibans/{}", "virtual IBAN"),
        ("/v1/statement-requests/{}", "statement request"),
        ("/v1/exports/{}", "export"),
        ("/v1/exports/{}/package", "export"),
    ],
)
def test_what_belongs_to_another_programme_is_not_found(two: Two, path: str, kind: str) -> None:
    assert two.theirs.api.get(path.format(two.ids[kind])).status_code == 200  # it is there

    refused(two.ours.api.get(path.format(two.ids[kind])), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v1/checkouts/{}/captures", "checkout", part(1)),
        ("/v1/checkouts/{}/captures", "checkout", part(2_000, final=True)),
        ("/v1/checkouts/{}/captures", "checkout", part(999_999_999)),
        ("/v1/checkouts/{}/refunds", "captured", part(1)),
        ("/v1/checkouts/{}/authentication", "waiting", {"signature": "MEUCIQDx"}),
    ],
)
def test_checkout_of_another_programme_cannot_be_moved(two: Two, path: str, kind: str, body: Json) -> None:
    with two.ours.at.nothing_changes():
        answer = two.ours.api.post(path.format(two.ids[kind]), body)

    refused(answer, 404, "not_found")


def test_payer_of_another_programme_cannot_be_authenticated_by_us(two: Two) -> None:
    challenged = two.theirs.api.make("/v1/checkouts", two.theirs.cart(3_001))
    answered = two.theirs.sign(challenged["next_action"]["challenge"])

    with two.ours.at.nothing_changes():
        answer = two.ours.api.post(f"/v1/checkouts/{challenged['id']}/authentication", answered)

    refused(answer, 404, "not_found")


def test_device_cannot_be_enrolled_for_a_party_of_another_programme(two: Two) -> None:
    enrolled = {"public_key_pem": public_pem(two.ours.device)}

    with two.ours.at.nothing_changes():
        answer = two.ours.api.post(f"/v1/parties/{two.ids['party']}/authenticators", enrolled)

    refused(answer, 404, "not_found")


def test_iban_cannot_be_opened_for_a_party_of_another_programme(two: Two) -> None:
    with two.ours.at.nothing_changes():
        answer = two.ours.api.post("/v1/virtual-ibans", {"party_id": two.ids["party"]})

    refused(answer, 404, "not_found")


def test_party_of_another_programme_cannot_be_paid_out(two: Two) -> None:
    with two.ours.at.nothing_changes():
        answer = two.ours.api.post("/v1/payouts", two.ours.payout(party_id=two.ids["hotel"]))

    refused(answer, 404, "party_unknown", "party_id")


@pytest.mark.parametrize(
    ("place", "field"), [("payer", "payer"), ("seller", "lines.0.seller"), ("share", "lines.0.splits.1.to")]
)
def test_cart_cannot_name_a_party_of_another_programme(two: Two, place: str, field: str) -> None:
    ours = two.ours
    cart = ours.cart()
    line = cart["lines"][0]
    match place:
        case "payer":
            cart["payer"] = two.ids["party"]
        case "seller":
            line["seller"] = two.ids["hotel"]
            line["splits"][2]["to"] = two.ids["hotel"]
        case _:
            line["splits"][1]["to"] = two.ids["lea"]

    with ours.at.nothing_changes():
        answer = ours.api.post("/v1/checkouts", cart)

    refused(answer, 404, "party_unknown", field)


def test_lists_show_nothing_of_another_programme(two: Two) -> None:
    ours = two.ours.api
    texts = [ours.get(path).text for path in (
        "/v1/parties", "/v1/payouts", "/v1/deposits", "/v1/cases",
        "/v1/reports/trial-balance", "/v1/reports/safeguarding", "/v1/reports/reconciliation",
    )]  # fmt: skip

    theirs = {*two.ids.values(), two.theirs.programme_id, two.theirs.hotel["account_id"]}
    assert not [key for key in theirs for text in texts if key in text]


def test_cursor_of_another_programme_shows_nothing_of_it(two: Two) -> None:
    page = two.ours.api.read(f"/v1/payouts?after={two.ids['payout']}")

    assert not [item for item in page["data"] if item["id"] == two.ids["payout"]]


def test_names_and_keys_of_another_programme_are_no_obstacle(two: Two) -> None:
    cart = two.ours.cart()

    first = two.ours.api.post("/v1/checkouts", cart, key="the-same-key")
    second = two.theirs.api.post(
        "/v1/checkouts", two.theirs.cart(reference=cart["reference"]), key="the-same-key"
    )

    assert (first.status_code, second.status_code) == (201, 201)
    assert "idempotent-replayed" not in second.headers
