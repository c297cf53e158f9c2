"""Transfers: the book's own commands, one at a time or in groups. Their ids make them safe to repeat."""

from collections.abc import Iterable

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk
from api.auth import Caller, Needs, Scope
from api.problems import Problem
from api.strict import StrictRoute
from api.transfer_bodies import AnyCommandBody, BatchBody, TransferBody

router = APIRouter(prefix="/v1/transfers", tags=["transfers"], route_class=StrictRoute)
Transfers = Depends(Needs(Scope.TRANSFERS_WRITE))


@router.post("", status_code=201)
async def create_transfer(request: Request, body: TransferBody, caller: Caller = Transfers) -> Response:
    """Carries out one command of the book: 201 when it was done, 200 when it had been done before."""
    _check_adjusting(caller, [body])
    return await desk.write_by_id(request, caller, desk.handlers(request).transfers.transfer, body)


@router.post("/batch")
async def create_transfers(request: Request, body: BatchBody, caller: Caller = Transfers) -> Response:
    """Carries out groups of commands, each all or nothing; what the book refuses stands in the answer."""
    _check_adjusting(caller, (command for group in body.groups for command in group))
    weight = sum(map(len, body.groups))
    work = desk.handlers(request).transfers.transfer_batch
    return await desk.write_bulk_by_id(request, caller, work, body, weight=weight)


def _check_adjusting(caller: Caller, commands: Iterable[AnyCommandBody]) -> None:
    """Into a period that is soft-closed posts only who may close and open it."""
    if Scope.PERIODS_WRITE not in caller.scopes and any(command.adjusting for command in commands):
        raise Problem(403, "scope_missing", f"An adjusting transfer needs the scope {Scope.PERIODS_WRITE}.")
