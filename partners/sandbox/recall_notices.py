"""What the bank tells of recalls and of payments that are sent back, in the words of each scheme.

Source: ClearBank EU webhooks `Sepa.Ct.InboundPayment.*` and `Sepa.Ct.OutboundPayment.RecallRejected` v1,
`Sepa.Instant.RecallPayment.*` and `Sepa.Instant.RecallRequest.*` v2. An amount that leaves is negative.
"""

from partners.sandbox import reasons
from partners.sandbox.money import to_amount
from partners.sandbox.notices import Subject, queue, tell_posted
from partners.sandbox.records import Posting, Recall, RecallSide, Scheme
from partners.sandbox.store.database import Tx
from partners.sandbox.wire import Json

_INSTANT_VERSION = 2


def tell_asked(tx: Tx, recall: Recall) -> None:
    """Another bank wants its payment back."""
    if recall.scheme is Scheme.CT:
        why: Json = {"Reason": recall.reason, "AdditionalInformation": recall.information}
        payload: dict[str, Json] = {"CancellationReasonInformation": why}
        _tell_ct(tx, "Sepa.Ct.InboundPayment.Recalled", recall, payload)
        return
    payload = {
        "ReasonCode": recall.reason,
        "TimestampCreated": recall.asked_at,
        "AdditionalInformation": None if recall.information is None else [recall.information],
    }
    _tell_instant(tx, "RecallRequest.Received", recall, payload)


def tell_rejected(tx: Tx, recall: Recall, *, reason: str, now: str) -> None:
    """The client's recall was refused, or nobody answered it in time."""
    if recall.scheme is Scheme.CT:
        _tell_ct(tx, "Sepa.Ct.OutboundPayment.RecallRejected", recall, {"Reason": reason})
        return
    payload: dict[str, Json] = {
        "RejectionCode": reason,
        "TimestampRejected": now,
        "AdditionalInformation": None,
    }
    _tell_instant(tx, "RecallRequest.Rejected", recall, payload)


def tell_paid(tx: Tx, recall: Recall, posting: Posting) -> None:
    """A recall's money has moved: out for an incoming one, back for an instant payment of the client's."""
    if recall.scheme is Scheme.CT:
        tell_ct_sent_back(tx, posting)
        return
    amount: dict[str, Json] = {
        "RecallTransactionId": posting.id,
        "TotalReturnedAmount": to_amount(posting.signed_minor),
    }
    if recall.side is RecallSide.INCOMING:
        created = {**amount, "TimestampCreated": posting.created_at}
        _tell_instant(tx, "RecallPayment.Created", recall, created)
    _tell_instant(tx, "RecallPayment.Settled", recall, {**amount, "TimestampSettled": posting.settled_at})
    tell_posted(tx, posting, _subject(recall))


def tell_payment_failed(tx: Tx, recall: Recall, *, reason: str, now: str) -> None:
    """An accepted recall could not be paid; it can be answered again."""
    if recall.scheme is Scheme.CT:
        tell_ct_return_failed(
            tx, recall.payment_id, recall.end_to_end_id, recall.creditor_iban, reason=reason
        )
        return
    payload: dict[str, Json] = {
        "RecallTransactionId": recall.id,
        "TotalReturnedAmount": to_amount(-recall.amount_minor),
        "TimestampCancelled": now,
        "CancellationCode": reason,
        "CancellationReason": reasons.words(reason),
    }
    _tell_instant(tx, "RecallPayment.Cancelled", recall, payload)


def tell_ct_sent_back(tx: Tx, debit: Posting) -> None:
    """A credit transfer that came in has been sent back."""
    subject = Subject(
        payment_id=debit.payment_id, end_to_end_id=debit.end_to_end_id, creditor_iban=debit.own_iban
    )
    payload: dict[str, Json] = {
        "PaymentId": debit.payment_id,
        "TransactionId": debit.id,
        "EndToEndIdentification": debit.end_to_end_id,
    }
    queue(tx, "Sepa.Ct.InboundPayment.ReturnCompleted", payload, subject)
    tell_posted(tx, debit, subject)


def tell_ct_return_failed(
    tx: Tx, payment_id: str, end_to_end_id: str, creditor_iban: str, *, reason: str
) -> None:
    """A credit transfer that came in could not be sent back."""
    payload: dict[str, Json] = {
        "PaymentId": payment_id,
        "Reason": reason,
        "AdditionalInformation": reasons.words(reason),
        "EndToEndIdentification": end_to_end_id,
    }
    subject = Subject(payment_id=payment_id, end_to_end_id=end_to_end_id, creditor_iban=creditor_iban)
    queue(tx, "Sepa.Ct.InboundPayment.ReturnFailed", payload, subject)


def _tell_ct(tx: Tx, kind: str, recall: Recall, payload: dict[str, Json]) -> None:
    whole = {
        "PaymentId": recall.payment_id,
        **payload,
        "EndToEndIdentification": recall.end_to_end_id,
    }
    queue(tx, kind, whole, _subject(recall))


def _tell_instant(tx: Tx, kind: str, recall: Recall, payload: dict[str, Json]) -> None:
    whole = {
        "PaymentId": recall.payment_id,
        "OriginalTransactionId": recall.posting_id,
        **payload,
        "EndToEndId": recall.end_to_end_id,
    }
    queue(tx, f"Sepa.Instant.{kind}", whole, _subject(recall), version=_INSTANT_VERSION)


def _subject(recall: Recall) -> Subject:
    return Subject(
        payment_id=recall.payment_id,
        end_to_end_id=recall.end_to_end_id,
        creditor_iban=recall.creditor_iban,
    )
