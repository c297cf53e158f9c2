"""Where the bank misbehaves: finding the fault that applies here, and using it up.

A fault's use is written in the same database transaction as what it spoils, so a fault is used up exactly
when it has struck.
"""

from partners.sandbox.records import Facts, Fault, FaultKind
from partners.sandbox.store import faults as store
from partners.sandbox.store.database import Tx

# A fault on requests that names no path strikes orders to pay only, never a mere look-up.
ORDER_PATHS = frozenset({"/payments/sepa-ct/v1/customer-payments", "/v1/payments/sepa-instant"})


def take(tx: Tx, kind: FaultKind, facts: Facts) -> Fault | None:
    """The oldest live fault of a kind that applies here, used up by one; None when there is none."""
    for fault in store.list_live_faults(tx, kind):
        if applies(fault, facts):
            store.use_fault(tx, fault.id)
            return fault
    return None


def applies(fault: Fault, facts: Facts) -> bool:
    """Whether everything that a fault names is so here; a path is matched by its beginning."""
    if not _path_fits(fault, facts.path):
        return False
    named = (
        (fault.end_to_end_id, facts.end_to_end_id),
        (fault.creditor_iban, facts.creditor_iban),
        (fault.webhook_type, facts.webhook_type),
    )
    return all(wanted is None or wanted == found for wanted, found in named)


def _path_fits(fault: Fault, path: str | None) -> bool:
    if path is None:
        return fault.path is None
    return path in ORDER_PATHS if fault.path is None else path.startswith(fault.path)
