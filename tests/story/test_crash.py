"""A worker dies between the bank taking an order and the answer being kept: the bank is never asked twice."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.caller import until
from api.stack import Stack
from tests.story.installation import WAIT_S, Installation, install

pytestmark = pytest.mark.story


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    stack = Stack(tmp_path_factory.mktemp("crash") / "home", clock="test")
    stack.start()
    try:
        running = install(stack)
        yield running
        running.close()
    finally:
        stack.stop()


def order(installation: Installation, reference: str, rail: str = "SCT_INST") -> dict[str, Any]:
    body = {
        "party_id": installation.merchant["id"],
        "reference": reference,
        "amount_minor": 100,
        "currency": "EUR",
        "rail": rail,
        "remittance": "Payout",
    }
    return installation.pay.post("/v1/payouts", body)


def taken_by_the_bank(installation: Installation, payout: dict[str, Any]) -> None:
    until(
        "the order at the bank",
        lambda: installation.orders_at_the_bank(payout["end_to_end_id"]) or None,
        within_s=WAIT_S,
    )


@pytest.mark.parametrize("rail", ["SCT", "SCT_INST"])
@pytest.mark.parametrize("webhooks", ["arrive", "are lost"])
def test_a_worker_killed_before_it_kept_the_answer_sends_no_second_order(
    installation: Installation, rail: str, webhooks: str
) -> None:
    before_minor = installation.posted_minor(installation.merchant)
    installation.fault("held_answer")
    payout = order(installation, f"killed-{rail}-{webhooks.replace(' ', '-')}", rail)
    if webhooks == "are lost":
        installation.fault("lost_webhook", times=10, endToEndId=payout["end_to_end_id"])
    taken_by_the_bank(installation, payout)

    installation.stack.kill("worker")
    installation.stack.start_worker()

    settled = installation.payout_in(payout["id"], "settled")
    (received,) = installation.orders_at_the_bank(payout["end_to_end_id"])
    assert len(received["requestIds"]) == 1
    assert received["repeats"] == 0
    assert [attempt["sent"] for attempt in settled["attempts"]] == [True]
    assert installation.posted_minor(installation.merchant) == before_minor - 100


def test_a_lost_answer_is_unknown_and_settles_by_an_enquiry(installation: Installation) -> None:
    installation.fault("lost_answer")

    payout = order(installation, "answer-lost")

    settled = installation.payout_in(payout["id"], "settled")
    lived = [event["type"] for event in settled["history"]]
    assert lived == ["payout.queued", "payout.submitted", "payout.unknown", "payout.settled"]
    assert settled["attempts"][0]["outcome"] == "unknown"
    assert settled["history"][-1]["data"]["reason"] == "found by enquiry"
    assert len(installation.orders_at_the_bank(payout["end_to_end_id"])) == 1


def test_a_bank_that_is_down_was_not_sent_to_and_is_tried_again(installation: Installation) -> None:
    port = httpx.URL(installation.stack.bank_url).port
    assert port is not None
    installation.stack.kill("bank")
    payout = order(installation, "bank-down")

    def tried() -> list[dict[str, Any]] | None:
        attempts: list[dict[str, Any]] = installation.payout(payout["id"])["attempts"]
        return attempts if attempts and attempts[0]["outcome"] else None

    assert until("the first attempt", tried, within_s=WAIT_S)[0]["outcome"] == "not_sent"
    installation.stack.start_bank(port)

    settled = installation.payout_in(payout["id"], "settled")
    assert settled["attempts"][-1]["outcome"] == "accepted"
    assert len(installation.orders_at_the_bank(payout["end_to_end_id"])) == 1


def test_an_explicit_rejection_gives_the_money_back(installation: Installation) -> None:
    before_minor = installation.posted_minor(installation.merchant)
    installation.fault("reject", reason="AC04", creditorIban="DE89370400440532013000")

    payout = order(installation, "rejected")

    installation.payout_in(payout["id"], "rejected")
    assert installation.posted_minor(installation.merchant) == before_minor


@pytest.mark.parametrize("webhooks", ["arrive", "are lost"])
def test_an_order_that_was_turned_away_after_it_was_taken_is_paid_once(
    installation: Installation, webhooks: str
) -> None:
    before_minor = installation.posted_minor(installation.merchant)
    installation.fault("turned_away_after")
    if webhooks == "are lost":
        for kind in ("Sepa.Instant.Outbound.Payment.Created", "Sepa.Instant.Outbound.Payment.Settled"):
            installation.fault("lost_webhook", webhookType=kind)

    payout = order(installation, f"turned-away-{webhooks.replace(' ', '-')}")

    settled = installation.payout_in(payout["id"], "settled")
    (received,) = installation.orders_at_the_bank(payout["end_to_end_id"])
    assert received["requestIds"] == [payout["id"]]
    if webhooks == "are lost":
        # Asked again under the same request id, which the bank refuses as taken; then found by an enquiry.
        assert [attempt["outcome"] for attempt in settled["attempts"]] == ["not_sent", "unknown"]
        assert received["repeats"] == 1
    assert installation.posted_minor(installation.merchant) == before_minor - 100
