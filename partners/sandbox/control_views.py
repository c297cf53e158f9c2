"""How the developer's side shows the bank's rows. Units: `...Minor` is in cents."""

from collections.abc import Sequence
from decimal import Decimal

from partners.sandbox.money import CURRENCY
from partners.sandbox.records import Account, Fault, Payment, Recall, VirtualAccount, Webhook
from partners.sandbox.wire import Json


def payment_view(payment: Payment, repeats: int) -> Json:
    """An order to pay; it has one request id, and `repeats` says how often that id came again (and got
    409).
    """
    return {
        "paymentId": payment.id,
        "endToEndId": payment.end_to_end_id,
        "amountMinor": payment.amount_minor,
        "currency": payment.currency,
        "debtorIban": payment.debtor_iban,
        "creditorIban": payment.creditor_iban,
        "creditorName": payment.creditor_name,
        "scheme": payment.scheme,
        "status": payment.status,
        "reason": payment.reason,
        "returnedMinor": payment.returned_minor,
        "transactionId": payment.posting_id,
        "requestIds": [payment.request_id],
        "repeats": repeats,
        "silenced": payment.silenced,
        "receivedAt": payment.received_at,
    }


def recall_view(recall: Recall) -> Json:
    """A request to give a payment back."""
    return {
        "recallId": recall.id,
        "side": recall.side,
        "scheme": recall.scheme,
        "paymentId": recall.payment_id,
        "endToEndId": recall.end_to_end_id,
        "amountMinor": recall.amount_minor,
        "reason": recall.reason,
        "status": recall.status,
        "answerReason": recall.answer_reason,
        "askedAt": recall.asked_at,
        "answerBy": recall.answer_by,
        "dueAt": recall.due_at,
    }


def event_view(webhook: Webhook) -> Json:
    """A webhook with what became of it."""
    return {
        "seq": webhook.seq,
        "type": webhook.type,
        "state": webhook.state,
        "attempts": webhook.attempts,
        "lastFailure": webhook.last_failure,
        "nonce": webhook.nonce,
        "paymentId": webhook.payment_id,
        "endToEndId": webhook.end_to_end_id,
        "createdAt": webhook.created_at,
        "deliveredAt": webhook.delivered_at,
        "body": webhook.body,
    }


def fault_view(fault: Fault) -> Json:
    """A fault and how often it may still strike."""
    match = {
        "endToEndId": fault.end_to_end_id,
        "creditorIban": fault.creditor_iban,
        "path": fault.path,
        "webhookType": fault.webhook_type,
    }
    return {
        "id": fault.id,
        "kind": fault.kind,
        "match": {name: value for name, value in match.items() if value is not None},
        "reason": fault.reason,
        "seconds": None if fault.seconds is None else Decimal(str(fault.seconds)),
        "amountMinor": fault.amount_minor,
        "timesLeft": fault.times_left,
        "createdAt": fault.created_at,
    }


def account_view(account: Account, virtual_accounts: Sequence[VirtualAccount]) -> Json:
    """A real account with its balances and its virtual accounts."""
    return {
        "accountId": account.id,
        "name": account.name,
        "owner": account.owner,
        "kind": account.kind,
        "iban": account.iban,
        "currency": CURRENCY,
        "actualMinor": account.actual_minor,
        "availableMinor": account.actual_minor - account.earmarked_minor,
        "virtualAccounts": [
            {"virtualAccountId": virtual.id, "owner": virtual.owner, "iban": virtual.iban}
            for virtual in virtual_accounts
            if virtual.account_id == account.id
        ],
    }
