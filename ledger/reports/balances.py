"""Balances as of either time: of one account, and of many together by their place in the tree or by tag.

Recorded time says what the book knew; value dates say what the world holds to be so. Who asks about the past settles
it first (`ledger.flows.periods.settle_past`).
"""

from datetime import datetime

from ledger.core.errors import NotFound
from ledger.core.ids import AccountId, ProgrammeId
from ledger.store.history import EVERY, Among, Balance, Dated, Total, balance_of, dated_balance, totals
from ledger.store.tx import Tx


def account_balance(
    tx: Tx, programme_id: ProgrammeId, account_id: AccountId, *, recorded_at: datetime | None
) -> Balance:
    """What the book knew of an account at an instant, or knows now.

    Raises: NotFound when the programme has no such account.
    """
    found = balance_of(tx, programme_id, account_id, at=recorded_at)
    if found is None:
        raise NotFound("account", account_id)
    return found


def account_balance_by_value_date(
    tx: Tx,
    programme_id: ProgrammeId,
    account_id: AccountId,
    *,
    effective_at: datetime,
    recorded_at: datetime | None,
) -> Dated:
    """What an account had posted by value date, of all that was known at an instant, or is known now.

    Raises: NotFound when the programme has no such account.
    """
    found = dated_balance(tx, programme_id, account_id, effective_at=effective_at, known_at=recorded_at)
    if found is None:
        raise NotFound("account", account_id)
    return found


def balances_together(
    tx: Tx, programme_id: ProgrammeId, *, among: Among = EVERY, recorded_at: datetime | None
) -> list[Total]:
    """What accounts held together, currency by currency, as known at an instant, or now."""
    return totals(tx, programme_id, at=recorded_at, among=among)
