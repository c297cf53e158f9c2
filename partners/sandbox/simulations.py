"""What other banks and time bring about, on order, under /sandbox/simulations: payments that come in,
returns, recalls, answers to recalls, and fees.

Nothing here is part of the published dialect; what follows from it is, to the byte.
"""

from datetime import timedelta

from partners.sandbox import incoming, recalls, returns, settlement
from partners.sandbox.bank import Bank
from partners.sandbox.control_views import recall_view
from partners.sandbox.door import Call
from partners.sandbox.hours import after_business_days
from partners.sandbox.money import to_minor
from partners.sandbox.records import Party, Payment, Place, Posting, Recall, RecallSide, RecallStatus
from partners.sandbox.settlement import NOT_PROVIDED
from partners.sandbox.simulation_models import (
    BatchOrder,
    FeeOrder,
    IncomingOrder,
    IncomingRecallOrder,
    RecallAnswerOrder,
    ReturnOrder,
)
from partners.sandbox.store import accounts, payments, postings
from partners.sandbox.store import recalls as recall_store
from partners.sandbox.store.database import Tx, begin
from partners.sandbox.wire import STATUS_TITLES, Reply, RequestRefusedError, read_body


def receive_payment(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/simulations/incoming-payments: money from a named payer comes in.

    Raises: RequestRefusedError (400 for a broken rule, 404 for another bank's IBAN).
    """
    order = read_body(IncomingOrder, call.body)
    with begin(bank.books) as tx:
        credit = incoming.receive(
            bank, tx, _require_destination(bank, tx, order.creditor_iban), _transfer(order)
        )
    return Reply(201, _credited(credit))


def receive_batch(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/simulations/incoming-batches: several come in, and are one entry of the statement.

    Raises: RequestRefusedError (400, 404 for another bank's IBAN).
    """
    order = read_body(BatchOrder, call.body)
    with begin(bank.books) as tx:
        transfers = [
            (_require_destination(bank, tx, item.creditor_iban), _transfer(item)) for item in order.payments
        ]
        batch_id, credits_ = incoming.receive_together(bank, tx, transfers)
    return Reply(201, {"batchId": batch_id, "payments": [_credited(credit) for credit in credits_]})


def return_payment(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/simulations/returns: a settled credit transfer comes back, now or days later.

    Raises: RequestRefusedError (400, 404 for an unknown order, 409 for one that cannot come back).
    """
    order = read_body(ReturnOrder, call.body)
    with begin(bank.books) as tx:
        payment = _require_payment(tx, order.payment_id, order.end_to_end_id)
        try:
            answer = _return(bank, tx, payment, order)
        except returns.NotReturnableError as error:
            raise RequestRefusedError(
                409, f"A payment that is {payment.status} cannot be returned, or not so much of it."
            ) from error
    return Reply(201, answer)


def recall_incoming(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/simulations/incoming-recalls: the payer's bank wants a payment back that came in.

    Raises: RequestRefusedError (400, 404 for an unknown payment, 409 for one that is being recalled).
    """
    order = read_body(IncomingRecallOrder, call.body)
    with begin(bank.books) as tx:
        credit = _require_inbound(tx, order)
        known = recall_store.find_latest_recall(tx, credit.payment_id or "", RecallSide.INCOMING)
        if known is not None and known.status in {RecallStatus.OPEN, RecallStatus.ACCEPTED}:
            raise RequestRefusedError(409, "The payment is being recalled already.")
        recall = recalls.receive(bank, tx, credit, reason=order.reason, information=order.information)
    return Reply(201, recall_view(recall))


def answer_recall(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/simulations/recall-answers: how and when the other bank answers the client's recall.

    Raises: RequestRefusedError (400, 404 for an unknown order, 409 without a recall that is open).
    """
    order = read_body(RecallAnswerOrder, call.body)
    with begin(bank.books) as tx:
        recall = _require_open_recall(tx, _require_payment(tx, order.payment_id, order.end_to_end_id))
        at = after_business_days(bank.clock.now(), order.after_business_days)
        planned = recalls.plan_answer(tx, recall, accepts=order.accepts, reason=order.reason, at=at)
    return Reply(201, recall_view(planned))


def charge_fee(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/simulations/fees: the bank helps itself; no webhook tells.

    Raises: RequestRefusedError (400, 404 for an IBAN that is not the bank's).
    """
    order = read_body(FeeOrder, call.body)
    with begin(bank.books) as tx:
        place = accounts.find_place(tx, order.iban)
        if place is None:
            raise RequestRefusedError(404, STATUS_TITLES[404], "The IBAN is not an account here.")
        fee = settlement.charge_fee(bank, tx, place, amount_minor=to_minor(order.amount), text=order.text)
    return Reply(201, {"transactionId": fee.id})


def _return(bank: Bank, tx: Tx, payment: Payment, order: ReturnOrder) -> dict[str, str]:
    amount_minor = None if order.amount is None else to_minor(order.amount)
    if order.after_days == 0:
        credit = returns.give_back(bank, tx, payment, reason=order.reason, amount_minor=amount_minor)
        return {"paymentId": payment.id, "transactionId": credit.id}
    after = timedelta(days=order.after_days)
    planned = returns.plan(bank, tx, payment, reason=order.reason, amount_minor=amount_minor, after=after)
    return {"paymentId": payment.id, "dueAt": planned.due_at}


def _transfer(order: IncomingOrder) -> incoming.Transfer:
    return incoming.Transfer(
        payer=Party(name=order.debtor_name, iban=order.debtor_iban, bic=order.debtor_bic),
        scheme=order.scheme,
        amount_minor=to_minor(order.amount),
        end_to_end_id=order.end_to_end_id,
        reference=order.reference or order.creditor_reference or NOT_PROVIDED,
        creditor_reference=order.creditor_reference,
    )


def _credited(credit: Posting) -> dict[str, str | None]:
    return {"paymentId": credit.payment_id, "transactionId": credit.id}


def _require_destination(bank: Bank, tx: Tx, iban: str) -> Place:
    place = incoming.find_or_suspend(bank, tx, iban)
    if place is None:
        raise RequestRefusedError(404, STATUS_TITLES[404], "The IBAN is another bank's.")
    return place


def _require_payment(tx: Tx, payment_id: str | None, end_to_end_id: str | None) -> Payment:
    if payment_id is not None:
        found = payments.find_payment(tx, payment_id)
    else:
        found = payments.find_latest_payment(tx, end_to_end_id=end_to_end_id or "")
    if found is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    return found


def _require_inbound(tx: Tx, order: IncomingRecallOrder) -> Posting:
    if order.payment_id is not None:
        found = postings.find_inbound(tx, payment_id=order.payment_id)
    else:
        found = postings.find_latest_inbound(tx, end_to_end_id=order.end_to_end_id or "")
    if found is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    return found


def _require_open_recall(tx: Tx, payment: Payment) -> Recall:
    found = recall_store.find_latest_recall(tx, payment.id, RecallSide.OUTGOING)
    if found is None or found.status is not RecallStatus.OPEN:
        raise RequestRefusedError(409, "The payment has no recall that waits for an answer.")
    return found
