"""Where a request to the bank may go: the targets of each profile, and the queries that there are.

A body that was signed for one endpoint must not be sent to another, and a query may ask only what we ask. So each
profile names one method and one path, or the exact pattern of it; there is none for anything else. Which host may be
asked is not decided here: it is signed, so that the signature is of no use at another. Pure.
Follows: the ClearBank EU API: SEPA credit transfer, SEPA Instant, multi-currency accounts, camt.053 statements.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from enclave.protocol import BankMessageProfile, BankProfile, BankQueryProfile, BankQueryRequest, Target

_SECOND = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_COUNT = r"[1-9][0-9]{0,8}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and one path."""

    method: str
    path: str


# Files go where their directory is, and never by a request: no target goes with them, and none may.
_FILES: frozenset[BankProfile | BankMessageProfile] = frozenset({"iso20022.sct", "iso20022.sct_inst"})

# None: no request of ours but our answer to one of the bank's, which goes nowhere else.
_ENDPOINTS: Mapping[BankProfile | BankMessageProfile, Endpoint | None] = {
    "clearbank.sct": Endpoint("POST", "/payments/sepa-ct/v1/customer-payments"),
    "clearbank.sct_inst": Endpoint("POST", "/v1/payments/sepa-instant"),
    "clearbank.webhook_ack": None,
    "clearbank.statement_request": Endpoint("POST", "/v1/statementrequests"),
    "clearbank.virtual_account": Endpoint("POST", "/mccy/v1/VirtualAccounts"),
    "clearbank.account": Endpoint("POST", "/mccy/v2/Accounts"),
    "clearbank.payee": Endpoint("POST", "/open-banking/vop/v1/payees/single"),
}
_QUERIES: Mapping[BankQueryProfile, tuple[str, re.Pattern[str]]] = {
    "clearbank.transactions": (
        "GET",
        re.compile(
            r"/mccy/v1/Accounts/[0-9a-zA-Z-]{1,36}/transactions"
            rf"\?Currency=[A-Z]{{3}}&PageNumber={_COUNT}&PageSize={_COUNT}"
            rf"&StartDateTime={_SECOND}&EndDateTime={_SECOND}"
        ),
    ),
    "clearbank.statement_page": (
        "GET",
        re.compile(rf"/v1/statements/[0-9a-zA-Z_-]{{1,35}}\?pageNumber={_COUNT}"),
    ),
}


def allows_target(profile: BankProfile | BankMessageProfile, target: Target | None) -> bool:
    """Whether a body of this profile may be signed together with this target; None: with none, as an answer."""
    if profile in _FILES:
        return False
    endpoint = _ENDPOINTS[profile]
    if endpoint is None or target is None:
        return endpoint is None and target is None
    return (target.method, target.path_with_query) == (endpoint.method, endpoint.path)


def allows_query(query: BankQueryRequest) -> bool:
    """Whether the profile of a query asks this, by this method."""
    method, path = _QUERIES[query.profile]
    return query.method == method and path.fullmatch(query.path_with_query) is not None
