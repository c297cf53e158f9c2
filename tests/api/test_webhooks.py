"""The bank's notices at our door: signed, kept once, acknowledged with our signature, and only then heeded."""

import base64
import json
from dataclasses import replace

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from api.jobs import Jobs, NotYet
from ledger.store.notices import keep_notice, mark_processed
from tests.api.promises import keep_promises, promises
from tests.api.talk import refused
from tests.api.world import LISTED, Shop, open_shop

KEPT = ("notices", "procrastinate_jobs", "procrastinate_events")


def acknowledged(shop: Shop, body: bytes, answer: httpx.Response) -> bool:
    """Whether this is the answer that the bank waits for: its nonce, signed by the enclave's key."""
    key = load_pem_public_key(shop.at.token.pem("bank").encode())
    assert isinstance(key, rsa.RSAPublicKey)
    signature = base64.b64decode(answer.headers["DigitalSignature"], validate=True)
    key.verify(signature, answer.content, padding.PKCS1v15(), hashes.SHA256())
    return answer.status_code == 200 and answer.json() == {"Nonce": json.loads(body)["Nonce"]}


def arrival(shop: Shop, amount_minor: int = 700, **changes: str) -> bytes:
    """The bank's word that money has come for Ana."""
    return shop.at.bank.pay_in(shop.open_iban()["iban"], amount_minor, **changes)


def without_nonce(body: bytes, nonce: int) -> bytes:
    return json.dumps(json.loads(body) | {"Nonce": nonce}).encode()


def test_notice_is_kept_promised_and_acknowledged_before_it_is_heeded(shop: Shop) -> None:
    body = arrival(shop)

    with shop.at.only_changes(*KEPT):
        answer = shop.at.deliver(body)

    assert acknowledged(shop, body, answer)
    assert [promise.name for promise in promises(shop.at.parts)] == ["process_notice"]
    assert shop.balance(shop.ana) == 50_000
    keep_promises(shop.at.parts)
    assert shop.balance(shop.ana) == 50_700


def test_notice_delivered_again_has_one_effect_and_is_acknowledged_again(shop: Shop) -> None:
    body = arrival(shop)
    first = shop.at.deliver(body)
    keep_promises(shop.at.parts)
    otherwise = without_nonce(body, 77)

    with shop.at.nothing_changes():
        again = [shop.at.deliver(body), shop.at.deliver(body), shop.at.deliver(otherwise)]
        keep_promises(shop.at.parts)

    assert acknowledged(shop, body, first)
    assert acknowledged(shop, body, again[0])
    assert acknowledged(shop, otherwise, again[2])
    assert shop.balance(shop.ana) == 50_700


def test_notice_processed_twice_has_one_effect(shop: Shop) -> None:
    shop.at.deliver(arrival(shop))
    [promise] = promises(shop.at.parts)
    keep_promises(shop.at.parts)

    with shop.at.nothing_changes():
        Jobs(shop.at.parts).process_notice(**promise.arguments)  # type: ignore[arg-type]  # as the queue gives them


def test_deliveries_at_once_are_one_effect(shop: Shop) -> None:
    body = arrival(shop)
    delivery = {
        "method": "POST",
        "url": "/webhooks/banks/sandbox",
        "content": body,
        "headers": {"DigitalSignature": shop.at.bank.sign(body)},
    }

    answers = shop.at.http.at_once([delivery] * 20)
    keep_promises(shop.at.parts)

    assert all(acknowledged(shop, body, answer) for answer in answers)
    assert shop.balance(shop.ana) == 50_700


@pytest.fixture
def body(shared_shop: Shop) -> bytes:
    """A notice that is never delivered."""
    return arrival(shared_shop)


def test_notice_that_the_bank_has_not_signed_is_refused(shared_shop: Shop, body: bytes) -> None:
    at, sign = shared_shop.at, shared_shop.at.bank.sign
    ours = at.parts.enclave.bank_message(
        profile="clearbank.webhook_ack", body=b'{"Nonce":1}'
    ).signature_base64
    forged = {
        "of other bytes": (body, sign(body + b" ")),
        "of altered bytes": (body.replace(b"Ana", b"Eve"), sign(body)),
        "ours": (body, ours),
        "cut": (body, sign(body)[:-4]),
        "not Base64": (body, "!!!"),
        "empty": (body, ""),
        "very long": (body, "A" * 3_000),
    }

    with at.nothing_changes():
        answers = [at.deliver(content, signature=signature or " ") for content, signature in forged.values()]

    for answer in answers:
        refused(answer, 400, "webhook_signature_wrong")


def test_notice_without_a_signature_or_with_two_is_refused(shared_shop: Shop, body: bytes) -> None:
    at, path = shared_shop.at, "/webhooks/banks/sandbox"
    signature = at.bank.sign(body)

    with at.nothing_changes():
        bare = at.http.post(path, content=body)
        twice = at.http.post(path, content=body, headers=[("DigitalSignature", signature)] * 2)

    refused(bare, 400, "webhook_signature_wrong")
    refused(twice, 400, "webhook_signature_wrong")


UNREADABLE = {
    "not JSON": b"Nonce=1",
    "a list": b"[]",
    "nothing": b"",
    "no type": b'{"Version": 1, "Payload": {}, "Nonce": 1}',
    "no payload": b'{"Type": "FITestEvent", "Version": 1, "Nonce": 1}',
    "no nonce": b'{"Type": "FITestEvent", "Version": 1, "Payload": {}}',
    "a nonce of text": b'{"Type": "FITestEvent", "Version": 1, "Payload": {}, "Nonce": "one"}',
    "a type twice": b'{"Type": "A", "Type": "B", "Version": 1, "Payload": {}, "Nonce": 1}',
    "an amount of nothing": (
        b'{"Type": "Sepa.Instant.Inbound.Payment.Settled", "Version": 1, "Nonce": 1, "Payload": '
        b'{"TransactionId": "t1", "EndToEndId": "e", "InstructedAmount": 0, "CreditorAccount": "X"}}'
    ),
    "an amount of NaN": (
        b'{"Type": "Sepa.Instant.Inbound.Payment.Settled", "Version": 1, "Nonce": 1, "Payload": '
        b'{"TransactionId": "t1", "EndToEndId": "e", "InstructedAmount": NaN, "CreditorAccount": "X"}}'
    ),
    "a version to come": b'{"Type": "Statements.ReadyForDownload", "Version": 9, "Payload": {}, "Nonce": 1}',
    "deep brackets": b"[" * 100_000,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=list(UNREADABLE))
def test_signed_notice_that_cannot_be_read_is_refused(shared_shop: Shop, content: bytes) -> None:
    with shared_shop.at.nothing_changes():
        answer = shared_shop.at.deliver(content)

    refused(answer, 400, "webhook_unreadable")


def test_notice_of_a_kind_that_nobody_needs_is_kept_and_acknowledged(shop: Shop) -> None:
    content = (
        b'{"Type": "FITestEvent", "Version": 1, "Payload": {"n": "%s"}, "Nonce": 12}' % shop.name.encode()
    )

    answer = shop.at.deliver(content)

    assert acknowledged(shop, content, answer)
    with shop.at.only_changes(*KEPT):
        keep_promises(shop.at.parts)


def test_notice_that_is_too_large_is_refused(shared_shop: Shop) -> None:
    with shared_shop.at.nothing_changes():
        answer = shared_shop.at.deliver(b'{"a": "' + b"a" * 300_000 + b'"}')

    refused(answer, 413, "too_large")


@pytest.mark.parametrize("connection", ["nowhere", "SANDBOX", "%00", "sandbox%20", "a" * 5_000])
def test_bank_that_nobody_knows_is_not_found(shared_shop: Shop, body: bytes, connection: str) -> None:
    headers = {"DigitalSignature": shared_shop.at.bank.sign(body)}

    with shared_shop.at.nothing_changes():
        answer = shared_shop.at.http.post(f"/webhooks/banks/{connection}", content=body, headers=headers)

    refused(answer, 404, "not_found")


def test_money_on_an_account_that_is_nobodys_stays_in_suspense(shop: Shop) -> None:
    shop.at.hear(shop.at.bank.pay_in(shop.safeguarding.iban, 900))

    deposit = shop.api.read("/v1/deposits")["data"][-1]
    assert (deposit["amount_minor"], deposit["account_id"], deposit["state"]) == (900, None, "suspended")
    rows = {row["code"]: row for row in shop.api.read("/v1/reports/trial-balance")["rows"]}
    assert rows["deposits_in_suspense"]["balance_minor"] == 900
    assert shop.balance(shop.ana) == 50_000


def test_money_on_an_iban_that_no_programme_knows_is_booked_to_nobody_and_tried_again(shop: Shop) -> None:
    stranger = shop.at.bank.open_account("GeneralSegregated", "nobody's")
    shop.at.deliver(shop.at.bank.pay_in(stranger.iban, 900))
    [promise] = promises(shop.at.parts)

    with shop.at.nothing_changes(), pytest.raises(NotYet):
        keep_promises(shop.at.parts)

    with shop.at.parts.engine.begin() as connection:  # or it would wait for every test after this one
        connection.exec_driver_sql("DELETE FROM procrastinate_jobs WHERE id = %s", (promise.id,))


def test_money_from_a_listed_name_stays_in_suspense_under_a_case(shop: Shop) -> None:
    shop.at.hear(arrival(shop, debtor_name=LISTED))

    deposit = shop.api.read("/v1/deposits")["data"][-1]
    assert (deposit["account_id"], deposit["state"]) == (shop.ana["account_id"], "suspended")
    [case] = shop.api.read("/v1/cases")["data"]
    assert (case["order_kind"], case["outcome"]) == ("deposit", "held")
    assert shop.balance(shop.ana) == 50_000


def test_money_for_one_programme_is_none_of_anothers(shop: Shop) -> None:
    other = open_shop(shop.at)

    shop.at.hear(arrival(shop))

    assert other.api.read("/v1/deposits")["data"] == []
    assert shop.balance(shop.ana) == 50_700


def test_chase_takes_up_what_no_job_carries_past_what_cannot_be_taken_up(shop: Shop) -> None:
    open_shop(shop.at)  # with two programmes at the bank, nobody can say whose money a stranger's is
    arrived = arrival(shop)
    stranger = shop.at.bank.open_account("GeneralSegregated", "nobody's")
    shop.at.deliver(
        shop.at.bank.pay_in(stranger.iban, 900)
    )  # which no programme knows: it fails whenever it is tried
    shop.at.deliver(arrived)
    with shop.at.parts.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM procrastinate_jobs")
    before = len(shop.api.read("/v1/deposits")["data"])

    Jobs(shop.at.parts).chase()

    deposits = shop.api.read("/v1/deposits")["data"]
    assert len(deposits) == before + 1
    assert deposits[-1]["state"] == "credited"


def test_a_bank_is_not_believed_about_money_on_another_banks_account(shop: Shop) -> None:
    body = arrival(shop)
    with shop.at.parts.transactions() as tx:
        notice_id, _ = keep_notice(
            tx, bank_connection="another bank", source="webhook", key="a lie", type_="lie", body=body
        )
    banks = {**shop.at.parts.banks, "another bank": shop.at.parts.banks["sandbox"]}

    with shop.at.nothing_changes(), pytest.raises(NotYet, match="no programme of another bank"):
        Jobs(replace(shop.at.parts, banks=banks)).process_notice(notice_id)

    assert shop.balance(shop.ana) == 50_000
    with shop.at.parts.transactions() as tx:
        mark_processed(tx, notice_id)  # no later test is to meet it
