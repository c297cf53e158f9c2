"""What a pain.002 means: where each payment of a file stands, by our own ids of it.

A bank names payments, or only the file or a block of it; since a file of ours orders one payout, all three lead to it.
The payments come first: where a file is turned away because of a payment, the reason stands with the payment.
Settled means that our account was debited: a payment may still come back.
Source: ISO 20022 pain.002; EPC132-08 and EPC121-16 (which statuses SEPA banks report).
"""

from collections.abc import Iterator
from typing import assert_never

from partners.contract import (
    Informational,
    NoticeMeaning,
    PaymentState,
    PayoutAdvanced,
    Reason,
    RequestAdvanced,
)
from partners.iso20022.orders import request_id_of
from partners.iso20022.reasons import reason_of
from partners.messages.details import GivenReason
from partners.messages.pain002 import read_pain002_tolerantly
from partners.messages.payment_statuses import (
    GroupStatus,
    PartStatus,
    RejectedStatus,
    ReportStarted,
    StatusCode,
    TransactionStatus,
)


def read_status_report(body: bytes) -> tuple[NoticeMeaning, ...]:
    """Everything that a status report says. Raises: Unreadable for anything that is no whole report."""
    of_payments: list[NoticeMeaning] = []
    of_files: list[NoticeMeaning] = []
    for event in read_pain002_tolerantly(body):
        match event:
            case ReportStarted():
                pass
            case GroupStatus():
                of_files.extend(_of_many(event.message_id, event.status, event.reasons))
            case PartStatus():
                of_files.extend(_of_many(event.payment_information_id or "", event.status, event.reasons))
            case TransactionStatus():
                of_payments.append(_of_payment(event))
            case RejectedStatus(place, why):
                of_payments.append(Informational(f"not read: {place}: {why}"))
            case _:
                assert_never(event)
    return (*of_payments, *of_files)


def _of_many(
    message_id: str, status: StatusCode | None, reasons: tuple[GivenReason, ...]
) -> Iterator[NoticeMeaning]:
    """What holds for a file or a block; nothing where the bank speaks of the payments only."""
    if status is None or status is StatusCode.PARTLY:
        return
    request_id = request_id_of(message_id)
    if request_id is None:
        yield Informational("a status of a file that is none of ours")
        return
    state = _state(status)
    yield RequestAdvanced(request_id, state, _why(state, reasons))


def _of_payment(row: TransactionStatus) -> NoticeMeaning:
    if row.status is None:
        return Informational("a payment that stands where its file stands")
    state = _state(row.status)
    reason = _why(state, row.reasons)
    if row.end_to_end_id is not None:
        payment_id = row.uetr or row.instruction_id or row.end_to_end_id
        return PayoutAdvanced(row.end_to_end_id, payment_id, state, row.bank_reference, reason)
    request_id = request_id_of(row.instruction_id or "")
    if request_id is None:
        return Informational("a status of a payment that is none of ours")
    return RequestAdvanced(request_id, state, reason)


def _why(state: PaymentState, reasons: tuple[GivenReason, ...]) -> Reason | None:
    return reason_of(next(iter(reasons), None)) if state is PaymentState.FAILED else None


def _state(status: StatusCode) -> PaymentState:
    """Only an explicit end is one: whatever else a bank says, the money is still on its way."""
    match status:
        case StatusCode.DEBITED | StatusCode.CREDITED:
            return PaymentState.SETTLED
        case StatusCode.REJECTED | StatusCode.CANCELLED:
            return PaymentState.FAILED
        case _:
            return PaymentState.PENDING
