"""Approvals of payouts come in, and are kept for the enclave to judge. Runs on a lane, inside its transaction."""

import base64
import binascii
from collections.abc import Sequence

from api import present
from api.lanes import Ask, Reply
from api.problems import from_declined, not_found
from ledger.core.errors import InvalidValue
from ledger.core.ids import PayoutId, is_id
from ledger.flows.approvals import approve
from ledger.store.approvals import approvals_of
from ledger.store.payouts import lock_payouts
from ledger.store.tx import Tx

SIGNATURE_BYTES = range(8, 81)  # an ECDSA signature on P-256 in DER has 8 to 72


def approve_payouts(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Keeps approvals of payouts that wait."""
    return [_approve_one(tx, ask) for ask in asks]


def _approve_one(tx: Tx, ask: Ask) -> Reply:
    body, payout_id = ask.payload
    payout = lock_payouts(tx, [PayoutId(payout_id)]).get(payout_id) if is_id("pay", payout_id) else None
    if payout is None or payout.programme_id != ask.programme:
        return Reply.declined(not_found("payout"))
    declined = approve(tx, payout, approver_id=body.approver_id, signature=_signature(body.signature))
    if declined is not None:
        return Reply.declined(from_declined(declined))
    return Reply(201, present.approval_of(payout, approvals_of(tx, [payout.id])[payout.id]))


def _signature(text: str) -> bytes:
    try:
        signature = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidValue("The signature is not base64.", field="signature") from error
    if len(signature) not in SIGNATURE_BYTES:
        raise InvalidValue("The signature does not have the length of one.", field="signature")
    return signature
