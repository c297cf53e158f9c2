"""What it means for a payout where its bank says that the payment stands. Pure."""

from collections.abc import Mapping
from typing import Final

from ledger.core.payout import PayoutTrigger
from partners.contract import PaymentState

TRIGGERS: Final[Mapping[PaymentState, PayoutTrigger]] = {
    PaymentState.PENDING: PayoutTrigger.PROGRESS,
    PaymentState.SETTLED: PayoutTrigger.SETTLE,
    PaymentState.FAILED: PayoutTrigger.REJECT,
}
