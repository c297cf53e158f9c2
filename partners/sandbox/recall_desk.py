"""Returns, recalls and their answers, as the published API takes them: 202 with no body, the rest by webhook.

Which status refuses what is not published beyond 400 and 409. Here 400 is for a payment that this bank does
not know or that cannot be recalled, 409 for one that is being recalled or has been sent back.

Source: ClearBank EU, 1.0-SEPA-CT (returns and recalls), 1.0-SEPA-INSTANT (recalls).
"""

from partners.sandbox import booking, recall_notices, recalls, sending_back
from partners.sandbox.door import Call, Desk
from partners.sandbox.money import to_minor
from partners.sandbox.recall_models import (
    CtRecall,
    CtRecallAnswer,
    CtReturn,
    InstRecall,
    InstRecallAnswer,
)
from partners.sandbox.records import (
    Payment,
    PaymentStatus,
    Posting,
    Recall,
    RecallSide,
    RecallStatus,
    Scheme,
)
from partners.sandbox.store import accounts, payments, postings
from partners.sandbox.store import recalls as store
from partners.sandbox.store.database import Tx
from partners.sandbox.wire import Reply, RequestRefusedError, read_body

TOO_LATE = "TM01"
_CLIENT_RETURN = "CUST"


def return_incoming(desk: Desk, call: Call) -> Reply:
    """POST /payments/sepa-ct/v1/payment-returns: send a credit transfer that came in back, in full.

    One that comes too late or without funds is taken, and fails by webhook.

    Raises: RequestRefusedError (400, 409).
    """
    order = read_body(CtReturn, call.body)
    credit = _require_inbound(desk.tx, order.payment_id, Scheme.CT)
    assert credit.payment_id is not None
    why = sending_back.refusal(desk.tx, credit)
    if why == sending_back.ALREADY_RETURNED:
        raise RequestRefusedError(409, "The payment has been sent back already.")
    if why is None and not sending_back.is_in_time(credit, desk.bank.clock.now()):
        why = TOO_LATE
    if why is None:
        debit = booking.book(desk.tx, sending_back.draft(desk.bank, credit, reason=_CLIENT_RETURN))
        recall_notices.tell_ct_sent_back(desk.tx, debit)
    else:
        recall_notices.tell_ct_return_failed(
            desk.tx, credit.payment_id, credit.end_to_end_id, credit.own_iban, reason=why
        )
    return Reply(202)


def recall_credit_transfer(desk: Desk, call: Call) -> Reply:
    """POST /payments/sepa-ct/v1/recall.

    Raises: RequestRefusedError (400, 409).
    """
    order = read_body(CtRecall, call.body)
    payment = _require_outbound(desk.tx, order.payment_id, Scheme.CT)
    _ask(desk, payment, reason=order.recall_code, information=order.additional_info)
    return Reply(202)


def recall_instant(desk: Desk, call: Call) -> Reply:
    """POST /v1/payments/sepa-instant/{paymentId}/recall.

    Raises: RequestRefusedError (400 also when amount or day are not the payment's, 409).
    """
    order = read_body(InstRecall, call.body)
    payment = _require_outbound(desk.tx, call.path_values["payment_id"], Scheme.INST)
    if to_minor(order.original_instructed_amount) != payment.amount_minor:
        raise _invalid("originalInstructedAmount", "is not the payment's")
    if order.original_instructed_date != payment.received_at[:10]:
        raise _invalid("originalInstructedDate", "is not the payment's")
    _ask(desk, payment, reason=order.reason_code_for_recall, information=order.additional_information)
    return Reply(202)


def answer_credit_transfer_recall(desk: Desk, call: Call) -> Reply:
    """POST /payments/sepa-ct/v1/recall-response.

    Raises: RequestRefusedError (400).
    """
    order = read_body(CtRecallAnswer, call.body)
    recall = _require_open(desk.tx, order.payment_id, Scheme.CT)
    recalls.answer(
        desk.bank, desk.tx, recall, accepts=order.recall_response_accepted, reason=order.reject_code
    )
    return Reply(202)


def answer_instant_recall(desk: Desk, call: Call) -> Reply:
    """POST /v1/payments/sepa-instant/{paymentId}/recall-response.

    Raises: RequestRefusedError (400).
    """
    order = read_body(InstRecallAnswer, call.body)
    recall = _require_open(desk.tx, call.path_values["payment_id"], Scheme.INST)
    recalls.answer(desk.bank, desk.tx, recall, accepts=order.approve, reason=order.rejection_code)
    return Reply(202)


def _ask(desk: Desk, payment: Payment, *, reason: str, information: str | None) -> None:
    posting = postings.find_posting(desk.tx, payment.posting_id or "")
    settled_at = None if posting is None else posting.settled_at
    is_settled = payment.status in {PaymentStatus.SETTLED, PaymentStatus.RETURNED}
    is_outside = accounts.find_place(desk.tx, payment.creditor_iban) is None
    if not is_settled or not is_outside or posting is None or settled_at is None:
        raise _invalid("paymentId", "cannot be recalled")
    if not recalls.may_still_ask(settled_at, reason, desk.bank.clock.now()):
        raise _invalid("paymentId", f"is too old to be recalled for {reason}")
    known = store.find_latest_recall(desk.tx, payment.id, RecallSide.OUTGOING)
    if known is not None and known.status is RecallStatus.OPEN:
        raise RequestRefusedError(409, "The payment is being recalled already.")
    recalls.ask(desk.bank, desk.tx, payment, posting_id=posting.id, reason=reason, information=information)


def _require_outbound(tx: Tx, payment_id: str, scheme: Scheme) -> Payment:
    found = payments.find_payment(tx, payment_id.lower())
    if found is None or found.scheme is not scheme:
        raise _invalid("paymentId", "is not a payment of this scheme here")
    return found


def _require_inbound(tx: Tx, payment_id: str, scheme: Scheme) -> Posting:
    found = postings.find_inbound(tx, payment_id=payment_id.lower())
    if found is None or sending_back.scheme_of(found) is not scheme:
        raise _invalid("paymentId", "is not a payment of this scheme that came in here")
    return found


def _require_open(tx: Tx, payment_id: str, scheme: Scheme) -> Recall:
    found = store.find_latest_recall(tx, payment_id.lower(), RecallSide.INCOMING)
    if found is None or found.scheme is not scheme or found.status is not RecallStatus.OPEN:
        raise _invalid("paymentId", "has no recall that waits for an answer")
    return found


def _invalid(field: str, message: str) -> RequestRefusedError:
    return RequestRefusedError(400, "One or more validation errors occurred.", errors={field: [message]})
