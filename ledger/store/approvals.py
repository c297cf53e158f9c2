"""What people have signed under payouts, and when their orders were screened anew. Facts: only added to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ledger.core.canonical import Canonical
from ledger.core.ids import PayoutId
from ledger.store.rows import insert_rows
from ledger.store.schema import payout_approvals, payout_screenings
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Approval:
    """A signature that came in as an approver's. Whether it is one, only the enclave says."""

    payout_id: PayoutId
    approver_id: str
    signature: bytes
    received_at: datetime


_COLUMNS = tuple(payout_approvals.c[name] for name in Approval.__slots__)


def insert_approval(tx: Tx, payout_id: PayoutId, *, approver_id: str, signature: bytes) -> bool:
    """Writes an approval; says False when this very one was there."""
    row = {"payout_id": payout_id, "approver_id": approver_id, "signature": signature}
    return insert_rows(tx, payout_approvals, [row], ignore_conflicts=True) == 1


def approvals_of(tx: Tx, payout_ids: Collection[PayoutId]) -> dict[PayoutId, list[Approval]]:
    """All approvals of these payouts, first one first."""
    query = (
        sa.select(*_COLUMNS)
        .where(payout_approvals.c.payout_id.in_(sorted(payout_ids)))
        .order_by(payout_approvals.c.received_at)
    )
    found: dict[PayoutId, list[Approval]] = {payout_id: [] for payout_id in payout_ids}
    for row in tx.rows(query):
        found[row["payout_id"]].append(Approval(**{**row, "signature": bytes(row["signature"])}))
    return found


def insert_screening(tx: Tx, payout_id: PayoutId, decision: Mapping[str, Canonical]) -> None:
    """Writes that a payout's order was screened anew and cleared, and on what."""
    row = {"id": tx.new_id("scr"), "payout_id": payout_id, "decision": dict(decision)}
    insert_rows(tx, payout_screenings, [row])
