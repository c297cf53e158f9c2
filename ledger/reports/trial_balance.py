"""The trial balance: every account of a programme, and the proof that they sum to zero, currency by currency.

Now, or as it was known at any past instant: a leg is recorded on both its accounts at once, so every instant sums to
zero. Who asks about the past settles it first (`ledger.flows.periods.settle_past`), and the answer never changes.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from ledger.core.chart import Code
from ledger.core.ids import AccountId, PartyId, ProgrammeId
from ledger.store.history import Balance, balances
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Row:
    """One account. Units: minor units; `balance_minor` is on its own side, `net_minor` debits less credits."""

    account_id: AccountId
    code: Code
    account_class: str
    party_id: PartyId | None
    currency: str
    debits_minor: int
    credits_minor: int
    balance_minor: int
    held_minor: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """All accounts and their sum, which is zero in every currency (invariant 6). `at` None: as the book stands."""

    rows: tuple[Row, ...]
    sums_minor: dict[str, int]
    at: datetime | None


def trial_balance(tx: Tx, programme_id: ProgrammeId, *, at: datetime | None = None) -> TrialBalance:
    """The trial balance as the book stands, or as it was known at an instant."""
    rows = tuple(map(_row, balances(tx, programme_id, at=at)))
    sums: Counter[str] = Counter()
    for row in rows:
        sums[row.currency] += row.net_minor
    return TrialBalance(rows, dict(sums), at)


def _row(balance: Balance) -> Row:
    return Row(
        account_id=balance.id,
        code=balance.code,
        account_class=balance.account_class.value,
        party_id=balance.party_id,
        currency=balance.currency,
        debits_minor=balance.debits_minor,
        credits_minor=balance.credits_minor,
        balance_minor=balance.posted_minor,
        held_minor=balance.held_minor,
        net_minor=balance.net_minor,
    )
