"""Payouts and sweeps: money out, and the programme's own money home."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Scope, needs
from api.bodies import PayoutBody, SweepBody
from api.problems import not_found
from ledger.core.ids import ProgrammeId
from ledger.store.events import events_of
from ledger.store.payouts import attempts_of, programme_payouts
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["payouts"])
Payments = Depends(needs(Scope.PAYMENTS))


@router.post("/payouts", status_code=202)
async def create_payout(request: Request, body: PayoutBody, caller: Caller = Payments) -> Response:
    """Takes the money out of the party's balance and promises to send it."""
    return await desk.write(request, caller, desk.handlers(request).payouts.pay_out, body)


@router.post("/sweeps", status_code=202)
async def create_sweep(request: Request, body: SweepBody, caller: Caller = Payments) -> Response:
    """Sends the programme's own money from the safeguarding to the operating account."""
    return await desk.write(request, caller, desk.handlers(request).payouts.sweep, body)


@router.get("/payouts")
async def list_payouts(request: Request, caller: Caller = Payments) -> dict[str, Any]:
    """All payouts and sweeps of the programme, with their attempts and history."""
    return {"data": await desk.read(request, _reader(caller.programme_id))}


@router.get("/payouts/{payout_id}")
async def get_payout(request: Request, payout_id: str, caller: Caller = Payments) -> dict[str, Any]:
    """One payout or sweep, with its attempts and history."""
    found = [
        item for item in await desk.read(request, _reader(caller.programme_id)) if item["id"] == payout_id
    ]
    if not found:
        raise not_found("payout")
    return found[0]


def _reader(programme_id: ProgrammeId) -> Callable[[Tx], list[present.Json]]:
    def reader(tx: Tx) -> list[present.Json]:
        found = programme_payouts(tx, programme_id)
        attempts = attempts_of(tx, [item.id for item in found])
        return [
            present.payout(item, attempts[item.id], events_of(tx, programme_id, item.id)) for item in found
        ]

    return reader
