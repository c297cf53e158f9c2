"""The log of evidence: its checkpoints, and proofs that a transfer is in it and that it only grew.

Hashes are base64, as in checkpoint notes (C2SP tlog-checkpoint); a proof is the list of RFC 9162, from the leaf's side
upwards. Whoever keeps a note can check all of it without us.
"""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from api import desk
from api.auth import Caller, Needs, Scope
from api.problems import not_found
from api.strict import StrictRoute
from ledger.core.ids import TransferId, is_id
from ledger.evidence.proofs import checkpoint_of, prove_consistency, prove_inclusion
from ledger.store.evidence import Checkpoint

SIZE_MAX = 2**53 - 1  # what every reader of JSON can count to

router = APIRouter(prefix="/v1/log", tags=["log"], route_class=StrictRoute)
Reports = Depends(Needs(Scope.REPORTS))
LatestSize = Annotated[
    int | None, Query(ge=0, le=SIZE_MAX, description="the size of a checkpoint; without it, the latest")
]


@router.get("/checkpoint")
async def get_latest_checkpoint(request: Request, caller: Caller = Reports) -> dict[str, Any]:
    """The latest signed checkpoint of the programme's log: keep it, and nothing under it can be changed unseen."""
    return await desk.read(request, lambda tx: _checkpoint(checkpoint_of(tx, caller.programme_id, None)))


@router.get("/checkpoints/{size}")
async def get_checkpoint(request: Request, size: int, caller: Caller = Reports) -> dict[str, Any]:
    """The signed checkpoint of one size."""
    if not 0 <= size <= SIZE_MAX:
        raise not_found("checkpoint")
    return await desk.read(request, lambda tx: _checkpoint(checkpoint_of(tx, caller.programme_id, size)))


@router.get("/transfers/{transfer_id}/proof")
async def get_inclusion_proof(
    request: Request, transfer_id: str, caller: Caller = Reports, size: LatestSize = None
) -> dict[str, Any]:
    """The proof that a transfer stands under a checkpoint. `fact` is what was sealed of it, byte for byte."""
    if not is_id("xfr", transfer_id):
        raise not_found("transfer")
    found = await desk.read(
        request, lambda tx: prove_inclusion(tx, caller.programme_id, TransferId(transfer_id), size=size)
    )
    return {
        "transfer_id": found.transfer_id,
        "position": found.position,
        "fact": found.fact.decode("ascii"),
        "leaf_hash": _base64(found.leaf_hash),
        "checkpoint": _checkpoint(found.checkpoint),
        "proof": [_base64(node) for node in found.proof],
    }


@router.get("/consistency")
async def get_consistency_proof(
    request: Request,
    older: Annotated[int, Query(alias="from", ge=0, le=SIZE_MAX, description="the older checkpoint's size")],
    caller: Caller = Reports,
    newer: Annotated[
        int | None,
        Query(alias="to", ge=0, le=SIZE_MAX, description="the newer's; without it, the latest's"),
    ] = None,
) -> dict[str, Any]:
    """The proof that the log of one checkpoint begins with the log of another: nothing was changed in between."""
    found = await desk.read(
        request, lambda tx: prove_consistency(tx, caller.programme_id, older=older, newer=newer)
    )
    return {
        "from": _checkpoint(found.older),
        "to": _checkpoint(found.newer),
        "proof": [_base64(node) for node in found.proof],
    }


def _checkpoint(found: Checkpoint) -> dict[str, Any]:
    return {"size": found.size, "root": _base64(found.root), "note": found.note}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
