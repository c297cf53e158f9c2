"""Checkouts: one cart over many sellers, authorised, captured and refunded."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import AuthenticationBody, CaptureBody, CheckoutBody, RefundBody
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import CheckoutId, is_id
from ledger.store.checkouts import read_checkouts
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1/checkouts", tags=["checkouts"], route_class=StrictRoute)
Payments = Depends(Needs(Scope.PAYMENTS))


@router.post("", status_code=201)
async def create_checkout(request: Request, body: CheckoutBody, caller: Caller = Payments) -> Response:
    """Authorises a cart in one go; above the threshold the answer asks for the payer's authentication first."""
    return await desk.write(request, caller, desk.handlers(request).checkouts.create, body)


@router.get("/{checkout_id}")
async def get_checkout(request: Request, checkout_id: str, caller: Caller = Payments) -> dict[str, Any]:
    """A checkout with what was captured and refunded of each line."""

    def reader(tx: Tx) -> dict[str, Any]:
        found = read_checkouts(tx, [CheckoutId(checkout_id)]) if is_id("chk", checkout_id) else {}
        checkout = found.get(CheckoutId(checkout_id))
        if checkout is None or checkout.programme_id != caller.programme_id:
            raise not_found("checkout")
        return present.checkout(checkout)

    return await desk.read(request, reader)


@router.post("/{checkout_id}/authentication", status_code=201)
async def authenticate_checkout(
    request: Request, checkout_id: str, body: AuthenticationBody, caller: Caller = Payments
) -> Response:
    """Takes the payer's signature over the challenge; a right one authorises the cart."""
    return await desk.write(request, caller, desk.handlers(request).checkouts.authenticate, body, checkout_id)


@router.post("/{checkout_id}/captures", status_code=201)
async def capture_checkout(
    request: Request, checkout_id: str, body: CaptureBody, caller: Caller = Payments
) -> Response:
    """Captures some lines, in whole or in part, and shares the money out by their splits."""
    return await desk.write(request, caller, desk.handlers(request).checkouts.capture, body, checkout_id)


@router.post("/{checkout_id}/refunds", status_code=201)
async def refund_checkout(
    request: Request, checkout_id: str, body: RefundBody, caller: Caller = Payments
) -> Response:
    """Refunds some lines, in whole or in part, from everyone who shared in them."""
    return await desk.write(request, caller, desk.handlers(request).checkouts.refund, body, checkout_id)
