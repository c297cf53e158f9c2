"""The book as a plain-text journal, so that an auditor's own double-entry program can do the sums again.

A pure function of the values that the CSV files hold: whoever has those can write the same bytes, and the
verifier does. Names no person: a party stands as its reference.
Follows: the journal format of hledger 1.25; decimals of ISO 4217, and of the programme's own units.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from iso4217 import Currency

from ledger.core.chart import AccountClass, Side
from ledger.core.facts import AccountFact, EntryFact, TransferFact, UnitFact, instant_text

TOP_LEVEL = {
    AccountClass.ASSET: "assets",
    AccountClass.LIABILITY: "liabilities",
    AccountClass.INCOME: "income",
    AccountClass.EXPENSE: "expenses",
    AccountClass.EQUITY: "equity",
}
_READABLE = "@+"  # besides letters, digits and "-._~", which are never escaped
_NOTHING = "%"  # an escape always has two digits behind its sign, so no text is ever written like this


class Journal:
    """Writes a programme's journal piece by piece: the heading, then the transfers in the log's order."""

    def __init__(
        self, programme_name: str, accounts: Sequence[AccountFact], units: Iterable[UnitFact] = ()
    ) -> None:
        own = {unit.code: unit.decimals for unit in units}
        self._programme_name = programme_name
        self._accounts = accounts
        self._names = {account.id: account_name(account) for account in accounts}
        self._currencies = {account.id: account.currency for account in accounts}
        self._decimals = {
            currency: own.get(currency, _decimals(currency)) for currency in self._currencies.values()
        }

    def heading(self) -> str:
        """The declarations: every currency and every account that the journal may name."""
        commodities = (_commodity(currency, places) for currency, places in sorted(self._decimals.items()))
        return "".join(
            (
                f"; The book of the programme {self._programme_name}, made from the CSV files beside it.\n",
                "decimal-mark .\n\n",
                *commodities,
                "\n",
                *self._declared_accounts(),
            )
        )

    def paragraph(self, position: int, transfer: TransferFact, entries: Iterable[EntryFact]) -> str:
        """A transfer with its legs, debits positive, on its effective date (UTC); nothing if it has none."""
        moved = sorted((entry for entry in entries if entry.leg > 0), key=_by_leg)
        if not moved:
            return ""
        date = instant_text(transfer.effective_at)[:10]
        title = f"{date} ({transfer.id}) {transfer.kind} {_safe(transfer.reference)}  ; position {position}\n"
        return "".join(("\n", title, *map(self._posting, moved)))

    def _declared_accounts(self) -> Iterator[str]:
        ids_of: dict[str, list[str]] = defaultdict(list)
        for account in self._accounts:
            ids_of[self._names[account.id]].append(account.id)
        for name, ids in sorted(ids_of.items()):
            yield f"account {name}  ; {' '.join(ids)}\n"

    def _posting(self, entry: EntryFact) -> str:
        currency = self._currencies[entry.account_id]
        net_minor = entry.amount_minor if entry.movement == Side.DEBIT else -entry.amount_minor
        amount = f"{decimal_text(net_minor, self._decimals[currency])} {_symbol(currency)}"
        return f"    {self._names[entry.account_id]}  {amount}\n"


def account_name(account: AccountFact) -> str:
    """Where an account stands in the journal: class, code, what divides it, and whose it is by their reference.

    What the programme divides it into begins with a slash, which no reference is ever written with.
    """
    parts = [TOP_LEVEL[AccountClass(account.account_class)], _safe(account.code)]
    parts += [f"/{_safe(name)}" for name in account.path.split("/")[2:]]
    if account.party_reference is not None:
        parts.append(_safe(account.party_reference))
    return ":".join(parts)


def decimal_text(minor: int, decimals: int) -> str:
    """Minor units as a decimal number, written from the digits: no division, no rounding."""
    digits = str(abs(minor)).zfill(decimals + 1)
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return f"{'-' if minor < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def _decimals(currency: str) -> int:
    """How many decimals a currency has; a unit that ISO 4217 does not know, or does not divide, has none."""
    try:
        return int(Currency(currency).exponent or 0)
    except ValueError:
        return 0


def _commodity(currency: str, decimals: int) -> str:
    # hledger wants to see the decimal mark even where no digit follows it.
    return f"commodity 1000.{'0' * decimals} {_symbol(currency)}\n"


def _symbol(currency: str) -> str:
    """A unit with a digit in its code stands in quotes: hledger would read an amount otherwise."""
    return currency if currency.isalpha() else f'"{currency}"'


def _by_leg(entry: EntryFact) -> tuple[int, bool]:
    return entry.leg, entry.movement != Side.DEBIT


def _safe(text: str) -> str:
    """Text in which nothing means anything to hledger, and that no other text becomes."""
    return quote(text, safe=_READABLE) or _NOTHING
