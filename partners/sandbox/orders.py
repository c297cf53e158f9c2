"""Orders to pay, as the published API takes them: SEPA credit transfers and SEPA instant credit transfers.

An answer of 202 means taken, nothing more; everything else comes by webhook. What the bank does with a credit
transfer handed in outside its sending hours is not published (neither after 16:00 nor before 07:00); here
it is refused with 422, is not taken, and leaves its request id free.

Source: ClearBank EU, 1.0-SEPA-CT and 1.0-SEPA-INSTANT.
"""

import uuid
from dataclasses import replace

from partners.sandbox import faults, hours
from partners.sandbox.clock import stamp
from partners.sandbox.door import Call, Desk
from partners.sandbox.models import CtOrder, InstOrder
from partners.sandbox.money import CURRENCY, to_minor
from partners.sandbox.records import Facts, FaultKind, Payment, PaymentStatus, Scheme, Script
from partners.sandbox.settlement import NOT_PROVIDED
from partners.sandbox.store import payments
from partners.sandbox.store.database import Tx
from partners.sandbox.wire import Reply, RequestRefusedError, read_body

_CT_SCRIPTS = {Script.RETURN}
_INST_SCRIPTS = {Script.DELAY, Script.CANCEL_DELAYED}
_SCRIPTS_BY_FAULT = (
    (FaultKind.DELAY, Script.DELAY),
    (FaultKind.CANCEL_DELAYED, Script.CANCEL_DELAYED),
)


def order_credit_transfer(desk: Desk, call: Call) -> Reply:
    """POST /payments/sepa-ct/v1/customer-payments.

    Raises: RequestRefusedError (400 for a broken rule, 422 outside the sending hours).
    """
    order = read_body(CtOrder, call.body)
    if not hours.sending_is_open(desk.bank.clock.now()):
        raise RequestRefusedError(
            422,
            "SEPA credit transfers are closed.",
            "Sending is open on Netherlands business days from 07:00 to 16:00 Europe/Amsterdam.",
        )
    reference = order.remittance_information_unstructured
    now = stamp(desk.bank.clock.now())
    payment = Payment(
        id=str(uuid.uuid4()),
        scheme=Scheme.CT,
        status=PaymentStatus.RECEIVED,
        script=_script(reference, _CT_SCRIPTS),
        end_to_end_id=order.end_to_end_id,
        amount_minor=to_minor(order.amount),
        currency=order.currency,
        debtor_name=order.debtor.name,
        debtor_iban=order.debtor.account_iban,
        creditor_name=order.creditor.name,
        creditor_iban=order.creditor.account_iban,
        creditor_bic=order.creditor_agent.bic if order.creditor_agent else None,
        reference=reference,
        request_id=call.request_id,
        posting_id=None,
        reason=None,
        returned_minor=0,
        silenced=False,
        received_at=now,
        due_at=now,
    )
    return _take(desk.tx, payment)


def order_instant(desk: Desk, call: Call) -> Reply:
    """POST /v1/payments/sepa-instant, at any hour.

    Raises: RequestRefusedError (400 for a broken rule).
    """
    order = read_body(InstOrder, call.body)
    now = stamp(desk.bank.clock.now())
    payment = Payment(
        id=str(uuid.uuid4()),
        scheme=Scheme.INST,
        status=PaymentStatus.RECEIVED,
        script=_script(order.reference, _INST_SCRIPTS),
        end_to_end_id=order.end_to_end_id,
        amount_minor=to_minor(order.amount),
        currency=CURRENCY,
        debtor_name=order.debtor.name,
        debtor_iban=order.debtor.account_iban,
        creditor_name=order.creditor.name,
        creditor_iban=order.creditor.account_iban,
        creditor_bic=order.creditor_agent.bic if order.creditor_agent else None,
        reference=order.reference or NOT_PROVIDED,
        request_id=call.request_id,
        posting_id=None,
        reason=None,
        returned_minor=0,
        silenced=False,
        received_at=now,
        due_at=now,
    )
    return _take(desk.tx, payment)


def _take(tx: Tx, payment: Payment) -> Reply:
    payments.insert_payment(tx, _scripted_by_fault(tx, payment))
    return Reply(202, {"paymentId": payment.id}, payment_id=payment.id)


def _script(reference: str | None, known: set[Script]) -> Script:
    return next((script for script in known if script.value == reference), Script.NONE)


def _scripted_by_fault(tx: Tx, payment: Payment) -> Payment:
    """A fault may ask for what a magic reference asks for, where the client does not choose the reference."""
    if payment.scheme is not Scheme.INST or payment.script is not Script.NONE:
        return payment
    facts = Facts(end_to_end_id=payment.end_to_end_id, creditor_iban=payment.creditor_iban)
    for kind, script in _SCRIPTS_BY_FAULT:
        if faults.take(tx, kind, facts) is not None:
            return replace(payment, script=script)
    return payment
