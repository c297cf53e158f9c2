"""The chart of accounts: every kind of account a programme keeps, and what is always true of it.

Classes follow double-entry bookkeeping: assets and expenses grow on the debit side, liabilities, income and
equity on the credit side. Customer money is a liability tagged with its safeguarding pool, never without
(CASS 15.8.3R; PSD2 article 10).
"""

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """The side on which an account grows."""

    DEBIT = "debit"
    CREDIT = "credit"

    def own(self, net_minor: int) -> int:
        """Debits less credits, as an account that grows on this side counts them. Units: minor units."""
        return net_minor if self is Side.DEBIT else -net_minor


class AccountClass(StrEnum):
    """The five classes of double-entry bookkeeping."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"


class Code(StrEnum):
    """A place in the chart."""

    SAFEGUARDING = "safeguarding_bank"
    OPERATING = "operating_bank"
    PAYOUTS_IN_FLIGHT = "payouts_in_flight"
    SUSPENSE = "deposits_in_suspense"
    WALLET = "customer_wallet"
    SELLER = "seller_balance"
    CREATOR = "creator_balance"
    TAX_PAYABLE = "tax_payable"
    COMMISSION = "commission_income"
    BANK_FEES = "bank_fees"
    CHARGEBACK_LOSSES = "chargeback_losses"
    OWN_FUNDS = "own_funds"
    CONVERSION = "currency_conversion"


E_MONEY_POOL = "e_money"


@dataclass(frozen=True, slots=True)
class Place:
    """What every account of one code has in common. `min_available_minor` None means unbounded."""

    account_class: AccountClass
    side: Side
    pool: str | None
    min_available_minor: int | None
    per_party: bool


def _asset() -> Place:
    return Place(AccountClass.ASSET, Side.DEBIT, None, 0, per_party=False)


def _customer_money(*, per_party: bool) -> Place:
    return Place(AccountClass.LIABILITY, Side.CREDIT, E_MONEY_POOL, 0, per_party=per_party)


CHART: dict[Code, Place] = {
    Code.SAFEGUARDING: _asset(),
    Code.OPERATING: _asset(),
    Code.PAYOUTS_IN_FLIGHT: _customer_money(per_party=False),
    Code.SUSPENSE: _customer_money(per_party=False),
    Code.WALLET: _customer_money(per_party=True),
    Code.SELLER: _customer_money(per_party=True),
    Code.CREATOR: _customer_money(per_party=True),
    Code.TAX_PAYABLE: Place(AccountClass.LIABILITY, Side.CREDIT, None, None, per_party=False),
    Code.COMMISSION: Place(AccountClass.INCOME, Side.CREDIT, None, None, per_party=False),
    Code.BANK_FEES: Place(AccountClass.EXPENSE, Side.DEBIT, None, None, per_party=False),
    Code.CHARGEBACK_LOSSES: Place(AccountClass.EXPENSE, Side.DEBIT, None, None, per_party=False),
    Code.OWN_FUNDS: Place(AccountClass.EQUITY, Side.CREDIT, None, None, per_party=False),
    Code.CONVERSION: Place(AccountClass.EQUITY, Side.CREDIT, None, None, per_party=False),
}


def path_of(code: Code, subdivision: tuple[str, ...] = ()) -> str:
    """Where accounts of this code stand in the tree: class/code, and what the programme divides it into."""
    return "/".join((CHART[code].account_class.value, code.value, *subdivision))


SHARED_CODES = tuple(code for code, place in CHART.items() if not place.per_party)
