"""Money out: ordered, promised, sent once, settled or given back; and sweeps of the programme's own money."""

from datetime import timedelta

import pytest

from ledger.store.payouts import read_queued
from tests.api.installation import Installation
from tests.api.promises import keep_promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The hotel has EUR 16.60 and the programme EUR 2.40 of commission."""
    shop.captured(2_000)
    return shop


def paid(shop: Shop, **changes: object) -> Json:
    return shop.api.make("/v1/payouts", shop.payout(1_000, **changes))


def sent_to_the_bank(shop: Shop, payout: Json) -> list[Json]:
    listed = shop.at.bank.http.get("/sandbox/payments").json()["payments"]
    return [item for item in listed if item["endToEndId"] == payout["end_to_end_id"]]


def test_payout_takes_the_money_at_once_and_promises_to_send_it(shop: Shop) -> None:
    payout = paid(shop)

    assert (payout["state"], payout["attempts"]) == ("queued", [])
    assert shop.balance(shop.hotel) == 660
    with shop.at.parts.transactions() as tx:
        assert [item.id for item in read_queued(tx, "sandbox", limit=10)] == [payout["id"]]
    keep_promises(shop.at.parts)


def test_payout_is_sent_once_and_settles_by_the_banks_word(shop: Shop) -> None:
    payout = paid(shop)
    keep_promises(shop.at.parts)
    after_sending = shop.api.read(f"/v1/payouts/{payout['id']}")

    shop.at.hear(shop.at.bank.notice("Sepa.Instant.Outbound.Payment.Settled", payout["end_to_end_id"]))

    settled = shop.api.read(f"/v1/payouts/{payout['id']}")
    assert (after_sending["state"], settled["state"]) == ("accepted", "settled")
    assert [event["type"] for event in settled["history"]] == [
        "payout.queued", "payout.payee_checked", "payout.submitted", "payout.accepted", "payout.settled",
    ]  # fmt: skip
    assert len(settled["attempts"]) == 1
    assert len(sent_to_the_bank(shop, payout)) == 1


def test_rejected_payout_gives_the_money_back(shop: Shop) -> None:
    fault = {
        "kind": "reject",
        "match": {"creditorIban": shop.hotel["payout_iban"]},
        "times": 1,
        "reason": "AC04",
    }
    shop.at.bank.http.post("/sandbox/faults", json=fault).raise_for_status()
    payout = paid(shop)
    keep_promises(shop.at.parts)

    shop.at.hear(shop.at.bank.notice("Sepa.Instant.Outbound.Payment.Cancelled", payout["end_to_end_id"]))

    assert shop.api.read(f"/v1/payouts/{payout['id']}")["state"] == "rejected"
    assert shop.balance(shop.hotel) == 1_660


def test_lost_answer_leaves_the_payout_unknown_and_unsent_again(shop: Shop) -> None:
    fault = {"kind": "lost_answer", "match": {"creditorIban": shop.hotel["payout_iban"]}, "times": 1}
    shop.at.bank.http.post("/sandbox/faults", json=fault).raise_for_status()
    payout = paid(shop)

    keep_promises(shop.at.parts)

    assert shop.balance(shop.hotel) == 660
    assert len(sent_to_the_bank(shop, payout)) == 1
    history = shop.api.read(f"/v1/payouts/{payout['id']}")["history"]
    assert "payout.unknown" in [event["type"] for event in history]


def test_payout_beyond_the_balance_is_declined_and_leaves_nothing(shop: Shop) -> None:
    with shop.at.nothing_changes():
        answer = shop.api.post("/v1/payouts", shop.payout(1_661))

    refused(answer, 409, "insufficient_funds")


def test_reference_that_is_taken_is_refused_for_payouts_and_sweeps_alike(shop: Shop) -> None:
    payout = paid(shop)

    with shop.at.nothing_changes():
        again = shop.api.post("/v1/payouts", shop.payout(1, reference=payout["reference"]))
        swept = shop.api.post("/v1/sweeps", shop.sweep(1, reference=payout["reference"]))

    refused(again, 409, "reference_taken", "reference")
    refused(swept, 409, "reference_taken", "reference")
    keep_promises(shop.at.parts)


def test_party_without_an_account_elsewhere_cannot_be_paid_out(shop: Shop) -> None:
    with shop.at.nothing_changes():
        answer = shop.api.post("/v1/payouts", shop.payout(1, party_id=shop.ana["id"]))

    refused(answer, 422, "payout_account_missing", "party_id")


def test_sweep_beyond_the_programmes_own_money_is_declined(shop: Shop) -> None:
    with shop.at.nothing_changes():
        answer = shop.api.post("/v1/sweeps", shop.sweep(241))

    assert "240" in refused(answer, 409, "exceeds_own_money", "amount_minor")["detail"]


def test_sweep_settles_into_the_operating_account(shop: Shop) -> None:
    sweep = shop.api.make("/v1/sweeps", shop.sweep(240, rail="SCT_INST"))
    keep_promises(shop.at.parts)

    shop.at.hear(shop.at.bank.notice("Sepa.Instant.Outbound.Payment.Settled", sweep["end_to_end_id"]))

    assert shop.api.read(f"/v1/payouts/{sweep['id']}")["state"] == "settled"
    rows = {row["code"]: row for row in shop.api.read("/v1/reports/trial-balance")["rows"]}
    assert rows["operating_bank"]["balance_minor"] == 240


def test_payouts_come_page_by_page_with_what_became_of_them(shop: Shop) -> None:
    made = [shop.api.make("/v1/payouts", shop.payout(100))["id"] for _ in range(3)]
    keep_promises(shop.at.parts)

    first = shop.api.read("/v1/payouts?limit=2")
    second = shop.api.read(f"/v1/payouts?limit=2&after={first['data'][-1]['id']}")

    assert [item["id"] for item in first["data"] + second["data"]] == made
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert all(item["history"] and item["attempts"] for item in first["data"])


def ordered_in_vain(shop: Shop, kind: str) -> Json:
    """A payout whose order the bank has not answered."""
    fault = {"kind": kind, "match": {"creditorIban": shop.hotel["payout_iban"]}, "times": 1}
    shop.at.bank.http.post("/sandbox/faults", json=fault).raise_for_status()
    payout = paid(shop)
    keep_promises(shop.at.parts)
    return shop.api.read(f"/v1/payouts/{payout['id']}")


def test_an_order_that_never_arrived_is_said_once_more_under_the_same_id(shop: Shop) -> None:
    payout = ordered_in_vain(shop, "dropped_request")
    host, states = shop.at.parts.banks["sandbox"], [payout["state"]]

    for enquiry in range(3):
        host.enquire(payout["id"], enquiry=enquiry)
        states.append(shop.api.read(f"/v1/payouts/{payout['id']}")["state"])

    assert states == ["unknown", "unknown", "unknown", "accepted"]
    [taken] = sent_to_the_bank(shop, payout)
    assert taken["requestIds"] == [payout["id"]]
    found = shop.api.read(f"/v1/payouts/{payout['id']}")
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["unknown"]


def test_an_order_that_nobody_has_heard_of_for_half_a_day_is_not_said_again(other_days: Installation) -> None:
    shop = open_shop(other_days).fund(50_000)
    shop.captured(2_000)
    payout = ordered_in_vain(shop, "dropped_request")
    shop.at.set_clock(shop.at.now() + timedelta(hours=12))

    for enquiry in range(5):
        shop.at.parts.banks["sandbox"].enquire(payout["id"], enquiry=enquiry)

    assert shop.api.read(f"/v1/payouts/{payout['id']}")["state"] == "unknown"
    assert sent_to_the_bank(shop, payout) == []
