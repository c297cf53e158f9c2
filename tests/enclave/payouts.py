"""A payout that may be signed, to be spoilt by tests: its record, its order and its bodies."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave import canonical
from enclave.approvals import Approver, approval_text
from enclave.canonical import JsonValue
from enclave.facts import PayoutRecord
from enclave.policy import Conditions
from enclave.protocol import BankProfile, BankScheme, PayoutRequest, Target

PAYOUT_ID = "pay_" + "5a" * 16
ATTEMPT_ID = "att_" + "c3" * 16
AMOUNT_MINOR = 123_456
AMOUNT_TEXT = "1234.56"
INITIATOR = "cli_desk"

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
COOLING = timedelta(hours=48)
SCREENING_AGE_MAX = timedelta(hours=24)
STRICT = Conditions(
    approvals_above_minor=0, approvals_needed=2, cooling=COOLING, screening_age_max=SCREENING_AGE_MAX
)
APPROVERS_KEYS = {
    name: ec.generate_private_key(ec.SECP256R1()) for name in ("anna", "boris", "carla", "mallory", INITIATOR)
}


def approver_of(name: str, programme_ids: frozenset[str] | None = None) -> Approver:
    public = APPROVERS_KEYS[name].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return Approver(id=name, public_key_pem=pem, programme_ids=programme_ids)


# Mallory has a key, and is no approver.
ROSTER = {name: approver_of(name) for name in APPROVERS_KEYS if name != "mallory"}


def signed_by(name: str, record: PayoutRecord, *, said_to_be: str | None = None) -> dict[str, JsonValue]:
    """What the database holds of an approval."""
    text = approval_text(
        payout_id=record.payout_id, programme_id=record.programme_id, order_digest=record.order_digest
    )
    signature = APPROVERS_KEYS[name].sign(text, ec.ECDSA(hashes.SHA256()))
    return {"approver_id": said_to_be or name, "signature": signature.hex()}


def approved(record: PayoutRecord, *names: str) -> PayoutRecord:
    """The record with these people's approvals."""
    approvals = [signed_by(name, record) for name in names]
    return replace(record, approvals=canonical.encode(approvals).decode())


def fit(record: PayoutRecord) -> PayoutRecord:
    """The record with all that the strictest conditions ask for, and not a second or an approval more."""
    ready = replace(
        record,
        beneficiary_changed_at=NOW - COOLING,
        beneficiary_verified_at=NOW - COOLING,
        screened_at=NOW - SCREENING_AGE_MAX,
    )
    return approved(ready, "anna", "boris")


ORDER: dict[str, JsonValue] = {
    "amount_minor": AMOUNT_MINOR,
    "creditor_iban": "DE89370400440532013000",
    "creditor_name": "Blumen Becker GmbH",
    "currency": "EUR",
    "debtor_iban": "NL91CLRB0417164300",
    "debtor_name": "Universal Pay B.V.",
    "end_to_end_id": "PAY-5A5A5A5A",
    "initiator": INITIATOR,
    "payout_id": PAYOUT_ID,
    "programme_id": "prg_universal",
    "rail": "SCT",
    "remittance": "Settlement week 47",
}

CREDIT_TRANSFER: dict[str, JsonValue] = {
    "endToEndId": "PAY-5A5A5A5A",
    "currency": "EUR",
    "debtor": {"name": "Universal Pay B.V.", "accountIban": "NL91CLRB0417164300"},
    "creditor": {"name": "Blumen Becker GmbH", "accountIban": "DE89370400440532013000"},
    "remittanceInformationUnstructured": "Settlement week 47",
}

INSTANT: dict[str, JsonValue] = {
    "endToEndId": "PAY-5A5A5A5A",
    "debtor": {"name": "Universal Pay B.V.", "accountIban": "NL91CLRB0417164300"},
    "creditor": {"name": "Blumen Becker GmbH", "accountIban": "DE89370400440532013000"},
    "reference": "Settlement week 47",
}


def order_text(**changes: JsonValue) -> str:
    return canonical.encode({**ORDER, **changes}).decode()


def body_of(members: dict[str, JsonValue], *, amount: str | None = AMOUNT_TEXT) -> bytes:
    """The body with its amount spelt exactly so: a JSON number, quotes and all if the test wants them."""
    if amount is None:
        return json.dumps(members).encode()
    return json.dumps({**members, "amount": "@"}).replace('"@"', amount).encode()


def record_of(order: str, **changes: object) -> PayoutRecord:
    digest = hashlib.sha256(order.encode()).digest()
    record = PayoutRecord(
        payout_id=PAYOUT_ID,
        programme_id="prg_universal",
        state="submitted",
        rail="SCT",
        amount_minor=AMOUNT_MINOR,
        currency="EUR",
        creditor_name="Blumen Becker GmbH",
        creditor_iban="DE89370400440532013000",
        debtor_name="Universal Pay B.V.",
        debtor_iban="NL91CLRB0417164300",
        end_to_end_id="PAY-5A5A5A5A",
        remittance="Settlement week 47",
        order_canonical=order,
        order_digest=digest,
        cleared_digest=digest,
        open_attempt_id=ATTEMPT_ID,
        attempts_possibly_sent=0,
        initiator=INITIATOR,
        beneficiary_verified_at=None,
        beneficiary_changed_at=None,
        screened_at=None,
        approvals="[]",
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # tests spoil columns with other types too


def good_record(**changes: object) -> PayoutRecord:
    return record_of(order_text(), **changes)


def request_of(
    body: bytes,
    *,
    profile: BankProfile = "clearbank.sct",
    scheme: BankScheme = "body_rsa_sha256",
    target: Target | None = None,
) -> PayoutRequest:
    return PayoutRequest(
        purpose="payout",
        payout_id=PAYOUT_ID,
        attempt_id=ATTEMPT_ID,
        profile=profile,
        scheme=scheme,
        target=target,
        body=body,
    )


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Payout records from a dictionary: the second implementation of `PayoutFacts`."""

    records: dict[str, PayoutRecord]

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        return {key: self.records[key] for key in payout_ids if key in self.records}
