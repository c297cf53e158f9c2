"""Checkouts with their lines, and the steps that captures and refunds took."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from ledger.core.cart import CartLine, Checkout, CheckoutState, Step
from ledger.core.ids import CheckoutId, ProgrammeId, TransferId
from ledger.core.money import Split, SplitTo
from ledger.core.orders import CheckoutOrder, Line
from ledger.store.rows import insert_rows, taken, update_rows
from ledger.store.schema import checkout_lines, checkouts, line_steps
from ledger.store.tx import Tx

_COLUMNS = (
    checkouts.c.id,
    checkouts.c.programme_id,
    checkouts.c.payer_id,
    checkouts.c.reference,
    checkouts.c.currency,
    checkouts.c.amount_minor,
    checkouts.c.state,
    checkouts.c.hold_id,
    checkouts.c.expires_at,
)


def insert_checkouts(
    tx: Tx, orders: Sequence[CheckoutOrder], state: CheckoutState, holds: Mapping[CheckoutId, TransferId]
) -> None:
    """Writes carts as they were ordered, with the holds that they were given."""
    insert_rows(
        tx, checkouts, [_checkout_row(tx, order, state, holds.get(order.checkout_id)) for order in orders]
    )
    lines = [(order, place, line) for order in orders for place, line in enumerate(order.lines, start=1)]
    insert_rows(tx, checkout_lines, [_line_row(order, place, line) for order, place, line in lines])


def _checkout_row(
    tx: Tx, order: CheckoutOrder, state: CheckoutState, hold_id: TransferId | None
) -> dict[str, Any]:
    return {
        "id": order.checkout_id,
        "programme_id": order.programme_id,
        "payer_id": order.payer_id,
        "reference": order.reference,
        "currency": order.currency,
        "amount_minor": order.amount_minor,
        "state": state.value,
        "hold_id": hold_id,
        "expires_at": order.expires_at,
        "created_at": tx.now,
    }


def _line_row(order: CheckoutOrder, place: int, line: Line) -> dict[str, Any]:
    nothing = [0] * len(line.splits)
    return {
        "checkout_id": order.checkout_id,
        "line_no": place,
        "reference": line.reference,
        "seller_id": line.seller_id,
        "quantity": line.quantity,
        "unit_minor": line.unit_minor,
        "amount_minor": line.amount_minor,
        "splits": [
            {"to": split.to.value, "party_id": split.party_id, "bps": split.bps} for split in line.splits
        ],
        "captured_minor": 0,
        "refunded_minor": 0,
        "captured_parts": nothing,
        "refunded_parts": nothing,
        "final": False,
    }


def lock_checkouts(tx: Tx, ids: Collection[CheckoutId]) -> dict[CheckoutId, Checkout]:
    """Locks checkouts in id order and reads them with their lines."""
    query = sa.select(*_COLUMNS).where(checkouts.c.id.in_(sorted(ids))).order_by(checkouts.c.id)
    return _with_lines(tx, tx.rows(query.with_for_update(key_share=True)))


def read_checkouts(tx: Tx, ids: Collection[CheckoutId]) -> dict[CheckoutId, Checkout]:
    """Checkouts with their lines."""
    return _with_lines(tx, tx.rows(sa.select(*_COLUMNS).where(checkouts.c.id.in_(sorted(ids)))))


def references_taken(tx: Tx, references: Collection[tuple[ProgrammeId, str]]) -> set[tuple[ProgrammeId, str]]:
    """Which of these references are in use."""
    return taken(tx, checkouts, references)


def save_authorised(tx: Tx, held: Mapping[CheckoutId, TransferId]) -> None:
    """Marks waiting checkouts as authorised, each under its hold."""
    state = CheckoutState.AUTHORISED.value
    rows = [{"id": checkout_id, "state": state, "hold_id": hold_id} for checkout_id, hold_id in held.items()]
    update_rows(tx, checkouts, ["id"], rows)


def save_progress(tx: Tx, changed: Sequence[Checkout]) -> None:
    """Writes what has become of checkouts and their lines."""
    update_rows(tx, checkouts, ["id"], [{"id": item.id, "state": item.state.value} for item in changed])
    rows = [
        {
            "checkout_id": item.id,
            "line_no": line.line_no,
            "captured_minor": line.captured_minor,
            "refunded_minor": line.refunded_minor,
            "captured_parts": list(line.captured_parts),
            "refunded_parts": list(line.refunded_parts),
            "final": line.final,
        }
        for item in changed
        for line in item.lines
    ]
    update_rows(tx, checkout_lines, ["checkout_id", "line_no"], rows)


def expire_checkouts(tx: Tx, hold_ids: Collection[TransferId]) -> list[Checkout]:
    """Locks, in id order, and marks the authorised checkouts behind expired holds; says which they were."""
    query = sa.select(*_COLUMNS).where(
        checkouts.c.hold_id.in_(sorted(hold_ids)), checkouts.c.state == CheckoutState.AUTHORISED.value
    )
    locked = tx.rows(query.order_by(checkouts.c.id).with_for_update(key_share=True))
    found = list(_with_lines(tx, locked).values())
    rows = [{"id": item.id, "state": CheckoutState.EXPIRED.value} for item in found]
    update_rows(tx, checkouts, ["id"], rows)
    return found


def expire_proposals(tx: Tx) -> list[Checkout]:
    """Marks checkouts that waited for authentication until their time had passed, and says which they were."""
    statement = (
        sa.update(checkouts)
        .where(
            checkouts.c.state == CheckoutState.REQUIRES_AUTHENTICATION.value, checkouts.c.expires_at <= tx.now
        )
        .values(state=CheckoutState.EXPIRED.value)
        .returning(*_COLUMNS)
    )
    return list(_with_lines(tx, tx.rows(statement)).values())


def insert_steps(tx: Tx, step: str, done: Sequence[tuple[Checkout, str, TransferId, Sequence[Step]]]) -> None:
    """Writes the steps of captures or refunds: (checkout, order id, transfer, steps)."""
    rows = [
        {
            "id": tx.new_id("stp"),
            "programme_id": checkout.programme_id,
            "checkout_id": checkout.id,
            "line_no": item.line.line_no,
            "step": step,
            "order_id": UUID(hex=order_id[-32:]),
            "amount_minor": item.amount_minor,
            "parts": list(item.parts),
            "transfer_id": transfer_id,
            "recorded_at": tx.now,
        }
        for checkout, order_id, transfer_id, steps in done
        for item in steps
    ]
    insert_rows(tx, line_steps, rows)


def _with_lines(tx: Tx, rows: Sequence[sa.RowMapping]) -> dict[CheckoutId, Checkout]:
    columns = [column for column in checkout_lines.c if column.name != "checkout_id"]
    query = (
        sa.select(checkout_lines.c.checkout_id, *columns)
        .where(checkout_lines.c.checkout_id.in_([row["id"] for row in rows]))
        .order_by(checkout_lines.c.checkout_id, checkout_lines.c.line_no)
    )
    lines: dict[CheckoutId, list[CartLine]] = defaultdict(list)
    for row in tx.rows(query) if rows else ():
        lines[row["checkout_id"]].append(_cart_line(row))
    return {
        row["id"]: Checkout(**{**row, "state": CheckoutState(row["state"])}, lines=tuple(lines[row["id"]]))
        for row in rows
    }


def _cart_line(row: sa.RowMapping) -> CartLine:
    line = Line(
        reference=row["reference"],
        seller_id=row["seller_id"],
        quantity=row["quantity"],
        unit_minor=row["unit_minor"],
        amount_minor=row["amount_minor"],
        splits=tuple(Split(SplitTo(item["to"]), item["party_id"], item["bps"]) for item in row["splits"]),
    )
    return CartLine(
        line_no=row["line_no"],
        line=line,
        captured_minor=row["captured_minor"],
        refunded_minor=row["refunded_minor"],
        captured_parts=tuple(row["captured_parts"]),
        refunded_parts=tuple(row["refunded_parts"]),
        final=row["final"],
    )
