"""Money that has arrived: booked to suspense at once, screened, and credited if the gate clears it."""

from collections.abc import Sequence

from compliance.gate import Gate
from ledger.core.clearance import Cleared
from ledger.flows.deposits import Arrival, receive, release
from ledger.store.tx import Tx


def credit_arrivals(tx: Tx, gate: Gate, arrivals: Sequence[Arrival]) -> None:
    """Books arrivals; what the gate holds stays in suspense under its case."""
    orders = [order for order in receive(tx, arrivals) if order is not None]
    release(tx, [item for item in gate.screen(tx, orders) if isinstance(item, Cleared)])
