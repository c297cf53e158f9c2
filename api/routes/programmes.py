"""Programmes and their clients: the operator's endpoints."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk
from api.auth import Caller, Needs, Scope
from api.bodies import ClientBody, ProgrammeBody
from api.handlers.programmes import found_programmes, make_clients
from api.parts import Parts
from api.problems import Problem, in_field
from api.strict import StrictRoute

router = APIRouter(prefix="/v1/programmes", tags=["programmes"], route_class=StrictRoute)
Operator = Depends(Needs(Scope.OPERATE))


@router.post("", status_code=201)
async def create_programme(request: Request, body: ProgrammeBody, caller: Caller = Operator) -> Response:
    """Founds a programme with its chart of accounts, at a bank that this installation reaches."""
    parts: Parts = request.app.state.parts
    if body.bank_connection not in parts.banks:
        detail = f"No bank connection is called {body.bank_connection}."
        raise Problem(422, "bank_unknown", detail, in_field("bank_connection", "bank_unknown", detail))
    return await desk.write(request, caller, found_programmes, body)


@router.post("/{programme_id}/clients", status_code=201)
async def create_client(
    request: Request, programme_id: str, body: ClientBody, caller: Caller = Operator
) -> Response:
    """Makes a client of a programme. Its secret is in this answer and nowhere else."""
    return await desk.write(request, caller, make_clients, body, programme_id)
