"""A payout that may be signed, to be spoilt by tests: its record, its order and its bodies."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from enclave import canonical
from enclave.canonical import JsonValue
from enclave.facts import PayoutRecord
from enclave.protocol import BankProfile, PayoutRequest

PAYOUT_ID = "pay_" + "5a" * 16
ATTEMPT_ID = "att_" + "c3" * 16
AMOUNT_MINOR = 123_456
AMOUNT_TEXT = "1234.56"

ORDER: dict[str, JsonValue] = {
    "amount_minor": AMOUNT_MINOR,
    "creditor_iban": "DE89370400440532013000",
    "creditor_name": "Blumen Becker GmbH",
    "currency": "EUR",
    "debtor_iban": "NL91CLRB0417164300",
    "debtor_name": "Universal Pay B.V.",
    "end_to_end_id": "PAY-5A5A5A5A",
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
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # tests spoil columns with other types too


def good_record(**changes: object) -> PayoutRecord:
    return record_of(order_text(), **changes)


def request_of(body: bytes, *, profile: BankProfile = "clearbank.sct") -> PayoutRequest:
    return PayoutRequest(
        purpose="payout", payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile=profile, body=body
    )


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Payout records from a dictionary: the second implementation of `PayoutFacts`."""

    records: dict[str, PayoutRecord]

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        return {key: self.records[key] for key in payout_ids if key in self.records}
