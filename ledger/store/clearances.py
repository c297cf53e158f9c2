"""Clearances, recorded in the transaction that they allow."""

from collections.abc import Sequence

import sqlalchemy as sa

from ledger.core.clearance import Clearance
from ledger.core.errors import ClearanceSpent
from ledger.store.rows import insert_rows
from ledger.store.schema import clearances
from ledger.store.tx import Tx


def redeem(tx: Tx, spent: Sequence[Clearance]) -> None:
    """Spends clearances, each for the one order it is bound to.

    Raises: ClearanceSpent when one was spent before, or its order was carried out under another.
    """
    rows = [
        {
            "id": clearance.id,
            "programme_id": clearance.programme_id,
            "order_kind": clearance.order_kind,
            "order_canonical": clearance.order_canonical,
            "order_digest": clearance.order_digest,
            "decision": dict(clearance.decision),
            "redeemed_at": tx.now,
        }
        for clearance in spent
    ]
    try:
        insert_rows(tx, clearances, rows)
    except sa.exc.IntegrityError as error:
        raise ClearanceSpent("This order's clearance was redeemed before.") from error
