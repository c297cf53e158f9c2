"""Accounts that money is paid out to: one client sets them, another one, of compliance, verifies them."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import PayoutAccountBody, VerificationBody
from api.handlers.payout_accounts import set_accounts, verify_accounts
from api.strict import StrictRoute
from ledger.store.payout_accounts import programme_payout_accounts, verifications_of
from ledger.store.rows import Page
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["payout accounts"], route_class=StrictRoute)
Payments = Depends(Needs(Scope.PAYMENTS))
Compliance = Depends(Needs(Scope.COMPLIANCE))
AccountPage = Depends(desk.page("pac"))


@router.post("/parties/{party_id}/payout-accounts", status_code=201)
async def set_payout_account(
    request: Request, party_id: str, body: PayoutAccountBody, caller: Caller = Payments
) -> Response:
    """Has a party paid out to another account from now on, which nobody has verified yet."""
    return await desk.write(request, caller, set_accounts, body, party_id)


@router.get("/payout-accounts")
async def list_payout_accounts(
    request: Request, caller: Caller = Compliance, page: Page = AccountPage
) -> dict[str, Any]:
    """A page of all accounts that were ever set, oldest first, with their verifications."""

    def reader(tx: Tx) -> list[present.Json]:
        found = programme_payout_accounts(tx, caller.programme_id, page)
        verifications = verifications_of(tx, [account.id for account in found])
        return [present.payout_account(account, verifications[account.id]) for account in found]

    return desk.paged(await desk.read(request, reader), page)


@router.post("/payout-accounts/{payout_account_id}/verification", status_code=201)
async def verify_payout_account(
    request: Request, payout_account_id: str, body: VerificationBody, caller: Caller = Compliance
) -> Response:
    """Records that an account is the payee's: by another client than the one that set it."""
    return await desk.write(request, caller, verify_accounts, body, payout_account_id)
