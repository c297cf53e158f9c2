"""What people do with a payout that waits: put it off, call it off, hold it back, let it go on."""

from datetime import timedelta

import pytest

from api.jobs import Jobs
from tests.api.installation import Installation
from tests.api.promises import keep_promises, promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop

WHY = {"reason": "the hotel asked for it"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The hotel has EUR 16.60."""
    shop.captured(2_000)
    return shop


def ordered(shop: Shop, **changes: object) -> Json:
    return shop.api.make("/v1/payouts", shop.payout(1_000, **changes))


def sent(shop: Shop, payout: Json) -> int:
    listed = shop.at.bank.http.get("/sandbox/payments").json()["payments"]
    return len([item for item in listed if item["endToEndId"] == payout["end_to_end_id"]])


def test_payout_that_is_called_off_is_never_sent_and_its_money_is_back(shop: Shop) -> None:
    payout = ordered(shop)

    answer = shop.api.make(f"/v1/payouts/{payout['id']}/cancellations", WHY)
    keep_promises(shop.at.parts)

    assert answer["state"] == "cancelled"
    assert shop.balance(shop.hotel) == 1_660
    assert sent(shop, payout) == 0
    found = shop.api.read(f"/v1/payouts/{payout['id']}")
    assert found["history"][-1]["type"] == "payout.cancelled"
    assert found["history"][-1]["data"]["reason"].startswith(WHY["reason"])
    assert shop.client_id in found["history"][-1]["data"]["reason"]


def test_payout_that_is_on_its_way_is_not_called_off(shop: Shop) -> None:
    payout = ordered(shop)
    keep_promises(shop.at.parts)

    with shop.at.nothing_changes():
        answers = [
            shop.api.post(f"/v1/payouts/{payout['id']}/{step}", WHY) for step in ("cancellations", "holds")
        ]

    for answer in answers:
        refused(answer, 409, "payout_not_waiting")


def test_held_payout_waits_until_it_is_resumed(shop: Shop) -> None:
    payout = ordered(shop)
    shop.api.make(f"/v1/payouts/{payout['id']}/holds", WHY)
    keep_promises(shop.at.parts)
    while_held = (shop.api.read(f"/v1/payouts/{payout['id']}")["state"], sent(shop, payout))

    shop.api.make(f"/v1/payouts/{payout['id']}/resumptions", WHY)
    keep_promises(shop.at.parts)

    assert while_held == ("held", 0)
    assert shop.api.read(f"/v1/payouts/{payout['id']}")["state"] == "accepted"
    assert sent(shop, payout) == 1


def test_only_what_is_held_is_resumed(shop: Shop) -> None:
    payout = ordered(shop)

    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/payouts/{payout['id']}/resumptions", WHY)

    refused(answer, 409, "payout_not_held")
    keep_promises(shop.at.parts)


@pytest.mark.parametrize("step", ["cancellations", "holds", "resumptions"])
def test_somebody_elses_payout_is_not_there(shop: Shop, step: str) -> None:
    theirs = ordered(shop)
    other = open_shop(shop.at)

    with shop.at.nothing_changes():
        answers = [other.api.post(f"/v1/payouts/{one}/{step}", WHY) for one in (theirs["id"], "pay_1")]

    for answer in answers:
        refused(answer, 404, "not_found")
    keep_promises(shop.at.parts)


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "a\u0000b"}, {"reason": "a" * 141}, {"why": "x"}]
)
def test_a_step_says_why(shop: Shop, body: Json) -> None:
    payout = ordered(shop)

    with shop.at.nothing_changes():
        answer = shop.api.post(f"/v1/payouts/{payout['id']}/cancellations", body)

    refused(answer, 422, "invalid_request")
    keep_promises(shop.at.parts)


def test_payout_for_tomorrow_is_sent_tomorrow(other_days: Installation) -> None:
    other_days.next_morning()
    shop = open_shop(other_days).fund(50_000)
    shop.captured(2_000)
    at = other_days.now() + timedelta(hours=20)
    payout = ordered(shop, send_at=at.isoformat())
    Jobs(other_days.parts).release_due()
    before = (payout["state"], promises(other_days.parts), shop.balance(shop.hotel))

    other_days.next_morning()
    Jobs(other_days.parts).release_due()
    keep_promises(other_days.parts)

    assert before == ("scheduled", [], 660)
    assert (payout["send_at"], payout["due_at"]) == (at.isoformat(), at.isoformat())
    assert shop.api.read(f"/v1/payouts/{payout['id']}")["state"] == "accepted"


def test_payout_by_a_rail_that_is_closed_says_when_it_opens(other_days: Installation) -> None:
    other_days.next_morning()
    shop = open_shop(other_days).fund(50_000)
    shop.captured(2_000)
    other_days.set_clock(other_days.now() + timedelta(hours=12))
    payout = ordered(shop, rail="SCT")
    keep_promises(other_days.parts)

    found = shop.api.read(f"/v1/payouts/{payout['id']}")

    assert (found["state"], found["send_at"]) == ("scheduled", None)
    assert found["due_at"] > other_days.now().isoformat()
    assert sent(shop, payout) == 0


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=-1), timedelta(days=367)])
def test_a_time_that_is_past_or_far_is_no_time_to_send(shop: Shop, ahead: timedelta) -> None:
    wanted = shop.payout(1, send_at=(shop.at.now() + ahead).isoformat())

    with shop.at.nothing_changes():
        answer = shop.api.post("/v1/payouts", wanted)

    refused(answer, 422, "send_at_out_of_range", "send_at")
