"""Looking up postings, which the published API calls transactions.

The values of `kind` and of the two payment-method fields are not published; here the methods are the clearing
channels that webhooks name. There is no debit/credit flag: the side that carries an AccountId is the
client's.

Source: ClearBank EU, 1.0.MCCY-Transactions-EU.
"""

from dataclasses import replace
from datetime import timedelta

from partners.sandbox import faults
from partners.sandbox.accounts import require_account
from partners.sandbox.clock import stamp
from partners.sandbox.door import Call, Desk
from partners.sandbox.money import CURRENCY, to_amount
from partners.sandbox.queries import read_moment, read_page_number, read_page_size
from partners.sandbox.records import Direction, Facts, FaultKind, Posting, PostingStatus
from partners.sandbox.store import postings
from partners.sandbox.wire import STATUS_TITLES, Json, Reply, RequestRefusedError

WINDOW = timedelta(hours=24)


def list_postings(desk: Desk, call: Call) -> Reply:
    """GET /mccy/v1/Accounts/{accountId}/transactions: by creation, oldest first, of the last 24 hours if
    not told.

    Raises: RequestRefusedError (400 for a bad parameter, 404 for an unknown account).
    """
    account = require_account(desk.tx, call)
    if call.query.get("Currency") != CURRENCY:
        raise RequestRefusedError(
            400, "One or more validation errors occurred.", errors={"Currency": ["must be EUR"]}
        )
    size = read_page_size(call, "PageSize")
    now = desk.bank.clock.now()
    found = postings.list_created(
        desk.tx,
        account.id,
        start_at=stamp(read_moment(call, "StartDateTime", default=now - WINDOW)),
        end_at=stamp(read_moment(call, "EndDateTime", default=now)),
        limit=size,
        offset=(read_page_number(call, "PageNumber") - 1) * size,
    )
    return Reply(200, {"transactions": [_shown(desk, posting) for posting in found]})


def show_posting(desk: Desk, call: Call) -> Reply:
    """GET /mccy/v1/Transactions/{transactionId}.

    Raises: RequestRefusedError (404).
    """
    posting = postings.find_posting(desk.tx, call.path_values["posting_id"].lower())
    if posting is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    return Reply(200, _shown(desk, posting))


def _shown(desk: Desk, posting: Posting) -> dict[str, Json]:
    """A posting as the API shows it; a fault may make it a cent too high."""
    facts = Facts(end_to_end_id=posting.end_to_end_id, creditor_iban=creditor_iban(posting))
    lies = faults.take(desk.tx, FaultKind.WRONG_AMOUNT_LISTED, facts) is not None
    return posting_view(replace(posting, amount_minor=posting.amount_minor + 1) if lies else posting)


def creditor_iban(posting: Posting) -> str | None:
    """The account that gets the money of a posting."""
    return posting.own_iban if posting.direction is Direction.CREDIT else posting.other_iban


def posting_view(posting: Posting) -> dict[str, Json]:
    """A posting as the API shows it."""
    is_credit = posting.direction is Direction.CREDIT
    own, other = _own_identifiers(posting), _other_identifiers(posting)
    own_name, other_name = posting.own_name, posting.other_name
    return {
        "transactionId": posting.id,
        "accountId": posting.account_id,
        "virtualAccountId": posting.virtual_account_id,
        "endToEndId": posting.end_to_end_id,
        "reference": posting.reference,
        "ultimateBeneficiary": {
            "accountIdentifiers": own if is_credit else other,
            "payeeName": own_name if is_credit else other_name,
        },
        "ultimateRemitter": {
            "accountIdentifiers": other if is_credit else own,
            "payerName": other_name if is_credit else own_name,
        },
        "amount": to_amount(posting.amount_minor),
        "currency": posting.currency,
        "currencyExchange": None,
        "actualPaymentMethod": posting.channel,
        "requestedPaymentMethod": posting.channel,
        "kind": posting.kind,
        "createdAt": posting.created_at,
        "settledAt": posting.settled_at,
        "valueAt": posting.settled_at,
        "cancelledAt": posting.cancelled_at,
        "status": posting.status,
        "cancellationCode": "RejectedByScheme" if posting.status is PostingStatus.CANCELLED else None,
        "reason": None,
        "identifiers": None,
        "additionalProperties": None,
    }


def _own_identifiers(posting: Posting) -> Json:
    return [
        {"identifier": posting.account_id, "kind": "AccountId"},
        {"identifier": posting.own_iban, "kind": "IBAN"},
    ]


def _other_identifiers(posting: Posting) -> Json:
    return None if posting.other_iban is None else [{"identifier": posting.other_iban, "kind": "IBAN"}]
