"""ClearBank's side of its euro API, for rehearsals: what the bank would say, written as its documentation shows it.

Pure, and used by the certification kit alone: no path of money leads through here. It shares no code with the readers
of answers and notices beside it: what those read is written here a second time, from the documentation.

Source: ClearBank EU, SEPA CT 1.0, SEPA Instant 1.0, transactions 1.0, camt.053 statements 1.0; RFC 7807.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, assert_never
from urllib.parse import parse_qs, urlsplit

from partners.amounts import decimal_text, minor_units
from partners.clearbank.golden import GOLDEN
from partners.clearbank.json_text import (
    JsonObject,
    read_object,
    required_decimal,
    required_object,
    required_text,
)
from partners.clearbank.rehearsed_statements import pages_of
from partners.contract import (
    Answer,
    Golden,
    KeptPayment,
    MoneyArrived,
    News,
    NoticeKey,
    OrderRead,
    PaymentState,
    PayoutAdvanced,
    PayoutReturned,
    Rail,
    Sign,
    SignedNotice,
    Statement,
    Unreadable,
)

_PATHS: Final = {
    "/payments/sepa-ct/v1/customer-payments": Rail.SCT,
    "/v1/payments/sepa-instant": Rail.SCT_INST,
}
_JSON: Final = ("Content-Type", "application/json")
_PROBLEM: Final = ("Content-Type", "application/problem+json")
_STATUS: Final = {
    PaymentState.PENDING: "Clearing",
    PaymentState.SETTLED: "Settled",
    PaymentState.FAILED: "Cancelled",
}


class ClearBankRehearsal:
    """What ClearBank would say."""

    def golden(self) -> Golden:
        """Recorded cases."""
        return GOLDEN

    def notice_key(self) -> NoticeKey:
        """Every webhook is signed by RSA over its body."""
        return NoticeKey.RSA_SHA256

    def read_order(self, *, method: str, path: str, body: bytes, request_id: str) -> OrderRead:
        """The order in a request. Raises: Unreadable when the request is no order."""
        if method != "POST" or path not in _PATHS:
            raise Unreadable("This is no order.")
        order, rail = read_object(body), _PATHS[path]
        currency = required_text(order, "currency") if rail is Rail.SCT else "EUR"
        debtor, creditor = required_object(order, "debtor"), required_object(order, "creditor")
        return OrderRead(
            known_by=request_id,
            rail=rail,
            amount_minor=minor_units(required_decimal(order, "amount"), currency),
            currency=currency,
            creditor_name=required_text(creditor, "name"),
            creditor_iban=required_text(creditor, "accountIban"),
            debtor_name=required_text(debtor, "name"),
            debtor_iban=required_text(debtor, "accountIban"),
            end_to_end_id=required_text(order, "endToEndId"),
            remittance=_remittance(order, rail),
        )

    def read_window(self, *, path: str, body: bytes) -> tuple[datetime, datetime] | None:  # noqa: ARG002
        """The list of transactions is by creation time."""
        asked = parse_qs(urlsplit(path).query)
        if not {"StartDateTime", "EndDateTime"} <= asked.keys():
            return None
        (start,), (end,) = asked["StartDateTime"], asked["EndDateTime"]
        return datetime.fromisoformat(start), datetime.fromisoformat(end)

    def accepts(self, payment: KeptPayment) -> Answer:
        """A receipt: it repeats nothing of the order."""
        return _answer(202, {"paymentId": payment.payment_id})

    def refuses(self, order: OrderRead, code: str) -> Answer:  # noqa: ARG002 - the contract's names
        """A problem, which has no reason code: those come with the scheme's own notices."""
        return _answer(422, {"type": "about:blank", "title": "The request cannot be acted on", "status": 422})

    def has_it_already(self, payment: KeptPayment) -> Answer:  # noqa: ARG002 - the contract's names
        """The answer to a request id that is not new."""
        return _answer(409, {"status": 409})

    def turns_away(self, wait_s: int) -> Answer:
        """The limit was reached."""
        answer = _answer(429, {"status": 429})
        return Answer(answer.status, (*answer.headers, ("Retry-After", str(wait_s))), answer.body)

    def breaks_down(self) -> Answer:
        """A fault of the bank's own."""
        return _answer(503, {"status": 503})

    def lists(self, payments: Sequence[KeptPayment]) -> Answer:
        """The last page of the account's transactions."""
        rows = ",".join(map(_row, payments))
        return Answer(200, (_JSON,), f'{{"transactions":[{rows}]}}'.encode())

    def tells(self, news: News, *, rail: Rail, at: datetime, nonce: int, sign: Sign) -> SignedNotice | None:
        """A webhook with this news; None for what the scheme of this rail has no webhook for."""
        said = _said(news, rail, at)
        if said is None:
            return None
        type_, payload = said
        body = f'{{"Type":"{type_}","Version":1,"Payload":{payload},"Nonce":{nonce}}}'.encode()
        signature = base64.b64encode(sign(body)).decode("ascii")
        return SignedNotice((_JSON, ("DigitalSignature", signature)), body)

    def prints(self, statement: Statement, *, lines_a_page: int) -> tuple[bytes, ...]:
        """A statement in pages."""
        return pages_of(statement, lines_a_page=lines_a_page)


def _remittance(order: JsonObject, rail: Rail) -> str:
    return required_text(order, "remittanceInformationUnstructured" if rail is Rail.SCT else "reference")


def _answer(status: int, body: Mapping[str, str | int]) -> Answer:
    return Answer(status, (_JSON if status < 400 else _PROBLEM,), json.dumps(body).encode())


def _row(payment: KeptPayment) -> str:
    order = payment.order
    amount = decimal_text(order.amount_minor, order.currency)  # a number: json.dumps would make a float of it
    row = {
        "transactionId": payment.transaction_id,
        "endToEndId": order.end_to_end_id,
        "reference": order.remittance,
        "ultimateBeneficiary": _account(order.creditor_iban, payeeName=order.creditor_name),
        "ultimateRemitter": _account(order.debtor_iban, payerName=order.debtor_name),
        "currency": order.currency,
        "createdAt": _moment(payment.booked_at),
        "status": _STATUS[payment.state],
        "cancellationCode": payment.code,
    }
    return f'{{"amount":{amount},{json.dumps(row)[1:]}'


def _account(iban: str, **name: str) -> dict[str, object]:
    return {"accountIdentifiers": [{"identifier": iban, "kind": "IBAN"}], **name}


def _said(news: News, rail: Rail, at: datetime) -> tuple[str, str] | None:
    match rail:
        case Rail.SCT:
            return _said_by_sct(news)
        case Rail.SCT_INST:
            return _said_by_sct_inst(news, at)
        case _:
            assert_never(rail)


def _said_by_sct(news: News) -> tuple[str, str] | None:
    match news:
        case PayoutAdvanced(state=PaymentState.SETTLED, transaction_id=str(transaction_id)):
            return "Sepa.Ct.OutboundPayment.Completed", _sct(news, TransactionId=transaction_id)
        case PayoutAdvanced(state=PaymentState.FAILED, reason=reason) if reason is not None:
            failed = _sct(news, Reason=reason.code, AdditionalInformation="As the scheme said")
            return "Sepa.Ct.OutboundPayment.Failed", failed
        case PayoutReturned(reason=reason):
            returned = _sct(news, TransactionId=news.transaction_id, Reason=reason.code)
            return "Sepa.Ct.OutboundPayment.ReturnCompleted", returned
        case MoneyArrived():
            return "Sepa.Ct.InboundPayment.Completed", _sct_arrived(news)
        case _:
            return None  # no webhook says that a credit transfer is on its way


def _sct(news: PayoutAdvanced | PayoutReturned, **more: str) -> str:
    named = {"PaymentId": news.payment_id, "EndToEndIdentification": news.end_to_end_id}
    return json.dumps({**named, **more})


def _sct_arrived(news: MoneyArrived) -> str:
    amount = decimal_text(news.amount_minor, news.currency)
    rest = {
        "PaymentId": news.transaction_id,
        "TransactionId": news.transaction_id,
        "EndToEndIdentification": news.end_to_end_id,
        "Debtor": {"Name": news.debtor_name},
        "DebtorAccount": {"Iban": news.debtor_iban},
        "CreditorAccount": {"Iban": news.creditor_iban},
        "TransactionReference": news.remittance,
    }
    return f'{{"InstructedAmount":{{"Amount":{amount},"Currency":"{news.currency}"}},{json.dumps(rest)[1:]}'


def _said_by_sct_inst(news: News, at: datetime) -> tuple[str, str] | None:
    outbound = "Sepa.Instant.Outbound.Payment"
    match news:
        case PayoutAdvanced(state=PaymentState.PENDING):
            return f"{outbound}.Delayed", _sct_inst(news, at)
        case PayoutAdvanced(state=PaymentState.SETTLED):
            return f"{outbound}.Settled", _sct_inst(news, at)
        case PayoutAdvanced(state=PaymentState.FAILED, reason=reason) if reason is not None:
            more = {"CancellationCode": reason.code, "CancellationReason": "As the scheme said"}
            return f"{outbound}.Cancelled", _sct_inst(news, at, **more)
        case MoneyArrived():
            return "Sepa.Instant.Inbound.Payment.Settled", _sct_inst_arrived(news, at)
        case _:
            return None  # an instant payment comes back by a recall only, as a payment of its own


def _sct_inst(news: PayoutAdvanced, at: datetime, **more: str) -> str:
    named = {
        "PaymentId": news.payment_id,
        "EndToEndId": news.end_to_end_id,
        "TransactionId": news.transaction_id,
        "TimestampCreated": _moment(at),
    }
    return json.dumps({**named, **more})


def _sct_inst_arrived(news: MoneyArrived, at: datetime) -> str:
    amount = decimal_text(news.amount_minor, news.currency)
    rest = {
        "PaymentId": news.transaction_id,
        "TransactionId": news.transaction_id,
        "EndToEndId": news.end_to_end_id,
        "DebtorName": news.debtor_name,
        "DebtorAccount": news.debtor_iban,
        "CreditorAccount": news.creditor_iban,
        "SchemePaymentMethod": "INST",
        "TimestampCreated": _moment(at),
        "TransactionReference": news.remittance,
    }
    return f'{{"InstructedAmount":{amount},{json.dumps(rest)[1:]}'


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
