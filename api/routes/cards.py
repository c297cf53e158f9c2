"""Cards: they come in encrypted to the enclave, and are shown by token, first digits, last four and expiry."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import CardBody
from api.card_vault import intake_key, new_card_id, seal_card
from api.handlers.cards import erase_cards, keep_card
from api.parts import Parts
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import CardId, is_id
from ledger.store.cards import read_cards
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1/cards", tags=["cards"], route_class=StrictRoute)
Payments = Depends(Needs(Scope.PAYMENTS))


@router.post("", status_code=201)
async def create_card(request: Request, body: CardBody, caller: Caller = Payments) -> Response:
    """Takes in a card as a JWE that only the enclave opens, and answers with its token."""
    parts: Parts = request.app.state.parts
    programme_id, card_id = caller.programme_id, new_card_id(parts.wall_clock())
    outcome = await desk.off_loop(
        lambda: seal_card(parts.enclave, programme_id=programme_id, card_id=card_id, jwe=body.jwe)
    )
    return await desk.write(request, caller, partial(keep_card, outcome), body)


@router.get("/intake-key")
async def get_intake_key(request: Request, _caller: Caller = Payments) -> dict[str, Any]:
    """The public key that cards are encrypted to, as a JWK (RFC 7517). It may be shown to everybody."""
    parts: Parts = request.app.state.parts
    return await desk.off_loop(lambda: intake_key(parts.enclave))


@router.get("/{card_id}")
async def get_card(request: Request, card_id: str, caller: Caller = Payments) -> dict[str, Any]:
    """What may be shown of a card."""

    def reader(tx: Tx) -> dict[str, Any]:
        key = CardId(card_id)
        found = read_cards(tx, [key]).get(key) if is_id("crd", card_id) else None
        if found is None or found.programme_id != caller.programme_id:
            raise not_found("card")
        return present.card(found)

    return await desk.read(request, reader)


@router.delete("/{card_id}")
async def erase_card(request: Request, card_id: str, caller: Caller = Payments) -> Response:
    """Erases a card's number for good. The token stays, with what may be shown of the card and when it was erased."""
    return await desk.write(request, caller, erase_cards, None, card_id)
