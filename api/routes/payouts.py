"""Payouts and sweeps: money out, and the programme's own money home."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import ApprovalBody, PayoutBody, SweepBody, WhyBody
from api.handlers.approvals import approve_payouts
from api.handlers.waiting_payouts import cancel_payouts, hold_payouts, resume_payouts
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import PayoutId, ProgrammeId, is_id
from ledger.core.payee import PayeeCheck, PayeeChoice
from ledger.flows.payee_checks import checks_of
from ledger.store.approvals import approvals_of
from ledger.store.events import events_of
from ledger.store.payee_checks import payee_choices_on
from ledger.store.payouts import Payout, attempts_of, programme_payouts, read_payouts
from ledger.store.rows import Page
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["payouts"], route_class=StrictRoute)
Payments = Depends(Needs(Scope.PAYMENTS))
Compliance = Depends(Needs(Scope.COMPLIANCE))
PayoutPage = Depends(desk.page("pay"))


@router.post("/payouts", status_code=202)
async def create_payout(request: Request, body: PayoutBody, caller: Caller = Payments) -> Response:
    """Takes the money out of the party's balance and promises to send it."""
    return await desk.write(request, caller, desk.handlers(request).payouts.pay_out, body)


@router.post("/sweeps", status_code=202)
async def create_sweep(request: Request, body: SweepBody, caller: Caller = Payments) -> Response:
    """Sends the programme's own money from the safeguarding to the operating account."""
    return await desk.write(request, caller, desk.handlers(request).payouts.sweep, body)


@router.get("/payouts")
async def list_payouts(
    request: Request, caller: Caller = Payments, page: Page = PayoutPage
) -> dict[str, Any]:
    """A page of payouts and sweeps, oldest first, with their attempts and history."""

    def reader(tx: Tx) -> list[present.Json]:
        return _shown(tx, caller.programme_id, programme_payouts(tx, caller.programme_id, page))

    return desk.paged(await desk.read(request, reader), page)


@router.get("/payouts/{payout_id}")
async def get_payout(request: Request, payout_id: str, caller: Caller = Payments) -> dict[str, Any]:
    """One payout or sweep, with its attempts and history."""

    def reader(tx: Tx) -> present.Json:
        found = read_payouts(tx, [PayoutId(payout_id)]) if is_id("pay", payout_id) else {}
        ours = [item for item in found.values() if item.programme_id == caller.programme_id]
        if not ours:
            raise not_found("payout")
        return _shown(tx, caller.programme_id, ours)[0]

    return await desk.read(request, reader)


@router.post("/payouts/{payout_id}/approvals", status_code=201)
async def approve_payout(
    request: Request, payout_id: str, body: ApprovalBody, caller: Caller = Payments
) -> Response:
    """Keeps an approver's signature and has the payout tried again. Whether it counts, only the enclave says."""
    return await desk.write(request, caller, approve_payouts, body, payout_id)


@router.post("/payouts/{payout_id}/cancellations", status_code=201)
async def cancel_payout(
    request: Request, payout_id: str, body: WhyBody, caller: Caller = Payments
) -> Response:
    """Calls off a payout that waits and was never signed, and gives its money back."""
    return await desk.write(request, caller, cancel_payouts, body, payout_id)


@router.post("/payouts/{payout_id}/holds", status_code=201)
async def hold_payout(
    request: Request, payout_id: str, body: WhyBody, caller: Caller = Compliance
) -> Response:
    """Keeps a payout that waits from being sent, until somebody resumes it."""
    return await desk.write(request, caller, hold_payouts, body, payout_id)


@router.post("/payouts/{payout_id}/resumptions", status_code=201)
async def resume_payout(
    request: Request, payout_id: str, body: WhyBody, caller: Caller = Compliance
) -> Response:
    """Lets a held payout go on its way."""
    return await desk.write(request, caller, resume_payouts, body, payout_id)


def _shown(tx: Tx, programme_id: ProgrammeId, found: Sequence[Payout]) -> list[present.Json]:
    ids = [item.id for item in found]
    attempts, histories = attempts_of(tx, ids), events_of(tx, programme_id, ids)
    approvals, payees = approvals_of(tx, ids), _payees(tx, found)
    return [
        present.payout(item, attempts[item.id], histories[item.id], approvals[item.id], payees.get(item.id))
        for item in found
    ]


def _payees(tx: Tx, found: Sequence[Payout]) -> dict[PayoutId, tuple[PayeeCheck, PayeeChoice | None]]:
    checks = checks_of(tx, [item for item in found if item.party_id is not None])
    choices = payee_choices_on(tx, {check.id for check in checks.values()})
    return {payout_id: (check, choices.get(check.id)) for payout_id, check in checks.items()}
