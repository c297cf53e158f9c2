"""The trial balance: every account of a programme, and the proof that they sum to zero, currency by currency."""

from collections import Counter
from dataclasses import dataclass

from ledger.core.chart import CHART, Code
from ledger.core.ids import AccountId, PartyId, ProgrammeId
from ledger.store.accounts import Place, programme_accounts
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
    """All accounts and their sum, which is zero in every currency (invariant 6)."""

    rows: tuple[Row, ...]
    sums_minor: dict[str, int]


def trial_balance(tx: Tx, programme_id: ProgrammeId) -> TrialBalance:
    """The trial balance as the book stands now."""
    rows = tuple(map(_row, programme_accounts(tx, programme_id)))
    sums: Counter[str] = Counter()
    for row in rows:
        sums[row.currency] += row.net_minor
    return TrialBalance(rows, dict(sums))


def _row(place: Place) -> Row:
    account = place.account
    return Row(
        account_id=account.id,
        code=place.code,
        account_class=CHART[place.code].account_class.value,
        party_id=place.party_id,
        currency=account.currency,
        debits_minor=account.debits_minor,
        credits_minor=account.credits_minor,
        balance_minor=account.posted_minor,
        held_minor=account.held_minor,
        net_minor=account.debits_minor - account.credits_minor,
    )
