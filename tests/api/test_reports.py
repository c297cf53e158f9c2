"""Finance's mornings: a day's statements fetched and matched, what is open, and what is safeguarded."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from tests.api.installation import Installation
from tests.api.promises import keep_promises, promises
from tests.api.talk import Json, refused
from tests.api.world import Shop, open_shop

READY = "Statements.ReadyForDownload"


@pytest.fixture
def shop(other_days: Installation) -> Shop:
    """A programme with EUR 500.00 of Ana's, on a day of its own."""
    other_days.next_morning()
    return open_shop(other_days).fund(50_000)


def fetch_day(shop: Shop, day: date) -> Json:
    """Asks for a day's statements and waits until they are in."""
    before = shop.at.bank.written()
    wish = shop.api.make("/v1/statement-requests", {"day": day.isoformat()})
    keep_promises(shop.at.parts)
    shop.at.hear(shop.at.bank.notice(READY, after=before))
    return shop.api.read(f"/v1/statement-requests/{wish['id']}")


def test_days_statement_is_fetched_matched_and_nothing_is_open(shop: Shop) -> None:
    shop.captured(2_000)
    payout = shop.api.make("/v1/payouts", shop.payout(1_660))
    keep_promises(shop.at.parts)
    shop.at.hear(shop.at.bank.notice("Sepa.Instant.Outbound.Payment.Settled", payout["end_to_end_id"]))
    assert shop.api.read("/v1/reports/safeguarding")["resource_minor"] is None
    day = shop.at.next_morning()

    wish = fetch_day(shop, day)

    assert wish["state"] == "imported"
    report = shop.api.read("/v1/reports/reconciliation")
    assert (report["matched"], report["open_breaks"]) == (2, [])
    pool = shop.api.read("/v1/reports/safeguarding")
    assert (pool["requirement_minor"], pool["resource_minor"], pool["excess_minor"]) == (48_100, 48_340, 240)
    assert pool["shortfall_minor"] == 0


def test_fee_that_the_bank_told_nobody_of_is_the_one_open_break(shop: Shop) -> None:
    fee = {"iban": shop.safeguarding.iban, "text": "Account fee"}
    shop.at.bank.order("/sandbox/fees", fee, amount_minor=120)
    day = shop.at.next_morning()

    fetch_day(shop, day)

    [found] = shop.api.read("/v1/reports/reconciliation")["open_breaks"]
    assert (found["amount_minor"], found["code"]) == (-120, "unknown_bank_entry")
    assert shop.api.read("/v1/reports/safeguarding")["shortfall_minor"] == 120
    first = shop.api.make("/v1/reconciliations")
    with shop.at.only_changes("idempotency_keys"):
        again = shop.api.make("/v1/reconciliations")
    assert again == first


def test_same_day_asked_for_again_is_the_same_wish(shop: Shop) -> None:
    day = shop.at.next_morning()
    first = shop.api.make("/v1/statement-requests", {"day": day.isoformat()})

    with shop.at.only_changes("idempotency_keys"):
        again = shop.api.make("/v1/statement-requests", {"day": day.isoformat()})

    assert again["id"] == first["id"]
    keep_promises(shop.at.parts)


def test_notice_of_a_statement_that_comes_twice_imports_it_once(shop: Shop) -> None:
    day = shop.at.next_morning()
    before = shop.at.bank.written()
    shop.api.make("/v1/statement-requests", {"day": day.isoformat()})
    keep_promises(shop.at.parts)
    notice = shop.at.bank.notice(READY, after=before)
    shop.at.deliver(notice)
    [heard] = promises(shop.at.parts)
    keep_promises(shop.at.parts)

    with shop.at.nothing_changes():
        shop.at.deliver(notice)
        keep_promises(shop.at.parts)

    assert heard.name == "process_notice"


def test_day_that_the_bank_has_not_closed_is_refused_by_it_and_may_be_asked_for_again(shop: Shop) -> None:
    today = shop.at.now().date()
    # The bank's day ends at 23:00 in Amsterdam's winter; its statements can be had two hours later.
    shop.at.set_clock(datetime.combine(today, time(23, 30), UTC))
    wish = shop.api.make("/v1/statement-requests", {"day": today.isoformat()})
    keep_promises(shop.at.parts)
    failed = shop.api.read(f"/v1/statement-requests/{wish['id']}")

    shop.at.set_clock(datetime.combine(today + timedelta(days=1), time(6), UTC))
    done = fetch_day(shop, today)

    assert failed["state"] == "failed"
    assert "the bank refused" in failed["detail"]
    assert (done["id"], done["state"], done["detail"]) == (wish["id"], "imported", None)


def test_trial_balance_sums_to_nothing_and_shows_what_is_held(shop: Shop) -> None:
    shop.captured(2_000)
    shop.authorised(1_000)

    report = shop.api.read("/v1/reports/trial-balance")

    assert report["sum_minor"] == {"EUR": 0}
    rows = {row["code"]: row for row in report["rows"]}
    assert (rows["customer_wallet"]["balance_minor"], rows["customer_wallet"]["held_minor"]) == (
        48_000,
        1_000,
    )
    assert rows["commission_income"]["balance_minor"] == 240


def test_entries_come_page_by_page_with_the_balance_after_each(shop: Shop) -> None:
    shop.captured(2_000)
    path = f"/v1/accounts/{shop.ana['account_id']}/entries?limit=3"

    first = shop.api.read(path)
    second = shop.api.read(f"{path}&after={first['data'][-1]['version']}")
    third = shop.api.read(f"{path}&after={second['data'][-1]['version']}")

    entries = first["data"] + second["data"] + third["data"]
    assert [entry["version"] for entry in entries] == list(range(1, shop.account(shop.ana)["version"] + 1))
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    assert entries[-1]["credits_after_minor"] - entries[-1]["debits_after_minor"] == 48_000


@pytest.mark.parametrize("hour", [0, 12])
def test_today_cannot_be_asked_for(other_days: Installation, hour: int) -> None:
    shop = open_shop(other_days)
    other_days.next_morning()
    today = other_days.now().date() + timedelta(days=1 if hour == 0 else 0)

    with other_days.nothing_changes():
        answer = shop.api.post("/v1/statement-requests", {"day": today.isoformat()})

    refused(answer, 409, "day_not_over")
