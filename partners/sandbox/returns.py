"""Settled credit transfers that come back, at once or days later, in full or in part.

Source: SCT rulebook, return (pacs.004) and positive answer to a recall; the credit is a posting of its own.
"""

import uuid
from dataclasses import replace
from datetime import timedelta

from partners.sandbox import booking, notices
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp
from partners.sandbox.records import (
    Direction,
    Payment,
    PaymentStatus,
    PlannedReturn,
    Posting,
    PostingKind,
    Scheme,
)
from partners.sandbox.store import accounts, payments
from partners.sandbox.store import returns as store
from partners.sandbox.store.database import Tx, begin

BATCH_MAX = 200


class NotReturnableError(Exception):
    """Only a settled payment to another bank can come back, and no more of it than has not come back yet."""


def give_back(
    bank: Bank, tx: Tx, payment: Payment, *, reason: str, amount_minor: int | None = None
) -> Posting:
    """Credit what the beneficiary's bank sends back of a settled credit transfer: all that is left, if not told.

    Units: amount in cents.
    Raises: NotReturnableError when it has not settled, is instant (those come back by recall only), was
    paid inside this bank, or less than the amount is left.
    """
    if payment.scheme is not Scheme.CT:
        raise NotReturnableError
    credit = book_back(bank, tx, payment, reason=reason, amount_minor=amount_minor)
    notices.tell_ct_returned(tx, payment, posting_id=credit.id, reason=reason)
    notices.tell_posted(tx, credit, notices.subject_of(payment))
    return credit


def book_back(
    bank: Bank, tx: Tx, payment: Payment, *, reason: str, amount_minor: int | None = None
) -> Posting:
    """The credit alone, of either scheme; telling is the caller's.

    Raises: NotReturnableError as above, except that an instant payment may be given back.
    """
    left_minor = returnable_minor(tx, payment)
    given_minor = left_minor if amount_minor is None else amount_minor
    place = accounts.find_place(tx, payment.debtor_iban)
    if not 0 < given_minor <= left_minor or place is None:
        raise NotReturnableError
    credit = booking.book(
        tx,
        booking.draft(
            place,
            payment.creditor,
            direction=Direction.CREDIT,
            kind=PostingKind.RETURN,
            channel=payment.scheme.channel,
            amount_minor=given_minor,
            end_to_end_id=payment.end_to_end_id,
            reference=payment.reference,
            now=stamp(bank.clock.now()),
            payment_id=payment.id,
            return_reason=reason,
        ),
    )
    changes = replace(
        payment,
        status=PaymentStatus.RETURNED,
        reason=reason,
        due_at=None,
        returned_minor=payment.returned_minor + given_minor,
    )
    payments.save_progress(tx, changes)
    return credit


def returnable_minor(tx: Tx, payment: Payment) -> int:
    """How much of a payment can still come back, in cents."""
    is_outside = accounts.find_place(tx, payment.creditor_iban) is None
    if payment.status not in {PaymentStatus.SETTLED, PaymentStatus.RETURNED} or not is_outside:
        return 0
    return payment.amount_minor - payment.returned_minor


def plan(
    bank: Bank,
    tx: Tx,
    payment: Payment,
    *,
    reason: str,
    amount_minor: int | None,
    after: timedelta,
) -> PlannedReturn:
    """Let a payment come back when so much time has passed on the test clock.

    Raises: NotReturnableError for an instant payment; whether anything is left is seen when the time comes.
    """
    if payment.scheme is not Scheme.CT:
        raise NotReturnableError
    planned = PlannedReturn(
        id=str(uuid.uuid4()),
        payment_id=payment.id,
        amount_minor=amount_minor,
        reason=reason,
        due_at=stamp(bank.clock.now() + after),
    )
    store.insert_planned(tx, planned)
    return planned


def return_due(bank: Bank) -> int:
    """Carry out the returns whose time has come; how many there were.

    One that has become impossible, because the rest came back otherwise, is dropped.
    """
    due = store.list_due(bank.books, now=stamp(bank.clock.now()), limit=BATCH_MAX)
    if due:
        with begin(bank.books) as tx:
            for planned in due:
                store.forget_planned(tx, planned.id)
                _carry_out(bank, tx, planned)
    return len(due)


def _carry_out(bank: Bank, tx: Tx, planned: PlannedReturn) -> None:
    payment = payments.find_payment(tx, planned.payment_id)
    assert payment is not None
    left_minor = returnable_minor(tx, payment)
    amount_minor = left_minor if planned.amount_minor is None else min(left_minor, planned.amount_minor)
    if amount_minor > 0:
        give_back(bank, tx, payment, reason=planned.reason, amount_minor=amount_minor)
