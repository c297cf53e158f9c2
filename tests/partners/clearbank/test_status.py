"""A payment is found again by our own reference, and never mistaken for another."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ledger.core.errors import InvalidValue
from partners.clearbank.adapter import ClearBank
from partners.contract import PaymentState, Signing, Unreadable
from tests.partners.clearbank.orders import INSTANT_ORDER, ORDER, answer

BANK = ClearBank()
ACCOUNT_ID = "8a6b1f0e-64e3-4a0b-b6c3-3d2f1a9b7c11"
NINE = datetime(2026, 11, 16, 9, tzinfo=UTC)


def row(**changes: object) -> dict[str, object]:
    return {
        "transactionId": "C0FFEE00-0000-4000-8000-000000000001",
        "accountId": ACCOUNT_ID,
        "endToEndId": ORDER.end_to_end_id,
        "reference": ORDER.remittance,
        "ultimateBeneficiary": side(ORDER.creditor_iban),
        "ultimateRemitter": side(ORDER.debtor_iban),
        "amount": 123.45,
        "currency": "EUR",
        "status": "Settled",
        "cancellationCode": None,
        "reason": None,
        **changes,
    }


def side(iban: str) -> dict[str, object]:
    return {
        "accountIdentifiers": [
            {"identifier": "x", "kind": "AccountId"},
            {"identifier": iban, "kind": "Iban"},
        ],
        "payeeName": "x",
    }


def page(*rows: object) -> object:
    return {"transactions": list(rows)}


def test_enquiry_asks_for_the_account_and_the_window() -> None:
    amsterdam_winter = timezone(timedelta(hours=1))
    since = datetime(2026, 11, 16, 9, 59, 58, 900_000, tzinfo=amsterdam_winter)

    request = BANK.status_request(
        ORDER, account_id=ACCOUNT_ID, since=since, until=NINE + timedelta(milliseconds=1), page=2
    )

    assert request.path == (
        f"/mccy/v1/Accounts/{ACCOUNT_ID}/transactions?Currency=EUR&PageNumber=2&PageSize=1000"
        "&StartDateTime=2026-11-16T08:59:58Z&EndDateTime=2026-11-16T09:00:01Z"
    )
    assert (request.method, request.body, request.signing) == ("GET", None, Signing.QUERY)
    assert request.profile == "clearbank.transactions"


@pytest.mark.parametrize("account_id", ["", "../x", "a/b", "a?b", "x" * 37])
def test_account_id_cannot_change_the_path(account_id: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        BANK.status_request(ORDER, account_id=account_id, since=NINE, until=NINE, page=1)

    assert refused.value.field == "account_id"


def test_settled_payment_is_found_with_what_the_bank_paid() -> None:
    (found,) = BANK.interpret_status(ORDER, answer(200, page(row(endToEndId="another"), row())))

    assert found.state is PaymentState.SETTLED
    assert (found.amount_minor, found.currency) == (12_345, "EUR")
    assert found.creditor_iban == ORDER.creditor_iban
    assert found.transaction_id == "c0ffee00-0000-4000-8000-000000000001"
    assert found.reason is None


def test_other_amount_is_reported_as_the_bank_has_it() -> None:
    (found,) = BANK.interpret_status(ORDER, answer(200, page(row(amount=123.46))))

    assert found.amount_minor == 12_346


def test_incoming_money_under_our_reference_is_not_our_payment() -> None:
    incoming = row(ultimateBeneficiary=side(ORDER.debtor_iban), ultimateRemitter=side(ORDER.creditor_iban))

    assert BANK.interpret_status(ORDER, answer(200, page(incoming))) == ()


def test_incoming_money_to_a_virtual_iban_under_our_reference_is_not_our_payment() -> None:
    incoming = row(
        ultimateBeneficiary=side("NL25CLRB0066110346"), ultimateRemitter=side("DE75512108001245126199")
    )

    assert BANK.interpret_status(ORDER, answer(200, page(incoming))) == ()


def test_payment_whose_remitter_the_bank_leaves_blank_is_found() -> None:
    blank = row(ultimateRemitter={"accountIdentifiers": None, "payerName": "Pay Europe B.V."})

    assert len(BANK.interpret_status(ORDER, answer(200, page(blank)))) == 1


@pytest.mark.parametrize("status", ["Clearing", None, "Something new"])
def test_anything_not_final_is_pending(status: object) -> None:
    (found,) = BANK.interpret_status(ORDER, answer(200, page(row(status=status))))

    assert found.state is PaymentState.PENDING


def test_cancelled_credit_transfer_failed_with_its_reason() -> None:
    rows = page(row(status="Cancelled", cancellationCode="RejectedByScheme"))

    (found,) = BANK.interpret_status(ORDER, answer(200, rows))

    assert found.state is PaymentState.FAILED
    assert found.reason is not None
    assert found.reason.code == "RejectedByScheme"


@pytest.mark.parametrize("code", [None, "RejectedByScheme", "4"])
def test_cancelled_row_of_an_instant_payment_is_a_hint_and_not_its_end(code: object) -> None:
    rows = page(row(status="Cancelled", cancellationCode=code))

    (found,) = BANK.interpret_status(INSTANT_ORDER, answer(200, rows))

    assert found.state is PaymentState.PENDING
    assert found.reason is not None


def test_settled_row_of_a_delayed_payment_comes_first() -> None:
    settled = row(transactionId="c0ffee00-0000-4000-8000-000000000002")

    found = BANK.interpret_status(INSTANT_ORDER, answer(200, page(row(status="Cancelled"), settled)))

    assert [status.state for status in found] == [PaymentState.SETTLED, PaymentState.PENDING]


def test_full_page_means_read_on() -> None:
    full, short = page(*[row()] * 1000), page(row())

    assert BANK.status_continues(answer(200, full))
    assert not BANK.status_continues(answer(200, short))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        {},
        {"transactions": "none"},
        {"transactions": [1]},
        page(row(amount="123.45")),
        page(row(amount=123.456)),
        page(row(amount=None)),
        page(row(currency="XXX")),
        page(row(transactionId=None)),
        b'{"transactions":[{"endToEndId":"PO-20261116-0001","amount":NaN}]}',
    ],
)
def test_answer_that_is_not_a_list_of_payments_is_unreadable(body: object) -> None:
    with pytest.raises(Unreadable):
        BANK.interpret_status(ORDER, answer(200, body))


def test_error_is_not_an_empty_list() -> None:
    with pytest.raises(Unreadable):
        BANK.interpret_status(ORDER, answer(404, page()))
