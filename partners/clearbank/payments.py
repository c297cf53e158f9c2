"""Payment orders: what we ask ClearBank to pay, and what its answer to the order means.

An order is written field by field in a fixed order, so that one instruction has one sequence of bytes, which
the enclave can read and compare before it signs. Nothing is mended here: text that the bank might refuse is
refused before it is sent. Only an explicit answer is believed; anything else is Unknown.

Source: ClearBank EU, SEPA CT 1.0 customer payments, SEPA Instant 1.0 payments, general error rules; RFC 7807.
"""

import json
import re
from typing import Final, assert_never

from ledger.core.errors import InvalidValue
from partners.amounts import decimal_text
from partners.clearbank.json_text import JsonObject, optional_text, read_object, required_text, whole_number
from partners.clearbank.manifest import END_TO_END_ID_MAX, MANIFEST
from partners.clearbank.references import bank_id, is_guid
from partners.contract import (
    Accepted,
    Answer,
    Fault,
    Instruction,
    NotSent,
    Outcome,
    Rail,
    RailFacts,
    Reason,
    Rejected,
    Request,
    Signing,
    Unknown,
    Unreadable,
)
from partners.sepa_text import is_sepa_text

SCT_PATH: Final = "/payments/sepa-ct/v1/customer-payments"
SCT_INST_PATH: Final = "/v1/payments/sepa-instant"
HTTP_NAMESPACE: Final = "clearbank.http"

_IBAN = re.compile(r"\A[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}\Z")
_END_TO_END_ID = re.compile(
    r"\A(?!.*//)[0-9a-zA-Z\-?:().,'+](?:[0-9a-zA-Z\-?:().,'+/ ]*[0-9a-zA-Z\-?:().,'+])?\Z"
)
_SECONDS = re.compile(r"\A[0-9]{1,6}\Z")
_TITLE_MAX = 200

_REFUSALS: Final = {
    400: "The bank found the request invalid.",
    403: "The bank refused our credentials for this request.",
    404: "The bank does not know what the request names.",
    422: "The bank cannot act on the request.",
}


def prepare(instruction: Instruction) -> Request:
    """The order in the bank's words: the same instruction always gives the same bytes.

    Raises: InvalidValue when the instruction cannot be said in this dialect (naming the field).
    """
    _check(instruction, MANIFEST.rail(instruction.rail))
    match instruction.rail:
        case Rail.SCT:
            path, profile, body = SCT_PATH, "clearbank.sct", _sct_body(instruction)
        case Rail.SCT_INST:
            path, profile, body = SCT_INST_PATH, "clearbank.sct_inst", _sct_inst_body(instruction)
        case _:
            assert_never(instruction.rail)
    return Request("POST", path, body.encode("ascii"), signing=Signing.PAYOUT, profile=profile)


def interpret(answer: Answer) -> Outcome:
    """What the bank's answer to an order means. Anything not explicit is Unknown."""
    match answer.status:
        case 202:
            return _receipt(answer.body)
        case 400 | 422:
            return _refusal(answer)
        case 401 | 403 | 404 | 429:
            # Turned away at the door, by the bank or by something before it. Asking again is safe because the
            # request id stays the same: an order that got in after all is answered with 409.
            return NotSent(f"turned away with status {answer.status}", retry_after_s=_wait_s(answer))
        case 409:
            return Unknown("duplicate request id: the bank has it already")
        case _:
            return Unknown(f"the bank answered with status {answer.status}")


def _wait_s(answer: Answer) -> int | None:
    """How long the bank asks us to wait, in whole seconds; a date is not among its words."""
    said = [value for name, value in answer.headers if name.lower() == "retry-after"]
    return int(said[0]) if len(said) == 1 and _SECONDS.match(said[0]) else None


def _check(instruction: Instruction, facts: RailFacts) -> None:
    _check_amount(instruction, facts)
    for field, name in (
        ("creditor_name", instruction.creditor_name),
        ("debtor_name", instruction.debtor_name),
    ):
        if not is_sepa_text(name, max_length=facts.name_max):
            raise InvalidValue("A name must already be in the SEPA character set.", field=field)
    if not is_sepa_text(instruction.remittance, max_length=facts.remittance_max):
        raise InvalidValue("The remittance must already be in the SEPA character set.", field="remittance")
    for field, iban in (
        ("creditor_iban", instruction.creditor_iban),
        ("debtor_iban", instruction.debtor_iban),
    ):
        if not _IBAN.match(iban):
            raise InvalidValue("This is not an IBAN.", field=field)
    reference = instruction.end_to_end_id
    if len(reference) > END_TO_END_ID_MAX or not _END_TO_END_ID.match(reference):
        raise InvalidValue("The bank would not carry this end-to-end id.", field="end_to_end_id")


def _check_amount(instruction: Instruction, facts: RailFacts) -> None:
    if instruction.currency not in facts.currencies:
        raise InvalidValue(f"{facts.rail} does not pay in {instruction.currency}.", field="currency")
    if instruction.amount_minor < facts.amount_min_minor:
        raise InvalidValue("The amount is below the least that can be paid.", field="amount_minor")
    if facts.amount_max_minor is not None and instruction.amount_minor > facts.amount_max_minor:
        raise InvalidValue("The amount is above the most that can be paid.", field="amount_minor")


def _sct_body(order: Instruction) -> str:
    return (
        f'{{"endToEndId":{json.dumps(order.end_to_end_id)}'
        f',"amount":{decimal_text(order.amount_minor, order.currency)}'
        f',"currency":{json.dumps(order.currency)}'
        f',"debtor":{_party(order.debtor_name, iban=order.debtor_iban)}'
        f',"creditor":{_party(order.creditor_name, iban=order.creditor_iban)}'
        f',"remittanceInformationUnstructured":{json.dumps(order.remittance)}}}'
    )


def _sct_inst_body(order: Instruction) -> str:
    return (
        f'{{"amount":{decimal_text(order.amount_minor, order.currency)}'
        f',"debtor":{_party(order.debtor_name, iban=order.debtor_iban)}'
        f',"creditor":{_party(order.creditor_name, iban=order.creditor_iban)}'
        f',"endToEndId":{json.dumps(order.end_to_end_id)}'
        f',"reference":{json.dumps(order.remittance)}}}'
    )


def _party(name: str, *, iban: str) -> str:
    return f'{{"name":{json.dumps(name)},"accountIban":{json.dumps(iban)}}}'


def _receipt(body: bytes) -> Outcome:
    try:
        payment_id = required_text(read_object(body), "paymentId")
    except Unreadable:
        return Unknown("the bank took the request, but its receipt cannot be read")
    if not is_guid(payment_id):
        return Unknown("the bank took the request, but its receipt holds no payment id")
    return Accepted((("payment_id", bank_id(payment_id)),))


def _refusal(answer: Answer) -> Outcome:
    """A refusal counts only in the bank's own words: a gateway's error page proves nothing."""
    try:
        problem = read_object(answer.body)
        if not _is_problem(problem, answer.status):
            return Unknown(f"status {answer.status} came without the bank's own explanation")
    except Unreadable:
        return Unknown(f"status {answer.status} came with a body that cannot be read")
    title = optional_text(problem, "title") or _REFUSALS[answer.status]
    fault: Fault = "unknown" if answer.status == 422 else "us"
    return Rejected(
        Reason(namespace=HTTP_NAMESPACE, code=str(answer.status), text=title[:_TITLE_MAX], fault=fault)
    )


def _is_problem(problem: JsonObject, status: int) -> bool:
    if problem.get("status") is None:
        return optional_text(problem, "title") is not None
    return whole_number(problem, "status") == status
