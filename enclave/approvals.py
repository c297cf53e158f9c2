"""Approvals: people's signatures under one order, and who may give them.

An approver signs, with a key of his own that no part of the installation holds, which payout, of which programme, and
the digest of its order: whatever changes afterwards, the approval is for something else. Pure but for reading the list
of approvers from a file. May not decide how many approvals are enough; `policy` does.
Follows: FIPS 186-5 (ECDSA, P-256, SHA-256) with signatures in DER, as `openssl dgst -sha256 -sign` writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue
from enclave.facts import PayoutRecord
from enclave.keys import fingerprint

# Stands before what is approved: the signature cannot be taken for one over anything else.
APPROVAL_PREFIX = b"tallystick-payout-approval-v1\n"
APPROVALS_MAX = 64  # of one payout: nobody makes the enclave verify without end
ID_CHARS_MAX = 64

_APPROVER_FIELDS = frozenset({"id", "public_key_pem", "programme_ids"})
_APPROVAL_FIELDS = frozenset({"approver_id", "signature"})


class ApproversUnreadable(Exception):
    """The list of approvers is not what it must be: nobody is known to be one."""


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


def read_approvers(path: Path) -> Mapping[str, Approver]:
    """The approvers that a file names: a JSON list of `{id, public_key_pem, programme_ids}`.

    Raises:
        ApproversUnreadable: no such file, not such a list, a key that is not on P-256, an id or a key that comes twice.
    """
    try:
        listed = canonical.parse(path.read_bytes())
        approvers = [_approver(item) for item in listed] if isinstance(listed, list) else None
    except OSError as error:
        raise ApproversUnreadable(f"cannot read the approvers ({type(error).__name__})") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ApproversUnreadable("the approvers are not a list of approvers") from error
    if approvers is None:
        raise ApproversUnreadable("the approvers are not a list of approvers")
    _refuse_twins(approvers)
    return {approver.id: approver for approver in approvers}


def _approves(approver: Approver, approval: Approval, programme_id: str, text: bytes) -> bool:
    if approver.programme_ids is not None and programme_id not in approver.programme_ids:
        return False
    try:
        _public_key(approver.public_key_pem).verify(approval.signature, text, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


@lru_cache(maxsize=256)
def _public_key(pem: str) -> ec.EllipticCurvePublicKey:
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the key is not a P-256 key")  # noqa: TRY004  # a value of the file, not a type of ours
    return key


def _approval(item: JsonValue) -> Approval:
    if not isinstance(item, Mapping) or set(item) != _APPROVAL_FIELDS:
        raise JsonUnreadable("not an approval")
    return Approval(
        approver_id=_text(item["approver_id"]),
        signature=bytes.fromhex(_text(item["signature"], chars_max=1024)),
    )


def _approver(item: JsonValue) -> Approver:
    if not isinstance(item, Mapping) or set(item) != _APPROVER_FIELDS:
        raise JsonUnreadable("not an approver")
    pem, programmes = _text(item["public_key_pem"], chars_max=1024), item["programme_ids"]
    _public_key(pem)
    if programmes is not None and not isinstance(programmes, list):
        raise JsonUnreadable("not a list of programmes")
    return Approver(
        id=_text(item["id"]),
        public_key_pem=pem,
        programme_ids=None if programmes is None else frozenset(_text(name) for name in programmes),
    )


def _text(value: JsonValue, *, chars_max: int = ID_CHARS_MAX) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= chars_max:
        raise JsonUnreadable("not a text, or too long")
    return value


def _refuse_twins(approvers: Sequence[Approver]) -> None:
    """One person with two ids, or two with one, would be counted wrongly."""
    ids = {approver.id for approver in approvers}
    keys = {fingerprint(approver.public_key_pem) for approver in approvers}
    if len(ids) < len(approvers) or len(keys) < len(approvers):
        raise ApproversUnreadable("an approver, or a key, is named twice")
