"""Payouts that the enclave does not sign yet: they wait, say for what, and go once time or people have mended it."""

import base64
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from api.embedded import EmbeddedPostgres
from api.jobs import Jobs
from enclave.resolutions import AdmitApprover
from ledger.flows.approvals import APPROVALS_MAX
from ledger.flows.payout_desk import wake
from ledger.store.payouts import lock_payouts
from tests.api.installation import Installation, installed
from tests.api.promises import keep_promises, promises
from tests.api.talk import Json, refused
from tests.api.test_payout_accounts import listed, officer_of, verification
from tests.api.world import Shop, open_shop, public_pem
from tests.enclave.process import SoftHsmToken
from tests.partners.sandbox.bank_process import BankProcess

ABOVE_MINOR = 500
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("anna", "boris")}
ADMITTED = [AdmitApprover(approver_id=name, public_key_pem=public_pem(key)) for name, key in KEYS.items()]


@pytest.fixture(scope="module")
def strict(
    tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres, token: SoftHsmToken
) -> Iterator[Installation]:
    """An installation whose enclave asks for approvals, verified accounts and fresh screenings."""
    directory = tmp_path_factory.mktemp("strict")
    with installed(
        directory,
        postgres,
        token,
        BankProcess(instant_delay_seconds=0.0),
        approvals_above_minor=str(ABOVE_MINOR),
        cooling_period_s="0",
        screening_age_max_s="3600",
        resolutions=str(token.resolved(directory / "resolutions", *ADMITTED)),
    ) as made:
        yield made


@pytest.fixture
def careful(strict: Installation) -> Shop:
    """A shop whose hotel has EUR 16.60 and an account that was verified."""
    made = open_shop(strict).fund(50_000)
    made.captured(2_000)
    [account] = listed(made, made.hotel)
    officer_of(made).make(verification(account), {"how": "four_eyes"})
    return made


def tried(shop: Shop, payout: Json) -> Json:
    """The payout, after it was tried once more."""
    keep_promises(shop.at.parts)
    try_now(shop, payout)
    return shop.api.read(f"/v1/payouts/{payout['id']}")


def try_now(shop: Shop, payout: Json) -> None:
    """Has a payout tried at once that waits for its next try."""
    with shop.at.parts.transactions() as tx:
        wake(tx, list(lock_payouts(tx, [payout["id"]]).values()))
    Jobs(shop.at.parts).dispatch()


def approval(name: str, payout: Json) -> Json:
    text = base64.b64decode(payout["text_to_sign"])
    signature = KEYS[name].sign(text, ec.ECDSA(hashes.SHA256()))
    return {"approver_id": name, "signature": base64.b64encode(signature).decode()}


def approve(shop: Shop, payout: Json, body: Json) -> Json:
    return shop.api.make(f"/v1/payouts/{payout['id']}/approvals", body)


def test_a_payout_to_an_unverified_account_waits_and_goes_when_it_is_verified(strict: Installation) -> None:
    shop = open_shop(strict).fund(50_000)
    shop.captured(2_000)
    payout = shop.api.make("/v1/payouts", shop.payout(ABOVE_MINOR))
    keep_promises(strict.parts)

    waiting = shop.api.read(f"/v1/payouts/{payout['id']}")
    [account] = listed(shop, shop.hotel)
    officer_of(shop).make(verification(account), {"how": "payee_check"})
    keep_promises(strict.parts)

    assert (waiting["state"], waiting["waits_for"]) == ("queued", "beneficiary_unverified")
    sent = shop.api.read(f"/v1/payouts/{payout['id']}")
    assert (sent["state"], sent["waits_for"], len(sent["attempts"])) == ("accepted", None, 2)


def test_a_payout_above_the_amount_waits_for_two_approvals(careful: Shop) -> None:
    payout = careful.api.make("/v1/payouts", careful.payout(ABOVE_MINOR + 1))
    states = []

    for body in (None, approval("anna", payout), approval("anna", payout), approval("boris", payout)):
        if body is not None:
            approve(careful, payout, body)
        keep_promises(careful.at.parts)
        found = careful.api.read(f"/v1/payouts/{payout['id']}")
        states.append((found["state"], found["waits_for"]))

    assert states == [("pending_approval", "approvals_missing")] * 3 + [("accepted", None)]
    assert careful.balance(careful.hotel) == 1_660 - ABOVE_MINOR - 1


def test_a_payout_of_the_amount_itself_waits_for_nobody(careful: Shop) -> None:
    payout = careful.api.make("/v1/payouts", careful.payout(ABOVE_MINOR))

    assert tried(careful, payout)["state"] == "accepted"


def test_the_same_approval_again_is_the_one_that_is_there(careful: Shop) -> None:
    payout = careful.api.make("/v1/payouts", careful.payout(ABOVE_MINOR + 1))
    keep_promises(careful.at.parts)
    body = approval("anna", payout)

    first = approve(careful, payout, body)
    keep_promises(careful.at.parts)
    second = approve(careful, payout, body)

    assert second == first
    assert [item["approver_id"] for item in first["approvals"]] == ["anna"]
    assert first["approvals"][0]["signature"] == body["signature"]
    assert (first["order_digest"], first["text_to_sign"]) == (payout["order_digest"], payout["text_to_sign"])
    assert first["initiator"] == careful.client_id
    assert promises(careful.at.parts) == []


def test_a_payout_that_waits_for_nobody_takes_no_approval(careful: Shop) -> None:
    payout = careful.api.make("/v1/payouts", careful.payout(1))
    keep_promises(careful.at.parts)

    with careful.at.nothing_changes():
        answer = careful.api.post(f"/v1/payouts/{payout['id']}/approvals", approval("anna", payout))

    refused(answer, 409, "payout_not_waiting")


def test_signatures_of_one_payout_have_an_end(careful: Shop) -> None:
    payout = careful.api.make("/v1/payouts", careful.payout(ABOVE_MINOR + 1))
    for number in range(APPROVALS_MAX):
        signature = base64.b64encode(number.to_bytes(70)).decode()
        approve(careful, payout, {"approver_id": "anna", "signature": signature})

    refused(
        careful.api.post(f"/v1/payouts/{payout['id']}/approvals", approval("boris", payout)),
        409,
        "too_many_approvals",
    )
    keep_promises(careful.at.parts)


GOOD = "MEUCIQDx" * 8


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"approver_id": "anna"}, "invalid_request"),
        ({"signature": GOOD}, "invalid_request"),
        ({"approver_id": "", "signature": GOOD}, "invalid_request"),
        ({"approver_id": "an na", "signature": GOOD}, "invalid_request"),
        ({"approver_id": "a" * 65, "signature": GOOD}, "invalid_request"),
        ({"approver_id": 7, "signature": GOOD}, "invalid_request"),
        ({"approver_id": "anna", "signature": None}, "invalid_request"),
        ({"approver_id": "anna", "signature": "not base64!!"}, "invalid_request"),
        ({"approver_id": "anna", "signature": "A" * 9}, "invalid_value"),
        ({"approver_id": "anna", "signature": "A" * 8}, "invalid_value"),
        ({"approver_id": "anna", "signature": "A" * 112}, "invalid_value"),
        ({"approver_id": "anna", "signature": "A" * 300}, "invalid_request"),
        ({"approver_id": "anna", "signature": GOOD, "order_digest": "00"}, "invalid_request"),
    ],
)
def test_an_approval_that_cannot_be_one_is_refused(careful: Shop, body: Json, code: str) -> None:
    payout = careful.api.make("/v1/payouts", careful.payout(ABOVE_MINOR + 1))
    keep_promises(careful.at.parts)

    with careful.at.nothing_changes():
        answer = careful.api.post(f"/v1/payouts/{payout['id']}/approvals", body)

    refused(answer, 422, code)


@pytest.mark.parametrize("name", ["nobody", "pay_" + "0" * 32, "theirs"])
def test_nobody_approves_what_is_not_there_or_not_ours(
    careful: Shop, strict: Installation, name: str
) -> None:
    if name == "theirs":
        theirs = open_shop(strict).fund(50_000)
        theirs.captured(2_000)
        name = theirs.api.make("/v1/payouts", theirs.payout(100))["id"]
        keep_promises(strict.parts)

    with strict.nothing_changes():
        answer = careful.api.post(f"/v1/payouts/{name}/approvals", {"approver_id": "anna", "signature": GOOD})

    refused(answer, 404, "not_found")


# Screened too long ago


def made_old(shop: Shop, payout: Json) -> None:
    """As if the order had been screened yesterday."""
    with shop.at.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE clearances DISABLE TRIGGER clearances_are_facts")
        connection.execute(
            sa.text(
                "UPDATE clearances SET screened_at = screened_at - interval '1 day'"
                " WHERE order_digest = decode(:digest, 'hex')"
            ),
            {"digest": payout["order_digest"]},
        )
        connection.exec_driver_sql("ALTER TABLE clearances ENABLE TRIGGER clearances_are_facts")


def waits_for_screening(shop: Shop) -> Json:
    payout = shop.api.make("/v1/payouts", shop.payout(100))
    made_old(shop, payout)
    keep_promises(shop.at.parts)
    found = shop.api.read(f"/v1/payouts/{payout['id']}")
    assert found["waits_for"] == "screening_stale"
    return found


def test_an_order_that_was_screened_too_long_ago_is_screened_again_and_sent(careful: Shop) -> None:
    payout = waits_for_screening(careful)

    assert tried(careful, payout)["state"] == "accepted"


def test_an_order_that_is_not_cleared_any_more_is_not_sent_and_its_money_goes_back(careful: Shop) -> None:
    payout = waits_for_screening(careful)
    names = 'entry,name\nD-2,"MIRADOR SL, Hotel"\n'
    careful.api.make("/v1/sanctions-lists", {"name": "list", "legal_basis": "national", "csv": names})
    try_now(careful, payout)

    found = careful.api.read(f"/v1/payouts/{payout['id']}")
    assert found["state"] == "rejected"
    assert found["history"][-1]["data"]["reason"].startswith("screened again and not cleared: case_")
    assert careful.balance(careful.hotel) == 1_660
    assert careful.api.read("/v1/cases")["data"][-1]["order_kind"] == "payout"
    keep_promises(careful.at.parts)
