"""What the enclave sees of a payout when it looks for itself, and the port through which it looks.

The caller's word about a payout proves nothing: the caller may be the part that was broken into. Everything
here comes from the enclave's own read-only look at the database. May not do I/O; `store` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class FactsUnavailable(Exception):
    """The database did not answer: nothing is known, so nothing may be signed."""


@dataclass(frozen=True, slots=True)
class PayoutRecord:
    """One row of the view `enclave_payouts`, column by column.

    Not everything in it is worth the same. `approvals` (JSON: `[{"approver_id", "signature"}]`, signatures in hex) are
    evidence: people have signed them with keys that are not here. The times are the database's own clock, which the
    application can neither set nor date back; but that a beneficiary was verified or an order screened at all is only
    as good as the application's word. `initiator` is in the order, and so is bound by what approvers sign.

    Units: `amount_minor` in minor units of `currency`.
    """

    payout_id: str
    programme_id: str
    state: str
    rail: str
    amount_minor: int
    currency: str
    creditor_name: str
    creditor_iban: str
    debtor_name: str
    debtor_iban: str
    end_to_end_id: str
    remittance: str | None
    order_canonical: str | None
    order_digest: bytes
    cleared_digest: bytes | None
    open_attempt_id: str | None
    attempts_possibly_sent: int
    initiator: str
    beneficiary_verified_at: datetime | None
    beneficiary_changed_at: datetime | None
    screened_at: datetime | None
    approvals: str


class PayoutFacts(Protocol):
    """Where payout records come from: the database, or a dictionary in tests."""

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        """The records of those ids that exist, by id.

        Raises:
            FactsUnavailable: the records could not be read.
        """
