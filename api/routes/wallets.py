"""Accounts with their balances and statements, virtual IBANs, and the money that came in."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import Moment, VirtualIbanBody
from api.handlers.wallets import request_ibans
from api.parts import Parts
from api.past import read_past
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import AccountId, is_id
from ledger.reports.statements import statement
from ledger.store.accounts import read_accounts
from ledger.store.deposits import programme_deposits, read_virtual_iban
from ledger.store.rows import Page
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["wallets"], route_class=StrictRoute)
Payments = Depends(Needs(Scope.PAYMENTS))
Reader = Depends(Needs(Scope.PAYMENTS, Scope.LEDGER_READ))
DepositPage = Depends(desk.page("dep"))
VERSION_MAX = 2**63 - 1


@router.post("/virtual-ibans", status_code=202)
async def create_virtual_iban(request: Request, body: VirtualIbanBody, caller: Caller = Payments) -> Response:
    """Asks the bank for an IBAN of its own for a customer's wallet; it is active once the bank has given it."""
    return await desk.write(request, caller, request_ibans, body)


@router.get("/virtual-ibans/{virtual_iban_id}")
async def get_virtual_iban(
    request: Request, virtual_iban_id: str, caller: Caller = Payments
) -> dict[str, Any]:
    """One virtual IBAN."""

    def reader(tx: Tx) -> dict[str, Any]:
        found = read_virtual_iban(tx, virtual_iban_id) if is_id("vib", virtual_iban_id) else None
        if found is None or found.programme_id != caller.programme_id:
            raise not_found("virtual IBAN")
        return {"id": found.id, "account_id": found.account_id, "state": found.state, "iban": found.iban}

    return await desk.read(request, reader)


@router.get("/accounts/{account_id}")
async def get_account(request: Request, account_id: str, caller: Caller = Reader) -> dict[str, Any]:
    """An account with what is posted, held and available."""
    return await desk.read(request, lambda tx: _account(tx, account_id, caller))


@router.get("/accounts/{account_id}/entries")
async def list_entries(
    request: Request,
    account_id: str,
    caller: Caller = Reader,
    after: int = Query(0, ge=0, le=VERSION_MAX, description="the version of the last entry seen"),
    limit: int = Query(100, ge=1, le=desk.PAGE_MAX),
    recorded_at: Annotated[Moment, Query(description="only what was known at this instant")] | None = None,
) -> dict[str, Any]:
    """A page of an account's entries, oldest first, with the balance after each. The cursor is the version."""
    if not is_id("acct", account_id):
        raise not_found("account")
    programme_id = caller.programme_id
    parts: Parts = request.app.state.parts

    def reader(tx: Tx) -> dict[str, Any]:
        found = statement(
            tx, programme_id, AccountId(account_id), after=after, limit=limit + 1, recorded_at=recorded_at
        )
        return {"data": [present.entry(item) for item in found[:limit]], "has_more": len(found) > limit}

    return await desk.off_loop(
        lambda: read_past(parts, programme_id, recorded_at, reader, field="recorded_at")
    )


@router.get("/deposits")
async def list_deposits(
    request: Request, caller: Caller = Payments, page: Page = DepositPage
) -> dict[str, Any]:
    """A page of the money that came in, oldest first, with what became of it."""

    def reader(tx: Tx) -> list[present.Json]:
        return [present.deposit(item) for item in programme_deposits(tx, caller.programme_id, page)]

    return desk.paged(await desk.read(request, reader), page)


def _account(tx: Tx, account_id: str, caller: Caller) -> dict[str, Any]:
    found = read_accounts(tx, [AccountId(account_id)]) if is_id("acct", account_id) else {}
    place = found.get(AccountId(account_id))
    if place is None or place.account.programme_id != caller.programme_id:
        raise not_found("account")
    return present.account(place)
