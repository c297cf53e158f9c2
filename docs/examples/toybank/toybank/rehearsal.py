"""Toybank's side of its dialect: what the bank reads in an order, and what it says."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from partners.contract import (
    Accepted,
    Answer,
    AnswerCase,
    Elsewhere,
    Golden,
    Instruction,
    KeptPayment,
    MoneyArrived,
    News,
    NoticeCase,
    NoticeKey,
    NotSent,
    OrderCase,
    OrderRead,
    PaymentState,
    PayoutAdvanced,
    PayoutReturned,
    Rail,
    Reason,
    ReasonCase,
    Rejected,
    Request,
    Sign,
    SignedNotice,
    Signing,
    Statement,
    StatementCase,
    StatementLine,
    Unknown,
    Unreadable,
)
from toybank.reading import cents, read, text, within

_SAYS: Final = {
    PaymentState.PENDING: "waiting",
    PaymentState.SETTLED: "paid",
    PaymentState.FAILED: "failed",
}

_ORDER: Final = Instruction(
    payout_id="pay_0193a5f2c1d47a8e9b0c1d2e3f405162",
    rail=Rail.SCT_INST,
    amount_minor=12_345,
    currency="EUR",
    creditor_name="Bakery De Gouden Korst",
    creditor_iban="NL73ABNA0529451824",
    debtor_name="Pay Europe B.V.",
    debtor_iban="DE75512108001245126199",
    end_to_end_id="PO-1",
    remittance="Sales of 15 November",
    ordered_at=datetime(2026, 11, 16, 8, 30, tzinfo=UTC),
)
_REQUEST: Final = Request(
    "POST",
    "/orders",
    b'{"id": "pay_0193a5f2c1d47a8e9b0c1d2e3f405162", "cents": 12345, "currency": "EUR", '
    b'"from": {"name": "Pay Europe B.V.", "iban": "DE75512108001245126199"}, '
    b'"to": {"name": "Bakery De Gouden Korst", "iban": "NL73ABNA0529451824"}, '
    b'"reference": "PO-1", "text": "Sales of 15 November"}',
    signing=Signing.PAYOUT,
    profile="toybank.order",
)
_CLOSED: Final = Reason("toybank", "CLOSED", "The account is closed.", "payee", Elsewhere.NO)
_RECEIPT: Final = b'{"id":"pay_0193a5f2c1d47a8e9b0c1d2e3f405162","cents":12345,"to":"NL73ABNA0529451824",'
_STATEMENT: Final = (
    b'{"id":"S-1","account":"DE75512108001245126199","currency":"EUR","from":"2026-11-16T00:00:00+01:00",'
    b'"until":"2026-11-17T00:00:00+01:00","opening":500,"closing":500,"bookings":[]}'
)

GOLDEN: Final = Golden(
    orders=(OrderCase("an instant payment", _ORDER, _REQUEST),),
    answers=(
        AnswerCase(
            "taken",
            _ORDER,
            Answer(200, (), _RECEIPT + b'"status":"taken","number":"T-7"}'),
            Accepted((("number", "T-7"),)),
        ),
        AnswerCase(
            "refused",
            _ORDER,
            Answer(200, (), _RECEIPT + b'"status":"refused","code":"CLOSED"}'),
            Rejected(_CLOSED),
        ),
        AnswerCase("had before", _ORDER, Answer(409, (), b'{"status":"known"}'), Unknown("")),
        AnswerCase("asked too much", _ORDER, Answer(429, (), b""), NotSent("")),
    ),
    notices=(
        NoticeCase(
            "paid",
            b'{"delivery":1,"event":"order","about":{"reference":"PO-1","number":"T-7","booking":"B-9","status":"paid"}}',
            (PayoutAdvanced("PO-1", "T-7", PaymentState.SETTLED, "B-9", None),),
        ),
    ),
    statements=(
        StatementCase(
            "a day without bookings",
            (_STATEMENT,),
            (
                Statement(
                    "S-1",
                    "DE75512108001245126199",
                    "EUR",
                    starts_at=datetime.fromisoformat("2026-11-15T23:00:00Z"),
                    ends_at=datetime.fromisoformat("2026-11-16T23:00:00Z"),
                    opening_minor=500,
                    closing_minor=500,
                ),
            ),
        ),
    ),
    reasons=(
        ReasonCase("CLOSED", "payee", Elsewhere.NO),
        ReasonCase("NOROUTE", "bank", Elsewhere.OTHER_BANK),
        ReasonCase("NEW", "unknown", Elsewhere.NO),
    ),
)


class ToybankRehearsal:
    """What Toybank would say."""

    def golden(self) -> Golden:
        return GOLDEN

    def notice_key(self) -> NoticeKey:
        return NoticeKey.ED25519

    def read_order(self, *, method: str, path: str, body: bytes, request_id: str) -> OrderRead:  # noqa: ARG002
        if (method, path) != ("POST", "/orders"):
            raise Unreadable("This is no order.")
        order = read(body)
        sender, receiver = within(order, "from"), within(order, "to")
        return OrderRead(
            known_by=text(order, "id"),  # Toybank looks at the order, and not at the request's head
            rail=Rail.SCT_INST,
            amount_minor=cents(order, "cents"),
            currency=text(order, "currency"),
            creditor_name=text(receiver, "name"),
            creditor_iban=text(receiver, "iban"),
            debtor_name=text(sender, "name"),
            debtor_iban=text(sender, "iban"),
            end_to_end_id=text(order, "reference"),
            remittance=text(order, "text"),
        )

    def read_window(self, *, path: str, body: bytes) -> tuple[datetime, datetime] | None:  # noqa: ARG002
        return None  # Toybank finds an order by its reference

    def accepts(self, payment: KeptPayment) -> Answer:
        return _answer(200, {**_repeated(payment.order), "status": "taken", "number": payment.payment_id})

    def refuses(self, order: OrderRead, code: str) -> Answer | None:
        return _answer(200, {**_repeated(order), "status": "refused", "code": code})

    def has_it_already(self, payment: KeptPayment) -> Answer | None:  # noqa: ARG002
        return _answer(409, {"status": "known"})

    def turns_away(self, wait_s: int) -> Answer | None:
        return Answer(429, (("Retry-After", str(wait_s)),), b"")

    def breaks_down(self) -> Answer:
        return Answer(500, (), b"oops")

    def lists(self, payments: Sequence[KeptPayment]) -> Answer | None:
        return _answer(200, {"orders": [_row(payment) for payment in payments]})

    def tells(
        self,
        news: News,
        *,
        rail: Rail,  # noqa: ARG002 - there is one
        at: datetime,
        nonce: int,
        sign: Sign,
    ) -> SignedNotice | None:
        event, about = _said(news)
        body = json.dumps({"delivery": nonce, "at": at.isoformat(), "event": event, "about": about}).encode()
        return SignedNotice((("Toybank-Signature", base64.b64encode(sign(body)).decode()),), body)

    def prints(self, statement: Statement, *, lines_a_page: int) -> tuple[bytes, ...] | None:  # noqa: ARG002
        document = {
            "id": statement.statement_id,
            "account": statement.iban,
            "currency": statement.currency,
            "from": statement.starts_at.isoformat(),
            "until": statement.ends_at.isoformat(),
            "opening": statement.opening_minor,
            "closing": statement.closing_minor,
            "bookings": [_booking(line) for line in statement.lines],
        }
        return (json.dumps(document).encode(),)


def _answer(status: int, said: Mapping[str, object]) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(said).encode())


def _repeated(order: OrderRead) -> dict[str, object]:
    return {"id": order.known_by, "cents": order.amount_minor, "to": order.creditor_iban}


def _row(payment: KeptPayment) -> dict[str, object]:
    return {
        "reference": payment.order.end_to_end_id,
        "cents": payment.order.amount_minor,
        "currency": payment.order.currency,
        "to": payment.order.creditor_iban,
        "booking": payment.transaction_id,
        "status": _SAYS[payment.state],
        "code": payment.code,
    }


def _said(news: News) -> tuple[str, dict[str, object]]:
    match news:
        case PayoutAdvanced():
            code = news.reason.code if news.reason else None
            return "order", {**_named(news), "status": _SAYS[news.state], "code": code}
        case PayoutReturned():
            return "returned", {**_named(news), "code": news.reason.code}
        case MoneyArrived():
            return "arrived", {
                "booking": news.transaction_id,
                "reference": news.end_to_end_id,
                "cents": news.amount_minor,
                "currency": news.currency,
                "to": news.creditor_iban,
                "from": {"name": news.debtor_name, "iban": news.debtor_iban},
                "text": news.remittance,
            }


def _named(news: PayoutAdvanced | PayoutReturned) -> dict[str, object]:
    return {
        "reference": news.end_to_end_id,
        "number": news.payment_id,
        "booking": news.transaction_id,
    }


def _booking(line: StatementLine) -> dict[str, object]:
    return {
        "booking": line.transaction_id,
        "reference": line.end_to_end_id,
        "cents": line.amount_minor,
        "day": line.booked_on.isoformat(),
        "undone": line.reversal,
        "name": line.counterparty_name,
        "iban": line.counterparty_iban,
        "text": line.remittance,
    }
