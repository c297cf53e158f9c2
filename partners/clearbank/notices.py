"""ClearBank's webhooks: whether the bank signed them, what they say, and the answer it waits for.

Deliveries repeat and come in any order. A type that the book has no use for, or that nobody here knows yet,
is kept and confirmed as Informational, never refused: a refused notice is sent again for a day and then lost.
`CustomerAccounts.TransactionCompleted` is one of these: it repeats what the scheme's own notices say, with
less detail, and money that it alone announces is found in the statement. `Sepa.Instant.RecallPayment.Settled`
is another: it may give back a part only, and we send no recalls.

Source: ClearBank EU, webhooks for SEPA CT, SEPA Instant, accounts and statements; RFC 8017 section 8.2.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from ledger.core.canonical import Canonical, digest
from partners.amounts import minor_units
from partners.body_signature import check_body_signature
from partners.clearbank.json_text import (
    Json,
    JsonObject,
    number_text,
    optional_object,
    optional_text,
    read_object,
    required_decimal,
    required_object,
    required_text,
    whole_number,
)
from partners.clearbank.manifest import CURRENCY
from partners.clearbank.reasons import explain
from partners.clearbank.references import bank_id
from partners.clearbank.statements import is_message_id
from partners.contract import (
    Acknowledgement,
    Informational,
    MoneyArrived,
    Notice,
    NoticeMeaning,
    PaymentState,
    PayoutAdvanced,
    PayoutReturned,
    StatementReady,
    Unreadable,
)

SIGNATURE_HEADER: Final = "digitalsignature"


def verify_notice(*, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes) -> None:
    """RSA PKCS#1 v1.5 with SHA-256 over the body as it came.

    Raises: BadSignature unless the bank signed exactly these bytes.
    """
    check_body_signature(headers, field=SIGNATURE_HEADER, body=body, public_key_pem=public_key_pem)


def parse_notice(body: bytes) -> Notice:
    """What a verified webhook says. Raises: Unreadable."""
    envelope = read_object(body)
    type_, version = required_text(envelope, "Type"), _version(envelope)
    if "Payload" not in envelope:
        raise Unreadable("Payload is missing.")
    payload = envelope["Payload"]
    key = digest({"type": type_, "version": version, "payload": _canonical(payload)}).hex()
    return Notice(key=key, type=type_, meanings=(_meaning(type_, version, payload),))


def acknowledge(body: bytes) -> Acknowledgement:
    """The answer owed to a verified webhook: its own nonce, which the host has signed. Raises: Unreadable."""
    nonce = whole_number(read_object(body), "Nonce")
    return Acknowledgement(200, b'{"Nonce":%d}' % nonce, profile="clearbank.webhook_ack")


def _version(envelope: JsonObject) -> int:
    """The message's version; the bank's own examples leave it out of a first version at times."""
    return whole_number(envelope, "Version") if "Version" in envelope else 1


def _canonical(value: Json) -> Canonical:
    match value:
        case None | bool() | str():
            return value
        case int() | Decimal():
            return number_text(value)
        case Mapping():
            return {name: _canonical(item) for name, item in value.items()}
        case Sequence():
            return [_canonical(item) for item in value]


def _meaning(type_: str, version: int, payload: Json) -> NoticeMeaning:
    if type_ not in _READERS:
        return Informational(f"{type_} version {version}")
    if version != 1:
        raise Unreadable(f"{type_} came in version {version}, which nobody here can read yet.")
    if not isinstance(payload, Mapping):
        raise Unreadable("Payload is not an object.")
    return _READERS[type_](payload)


# --- SEPA CT ------------------------------------------------------------------------------------------------


def _sct_settled(payload: JsonObject) -> NoticeMeaning:
    return PayoutAdvanced(
        end_to_end_id=required_text(payload, "EndToEndIdentification"),
        payment_id=_id(payload, "PaymentId"),
        state=PaymentState.SETTLED,
        transaction_id=_id(payload, "TransactionId"),
        reason=None,
    )


def _sct_failed(payload: JsonObject) -> NoticeMeaning:
    return PayoutAdvanced(
        end_to_end_id=required_text(payload, "EndToEndIdentification"),
        payment_id=_id(payload, "PaymentId"),
        state=PaymentState.FAILED,
        transaction_id=None,
        reason=explain(required_text(payload, "Reason")),
    )


def _sct_returned(payload: JsonObject) -> NoticeMeaning:
    return PayoutReturned(
        end_to_end_id=required_text(payload, "EndToEndIdentification"),
        payment_id=_id(payload, "PaymentId"),
        transaction_id=_id(payload, "TransactionId"),
        reason=explain(required_text(payload, "Reason")),
        amount_minor=None,  # the notice does not say: a return in the scheme is of the whole payment
    )


def _sct_arrived(payload: JsonObject) -> NoticeMeaning:
    instructed = required_object(payload, "InstructedAmount")
    currency = required_text(instructed, "Currency")
    return MoneyArrived(
        transaction_id=_id(payload, "TransactionId"),
        end_to_end_id=required_text(payload, "EndToEndIdentification"),
        amount_minor=_positive(minor_units(required_decimal(instructed, "Amount"), currency)),
        currency=currency,
        creditor_iban=required_text(required_object(payload, "CreditorAccount"), "Iban"),
        debtor_name=optional_text(optional_object(payload, "Debtor"), "Name") or "",
        debtor_iban=optional_text(optional_object(payload, "DebtorAccount"), "Iban") or "",
        remittance=optional_text(payload, "TransactionReference") or "",
    )


# --- SEPA Instant -------------------------------------------------------------------------------------------


def _instant_pending(payload: JsonObject) -> NoticeMeaning:
    transaction_id = optional_text(payload, "TransactionId")
    return PayoutAdvanced(
        end_to_end_id=required_text(payload, "EndToEndId"),
        payment_id=_id(payload, "PaymentId"),
        state=PaymentState.PENDING,
        transaction_id=None if transaction_id is None else bank_id(transaction_id),
        reason=None,
    )


def _instant_settled(payload: JsonObject) -> NoticeMeaning:
    return PayoutAdvanced(
        end_to_end_id=required_text(payload, "EndToEndId"),
        payment_id=_id(payload, "PaymentId"),
        state=PaymentState.SETTLED,
        transaction_id=_id(payload, "TransactionId"),
        reason=None,
    )


def _instant_cancelled(payload: JsonObject) -> NoticeMeaning:
    return PayoutAdvanced(
        end_to_end_id=required_text(payload, "EndToEndId"),
        payment_id=_id(payload, "PaymentId"),
        state=PaymentState.FAILED,
        transaction_id=_id(payload, "TransactionId"),
        reason=explain(required_text(payload, "CancellationCode")),
    )


def _instant_arrived(payload: JsonObject) -> NoticeMeaning:
    return MoneyArrived(
        transaction_id=_id(payload, "TransactionId"),
        end_to_end_id=required_text(payload, "EndToEndId"),
        amount_minor=_positive(minor_units(required_decimal(payload, "InstructedAmount"), CURRENCY)),
        currency=CURRENCY,  # the scheme has no other, and the message no field for one
        creditor_iban=required_text(payload, "CreditorAccount"),
        debtor_name=optional_text(payload, "DebtorName") or "",
        debtor_iban=optional_text(payload, "DebtorAccount") or "",
        remittance=optional_text(payload, "TransactionReference") or "",
    )


# --- statements ---------------------------------------------------------------------------------------------


def _statement_ready(payload: JsonObject) -> NoticeMeaning:
    message_id, pages = required_text(payload, "MessageId"), whole_number(payload, "TotalPages")
    if not is_message_id(message_id):
        raise Unreadable("MessageId is not the id of a statement.")
    if pages < 1:
        raise Unreadable("TotalPages is less than one.")
    return StatementReady(message_id=message_id, pages=pages)


def _id(payload: JsonObject, name: str) -> str:
    return bank_id(required_text(payload, name))


def _positive(amount_minor: int) -> int:
    """Descriptions may be missing and the money is still booked; without an amount there is nothing."""
    if amount_minor <= 0:
        raise Unreadable("Money that arrives is more than nothing.")
    return amount_minor


_READERS: Final[Mapping[str, Callable[[JsonObject], NoticeMeaning]]] = {
    "Sepa.Ct.OutboundPayment.Completed": _sct_settled,
    "Sepa.Ct.OutboundPayment.Failed": _sct_failed,
    "Sepa.Ct.OutboundPayment.ReturnCompleted": _sct_returned,
    "Sepa.Ct.InboundPayment.Completed": _sct_arrived,
    "Sepa.Instant.Outbound.Payment.Created": _instant_pending,
    "Sepa.Instant.Outbound.Payment.Delayed": _instant_pending,
    "Sepa.Instant.Outbound.Payment.Settled": _instant_settled,
    "Sepa.Instant.Outbound.Payment.Cancelled": _instant_cancelled,
    "Sepa.Instant.Inbound.Payment.Settled": _instant_arrived,
    "Statements.ReadyForDownload": _statement_ready,
}
