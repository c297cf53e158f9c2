"""Approvals: people's signatures under one order, and who may give them.

An approver signs, with a key of his own that no part of the installation holds, which payout, of which programme, and
the digest of its order: whatever changes afterwards, the approval is for something else. Who is an approver, the
custodians resolve (`enclave.resolutions`). Pure. May not decide how many approvals are enough; `policy` does.
Follows: FIPS 186-5 (ECDSA, P-256, SHA-256) with signatures in DER, as `openssl dgst -sha256 -sign` writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue
from enclave.facts import PayoutRecord
from enclave.keys import fingerprint
from enclave.roster import signed_by

# Stands before what is approved: the signature cannot be taken for one over anything else.
APPROVAL_PREFIX = b"tallystick-payout-approval-v1\n"
APPROVALS_MAX = 64  # of one payout: nobody makes the enclave verify without end
ID_CHARS_MAX = 64

_APPROVAL_FIELDS = frozenset({"approver_id", "signature"})


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may approve payouts, and the public half of the key that he does it with.

    `programme_ids` None: of every programme.
    """

    id: str
    public_key_pem: str
    programme_ids: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Approval:
    """What somebody says is an approver's signature, in DER."""

    approver_id: str
    signature: bytes


def approval_text(*, payout_id: str, programme_id: str, order_digest: bytes) -> bytes:
    """The bytes that an approver signs."""
    said = {"order_digest": order_digest.hex(), "payout_id": payout_id, "programme_id": programme_id}
    return APPROVAL_PREFIX + canonical.encode(said)


def approvers_of(record: PayoutRecord, roster: Mapping[str, Approver]) -> Mapping[str, str]:
    """Who has approved exactly this order: the approver's id by the fingerprint of his key.

    What is forged, for another order, of a stranger or out of his programmes is no approval, and two approvals with one
    key are one, whatever ids they come under.
    """
    text = approval_text(
        payout_id=record.payout_id, programme_id=record.programme_id, order_digest=record.order_digest
    )
    found: dict[str, str] = {}
    for approval in read_approvals(record.approvals):
        approver = roster.get(approval.approver_id)
        if approver is not None and _approves(approver, approval, record.programme_id, text):
            found[fingerprint(approver.public_key_pem)] = approver.id
    return found


def read_approvals(text: str | None) -> tuple[Approval, ...]:
    """The approvals that the database holds of a payout; what cannot be read as a whole is none at all."""
    try:
        listed = canonical.parse((text or "").encode())
        if not isinstance(listed, list) or len(listed) > APPROVALS_MAX:
            return ()
        return tuple(_approval(item) for item in listed)
    except ValueError:
        return ()


def _approves(approver: Approver, approval: Approval, programme_id: str, text: bytes) -> bool:
    if approver.programme_ids is not None and programme_id not in approver.programme_ids:
        return False
    return signed_by(approver.public_key_pem, message=text, signature=approval.signature)


def _approval(item: JsonValue) -> Approval:
    if not isinstance(item, Mapping) or set(item) != _APPROVAL_FIELDS:
        raise JsonUnreadable("not an approval")
    return Approval(
        approver_id=_text(item["approver_id"]),
        signature=bytes.fromhex(_text(item["signature"], chars_max=1024)),
    )


def _text(value: JsonValue, *, chars_max: int = ID_CHARS_MAX) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= chars_max:
        raise JsonUnreadable("not a text, or too long")
    return value
