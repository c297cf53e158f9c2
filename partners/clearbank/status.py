"""Finding a payment again: ClearBank has no enquiry by payment, so its list of transactions is searched.

The list has no flag for the direction, and anyone may send us money, also to a virtual IBAN below the
account, under a reference that we use ourselves: a row counts only when the money left our own account. Rows
are matched by end-to-end id; comparing amount and beneficiary with what was asked is the host's work.

Source: ClearBank EU, multi-currency transactions 1.0.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from ledger.core.errors import InvalidValue
from partners.amounts import minor_units
from partners.clearbank.json_text import (
    JsonObject,
    objects,
    optional_object,
    optional_text,
    read_object,
    required_decimal,
    required_text,
)
from partners.clearbank.reasons import explain
from partners.clearbank.references import bank_id
from partners.contract import (
    Answer,
    Instruction,
    PaymentState,
    PaymentStatus,
    Rail,
    Reason,
    Request,
    Signing,
    Unreadable,
)

PAGE_SIZE: Final = 1000  # the most that the bank gives

_ACCOUNT_ID = re.compile(r"\A[0-9a-zA-Z-]{1,36}\Z")
_ORDER: Final = (PaymentState.SETTLED, PaymentState.PENDING, PaymentState.FAILED)


def status_request(
    instruction: Instruction, *, account_id: str, since: datetime, until: datetime, page: int
) -> Request:
    """The enquiry for one page of the account's rows in a window, widened to whole seconds.

    Raises: InvalidValue for an account id or page that cannot be asked, or a time without its zone.
    """
    if not _ACCOUNT_ID.match(account_id):
        raise InvalidValue("This is not the bank's id of an account.", field="account_id")
    if page < 1:
        raise InvalidValue("Pages are counted from 1.", field="page")
    query = urlencode(
        {
            "Currency": instruction.currency,
            "PageNumber": page,
            "PageSize": PAGE_SIZE,
            "StartDateTime": _second(since, "since"),
            "EndDateTime": _second(until + timedelta(microseconds=999_999), "until"),
        },
        safe=":",
    )
    path = f"/mccy/v1/Accounts/{account_id}/transactions?{query}"
    return Request("GET", path, None, signing=Signing.QUERY, profile="clearbank.transactions")


def interpret_status(instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
    """Every payment of ours on the page that carries our reference, the settled first.

    Raises: Unreadable.
    """
    found = [
        _status(row, instruction)
        for row in _rows(answer)
        if row.get("endToEndId") == instruction.end_to_end_id and _left_us(row, instruction)
    ]
    return tuple(sorted(found, key=lambda status: _ORDER.index(status.state)))


def status_continues(answer: Answer) -> bool:
    """Whether a further page may follow: the bank gives no count, so a full page means read on.

    Raises: Unreadable.
    """
    return len(_rows(answer)) >= PAGE_SIZE


def _rows(answer: Answer) -> tuple[JsonObject, ...]:
    if answer.status != 200:
        raise Unreadable(f"The enquiry was answered with status {answer.status}.")
    body = read_object(answer.body)
    if "transactions" not in body:
        raise Unreadable("transactions is missing.")
    return objects(body, "transactions")


def _status(row: JsonObject, instruction: Instruction) -> PaymentStatus:
    currency = required_text(row, "currency")
    state, reason = _state(row, instruction.rail)
    return PaymentStatus(
        end_to_end_id=required_text(row, "endToEndId"),
        state=state,
        amount_minor=minor_units(required_decimal(row, "amount"), currency),
        currency=currency,
        creditor_iban=next(iter(_ibans(row, "ultimateBeneficiary")), None),
        transaction_id=bank_id(required_text(row, "transactionId")),
        reason=reason,
    )


def _state(row: JsonObject, rail: Rail) -> tuple[PaymentState, Reason | None]:
    match row.get("status"):
        case "Settled":
            return PaymentState.SETTLED, None
        case "Cancelled":
            code = optional_text(row, "cancellationCode") or optional_text(row, "reason") or "CB01"
            # A cancelled row is not the end of an instant payment: a delayed one shows as cancelled and then
            # settles as a new row. Only its Cancelled notice fails it; until then the reason is a hint.
            state = PaymentState.PENDING if rail is Rail.SCT_INST else PaymentState.FAILED
            return state, explain(code)
        case _:
            return PaymentState.PENDING, None


def _left_us(row: JsonObject, instruction: Instruction) -> bool:
    remitters = _ibans(row, "ultimateRemitter")
    if not remitters:  # a bank that leaves our own side blank still names an outside sender
        return instruction.debtor_iban not in _ibans(row, "ultimateBeneficiary")
    return instruction.debtor_iban in remitters


def _ibans(row: JsonObject, side: str) -> tuple[str, ...]:
    identifiers = objects(optional_object(row, side), "accountIdentifiers")
    return tuple(
        required_text(identifier, "identifier")
        for identifier in identifiers
        if str(identifier.get("kind")).upper() == "IBAN"
    )


def _second(moment: datetime, field: str) -> str:
    if moment.tzinfo is None:
        raise InvalidValue("A time needs its zone.", field=field)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
