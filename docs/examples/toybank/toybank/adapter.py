"""Toybank's dialect: orders, answers, enquiries and notices in JSON. Pure functions that open and hold nothing.

An order repeats our id; the answer repeats the order, and is believed only if it repeats it rightly.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ledger.core.errors import InvalidValue
from partners.contract import (
    Accepted,
    Acknowledgement,
    Answer,
    BadSignature,
    Elsewhere,
    Fault,
    Instruction,
    Manifest,
    MoneyArrived,
    Notice,
    NoticeMeaning,
    NotSent,
    Outcome,
    PaymentState,
    PaymentStatus,
    PayoutAdvanced,
    PayoutReturned,
    Reason,
    Rejected,
    Request,
    Signing,
    Statement,
    Unknown,
    Unreadable,
)
from partners.sepa_text import is_sepa_text
from toybank import statements
from toybank.manifest import MANIFEST
from toybank.reading import cents, read, rows, text, within

_SECONDS = re.compile(r"\A[0-9]{1,6}\Z")
SIGNATURE: Final = "toybank-signature"
_STATES: Final = {
    "waiting": PaymentState.PENDING,
    "paid": PaymentState.SETTLED,
    "failed": PaymentState.FAILED,
}
_CODES: Final[Mapping[str, tuple[str, Fault, Elsewhere]]] = {
    "CLOSED": ("The account is closed.", "payee", Elsewhere.NO),
    "NOFUNDS": ("The account does not hold enough money.", "payer", Elsewhere.NO),
    "NOROUTE": ("Toybank does not reach the payee's bank.", "bank", Elsewhere.OTHER_BANK),
}


class Toybank:
    """Instant payments through Toybank."""

    def manifest(self) -> Manifest:
        return MANIFEST

    # --- orders ------------------------------------------------------------------------------------------------

    def prepare(self, instruction: Instruction) -> Request:
        _check(instruction)
        order = {
            "id": instruction.payout_id,
            "cents": instruction.amount_minor,
            "currency": instruction.currency,
            "from": {"name": instruction.debtor_name, "iban": instruction.debtor_iban},
            "to": {"name": instruction.creditor_name, "iban": instruction.creditor_iban},
            "reference": instruction.end_to_end_id,
            "text": instruction.remittance,
        }
        return Request(
            "POST", "/orders", json.dumps(order).encode(), signing=Signing.PAYOUT, profile="toybank.order"
        )

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        match answer.status:
            case 200:
                try:
                    return self._receipt(instruction, answer.body)
                except Unreadable as broken:
                    return Unknown(f"the receipt cannot be read: {broken}")
            case 429:
                return NotSent("Toybank is asked too much", retry_after_s=_wait_s(answer))
            case status:
                return Unknown(f"Toybank answered with status {status}")

    def _receipt(self, instruction: Instruction, body: bytes) -> Outcome:
        said = read(body)
        repeated = (text(said, "id"), cents(said, "cents"), text(said, "to"))
        if repeated != (instruction.payout_id, instruction.amount_minor, instruction.creditor_iban):
            return Unknown("the receipt is about another order")
        match text(said, "status"):
            case "taken":
                return Accepted((("number", text(said, "number")),))
            case "refused":
                return Rejected(self.explain(text(said, "code")))
            case _:
                return Unknown("the receipt says neither taken nor refused")

    # --- enquiries ---------------------------------------------------------------------------------------------

    def status_request(
        self,
        instruction: Instruction,
        *,
        account_id: str,  # noqa: ARG002 - an order is found by our reference alone
        since: datetime,  # noqa: ARG002
        until: datetime,  # noqa: ARG002
        page: int,  # noqa: ARG002 - Toybank has one page
    ) -> Request | None:
        path = f"/orders?reference={quote(instruction.end_to_end_id)}"
        return Request("GET", path, None, signing=Signing.QUERY, profile="toybank.orders")

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
        if answer.status != 200:
            raise Unreadable(f"The enquiry was answered with status {answer.status}.")
        found = rows(read(answer.body), "orders")
        return tuple(
            self._status(row) for row in found if text(row, "reference") == instruction.end_to_end_id
        )

    def _status(self, row: Mapping[str, object]) -> PaymentStatus:
        state = _state(row)
        return PaymentStatus(
            end_to_end_id=text(row, "reference"),
            state=state,
            amount_minor=cents(row, "cents"),
            currency=text(row, "currency"),
            creditor_iban=text(row, "to"),
            transaction_id=text(row, "booking"),
            reason=self.explain(text(row, "code")) if state is PaymentState.FAILED else None,
        )

    def status_continues(self, answer: Answer) -> bool:  # noqa: ARG002 - Toybank has one page
        return False

    # --- notices -----------------------------------------------------------------------------------------------

    def verify_notice(
        self, *, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes
    ) -> None:
        signatures = [value for name, value in headers if name.lower() == SIGNATURE]
        if len(signatures) != 1:
            raise BadSignature("A notice carries exactly one signature.")
        try:
            key = load_pem_public_key(public_key_pem)
            if not isinstance(key, Ed25519PublicKey):
                raise BadSignature("Toybank's key is no Ed25519 key.")
            key.verify(base64.b64decode(signatures[0], validate=True), body)
        except (ValueError, InvalidSignature) as forged:
            raise BadSignature("The signature does not belong to this body.") from forged

    def parse_notice(self, body: bytes) -> Notice:
        said = read(body)
        event, about = text(said, "event"), within(said, "about")
        # The number of the delivery is left out: a notice that comes again is the same news.
        key = json.dumps([event, about], sort_keys=True)
        return Notice(key=key, type=event, meanings=(self._meaning(event, about),))

    def _meaning(self, event: str, about: Mapping[str, object]) -> NoticeMeaning:
        match event:
            case "order":
                state = _state(about)
                return PayoutAdvanced(
                    end_to_end_id=text(about, "reference"),
                    payment_id=text(about, "number"),
                    state=state,
                    transaction_id=text(about, "booking"),
                    reason=self.explain(text(about, "code")) if state is PaymentState.FAILED else None,
                )
            case "returned":
                return PayoutReturned(
                    end_to_end_id=text(about, "reference"),
                    payment_id=text(about, "number"),
                    transaction_id=text(about, "booking"),
                    reason=self.explain(text(about, "code")),
                    amount_minor=None,
                )
            case "arrived":
                return _arrived(about)
            case _:
                raise Unreadable("Toybank has no such event.")

    def acknowledge(self, body: bytes) -> Acknowledgement | None:
        read(body)
        return None  # any success will do

    # --- statements, codes -------------------------------------------------------------------------------------

    def statement_request(self, *, starts_at: datetime, ends_at: datetime) -> Request | None:  # noqa: ARG002
        return None  # Toybank sends them every night

    def statement_page_request(self, message_id: str, page: int) -> Request | None:  # noqa: ARG002
        return None

    def parse_statement(self, document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
        if further_pages:
            raise Unreadable("Toybank's statements have one page.")
        return (statements.statement(read(document)),)

    def explain(self, code: str) -> Reason:
        unlisted: tuple[str, Fault, Elsewhere] = (
            "Toybank does not list this code.",
            "unknown",
            Elsewhere.NO,
        )
        meaning, fault, elsewhere = _CODES.get(code, unlisted)
        return Reason("toybank", code, meaning, fault, elsewhere)


def _check(asked: Instruction) -> None:
    facts = MANIFEST.rail(asked.rail)
    least, most = facts.amount_min_minor, facts.amount_max_minor or asked.amount_minor
    for field, is_sound in (
        ("amount_minor", least <= asked.amount_minor <= most),
        ("currency", asked.currency in facts.currencies),
        ("creditor_name", is_sepa_text(asked.creditor_name, max_length=facts.name_max)),
        ("debtor_name", is_sepa_text(asked.debtor_name, max_length=facts.name_max)),
        ("remittance", is_sepa_text(asked.remittance, max_length=facts.remittance_max)),
    ):
        if not is_sound:
            raise InvalidValue("Toybank does not carry this.", field=field)


def _wait_s(answer: Answer) -> int | None:
    said = [value for name, value in answer.headers if name.lower() == "retry-after"]
    return int(said[0]) if len(said) == 1 and _SECONDS.match(said[0]) else None


def _state(row: Mapping[str, object]) -> PaymentState:
    said = text(row, "status")
    if said not in _STATES:
        raise Unreadable("An order has a status that Toybank does not list.")
    return _STATES[said]


def _arrived(about: Mapping[str, object]) -> MoneyArrived:
    sender = within(about, "from")
    return MoneyArrived(
        transaction_id=text(about, "booking"),
        end_to_end_id=text(about, "reference"),
        amount_minor=cents(about, "cents"),
        currency=text(about, "currency"),
        creditor_iban=text(about, "to"),
        debtor_name=text(sender, "name"),
        debtor_iban=text(sender, "iban"),
        remittance=text(about, "text"),
    )
