"""Ordering faults and looking at them, under /sandbox/faults.

What each kind does, and which of the twenty ways in which a bank can go wrong it plays, is told in
docs/reference/sandbox-bank.md.
"""

import uuid

from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp, wall_now
from partners.sandbox.control_views import fault_view
from partners.sandbox.door import Call
from partners.sandbox.fault_orders import FaultOrder
from partners.sandbox.money import to_minor
from partners.sandbox.records import Fault, FaultKind
from partners.sandbox.store import faults as store
from partners.sandbox.store.database import begin
from partners.sandbox.wire import Reply, read_body


def order_fault(bank: Bank, call: Call) -> Reply:
    """POST /sandbox/faults: misbehave, so many times, where the match applies.

    A fault of requests strikes orders to pay, or any path that begins as the match says. One of webhooks
    strikes each webhook for itself: an order causes several, and `webhookType` picks among them. `down`
    begins at once, and is over by itself.

    Raises: RequestRefusedError (400 for a fault that could never strike, or does not say how).
    """
    order = read_body(FaultOrder, call.body)
    is_down = order.kind is FaultKind.DOWN
    fault = Fault(
        id=str(uuid.uuid4()),
        kind=order.kind,
        end_to_end_id=order.match.end_to_end_id,
        creditor_iban=order.match.creditor_iban,
        path=order.match.path,
        webhook_type=order.match.webhook_type,
        reason=order.reason,
        seconds=order.lasting_s,
        amount_minor=None if order.amount is None else to_minor(order.amount),
        times_left=0 if is_down else order.times,
        created_at=stamp(wall_now()),
    )
    with begin(bank.books) as tx:
        store.insert_fault(tx, fault)
    if is_down and fault.seconds is not None:
        bank.downtimes.put_nowait(fault.seconds)
    return Reply(201, fault_view(fault))


def list_faults(bank: Bank, call: Call) -> Reply:
    """GET /sandbox/faults: every fault ever ordered, with how often it may still strike."""
    assert call.method == "GET"
    return Reply(200, {"faults": [fault_view(fault) for fault in store.list_faults(bank.books)]})
