"""camt.053 statements: when they can be had, and that they add up."""

from decimal import Decimal

import pytest

from tests.partners.sandbox.customers import (
    INST_PATH,
    OUTSIDE_IBAN,
    account_order,
    fresh_id,
    inst_order,
    pay_in,
)
from tests.partners.sandbox.scenes import Scene, is_ready

DAY = {"startDateTimeUtc": "2031-03-03T23:00:00Z", "endDateTimeUtc": "2031-03-04T23:00:00Z"}
NEXT_DAY = {"startDateTimeUtc": "2031-03-04T23:00:00Z", "endDateTimeUtc": "2031-03-05T23:00:00Z"}


def test_statement_balances_add_up_over_days_pages_and_accounts(scene: Scene) -> None:
    operating = scene.client.post("/mccy/v2/Accounts", account_order("YourFunds", "Operating")).json()
    operating_iban = operating["identifiers"][0]["identifier"]
    scene.pay()
    scene.pay(amount=34.24, creditor={"name": "Pay EU B.V.", "accountIban": operating_iban})
    back = scene.pay(amount=135.96)
    scene.set_clock("2031-03-05T09:00:00Z")
    scene.client.control("returns", {"endToEndId": back, "reason": "AC04"})
    scene.client.control("fees", {"iban": scene.customer.iban, "amount": 1, "text": "Account keeping"})
    scene.set_clock("2031-03-06T02:00:00Z")

    first, second = scene.statement(DAY), scene.statement(NEXT_DAY)

    iban = scene.customer.iban
    assert len(first) == 2
    assert (first[0].balance(iban, "OPBD"), first[0].balance(iban, "CLBD")) == (0, Decimal("299.36"))
    assert sum(move for page in first for move in page.movements(iban)) == Decimal("299.36")
    assert (second[0].balance(iban, "OPBD"), second[0].balance(iban, "CLBD")) == (
        Decimal("299.36"),
        Decimal("434.32"),
    )
    assert second[0].movements(iban) == [Decimal("135.96"), Decimal("-1.00")]
    assert first[1].balance(operating_iban, "CLBD") == second[0].balance(operating_iban, "OPBD")
    assert first[1].movements(operating_iban) == [Decimal("34.24")]
    assert second[0].movements(operating_iban) == []


def test_statement_entry_carries_what_reconciliation_needs(scene: Scene) -> None:
    end_to_end_id = fresh_id()
    scene.client.post(INST_PATH, inst_order(scene.customer, end_to_end_id))
    scene.listener.wait_for("Sepa.Instant.Outbound.Payment.Settled", end_to_end_id)
    [posted] = scene.listener.wait_for("CustomerAccounts.TransactionCompleted", end_to_end_id)
    scene.set_clock("2031-03-05T02:00:00Z")

    [page] = scene.statement(DAY)

    entry = f"//c:Ntry[c:AcctSvcrRef='{posted.payload['TransactionId']}']"
    assert page.text(f"{entry}/c:Sts/c:Cd") == "BOOK"
    assert page.text(f"{entry}/c:Amt/@Ccy") == "EUR"
    assert page.text(f"{entry}/c:BookgDt/c:Dt") == page.text(f"{entry}/c:ValDt/c:Dt") == "2031-03-04"
    details = f"{entry}/c:NtryDtls/c:TxDtls"
    assert page.text(f"{details}/c:Refs/c:EndToEndId") == end_to_end_id
    assert page.text(f"{details}/c:RltdPties/c:Dbtr/c:Pty/c:Nm") == "Pay EU B.V."
    assert page.text(f"{details}/c:RltdPties/c:DbtrAcct/c:Id/c:IBAN") == scene.customer.iban
    assert page.text(f"{details}/c:RltdPties/c:CdtrAcct/c:Id/c:IBAN") == "DE75512108001245126199"
    assert page.text(f"{details}/c:RmtInf/c:Ustrd") == "Payout 18"
    inbound = "//c:Ntry[c:CdtDbtInd='CRDT']/c:NtryDtls/c:TxDtls/c:RltdPties"
    assert page.text(f"{inbound}/c:DbtrAcct/c:Id/c:IBAN") == OUTSIDE_IBAN
    assert page.text(f"{inbound}/c:CdtrAcct/c:Id/c:IBAN") == scene.customer.virtual_iban


def test_fee_and_return_are_told_apart_by_their_codes(scene: Scene) -> None:
    returned = scene.pay()
    scene.client.control("returns", {"endToEndId": returned, "reason": "AC04"})
    fee = scene.client.control("fees", {"iban": scene.customer.iban, "amount": 1, "text": "Account keeping"})
    scene.set_clock("2031-03-05T02:00:00Z")

    pages = scene.statement(DAY)

    entries = [page for page in pages if page.texts(f"//c:Ntry[c:AcctSvcrRef='{fee['transactionId']}']")]
    charge = f"//c:Ntry[c:AcctSvcrRef='{fee['transactionId']}']"
    assert entries[0].text(f"{charge}/c:BkTxCd/c:Domn/c:Fmly/c:SubFmlyCd") == "CHRG"
    assert entries[0].text(f"{charge}/c:NtryDtls/c:TxDtls/c:Refs/c:EndToEndId") == "NOTPROVIDED"
    reasons = [text for page in pages for text in page.texts("//c:RtrInf/c:Rsn/c:Cd")]
    assert reasons == ["AC04"]


def test_day_is_available_only_early_on_the_next(scene: Scene) -> None:
    answers = []
    for moment in ("2031-03-04T12:00:00Z", "2031-03-05T00:59:00Z", "2031-03-05T01:00:00Z"):
        scene.set_clock(moment)
        answers.append(scene.client.post("/v1/statementrequests", DAY).status_code)

    assert answers == [422, 422, 202]


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"startDateTimeUtc": "2031-03-03T23:00:00Z"},
        {"startDateTimeUtc": "yesterday", "endDateTimeUtc": "2031-03-04T23:00:00Z"},
        {"startDateTimeUtc": "2031-03-04T23:00:00Z", "endDateTimeUtc": "2031-03-03T23:00:00Z"},
        {"startDateTimeUtc": "2031-03-03T21:59:59Z", "endDateTimeUtc": "2031-03-04T23:00:00Z"},
        {"startDateTimeUtc": "2029-03-03T23:00:00Z", "endDateTimeUtc": "2029-03-04T23:00:00Z"},
    ],
)
def test_window_that_makes_no_statement_is_refused(scene: Scene, window: dict[str, str]) -> None:
    scene.set_clock("2031-03-10T09:00:00Z")

    assert scene.client.post("/v1/statementrequests", window).status_code == 422


def test_statement_is_gone_after_two_weeks(scene: Scene) -> None:
    scene.set_clock("2031-03-05T02:00:00Z")
    scene.statement(DAY)
    message_id = scene.listener.wait_until(is_ready)[0].payload["MessageId"]

    scene.set_clock("2031-03-20T02:00:00Z")

    assert scene.client.get(f"/v1/statements/{message_id}?pageNumber=1").status_code == 404


def test_later_payments_leave_a_past_statement_as_it_was(scene: Scene) -> None:
    scene.set_clock("2031-03-05T02:00:00Z")
    [before] = scene.statement(DAY)
    pay_in(scene.client, scene.customer, amount="7.00")

    [after] = scene.statement(DAY)

    iban = scene.customer.iban
    assert before.balance(iban, "CLBD") == after.balance(iban, "CLBD") == Decimal("500.00")
    assert before.movements(iban) == after.movements(iban)
