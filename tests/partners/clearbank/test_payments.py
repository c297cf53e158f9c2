"""Orders go out as fixed bytes, and an answer is believed only when it is explicit."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from partners.clearbank.adapter import ClearBank
from partners.contract import (
    Accepted,
    Adapter,
    Answer,
    Instruction,
    NotSent,
    Rail,
    Rejected,
    Signing,
    Unknown,
)
from tests.partners.clearbank.orders import INSTANT_ORDER, ORDER, PAYMENT_ID, answer

BANK: Adapter = ClearBank()


def test_sct_order_has_these_bytes() -> None:
    request = BANK.prepare(ORDER)

    assert request.body == (
        b'{"endToEndId":"PO-20261116-0001","amount":123.45,"currency":"EUR",'
        b'"debtor":{"name":"Pay Europe B.V.","accountIban":"NL07CLRB0066110345"},'
        b'"creditor":{"name":"Bakery De Gouden Korst","accountIban":"NL73ABNA0529451824"},'
        b'"remittanceInformationUnstructured":"Sales of 15 November"}'
    )
    assert (request.method, request.path) == ("POST", "/payments/sepa-ct/v1/customer-payments")
    assert (request.signing, request.profile) == (Signing.PAYOUT, "clearbank.sct")


def test_instant_order_has_these_bytes() -> None:
    request = BANK.prepare(INSTANT_ORDER)

    assert request.body == (
        b'{"amount":123.45,'
        b'"debtor":{"name":"Pay Europe B.V.","accountIban":"NL07CLRB0066110345"},'
        b'"creditor":{"name":"Bakery De Gouden Korst","accountIban":"NL73ABNA0529451824"},'
        b'"endToEndId":"PO-20261116-0001","reference":"Sales of 15 November"}'
    )
    assert (request.method, request.path) == ("POST", "/v1/payments/sepa-instant")
    assert (request.signing, request.profile) == (Signing.PAYOUT, "clearbank.sct_inst")


def test_payout_id_does_not_leave_the_house() -> None:
    other = replace(ORDER, payout_id="pay_ffffffffffffffffffffffffffffffff")

    assert BANK.prepare(other) == BANK.prepare(ORDER)


@pytest.mark.parametrize(
    ("amount_minor", "written"), [(1, "0.01"), (10, "0.10"), (100, "1.00"), (99_999_999_999, "999999999.99")]
)
def test_amount_has_exactly_two_decimals(amount_minor: int, written: str) -> None:
    body = BANK.prepare(replace(ORDER, amount_minor=amount_minor)).body

    assert body is not None
    assert f'"amount":{written},'.encode() in body


@given(st.integers(min_value=1, max_value=99_999_999_999), st.sampled_from(Rail))
def test_amount_reads_back_exactly(amount_minor: int, rail: Rail) -> None:
    body = BANK.prepare(replace(ORDER, rail=rail, amount_minor=amount_minor)).body

    assert body is not None
    assert json.loads(body, parse_float=Decimal)["amount"] * 100 == amount_minor


@pytest.mark.parametrize("rail", Rail)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_minor", 0),
        ("amount_minor", -1),
        ("currency", "USD"),
        ("creditor_name", ""),
        ("creditor_name", "Café"),
        ("creditor_name", "A_B Ltd"),
        ("creditor_name", "Ab"),
        ("creditor_name", "x" * 71),
        ("debtor_name", "Pay & Co"),
        ("debtor_name", " Pay"),
        ("remittance", ""),
        ("remittance", "a//b"),
        ("remittance", "/RFB/123"),
        ("remittance", "ends in a slash/"),
        ("remittance", "line\nbreak"),
        ("remittance", "ends in a line\n"),
        ("remittance", "x" * 141),
        ("creditor_iban", "NL73 ABNA 0529 4518 24"),
        ("creditor_iban", "nl73ABNA0529451824"),
        ("debtor_iban", ""),
        ("end_to_end_id", ""),
        ("end_to_end_id", "a//b"),
        ("end_to_end_id", "/a"),
        ("end_to_end_id", 'a"b'),
        ("end_to_end_id", "x" * 36),
    ],
)
def test_what_the_bank_would_not_carry_is_refused_by_field(rail: Rail, field: str, value: object) -> None:
    changes: dict[str, Any] = {field: value}
    order = replace(ORDER, rail=rail, **changes)

    with pytest.raises(InvalidValue) as refused:
        BANK.prepare(order)

    assert refused.value.field == field


def test_sct_ceiling_does_not_bind_instant_payments() -> None:
    above_minor = 100_000_000_000

    with pytest.raises(InvalidValue):
        BANK.prepare(replace(ORDER, amount_minor=above_minor))
    assert b'"amount":1000000000.00,' in (
        BANK.prepare(replace(INSTANT_ORDER, amount_minor=above_minor)).body or b""
    )


@pytest.mark.parametrize("order", [ORDER, INSTANT_ORDER])
def test_receipt_is_accepted_with_its_payment_id(order: Instruction) -> None:
    assert BANK.interpret(order, answer(202, {"paymentId": PAYMENT_ID, "more": [1.5]})) == Accepted(
        (("payment_id", PAYMENT_ID),)
    )


def test_payment_id_is_the_same_in_any_spelling() -> None:
    spellings = [PAYMENT_ID.upper(), PAYMENT_ID.replace("-", "")]

    outcomes = {BANK.interpret(ORDER, answer(202, {"paymentId": spelling})) for spelling in spellings}

    assert outcomes == {Accepted((("payment_id", PAYMENT_ID),))}


@pytest.mark.parametrize("status", [400, 422])
def test_explicit_problem_is_a_rejection(status: int) -> None:
    outcome = BANK.interpret(
        ORDER, answer(status, {"title": "Invalid DigitalSignature Header", "status": status})
    )

    assert isinstance(outcome, Rejected)
    assert outcome.reason.namespace == "clearbank.http"
    assert outcome.reason.code == str(status)
    assert outcome.reason.text == "Invalid DigitalSignature Header"


def test_problem_with_a_status_alone_is_a_rejection() -> None:
    outcome = BANK.interpret(ORDER, answer(400, {"status": 400}))

    assert isinstance(outcome, Rejected)
    assert outcome.reason.fault == "us"
    assert outcome.reason.text


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "body", [b"", b"<html>Forbidden</html>", {}, [], {"status": 500}, {"title": ""}, b"\xff"]
)
def test_refusal_that_is_not_in_the_banks_words_is_unknown(status: int, body: object) -> None:
    assert isinstance(BANK.interpret(ORDER, answer(status, body)), Unknown)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", {}, {"paymentId": None}, {"paymentId": 7}, {"paymentId": "soon"}, b'{"paymentId":"'],
)
def test_receipt_that_cannot_be_read_is_unknown(body: object) -> None:
    assert isinstance(BANK.interpret(ORDER, answer(202, body)), Unknown)


def test_reused_request_id_is_unknown_because_the_first_may_stand() -> None:
    assert BANK.interpret(ORDER, answer(409, {"status": 409})) == Unknown(
        "duplicate request id: the bank has it already"
    )


@pytest.mark.parametrize("status", [401, 403, 404, 429])
@pytest.mark.parametrize("body", [b"", b"<html>Forbidden</html>", {"title": "Forbidden", "status": 403}])
def test_being_turned_away_at_the_door_is_no_refusal_of_the_order(status: int, body: object) -> None:
    assert BANK.interpret(ORDER, answer(status, body)) == NotSent(f"turned away with status {status}")


@pytest.mark.parametrize(
    ("said", "wait_s"), [("30", 30), ("0", 0), ("soon", None), ("-1", None), ("1" * 7, None), ("٣", None)]
)
def test_how_long_the_bank_asks_us_to_wait_is_passed_on(said: str, wait_s: int | None) -> None:
    turned_away = Answer(429, (("retry-after", said),), b"")

    assert BANK.interpret(ORDER, turned_away) == NotSent("turned away with status 429", retry_after_s=wait_s)


@pytest.mark.parametrize(
    "status", [200, 201, 204, 301, 307, 405, 408, 410, 415, 423, 500, 502, 503, 504, 599]
)
def test_every_other_status_is_unknown(status: int) -> None:
    assert isinstance(
        BANK.interpret(ORDER, answer(status, {"paymentId": PAYMENT_ID, "status": status})), Unknown
    )


@given(st.integers(min_value=100, max_value=599), st.binary(max_size=200))
def test_any_answer_has_a_meaning_and_noise_is_never_accepted(status: int, body: bytes) -> None:
    outcome = BANK.interpret(ORDER, answer(status, body))

    assert isinstance(outcome, Unknown | NotSent)
    assert isinstance(outcome, NotSent) == (status in {401, 403, 404, 429})
