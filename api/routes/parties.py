"""Parties come in through the gate; payers enrol the device that they authenticate with."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import AuthenticatorBody, PartyBody, SanctionsListBody
from api.handlers.parties import enrol, load_lists
from api.strict import StrictRoute
from compliance.store import programme_cases
from ledger.store.accounts import party_accounts
from ledger.store.parties import programme_parties
from ledger.store.rows import Page
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["parties"], route_class=StrictRoute)
Payments = Depends(Needs(Scope.PAYMENTS))
Compliance = Depends(Needs(Scope.COMPLIANCE))
PartyPage = Depends(desk.page("pty"))
CasePage = Depends(desk.page("case"))


@router.post("/sanctions-lists", status_code=201)
async def load_sanctions_list(
    request: Request, body: SanctionsListBody, caller: Caller = Compliance
) -> Response:
    """Brings a new version of a sanctions list into use; the same content again is the same version."""
    return await desk.write_bulk(request, caller, load_lists, body)


@router.post("/parties", status_code=201)
async def create_party(request: Request, body: PartyBody, caller: Caller = Payments) -> Response:
    """Onboards a party. One that the gate holds is kept without an account until a person has decided."""
    return await desk.write(request, caller, desk.handlers(request).parties.onboard, body)


@router.get("/parties")
async def list_parties(request: Request, caller: Caller = Payments, page: Page = PartyPage) -> dict[str, Any]:
    """A page of the programme's parties, oldest first."""

    def reader(tx: Tx) -> list[present.Json]:
        found = programme_parties(tx, caller.programme_id, page)
        accounts = party_accounts(tx, [party.id for party in found])
        return [present.party(party, accounts.get(party.id)) for party in found]

    return desk.paged(await desk.read(request, reader), page)


@router.post("/parties/{party_id}/authenticators", status_code=201)
async def enrol_authenticator(
    request: Request, party_id: str, body: AuthenticatorBody, caller: Caller = Payments
) -> Response:
    """Enrols the public key of a payer's device for strong customer authentication."""
    return await desk.write(request, caller, enrol, body, party_id)


@router.get("/cases")
async def list_cases(request: Request, caller: Caller = Compliance, page: Page = CasePage) -> dict[str, Any]:
    """A page of what the gate held or refused, oldest first, with its findings."""

    def reader(tx: Tx) -> list[present.Json]:
        found = programme_cases(tx, caller.programme_id, page)
        return [{**case, "opened_at": present.moment(case["opened_at"])} for case in found]

    return desk.paged(await desk.read(request, reader), page)
