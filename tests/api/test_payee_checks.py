"""The payee's bank is asked before the first payout; a payee in doubt waits for a person, whose choice is kept."""

import pytest

from api.payee_checks import ASK_AGAIN
from ledger.flows.payout_desk import wake
from ledger.store.payouts import lock_payouts
from tests.api.promises import keep_promises
from tests.api.talk import Json
from tests.api.world import Shop

WHY = {"reason": "its trade name"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The hotel has EUR 16.60."""
    shop.captured(2_000)
    return shop


def paid_to_own_bank(shop: Shop, name: str) -> Json:
    """A payout to an account at the sandbox bank, whose holder is called Pay EU B.V. there."""
    account = {"iban": shop.operating.iban, "name": name}
    shop.api.make(f"/v1/parties/{shop.hotel['id']}/payout-accounts", account)
    payout = shop.api.make("/v1/payouts", shop.payout(100))
    keep_promises(shop.at.parts)
    return shop.api.read(f"/v1/payouts/{payout['id']}")


def sent(shop: Shop, payout: Json) -> int:
    listed = shop.at.bank.http.get("/sandbox/payments").json()["payments"]
    return len([item for item in listed if item["endToEndId"] == payout["end_to_end_id"]])


def test_a_name_that_is_right_is_paid(shop: Shop) -> None:
    payout = paid_to_own_bank(shop, "PAY EU BV")

    assert (payout["state"], sent(shop, payout)) == ("accepted", 1)
    assert (payout["payee_check"]["match"], payout["payee_check"]["chosen"]) == ("MTCH", None)


@pytest.mark.parametrize(
    ("name", "match", "own_name"), [("Pay EU", "CMTC", "Pay EU B.V."), ("Hotel Mirador SL", "NMTC", None)]
)
def test_a_name_in_doubt_waits_and_whoever_resumes_it_has_chosen(
    shop: Shop, name: str, match: str, own_name: str | None
) -> None:
    held = paid_to_own_bank(shop, name)

    assert (held["state"], sent(shop, held)) == ("held", 0)
    assert (held["payee_check"]["match"], held["payee_check"]["matched_name"]) == (match, own_name)
    assert (own_name or "") in held["history"][-1]["data"]["reason"]

    shop.api.make(f"/v1/payouts/{held['id']}/resumptions", WHY)
    keep_promises(shop.at.parts)

    found = shop.api.read(f"/v1/payouts/{held['id']}")
    assert (found["state"], sent(shop, found)) == ("accepted", 1)
    chosen = found["payee_check"]["chosen"]
    assert (chosen["by"], chosen["reason"]) == (shop.client_id, WHY["reason"] + f" ({shop.client_id})")


def test_a_doubtful_payout_can_be_called_off(shop: Shop) -> None:
    held = paid_to_own_bank(shop, "Hotel Mirador SL")

    shop.api.make(f"/v1/payouts/{held['id']}/cancellations", WHY)

    assert shop.balance(shop.hotel) == 1_660


def test_a_payee_is_asked_about_once(shop: Shop) -> None:
    first = paid_to_own_bank(shop, "Pay EU BV")
    second = shop.api.make("/v1/payouts", shop.payout(100))
    keep_promises(shop.at.parts)

    found = shop.api.read(f"/v1/payouts/{second['id']}")
    assert found["payee_check"] == first["payee_check"]
    assert "payout.payee_checked" not in [event["type"] for event in found["history"]]


def test_a_bank_that_says_nothing_is_asked_again_and_meanwhile_the_payout_waits(shop: Shop) -> None:
    silence = {"kind": "dropped_request", "match": {"path": "/open-banking/vop"}, "times": 1}
    shop.at.bank.http.post("/sandbox/faults", json=silence).raise_for_status()

    waiting = paid_to_own_bank(shop, "Pay EU BV")
    assert (waiting["state"], waiting["payee_check"], sent(shop, waiting)) == ("queued", None, 0)

    with shop.at.parts.transactions() as tx:
        [payout] = lock_payouts(tx, [waiting["id"]]).values()
        assert payout.due_at is not None
        assert tx.now < payout.due_at <= tx.now + ASK_AGAIN
        wake(tx, [payout])
    keep_promises(shop.at.parts)
    found = shop.api.read(f"/v1/payouts/{waiting['id']}")
    assert (found["state"], found["payee_check"]["match"]) == ("accepted", "MTCH")


def test_a_payee_of_a_bank_that_nobody_can_name_is_paid_and_the_record_says_so(shop: Shop) -> None:
    shop.api.make(
        f"/v1/parties/{shop.hotel['id']}/payout-accounts", {"iban": "AT611904300234573201", "name": "Hotel"}
    )
    payout = shop.api.make("/v1/payouts", shop.payout(100))
    keep_promises(shop.at.parts)

    found = shop.api.read(f"/v1/payouts/{payout['id']}")
    assert (found["state"], found["payee_check"]["match"]) == ("accepted", "NOAP")
