"""What happens to orders: they go out, settle, fail, are delayed or come back; and fees are taken.

An order moves one step at a time, whenever its `due_at` has come on the test clock:

    received -> clearing -> settled (-> returned)      clearing -> delayed -> settled | cancelled
    received -> failed (credit transfer) | cancelled (instant)

Checks of an order, in this order: a `reject` fault, debtor account ours (BE01), creditor reachable (CB02),
funds (AM04). An order whose creditor banks here too is credited in the same step in which it settles.
"""

import uuid
from dataclasses import replace
from datetime import timedelta

from partners.sandbox import booking, faults, iban, incoming, notices, reasons, returns
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp
from partners.sandbox.records import (
    Direction,
    Facts,
    FaultKind,
    Payment,
    PaymentStatus,
    Place,
    Posting,
    PostingKind,
    Scheme,
    Script,
)
from partners.sandbox.store import accounts, payments, postings
from partners.sandbox.store.database import Tx, begin

BATCH_MAX = 200
NOT_PROVIDED = "NOTPROVIDED"


def advance_due(bank: Bank) -> int:
    """Take every order whose time has come one step further; how many there were."""
    due = payments.list_due(bank.books, now=stamp(bank.clock.now()), limit=BATCH_MAX)
    if due:
        with begin(bank.books) as tx:
            for payment in due:
                _advance(bank, tx, payment)
    return len(due)


def charge_fee(bank: Bank, tx: Tx, place: Place, *, amount_minor: int, text: str) -> Posting:
    """Debit a fee of the bank's own; no webhook tells of it, only balances and statements show it.

    Units: amount in cents. The account may be overdrawn by it.
    """
    return booking.book(
        tx,
        booking.draft(
            place,
            None,
            direction=Direction.DEBIT,
            kind=PostingKind.FEE,
            channel="Internal",
            amount_minor=amount_minor,
            end_to_end_id=NOT_PROVIDED,
            reference=text,
            now=stamp(bank.clock.now()),
        ),
    )


def _advance(bank: Bank, tx: Tx, payment: Payment) -> None:
    match payment.status:
        case PaymentStatus.RECEIVED:
            _take_up(bank, tx, payment)
        case PaymentStatus.CLEARING if payment.script in {Script.DELAY, Script.CANCEL_DELAYED}:
            _delay(bank, tx, payment)
        case PaymentStatus.CLEARING:
            _complete(bank, tx, payment, _posting_of(tx, payment))
        case PaymentStatus.DELAYED if payment.script is Script.CANCEL_DELAYED:
            _cancel_delayed(bank, tx, payment)
        case PaymentStatus.DELAYED:
            _complete(bank, tx, payment, _post_anew(bank, tx, payment))
        case PaymentStatus.SETTLED:
            returns.give_back(bank, tx, payment, reason=reasons.CLOSED_ACCOUNT)
        case PaymentStatus.RETURNED | PaymentStatus.FAILED | PaymentStatus.CANCELLED:
            raise AssertionError(f"a payment that is {payment.status} has nothing left to do")


def _take_up(bank: Bank, tx: Tx, payment: Payment) -> None:
    place = accounts.find_place(tx, payment.debtor_iban)
    reason = _refusal(tx, payment, place)
    if place is None or reason is not None:
        _refuse(bank, tx, payment, place, reason or reasons.UNKNOWN_DEBTOR)
        return
    now = stamp(bank.clock.now())
    debit = _draft_debit(payment, place, now=now)
    booking.earmark(tx, debit)
    wait_s = bank.settings.settle_s if payment.script in {Script.NONE, Script.RETURN} else _half_delay_s(bank)
    _save(bank, tx, replace(payment, status=PaymentStatus.CLEARING, posting_id=debit.id), due_in_s=wait_s)
    if payment.scheme is Scheme.INST:
        notices.tell_instant_created(tx, payment, posting_id=debit.id, now=now)


def _refusal(tx: Tx, payment: Payment, place: Place | None) -> str | None:
    facts = Facts(end_to_end_id=payment.end_to_end_id, creditor_iban=payment.creditor_iban)
    ordered = faults.take(tx, FaultKind.REJECT, facts)
    if ordered is not None:
        return ordered.reason
    if place is None:
        return reasons.UNKNOWN_DEBTOR
    if payment.creditor_iban in iban.UNREACHABLE:
        return reasons.UNREACHABLE_CREDITOR
    account = accounts.find_account(tx, place.account_id)
    assert account is not None
    available_minor = account.actual_minor - account.earmarked_minor
    return reasons.INSUFFICIENT_FUNDS if available_minor < payment.amount_minor else None


def _refuse(bank: Bank, tx: Tx, payment: Payment, place: Place | None, reason: str) -> None:
    """An instant refusal names a TransactionId, so it leaves a cancelled posting where there is an
    account.
    """
    now = stamp(bank.clock.now())
    if payment.scheme is Scheme.CT:
        _save(bank, tx, replace(payment, status=PaymentStatus.FAILED, reason=reason))
        notices.tell_ct_failed(tx, payment, reason=reason)
        return
    posting_id = str(uuid.uuid4())
    if place is not None:
        booking.record_cancelled(tx, replace(_draft_debit(payment, place, now=now), id=posting_id))
    _save(bank, tx, replace(payment, status=PaymentStatus.CANCELLED, reason=reason, posting_id=posting_id))
    notices.tell_instant_cancelled(tx, payment, posting_id=posting_id, reason=reason, now=now)


def _delay(bank: Bank, tx: Tx, payment: Payment) -> None:
    assert payment.posting_id is not None
    _save(bank, tx, replace(payment, status=PaymentStatus.DELAYED), due_in_s=_half_delay_s(bank))
    notices.tell_instant_delayed(tx, payment, posting_id=payment.posting_id)


def _cancel_delayed(bank: Bank, tx: Tx, payment: Payment) -> None:
    now = stamp(bank.clock.now())
    debit = _posting_of(tx, payment)
    booking.cancel(tx, debit, now=now)
    _save(bank, tx, replace(payment, status=PaymentStatus.CANCELLED, reason=reasons.DELAYED))
    notices.tell_instant_cancelled(tx, payment, posting_id=debit.id, reason=reasons.DELAYED, now=now)


def _post_anew(bank: Bank, tx: Tx, payment: Payment) -> Posting:
    """A delayed payment settles under a new TransactionId; the first one ends as cancelled."""
    now = stamp(bank.clock.now())
    first = _posting_of(tx, payment)
    booking.cancel(tx, first, now=now)
    second = replace(first, id=str(uuid.uuid4()), created_at=now)
    booking.earmark(tx, second)
    return second


def _complete(bank: Bank, tx: Tx, payment: Payment, debit: Posting) -> None:
    now = stamp(bank.clock.now())
    settled = booking.settle(tx, debit, now=now)
    is_outside = accounts.find_place(tx, payment.creditor_iban) is None
    comes_back = payment.script is Script.RETURN and is_outside
    _save(
        bank,
        tx,
        replace(payment, status=PaymentStatus.SETTLED, posting_id=debit.id),
        due_in_s=bank.settings.settle_s if comes_back else None,
    )
    if payment.scheme is Scheme.CT and is_outside:
        _plan_return_on_command(bank, tx, payment)
    if payment.scheme is Scheme.INST:
        notices.tell_instant_settled(tx, payment, posting_id=debit.id, now=now)
    else:
        notices.tell_ct_completed(tx, payment, posting_id=debit.id)
    notices.tell_posted(tx, settled, notices.subject_of(payment))
    _credit_inside(bank, tx, payment)


def _plan_return_on_command(bank: Bank, tx: Tx, payment: Payment) -> None:
    facts = Facts(end_to_end_id=payment.end_to_end_id, creditor_iban=payment.creditor_iban)
    fault = faults.take(tx, FaultKind.RETURN, facts)
    if fault is not None:
        returns.plan(
            bank,
            tx,
            payment,
            reason=fault.reason or reasons.CLOSED_ACCOUNT,
            amount_minor=fault.amount_minor,
            after=timedelta(seconds=fault.seconds or 0),
        )


def _credit_inside(bank: Bank, tx: Tx, payment: Payment) -> None:
    place = accounts.find_place(tx, payment.creditor_iban)
    if place is not None:
        transfer = incoming.Transfer(
            payer=payment.debtor,
            scheme=payment.scheme,
            amount_minor=payment.amount_minor,
            end_to_end_id=payment.end_to_end_id,
            reference=payment.reference,
        )
        incoming.receive(bank, tx, place, transfer, silenced=payment.silenced)


def _draft_debit(payment: Payment, place: Place, *, now: str) -> Posting:
    return booking.draft(
        place,
        payment.creditor,
        direction=Direction.DEBIT,
        kind=PostingKind.TRANSFER,
        channel=payment.scheme.channel,
        amount_minor=payment.amount_minor,
        end_to_end_id=payment.end_to_end_id,
        reference=payment.reference,
        now=now,
        payment_id=payment.id,
    )


def _posting_of(tx: Tx, payment: Payment) -> Posting:
    assert payment.posting_id is not None
    posting = postings.find_posting(tx, payment.posting_id)
    assert posting is not None
    return posting


def _save(bank: Bank, tx: Tx, payment: Payment, *, due_in_s: float | None = None) -> None:
    due_at = None if due_in_s is None else stamp(bank.clock.now() + timedelta(seconds=due_in_s))
    payments.save_progress(tx, replace(payment, due_at=due_at))


def _half_delay_s(bank: Bank) -> float:
    """A delayed payment is reported halfway through its delay and ends at the end of it."""
    return bank.settings.instant_delay_s / 2
