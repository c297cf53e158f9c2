"""What the bank has said survives its death; what it owes is done after it."""

import json
import stat
from pathlib import Path

import pytest

from tests.partners.sandbox.bank_process import BankProcess, NotInTimeError, SigningClient, wait_for
from tests.partners.sandbox.customers import (
    CT_PATH,
    INST_PATH,
    balances,
    ct_order,
    fresh_id,
    inst_order,
    open_customer,
)
from tests.partners.sandbox.webhook_listener import WebhookListener


def test_killed_bank_keeps_books_clients_clock_faults_and_used_ids(tmp_path: Path) -> None:
    with BankProcess() as bank:
        bank.start(tmp_path)
        with SigningClient(bank.url) as client:
            client.register()
            client.control("clock", {"now": "2031-03-04T09:00:00Z"})
            client.control("faults", {"kind": "refuse_500", "match": {"path": "/none"}, "times": 7})
            customer = open_customer(client, funds="1000.00")
            request_id, end_to_end_id = fresh_id("req"), fresh_id()
            order = ct_order(customer, end_to_end_id)
            assert client.post(CT_PATH, order, request_id=request_id).status_code == 202
            key = client.key
            public_key = client.http.get("/sandbox/public-key").text

        bank.kill()
        bank.restart()

        with SigningClient(bank.url, key=key) as client:
            wait_for("settlement", lambda: balances(client, customer)["actual"] == 969.56)
            assert client.post(CT_PATH, order, request_id=request_id).status_code == 409
            assert client.http.get("/sandbox/clock").json()["now"].startswith("2031-03-04T09:")
            assert [item["timesLeft"] for item in client.listing("faults")] == [7]
            assert client.http.get("/sandbox/public-key").text == public_key


def test_payment_under_way_is_finished_after_a_kill(tmp_path: Path) -> None:
    with (
        BankProcess(instant_delay_seconds=60) as bank,
        SigningClient(bank.start(tmp_path).url) as client,
        WebhookListener(client.sign) as listener,
    ):
        client.register()
        client.control("webhooks", {"url": listener.url})
        customer = open_customer(client, funds="1000.00")
        end_to_end_id = fresh_id()
        client.post(INST_PATH, inst_order(customer, end_to_end_id, reference="--DelayPayment--"))
        wait_for("the money to be set aside", lambda: balances(client, customer)["available"] == 883.9)

        bank.kill()
        bank.restart()

        with SigningClient(bank.url, key=client.key) as later:
            later.control("clock", {"now": "2031-03-04T09:00:00Z"})
            listener.wait_for("Sepa.Instant.Outbound.Payment.Delayed", end_to_end_id)
            later.control("clock", {"now": "2031-03-04T10:00:00Z"})
            listener.wait_for("Sepa.Instant.Outbound.Payment.Settled", end_to_end_id)
            assert balances(later, customer) == {"available": 883.9, "actual": 883.9}


def test_webhooks_wait_for_an_address_and_survive_a_kill(tmp_path: Path) -> None:
    with BankProcess() as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        open_customer(client, funds="1000.00")
        bank.kill()
        bank.restart()

        with WebhookListener(client.sign) as listener, SigningClient(bank.url, key=client.key) as later:
            later.control("webhooks", {"url": listener.url})
            listener.wait_until(lambda item: item.type == "CustomerAccounts.TransactionCompleted")

        assert [item.type for item in listener.deliveries] == [
            "Sepa.Ct.InboundPayment.Completed",
            "CustomerAccounts.TransactionCompleted",
        ]


def test_unreachable_client_is_tried_until_the_bank_gives_up(tmp_path: Path) -> None:
    options = {"webhook_retry_seconds": 0.01, "webhook_attempts_max": 3}
    with BankProcess(**options) as bank, SigningClient(bank.start(tmp_path).url) as client:
        client.register()
        client.control("webhooks", {"url": "http://127.0.0.1:9/nobody"})
        open_customer(client, funds="1.00")

        events = wait_for("giving up", lambda: given_up(client))

    assert [(item["attempts"], item["lastFailure"]) for item in events] == [(3, "Connection")] * 2


def given_up(client: SigningClient) -> list[dict[str, object]] | None:
    events = client.listing("events")
    return events if events and all(item["state"] == "given up" for item in events) else None


def test_bank_announces_itself_and_stops_cleanly(tmp_path: Path) -> None:
    bank = BankProcess().start(tmp_path)
    notice = json.loads((tmp_path / "bank.json").read_text())

    code = bank.stop()

    assert code == 0
    assert notice["url"] == bank.url
    assert bank.output_path.read_text() == f"sandbox bank listening on {bank.url}\n"
    assert stat.S_IMODE((tmp_path / "webhook-key.pem").stat().st_mode) == 0o600


def test_second_bank_on_the_same_home_is_refused(tmp_path: Path) -> None:
    with BankProcess().start(tmp_path) as first:
        with pytest.raises(NotInTimeError, match="another sandbox bank already runs"):
            BankProcess().start(tmp_path)

        with SigningClient(first.url) as client:
            assert client.http.get("/sandbox/clock").status_code == 200
