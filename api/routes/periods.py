"""The programme's calendar, and the units that it counts in besides currencies."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import PeriodBody, PeriodTransitionBody, UnitBody
from api.handlers.periods import change_periods, make_periods, make_units
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import is_id
from ledger.store.periods import periods_page
from ledger.store.rows import Page
from ledger.store.units import units_page

router = APIRouter(prefix="/v1", tags=["periods"], route_class=StrictRoute)
Reader = Depends(Needs(Scope.LEDGER_READ))
PeriodsWriter = Depends(Needs(Scope.PERIODS_WRITE))
UnitsWriter = Depends(Needs(Scope.UNITS_WRITE))
PeriodPage = Depends(desk.page("prd"))


@router.post("/periods", status_code=201)
async def create_period(request: Request, body: PeriodBody, caller: Caller = PeriodsWriter) -> Response:
    """Opens a period of the calendar. Periods never overlap."""
    return await desk.write(request, caller, make_periods, body)


@router.post("/periods/{period_id}/transitions")
async def move_period(
    request: Request, period_id: str, body: PeriodTransitionBody, caller: Caller = PeriodsWriter
) -> Response:
    """Closes a period, or opens it again, one step at a time; waits for whoever is posting.

    open, soft_closed (adjustments only), closed, sealed (for good).
    """
    if not is_id("prd", period_id):
        raise not_found("period")
    return await desk.write(request, caller, change_periods, body, period_id)


@router.get("/periods")
async def list_periods(request: Request, caller: Caller = Reader, page: Page = PeriodPage) -> dict[str, Any]:
    """A page of the programme's periods, oldest first."""
    found = await desk.read(request, lambda tx: periods_page(tx, caller.programme_id, page))
    return desk.paged([present.period(item) for item in found], page)


@router.post("/units", status_code=201)
async def create_unit(request: Request, body: UnitBody, caller: Caller = UnitsWriter) -> Response:
    """Defines a unit of the programme's own, for good: coins, points. Its code is never a currency's."""
    return await desk.write(request, caller, make_units, body)


@router.get("/units")
async def list_units(
    request: Request,
    caller: Caller = Reader,
    after: Annotated[
        str, Query(pattern=r"^([A-Z][A-Z0-9]{3,11})?$", description="the code of the last unit seen")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=desk.PAGE_MAX)] = desk.PAGE_MAX,
) -> dict[str, Any]:
    """A page of the programme's own units, by code."""
    found = await desk.read(
        request, lambda tx: units_page(tx, caller.programme_id, after=after, limit=limit + 1)
    )
    return {"data": [present.unit(item) for item in found[:limit]], "has_more": len(found) > limit}
