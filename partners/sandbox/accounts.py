"""Real and virtual accounts, as the published API opens and shows them.

Source: ClearBank EU, 2.0.MCCY-ACC-EU and 1.0.MCCY-ACC-EU.
"""

import uuid
from collections.abc import Sequence

from partners.sandbox import iban
from partners.sandbox.clock import stamp
from partners.sandbox.door import Call, Desk
from partners.sandbox.models import AccountOrder, IbanIdentifier, VirtualAccountOrder
from partners.sandbox.money import CURRENCY, to_amount
from partners.sandbox.queries import read_page_number, read_page_size
from partners.sandbox.records import Account, VirtualAccount
from partners.sandbox.store import accounts as store
from partners.sandbox.store.database import Tx, next_number
from partners.sandbox.wire import STATUS_TITLES, Json, Reply, RequestRefusedError, read_body

FIRST_ACCOUNT_NUMBER = 6_600_110_001
_NAME_PREFIXES = {"GeneralSegregated": "Gen Seg ", "DesignatedSegregated": "Des Seg ", "YourFunds": ""}


def open_account(desk: Desk, call: Call) -> Reply:
    """POST /mccy/v2/Accounts: open a real account.

    Raises: RequestRefusedError (400 for a broken rule, 422 for an IBAN already in use).
    """
    order = read_body(AccountOrder, call.body)
    account = Account(
        id=str(uuid.uuid4()),
        name=f"{_NAME_PREFIXES[order.kind]}{order.label}",
        label=order.label,
        owner=order.owner,
        kind=order.kind,
        bic=order.bank_identifier_code or iban.BIC,
        iban=_choose_iban(desk.tx, order.identifiers),
        actual_minor=0,
        earmarked_minor=0,
        opened_at=stamp(desk.bank.clock.now()),
    )
    store.insert_account(desk.tx, account)
    return Reply(201, {**account_view(account), "type": "Customer"})


def list_accounts(desk: Desk, call: Call) -> Reply:
    """GET /mccy/v1/Accounts: the real accounts, oldest first."""
    size = read_page_size(call, "pageSize")
    offset = (read_page_number(call, "pageNumber") - 1) * size
    found = store.list_accounts(desk.tx, limit=size, offset=offset)
    return Reply(200, {"accounts": [account_view(account) for account in found]})


def show_account(desk: Desk, call: Call) -> Reply:
    """GET /mccy/v1/Accounts/{accountId}."""
    return Reply(200, account_view(require_account(desk.tx, call)))


def show_balances(desk: Desk, call: Call) -> Reply:
    """GET /mccy/v1/Accounts/{accountId}/balances: `available` leaves out what is earmarked, `actual` does
    not.
    """
    account = require_account(desk.tx, call)
    balance: Json = {
        "available": to_amount(account.actual_minor - account.earmarked_minor),
        "actual": to_amount(account.actual_minor),
    }
    return Reply(200, {"balances": {CURRENCY: balance}})


def open_virtual_account(desk: Desk, call: Call) -> Reply:
    """POST /mccy/v1/VirtualAccounts: an IBAN for one customer, under a GeneralSegregated account.

    Raises: RequestRefusedError (400 for a broken rule, 404 for an unknown real account, 422 under another
    kind of account or for an IBAN already in use).
    """
    order = read_body(VirtualAccountOrder, call.body)
    account = store.find_account(desk.tx, order.account_id.lower())
    if account is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    if account.kind != "GeneralSegregated":
        raise RequestRefusedError(
            422, "Virtual accounts can only be opened under a GeneralSegregated account."
        )
    virtual = VirtualAccount(
        id=str(uuid.uuid4()),
        account_id=account.id,
        owner=order.virtual_account.owner,
        iban=_choose_iban(desk.tx, order.virtual_account.identifiers),
        opened_at=stamp(desk.bank.clock.now()),
    )
    store.insert_virtual_account(desk.tx, virtual)
    return Reply(201, virtual_account_view(virtual))


def show_virtual_account(desk: Desk, call: Call) -> Reply:
    """GET /mccy/v1/VirtualAccounts/{virtualAccountId}."""
    found = store.find_virtual_account(desk.tx, call.path_values["virtual_account_id"].lower())
    if found is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    return Reply(200, virtual_account_view(found))


def require_account(tx: Tx, call: Call) -> Account:
    """The real account that the path names.

    Raises: RequestRefusedError (404).
    """
    account = store.find_account(tx, call.path_values["account_id"].lower())
    if account is None:
        raise RequestRefusedError(404, STATUS_TITLES[404])
    return account


def account_view(account: Account) -> dict[str, Json]:
    """A real account as the API shows it."""
    return {
        "id": account.id,
        "name": account.name,
        "label": account.label,
        "owner": account.owner,
        "kind": account.kind,
        "currencies": [CURRENCY],
        "identifiers": [{"identifier": account.iban, "kind": "IBAN"}],
        "status": "Active",
        "statusReason": None,
        "statusInformation": None,
        "productId": None,
        "customerId": None,
    }


def virtual_account_view(account: VirtualAccount) -> dict[str, Json]:
    """A virtual account as the API shows it."""
    return {
        "id": account.id,
        "accountId": account.account_id,
        "owner": account.owner,
        "status": "Active",
        "identifiers": [{"identifier": account.iban, "kind": "IBAN"}],
        "statusReason": None,
        "statusInformation": None,
    }


def _choose_iban(tx: Tx, identifiers: Sequence[IbanIdentifier] | None) -> str:
    """The IBAN that was asked for, or the bank's next one."""
    if not identifiers:
        return _next_iban(tx)
    wanted = identifiers[0].identifier
    if store.find_place(tx, wanted) is not None:
        raise RequestRefusedError(422, "The IBAN is already in use.")
    return wanted


def _next_iban(tx: Tx) -> str:
    while store.find_place(tx, candidate := iban.own_iban(next_number(tx, "account", FIRST_ACCOUNT_NUMBER))):
        continue
    return candidate
