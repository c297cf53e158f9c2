"""What the bank tells its client: the content of every webhook, and its way into the queue.

A webhook's bytes are fixed when it is queued, in the database transaction of the business it reports, so it
is sent if and only if that business stands. Webhook faults strike here, except the forged signature,
which belongs to one attempt to deliver.

Source: ClearBank EU webhooks `Sepa.Ct.*` v1, `Sepa.Instant.*` v1, `CustomerAccounts.TransactionCompleted` v1
and `Statements.ReadyForDownload` v1.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from partners.sandbox import faults, reasons
from partners.sandbox.clock import read_stamp, stamp, wall_now
from partners.sandbox.money import to_amount
from partners.sandbox.records import (
    Direction,
    Facts,
    FaultKind,
    Payment,
    Posting,
    Scheme,
    Statement,
    Webhook,
    WebhookState,
)
from partners.sandbox.store import accounts, webhooks
from partners.sandbox.store.database import Tx
from partners.sandbox.wire import Json, encode

# The bank's own example of a nonce does not fit 32 bits; neither do most of these.
NONCE_BITS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a webhook is about, as far as faults and the log care."""

    payment_id: str | None = None
    end_to_end_id: str | None = None
    creditor_iban: str | None = None
    silenced: bool = False


def subject_of(payment: Payment) -> Subject:
    """An order as a webhook's subject."""
    return Subject(
        payment_id=payment.id,
        end_to_end_id=payment.end_to_end_id,
        creditor_iban=payment.creditor_iban,
        silenced=payment.silenced,
    )


def tell_ct_completed(tx: Tx, payment: Payment, *, posting_id: str) -> None:
    """An outbound credit transfer has settled."""
    payload: dict[str, Json] = {
        "PaymentId": payment.id,
        "TransactionId": posting_id,
        "EndToEndIdentification": payment.end_to_end_id,
    }
    queue(tx, "Sepa.Ct.OutboundPayment.Completed", payload, subject_of(payment))


def tell_ct_failed(tx: Tx, payment: Payment, *, reason: str) -> None:
    """An outbound credit transfer was rejected and will not be paid."""
    payload: dict[str, Json] = {
        "PaymentId": payment.id,
        "Reason": reason,
        "AdditionalInformation": reasons.words(reason),
        "EndToEndIdentification": payment.end_to_end_id,
    }
    queue(tx, "Sepa.Ct.OutboundPayment.Failed", payload, subject_of(payment))


def tell_ct_returned(tx: Tx, payment: Payment, *, posting_id: str, reason: str) -> None:
    """The beneficiary's side has sent a settled credit transfer back."""
    payload: dict[str, Json] = {
        "PaymentId": payment.id,
        "TransactionId": posting_id,
        "Reason": reason,
        "EndToEndIdentification": payment.end_to_end_id,
    }
    queue(tx, "Sepa.Ct.OutboundPayment.ReturnCompleted", payload, subject_of(payment))


def tell_instant_created(tx: Tx, payment: Payment, *, posting_id: str, now: str) -> None:
    """An outbound instant payment has been accepted."""
    payload: dict[str, Json] = {
        "TransactionId": posting_id,
        "PaymentId": payment.id,
        "TimestampCreated": now,
        "EndToEndId": payment.end_to_end_id,
        "AdditionalPaymentProperties": None,
    }
    queue(tx, "Sepa.Instant.Outbound.Payment.Created", payload, subject_of(payment))


def tell_instant_delayed(tx: Tx, payment: Payment, *, posting_id: str) -> None:
    """An outbound instant payment has not settled in time; its end is still to come."""
    payload: dict[str, Json] = {
        "PaymentId": payment.id,
        "TransactionId": posting_id,
        "TimestampReceived": payment.received_at,
        "TimestampCreated": payment.received_at,
        "TimestampSubmitted": payment.received_at,
        "EndToEndId": payment.end_to_end_id,
        "AdditionalPaymentProperties": None,
    }
    queue(tx, "Sepa.Instant.Outbound.Payment.Delayed", payload, subject_of(payment))


def tell_instant_settled(tx: Tx, payment: Payment, *, posting_id: str, now: str) -> None:
    """An outbound instant payment is paid, for good."""
    payload = {
        **_instant_end(payment, posting_id=posting_id, now=now),
        "AdditionalPaymentProperties": [{"Key": "InterBankSettlementDate", "Value": now[:10]}],
    }
    queue(tx, "Sepa.Instant.Outbound.Payment.Settled", payload, subject_of(payment))


def tell_instant_cancelled(tx: Tx, payment: Payment, *, posting_id: str, reason: str, now: str) -> None:
    """An outbound instant payment was not paid, for good."""
    payload = {
        **_instant_end(payment, posting_id=posting_id, now=now),
        "AdditionalPaymentProperties": None,
        "CancellationCode": reason,
        "CancellationReason": reasons.words(reason),
    }
    queue(tx, "Sepa.Instant.Outbound.Payment.Cancelled", payload, subject_of(payment))


def tell_inbound(tx: Tx, credit: Posting, *, inbound_id: str, scheme: Scheme, silenced: bool) -> None:
    """Money from outside has been credited."""
    subject = Subject(
        payment_id=inbound_id,
        end_to_end_id=credit.end_to_end_id,
        creditor_iban=credit.own_iban,
        silenced=silenced,
    )
    if scheme is Scheme.INST:
        queue(tx, "Sepa.Instant.Inbound.Payment.Settled", _instant_inbound(credit, inbound_id), subject)
    else:
        queue(tx, "Sepa.Ct.InboundPayment.Completed", _ct_inbound(credit, inbound_id), subject)


def tell_posted(tx: Tx, posting: Posting, subject: Subject) -> None:
    """A client's account has been debited or credited; a fault may make the stated amount a cent too high."""
    kind = "CustomerAccounts.TransactionCompleted"
    facts = _facts(kind, subject)
    lies = not subject.silenced and faults.take(tx, FaultKind.WRONG_AMOUNT, facts) is not None
    own = _account_reference(posting.account_id, posting.own_iban)
    other = _account_reference(_account_behind(tx, posting.other_iban), posting.other_iban)
    is_credit = posting.direction is Direction.CREDIT
    payload: dict[str, Json] = {
        "TransactionId": posting.id,
        "EndToEndIdentification": posting.end_to_end_id,
        "CreatedDateTime": posting.created_at,
        "CompletedDateTime": posting.settled_at,
        "ClearingChannel": posting.channel,
        "DebitCreditCode": posting.direction,
        "Amount": to_amount(posting.amount_minor + (1 if lies else 0)),
        "Currency": posting.currency,
        "RemittanceInformation": posting.reference,
        "DebtorAccount": other if is_credit else own,
        "CreditorAccount": own if is_credit else other,
    }
    queue(tx, kind, payload, subject)


def tell_statement_ready(tx: Tx, statement: Statement) -> None:
    """A statement that was asked for can be fetched."""
    payload: dict[str, Json] = {
        "MessageId": statement.message_id,
        "TotalPages": statement.total_pages,
        "StartDateTime": statement.start_at,
        "EndDateTime": statement.end_at,
    }
    queue(tx, "Statements.ReadyForDownload", payload, Subject())


def queue(tx: Tx, kind: str, payload: Mapping[str, Json], subject: Subject, *, version: int = 1) -> None:
    """Fix a webhook's bytes and put it into the queue, or withhold it; faults strike here."""
    facts = _facts(kind, subject)
    withheld = subject.silenced or faults.take(tx, FaultKind.LOST_WEBHOOK, facts) is not None
    state = WebhookState.WITHHELD if withheld else WebhookState.PENDING
    if withheld:
        webhooks.insert_webhook(tx, _webhook(kind, payload, subject, state, version))
        return
    stated = _by_another_clock(tx, payload, facts)
    late = faults.take(tx, FaultKind.LATE_WEBHOOK, facts)
    first_at = stamp(wall_now() + timedelta(seconds=0 if late is None else late.seconds or 0))
    webhook = replace(_webhook(kind, stated, subject, state, version), next_attempt_at=first_at)
    webhooks.insert_webhook(tx, webhook)
    if faults.take(tx, FaultKind.DUPLICATE_WEBHOOK, facts) is not None:
        webhooks.insert_webhook(tx, _webhook(kind, stated, subject, state, version))


def _by_another_clock(tx: Tx, payload: Mapping[str, Json], facts: Facts) -> Mapping[str, Json]:
    """The payload, or the same told by a clock that goes wrong."""
    fault = faults.take(tx, FaultKind.SKEWED_CLOCK, facts)
    if fault is None or fault.seconds is None:
        return payload
    skew = timedelta(seconds=fault.seconds)
    return {
        name: stamp(read_stamp(value) + skew) if _is_moment(name) and isinstance(value, str) else value
        for name, value in payload.items()
    }


def _is_moment(name: str) -> bool:
    return name.startswith("Timestamp") or name in {"CreatedDateTime", "CompletedDateTime"}


def _webhook(kind: str, payload: Json, subject: Subject, state: WebhookState, version: int) -> Webhook:
    nonce = secrets.randbits(NONCE_BITS)
    now = stamp(wall_now())
    return Webhook(
        seq=0,
        type=kind,
        body=encode({"Type": kind, "Version": version, "Payload": payload, "Nonce": nonce}),
        nonce=nonce,
        payment_id=subject.payment_id,
        end_to_end_id=subject.end_to_end_id,
        creditor_iban=subject.creditor_iban,
        state=state,
        attempts=0,
        last_failure=None,
        created_at=now,
        next_attempt_at=now,
        delivered_at=None,
    )


def _facts(kind: str, subject: Subject) -> Facts:
    return Facts(end_to_end_id=subject.end_to_end_id, creditor_iban=subject.creditor_iban, webhook_type=kind)


def _instant_end(payment: Payment, *, posting_id: str, now: str) -> dict[str, Json]:
    return {
        "TransactionId": posting_id,
        "PaymentId": payment.id,
        "TimestampCreated": payment.received_at,
        "TimestampSubmitted": now,
        "EndToEndId": payment.end_to_end_id,
    }


def _ct_inbound(credit: Posting, inbound_id: str) -> dict[str, Json]:
    return {
        "PaymentId": inbound_id,
        "EndToEndIdentification": credit.end_to_end_id,
        "InstructedAmount": {"Amount": to_amount(credit.amount_minor), "Currency": credit.currency},
        "Debtor": {"Name": credit.other_name, "PostalAddress": _no_address()},
        "DebtorAccount": {"Iban": credit.other_iban},
        "Creditor": {"Name": credit.own_name, "PostalAddress": _no_address()},
        "CreditorAccount": {"Iban": credit.own_iban},
        "TransactionId": credit.id,
        "TransactionReference": credit.reference,
    }


def _instant_inbound(credit: Posting, inbound_id: str) -> dict[str, Json]:
    return {
        "TransactionId": credit.id,
        "PaymentId": inbound_id,
        "DebtorName": credit.other_name,
        "DebtorAccount": credit.other_iban,
        "CreditorName": credit.own_name,
        "CreditorAccount": credit.own_iban,
        "InstructedAmount": to_amount(credit.amount_minor),
        "SchemePaymentMethod": "INST",
        "TimestampCreated": credit.created_at,
        "TimestampSubmitted": credit.created_at,
        "EndToEndId": credit.end_to_end_id,
        "TransactionReference": credit.reference,
        "AdditionalPaymentProperties": None,
    }


def _no_address() -> Json:
    fields = ("BuildingNumber", "BuildingName", "StreetName", "TownName", "Country", "PostCode")
    return dict.fromkeys(fields)


def _account_behind(tx: Tx, iban: str | None) -> str | None:
    place = accounts.find_place(tx, iban) if iban is not None else None
    return None if place is None else place.account_id


def _account_reference(account_id: str | None, iban: str | None) -> Json:
    return {"AccountId": account_id, "Iban": iban, "Bban": None, "Descriptor": None}
