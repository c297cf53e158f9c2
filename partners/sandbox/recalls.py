"""Recalls: somebody wants a settled payment back, and the other side answers, in time, late or never.

    outgoing  open -> paid | rejected          the other bank answers as a simulation has ordered; when
                                               none has, it lets the time to answer pass
    incoming  open -> accepted -> paid         the client answers; money that is not there puts it back to
                   -> rejected | expired       open, and silence rejects

The time to answer is 15 business days. At its end the bank rejects with NOAS by itself; for an outgoing
recall of an instant payment it does so even when a late answer is still to come, and then tells both.

Source: SCT and SCT Inst rulebooks, recall; ClearBank EU, "Recall", "Recall response".
"""

import uuid
from dataclasses import replace
from datetime import datetime

from partners.sandbox import booking, recall_notices, returns, sending_back
from partners.sandbox.bank import Bank
from partners.sandbox.clock import read_stamp, stamp
from partners.sandbox.hours import after_business_days, after_months
from partners.sandbox.records import Payment, Posting, Recall, RecallSide, RecallStatus, Scheme
from partners.sandbox.store import payments, postings
from partners.sandbox.store import recalls as store
from partners.sandbox.store.database import Tx, begin

BATCH_MAX = 200
ANSWER_BUSINESS_DAYS = 15
NO_ANSWER = "NOAS"
ALREADY_RETURNED = "ARDT"
FOLLOWING_RECALL = "FOCR"
_ASKED_SOON = frozenset({"DUPL", "TECH"})
_SOON_BUSINESS_DAYS = 10
_LATE_MONTHS = 13


def may_still_ask(settled_at: str, reason: str, now: datetime) -> bool:
    """Whether a recall for this reason still comes in time: 10 business days or 13 months."""
    settled = read_stamp(settled_at)
    if reason in _ASKED_SOON:
        return now <= after_business_days(settled, _SOON_BUSINESS_DAYS)
    return now <= after_months(settled, _LATE_MONTHS)


def ask(
    bank: Bank, tx: Tx, payment: Payment, *, posting_id: str, reason: str, information: str | None
) -> Recall:
    """Take the client's recall of its own settled payment."""
    recall = _open(
        bank,
        side=RecallSide.OUTGOING,
        scheme=payment.scheme,
        payment_id=payment.id,
        posting_id=posting_id,
        end_to_end_id=payment.end_to_end_id,
        creditor_iban=payment.creditor_iban,
        amount_minor=payment.amount_minor,
        reason=reason,
        information=information,
    )
    store.insert_recall(tx, recall)
    return recall


def receive(bank: Bank, tx: Tx, credit: Posting, *, reason: str, information: str | None) -> Recall:
    """Another bank wants back what it paid in; the client is told and has its time to answer."""
    assert credit.payment_id is not None
    recall = _open(
        bank,
        side=RecallSide.INCOMING,
        scheme=sending_back.scheme_of(credit),
        payment_id=credit.payment_id,
        posting_id=credit.id,
        end_to_end_id=credit.end_to_end_id,
        creditor_iban=credit.own_iban,
        amount_minor=credit.amount_minor,
        reason=reason,
        information=information,
    )
    store.insert_recall(tx, recall)
    recall_notices.tell_asked(tx, recall)
    return recall


def answer(bank: Bank, tx: Tx, recall: Recall, *, accepts: bool, reason: str | None) -> None:
    """The client's answer to an incoming recall that is open."""
    assert recall.status is RecallStatus.OPEN
    if accepts:
        changes = replace(recall, status=RecallStatus.ACCEPTED, due_at=stamp(bank.clock.now()))
    else:
        changes = replace(recall, status=RecallStatus.REJECTED, answer_reason=reason, due_at=None)
    store.save_recall(tx, changes)


def plan_answer(tx: Tx, recall: Recall, *, accepts: bool, reason: str | None, at: datetime) -> Recall:
    """How and when the other bank will answer an outgoing recall that is open."""
    assert recall.status is RecallStatus.OPEN
    plan_at = stamp(at)
    due_at = min(plan_at, recall.answer_by) if recall.scheme is Scheme.INST else plan_at
    planned = replace(recall, plan_accepts=accepts, plan_reason=reason, plan_at=plan_at, due_at=due_at)
    store.save_recall(tx, planned)
    return planned


def answer_due(bank: Bank) -> int:
    """Move on every recall whose time has come; how many there were."""
    due = store.list_due(bank.books, now=stamp(bank.clock.now()), limit=BATCH_MAX)
    if due:
        with begin(bank.books) as tx:
            for recall in due:
                _move_on(bank, tx, recall)
    return len(due)


def _open(
    bank: Bank,
    *,
    side: RecallSide,
    scheme: Scheme,
    payment_id: str,
    posting_id: str,
    end_to_end_id: str,
    creditor_iban: str,
    amount_minor: int,
    reason: str,
    information: str | None,
) -> Recall:
    now = bank.clock.now()
    answer_by = stamp(after_business_days(now, ANSWER_BUSINESS_DAYS))
    return Recall(
        id=str(uuid.uuid4()),
        side=side,
        scheme=scheme,
        payment_id=payment_id,
        posting_id=posting_id,
        end_to_end_id=end_to_end_id,
        creditor_iban=creditor_iban,
        amount_minor=amount_minor,
        reason=reason,
        information=information,
        status=RecallStatus.OPEN,
        answer_reason=None,
        plan_accepts=None,
        plan_reason=None,
        plan_at=None,
        asked_at=stamp(now),
        answer_by=answer_by,
        due_at=answer_by,
    )


def _move_on(bank: Bank, tx: Tx, recall: Recall) -> None:
    if recall.side is RecallSide.OUTGOING:
        _hear(bank, tx, recall)
    elif recall.status is RecallStatus.ACCEPTED:
        _pay_back(bank, tx, recall)
    else:
        store.save_recall(
            tx, replace(recall, status=RecallStatus.EXPIRED, answer_reason=NO_ANSWER, due_at=None)
        )


def _hear(bank: Bank, tx: Tx, recall: Recall) -> None:
    """The other bank answers, or its time is over; an answer that is still to come is waited for."""
    if recall.plan_at is None or recall.plan_at > stamp(bank.clock.now()):
        _reject(bank, tx, recall, reason=NO_ANSWER, status=RecallStatus.EXPIRED, due_at=recall.plan_at)
    elif recall.plan_accepts:
        _take_back(bank, tx, recall)
    else:
        _reject(bank, tx, recall, reason=recall.plan_reason or NO_ANSWER, status=RecallStatus.REJECTED)


def _take_back(bank: Bank, tx: Tx, recall: Recall) -> None:
    payment = payments.find_payment(tx, recall.payment_id)
    assert payment is not None
    if returns.returnable_minor(tx, payment) == 0:
        _reject(bank, tx, recall, reason=ALREADY_RETURNED, status=RecallStatus.REJECTED)
        return
    if recall.scheme is Scheme.CT:
        returns.give_back(bank, tx, payment, reason=FOLLOWING_RECALL)
    else:
        credit = returns.book_back(bank, tx, payment, reason=FOLLOWING_RECALL)
        recall_notices.tell_paid(tx, recall, credit)
    store.save_recall(
        tx, replace(recall, status=RecallStatus.PAID, answer_reason=FOLLOWING_RECALL, due_at=None)
    )


def _reject(
    bank: Bank, tx: Tx, recall: Recall, *, reason: str, status: RecallStatus, due_at: str | None = None
) -> None:
    store.save_recall(tx, replace(recall, status=status, answer_reason=reason, due_at=due_at))
    recall_notices.tell_rejected(tx, recall, reason=reason, now=stamp(bank.clock.now()))


def _pay_back(bank: Bank, tx: Tx, recall: Recall) -> None:
    """Send an accepted recall's money; when it is not there, the recall waits for an answer again."""
    credit = postings.find_posting(tx, recall.posting_id)
    assert credit is not None
    refusal = sending_back.refusal(tx, credit)
    if refusal is not None:
        store.save_recall(tx, replace(recall, status=RecallStatus.OPEN, due_at=recall.answer_by))
        recall_notices.tell_payment_failed(tx, recall, reason=refusal, now=stamp(bank.clock.now()))
        return
    debit = booking.book(tx, sending_back.draft(bank, credit, reason=FOLLOWING_RECALL))
    store.save_recall(
        tx, replace(recall, status=RecallStatus.PAID, answer_reason=FOLLOWING_RECALL, due_at=None)
    )
    recall_notices.tell_paid(tx, recall, debit)
