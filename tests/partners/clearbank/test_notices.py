"""Webhooks: nothing is believed unsigned, all that is signed is understood or kept, each gets its answer."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from partners.clearbank.adapter import ClearBank
from partners.contract import (
    BadSignature,
    Informational,
    MoneyArrived,
    NoticeMeaning,
    PaymentState,
    PayoutAdvanced,
    PayoutReturned,
    StatementReady,
    Unreadable,
)
from tests.partners.clearbank.orders import PAYMENT_ID

BANK = ClearBank()
BODY = b'{"Type":"FITestEvent","Version":1,"Payload":"Test","Nonce":1}'
TRANSACTION_ID = "c0ffee00-0000-4000-8000-000000000001"
IDS = {"PaymentId": PAYMENT_ID, "TransactionId": TRANSACTION_ID}


@pytest.fixture(scope="module")
def bank_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed(key: rsa.RSAPrivateKey, body: bytes) -> str:
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), SHA256())).decode()


def webhook(type_: str, payload: object, *, version: int = 1, nonce: int = 7) -> bytes:
    return json.dumps({"Type": type_, "Version": version, "Payload": payload, "Nonce": nonce}).encode()


def meaning(type_: str, payload: object, *, version: int = 1) -> NoticeMeaning:
    (meaning,) = BANK.parse_notice(webhook(type_, payload, version=version)).meanings
    return meaning


# --- signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DigitalSignature", "Digitalsignature", "digitalsignature"])
def test_banks_signature_verifies(bank_key: rsa.RSAPrivateKey, name: str) -> None:
    headers = [("Content-Type", "application/json"), (name, signed(bank_key, BODY))]

    BANK.verify_notice(headers=headers, body=BODY, public_key_pem=pem(bank_key))


def test_one_more_space_breaks_the_signature(bank_key: rsa.RSAPrivateKey) -> None:
    headers = [("DigitalSignature", signed(bank_key, BODY))]

    with pytest.raises(BadSignature):
        BANK.verify_notice(headers=headers, body=BODY + b" ", public_key_pem=pem(bank_key))


def test_signature_of_another_key_is_refused(bank_key: rsa.RSAPrivateKey) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    with pytest.raises(BadSignature):
        BANK.verify_notice(
            headers=[("DigitalSignature", signed(stranger, BODY))], body=BODY, public_key_pem=pem(bank_key)
        )


def test_other_padding_and_other_digest_are_refused(bank_key: rsa.RSAPrivateKey) -> None:
    pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
    forms = [bank_key.sign(BODY, pss, SHA256()), bank_key.sign(BODY, padding.PKCS1v15(), SHA512())]

    for form in forms:
        with pytest.raises(BadSignature):
            BANK.verify_notice(
                headers=[("DigitalSignature", base64.b64encode(form).decode())],
                body=BODY,
                public_key_pem=pem(bank_key),
            )


def test_missing_signature_is_refused(bank_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(BadSignature):
        BANK.verify_notice(headers=[], body=BODY, public_key_pem=pem(bank_key))


def test_two_signatures_are_refused_even_when_one_is_good(bank_key: rsa.RSAPrivateKey) -> None:
    good = ("DigitalSignature", signed(bank_key, BODY))

    with pytest.raises(BadSignature):
        BANK.verify_notice(headers=[good, good], body=BODY, public_key_pem=pem(bank_key))


@pytest.mark.parametrize("text", ["", "not base64", "AAAA", "Ä", "A" * 4096])
def test_noise_is_no_signature(bank_key: rsa.RSAPrivateKey, text: str) -> None:
    with pytest.raises(BadSignature):
        BANK.verify_notice(headers=[("DigitalSignature", text)], body=BODY, public_key_pem=pem(bank_key))


def test_key_that_is_not_rsa_verifies_nothing(bank_key: rsa.RSAPrivateKey) -> None:
    headers = [("DigitalSignature", signed(bank_key, BODY))]

    for key in (pem(ec.generate_private_key(ec.SECP256R1())), b"no key"):
        with pytest.raises(BadSignature):
            BANK.verify_notice(headers=headers, body=BODY, public_key_pem=key)


# --- meanings -----------------------------------------------------------------------------------------------


def test_sct_completed_is_settled() -> None:
    payload = {**IDS, "EndToEndIdentification": "PO-1"}

    assert meaning("Sepa.Ct.OutboundPayment.Completed", payload) == PayoutAdvanced(
        "PO-1", PAYMENT_ID, PaymentState.SETTLED, TRANSACTION_ID, None
    )


def test_sct_failed_says_why() -> None:
    payload = {
        "PaymentId": PAYMENT_ID,
        "Reason": "AC04",
        "AdditionalInformation": "Closed",
        "EndToEndIdentification": "PO-1",
    }

    news = meaning("Sepa.Ct.OutboundPayment.Failed", payload)

    assert news == PayoutAdvanced("PO-1", PAYMENT_ID, PaymentState.FAILED, None, BANK.explain("AC04"))


def test_sct_return_is_a_return() -> None:
    payload = {**IDS, "Reason": "MD07", "EndToEndIdentification": "PO-1"}

    news = meaning("Sepa.Ct.OutboundPayment.ReturnCompleted", payload)

    assert news == PayoutReturned("PO-1", PAYMENT_ID, TRANSACTION_ID, BANK.explain("MD07"), None)


def sct_arrival(**changes: object) -> dict[str, object]:
    return {
        **IDS,
        "EndToEndIdentification": "THEIRS-1",
        "InstructedAmount": {"Amount": 10.5, "Currency": "EUR"},
        "Debtor": {"Name": "Anna Visser", "PostalAddress": {"TownName": None}},
        "Creditor": {"Name": "Pay Europe", "PostalAddress": {}},
        "DebtorAccount": {"Iban": "NL73ABNA0529451824"},
        "CreditorAccount": {"Iban": "NL07CLRB0066110345"},
        "TransactionReference": "Top up",
        **changes,
    }


def test_sct_arrival_is_money() -> None:
    assert meaning("Sepa.Ct.InboundPayment.Completed", sct_arrival()) == MoneyArrived(
        transaction_id=TRANSACTION_ID,
        end_to_end_id="THEIRS-1",
        amount_minor=1050,
        currency="EUR",
        creditor_iban="NL07CLRB0066110345",
        debtor_name="Anna Visser",
        debtor_iban="NL73ABNA0529451824",
        remittance="Top up",
    )


def test_arrival_without_a_description_is_money_all_the_same() -> None:
    bare = sct_arrival(Debtor=None, DebtorAccount=None, TransactionReference=None)

    news = meaning("Sepa.Ct.InboundPayment.Completed", bare)

    assert isinstance(news, MoneyArrived)
    assert (news.amount_minor, news.debtor_name, news.debtor_iban, news.remittance) == (1050, "", "", "")


@pytest.mark.parametrize("written", ["10.5", "10.50", "10.5000", "1.05e1", "105e-1"])
def test_amount_is_exact_however_it_is_written(written: str) -> None:
    body = webhook("Sepa.Ct.InboundPayment.Completed", sct_arrival()).replace(
        b'"Amount": 10.5', b'"Amount": ' + written.encode()
    )

    (news,) = BANK.parse_notice(body).meanings

    assert isinstance(news, MoneyArrived)
    assert news.amount_minor == 1050


@pytest.mark.parametrize(
    "amount", ["10.505", "0", "-10.50", '"10.50"', "null", "true", "1e99", "1e999999999", "NaN"]
)
def test_amount_that_is_no_amount_is_unreadable(amount: str) -> None:
    body = webhook("Sepa.Ct.InboundPayment.Completed", sct_arrival()).replace(
        b'"Amount": 10.5', b'"Amount": ' + amount.encode()
    )

    with pytest.raises(Unreadable):
        BANK.parse_notice(body)


@given(st.integers(min_value=1, max_value=10**13))
def test_arrived_amount_round_trips(amount_minor: int) -> None:
    written = f"{amount_minor // 100}.{amount_minor % 100:02d}".encode()
    body = webhook("Sepa.Ct.InboundPayment.Completed", sct_arrival()).replace(b"10.5", written)

    (news,) = BANK.parse_notice(body).meanings

    assert isinstance(news, MoneyArrived)
    assert news.amount_minor == amount_minor


@pytest.mark.parametrize(
    ("type_", "state"),
    [
        ("Created", PaymentState.PENDING),
        ("Delayed", PaymentState.PENDING),
        ("Settled", PaymentState.SETTLED),
    ],
)
def test_instant_payment_advances(type_: str, state: PaymentState) -> None:
    payload = {**IDS, "EndToEndId": "PO-1", "TimestampCreated": "2026-11-16T09:00:00Z"}

    news = meaning(f"Sepa.Instant.Outbound.Payment.{type_}", payload)

    assert news == PayoutAdvanced("PO-1", PAYMENT_ID, state, TRANSACTION_ID, None)


def test_delayed_instant_payment_may_have_no_posting_yet() -> None:
    news = meaning("Sepa.Instant.Outbound.Payment.Delayed", {"PaymentId": PAYMENT_ID, "EndToEndId": "PO-1"})

    assert news == PayoutAdvanced("PO-1", PAYMENT_ID, PaymentState.PENDING, None, None)


def test_cancelled_instant_payment_failed_with_its_code() -> None:
    payload = {**IDS, "EndToEndId": "PO-1", "CancellationCode": "CB05", "CancellationReason": "Delayed"}

    news = meaning("Sepa.Instant.Outbound.Payment.Cancelled", payload)

    assert news == PayoutAdvanced(
        "PO-1", PAYMENT_ID, PaymentState.FAILED, TRANSACTION_ID, BANK.explain("CB05")
    )


def test_instant_arrival_is_money_in_euro() -> None:
    payload = {
        **IDS,
        "DebtorName": "Anna Visser",
        "CreditorName": "Pay Europe",
        "DebtorAccount": "NL73ABNA0529451824",
        "CreditorAccount": "NL07CLRB0066110345",
        "InstructedAmount": 99,
        "SchemePaymentMethod": "INST",
        "EndToEndId": "THEIRS-2",
        "TransactionReference": "Top up",
    }

    news = meaning("Sepa.Instant.Inbound.Payment.Settled", payload)

    assert isinstance(news, MoneyArrived)
    assert (news.amount_minor, news.currency, news.creditor_iban) == (9900, "EUR", "NL07CLRB0066110345")


@pytest.mark.parametrize("pages", [3, "3"])
def test_ready_statement_says_how_many_pages(pages: object) -> None:
    payload = {"MessageId": "CAMT053_20261115_20261116_a1B2c3D4", "TotalPages": pages}

    news = meaning("Statements.ReadyForDownload", payload)

    assert news == StatementReady("CAMT053_20261115_20261116_a1B2c3D4", 3)


@pytest.mark.parametrize(
    "payload",
    [{"MessageId": "../x", "TotalPages": 1}, {"MessageId": "x", "TotalPages": 0}, {"MessageId": "x"}],
)
def test_statement_that_cannot_be_fetched_is_unreadable(payload: object) -> None:
    with pytest.raises(Unreadable):
        meaning("Statements.ReadyForDownload", payload)


@pytest.mark.parametrize(
    "type_",
    [
        "FITestEvent",
        "Sepa.Ct.OutboundPayment.RecallRejected",
        "Sepa.Ct.InboundPayment.Recalled",
        "Sepa.Ct.InboundPayment.ReturnCompleted",
        "Sepa.Ct.InboundPayment.ReturnFailed",
        "Sepa.Instant.RecallPayment.Created",
        "Sepa.Instant.RecallPayment.Settled",
        "Sepa.Instant.RecallPayment.Cancelled",
        "Sepa.Instant.RecallRequest.Received",
        "Sepa.Instant.RecallRequest.Rejected",
        "CustomerAccounts.TransactionCompleted",
        "Accounts.AccountCreated",
        "Accounts.AccountUpdated",
        "Accounts.VirtualAccountCreated",
        "Accounts.VirtualAccountUpdated",
        "MCCY.Statements.InstitutionStatement",
        "MCCY.Statements.AccountStatement",
        "Something.Nobody.Knows.Yet",
    ],
)
@pytest.mark.parametrize("payload", ["Test", {}, {"PaymentId": PAYMENT_ID, "Amount": 1.5}, None, [1, 2.5]])
def test_news_without_a_use_is_kept_and_not_acted_on(type_: str, payload: object) -> None:
    assert meaning(type_, payload, version=2) == Informational(f"{type_} version 2")


def test_new_version_of_money_news_is_not_guessed_at() -> None:
    with pytest.raises(Unreadable, match="version 2"):
        meaning("Sepa.Ct.OutboundPayment.Completed", {**IDS, "EndToEndIdentification": "PO-1"}, version=2)


def test_missing_version_is_the_first() -> None:
    body = json.dumps(
        {"Type": "Sepa.Ct.OutboundPayment.Completed", "Payload": {**IDS, "EndToEndIdentification": "x"}}
    )

    assert isinstance(BANK.parse_notice(body.encode()).meanings[0], PayoutAdvanced)


@pytest.mark.parametrize("field", ["PaymentId", "TransactionId", "EndToEndIdentification"])
def test_news_without_its_ids_is_unreadable(field: str) -> None:
    payload = {**IDS, "EndToEndIdentification": "PO-1"}
    del payload[field]

    with pytest.raises(Unreadable, match=field):
        meaning("Sepa.Ct.OutboundPayment.Completed", payload)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"{}",
        b'{"Type":1,"Version":1,"Payload":{}}',
        b'{"Type":"a","Version":1}',
        b'{"Type":"a","Version":"x","Payload":{}}',
        b'{"Type":"a","Type":"b","Version":1,"Payload":{}}',
        b'{"Type":"Sepa.Ct.OutboundPayment.Completed","Version":1,"Payload":"text"}',
        b'{"Type":"a","Version":1,"Payload":' + b"[" * 100_000,
        b'{"Type":"a","Version":1,"Payload":' + b"9" * 10_000 + b"}",
    ],
)
def test_body_that_is_no_notice_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        BANK.parse_notice(body)


def test_error_text_does_not_repeat_personal_data() -> None:
    with pytest.raises(Unreadable) as unreadable:
        meaning("Sepa.Ct.InboundPayment.Completed", sct_arrival(InstructedAmount="Anna Visser"))

    assert "Anna" not in str(unreadable.value)


# --- keys ---------------------------------------------------------------------------------------------------


def test_repeated_news_has_the_same_key_under_another_nonce_order_and_number_form() -> None:
    first = b'{"Type":"T","Version":1,"Payload":{"a":10.50,"b":"x"},"Nonce":1}'
    again = b'{"Nonce":2, "Payload": {"b":"x","a":1.05e1}, "Version":1, "Type":"T"}'

    assert BANK.parse_notice(first).key == BANK.parse_notice(again).key


def test_other_news_has_another_key() -> None:
    bodies = [
        webhook("T", {"a": 1}),
        webhook("T", {"a": 2}),
        webhook("U", {"a": 1}),
        webhook("T", {"a": 1}, version=2),
        webhook("T", {"a": None}),
        webhook("T", [{"a": 1}]),
    ]

    assert len({BANK.parse_notice(body).key for body in bodies}) == len(bodies)


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", [0, 1, 2**31, 2**63 - 1])
def test_answer_gives_the_nonce_back(nonce: int) -> None:
    owed = BANK.acknowledge(webhook("T", {}, nonce=nonce))

    assert (owed.status, owed.body, owed.profile) == (200, b'{"Nonce":%d}' % nonce, "clearbank.webhook_ack")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Nonce":null}', b'{"Nonce":1.5}', b'{"Nonce":true}'])
def test_webhook_without_a_nonce_cannot_be_answered(body: bytes) -> None:
    with pytest.raises(Unreadable):
        BANK.acknowledge(body)


@given(st.binary(max_size=300))
def test_noise_is_unreadable_and_nothing_else(body: bytes) -> None:
    with pytest.raises(Unreadable):
        BANK.parse_notice(body)
