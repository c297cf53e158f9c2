"""What finance ops and auditors ask for: statements, reconciliation, safeguarding, the trial balance, exports."""

import io
import tarfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api import desk, present
from api.auth import Caller, Needs, Scope
from api.bodies import Moment, StatementRequestBody
from api.handlers.exports import request_exports, request_statements, run_reconciliations
from api.parts import Parts
from api.past import read_past
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import is_id
from ledger.reports.reconciliation import reconciliation
from ledger.reports.safeguarding import safeguarding
from ledger.reports.trial_balance import trial_balance
from ledger.store.evidence import Export, read_export
from ledger.store.statements import read_statement_request
from ledger.store.tx import Tx

router = APIRouter(prefix="/v1", tags=["reports"], route_class=StrictRoute)
Reports = Depends(Needs(Scope.REPORTS))
Reader = Depends(Needs(Scope.REPORTS, Scope.LEDGER_READ))


@router.post("/statement-requests", status_code=202)
async def create_statement_request(
    request: Request, body: StatementRequestBody, caller: Caller = Reports
) -> Response:
    """Asks the bank for the statements of one of its days; they are matched with the book when they come."""
    return await desk.write(request, caller, request_statements, body)


@router.get("/statement-requests/{request_id}")
async def get_statement_request(
    request: Request, request_id: str, caller: Caller = Reports
) -> dict[str, Any]:
    """What became of a request for statements."""

    def reader(tx: Tx) -> dict[str, Any]:
        found = read_statement_request(tx, request_id) if is_id("srq", request_id) else None
        if found is None or found.programme_id != caller.programme_id:
            raise not_found("statement request")
        return {"id": found.id, "day": found.day.isoformat(), "state": found.state, "detail": found.detail}

    return await desk.read(request, reader)


@router.post("/reconciliations", status_code=201)
async def run_reconciliation(request: Request, caller: Caller = Reports) -> Response:
    """Matches every open statement line with the book, and answers with the report."""
    return await desk.write(request, caller, run_reconciliations, None)


@router.get("/reports/reconciliation")
async def get_reconciliation(request: Request, caller: Caller = Reports) -> dict[str, Any]:
    """What matched and what is open, as after the last run."""
    return await desk.read(
        request, lambda tx: present.reconciliation(reconciliation(tx, caller.programme_id))
    )


@router.get("/reports/safeguarding")
async def get_safeguarding(request: Request, caller: Caller = Reports) -> dict[str, Any]:
    """What customers are owed against what the bank says is there."""
    return await desk.read(request, lambda tx: present.safeguarding(safeguarding(tx, caller.programme_id)))


@router.get("/reports/trial-balance")
async def get_trial_balance(
    request: Request,
    caller: Caller = Reader,
    at: Annotated[Moment, Query(description="as the book knew it at this instant; not later than now")]
    | None = None,
) -> dict[str, Any]:
    """Every account, and the proof that they sum to zero: now, or at any past instant, for good."""
    parts: Parts = request.app.state.parts
    programme_id = caller.programme_id

    def reader(tx: Tx) -> dict[str, Any]:
        return present.trial_balance(trial_balance(tx, programme_id, at=at))

    return await desk.off_loop(lambda: read_past(parts, programme_id, at, reader, field="at"))


@router.post("/exports", status_code=202)
async def create_export(request: Request, caller: Caller = Reports) -> Response:
    """Asks for an audit package: sealed, signed, and verifiable without us."""
    return await desk.write(request, caller, request_exports, None)


@router.get("/exports/{export_id}")
async def get_export(request: Request, export_id: str, caller: Caller = Reports) -> dict[str, Any]:
    """What became of an export."""
    found = await _export(request, export_id, caller)
    return {"id": found.id, "state": found.state, "detail": found.detail}


@router.get("/exports/{export_id}/package")
async def get_package(request: Request, export_id: str, caller: Caller = Reports) -> Response:
    """The package of a ready export, as a tar archive."""
    found = await _export(request, export_id, caller)
    if found.state != "ready" or found.directory is None:
        raise not_found("package yet")
    directory = Path(found.directory)
    return Response(await desk.off_loop(lambda: _packed(directory)), media_type="application/x-tar")


@router.get("/public-keys")
async def get_public_keys(request: Request, _caller: Caller = Reports) -> dict[str, Any]:
    """The enclave's public keys. Auditors should get the export key by a way of their own, and compare."""
    parts: Parts = request.app.state.parts
    keys = await desk.off_loop(parts.enclave.public_keys)
    return {"data": {purpose: {"key_id": key.key_id, "pem": key.pem} for purpose, key in keys.items()}}


async def _export(request: Request, export_id: str, caller: Caller) -> Export:
    def reader(tx: Tx) -> Export:
        found = read_export(tx, caller.programme_id, export_id) if is_id("exp", export_id) else None
        if found is None:
            raise not_found("export")
        return found

    return await desk.read(request, reader)


def _packed(directory: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(directory.iterdir()):
            archive.add(path, arcname=path.name)
    return packed.getvalue()
