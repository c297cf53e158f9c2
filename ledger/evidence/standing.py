"""An account, done again from its entries in the order of its versions: what must be true of each after the other.

Pure, and written apart from the code that decides: it asks of each entry only what must be true of it. After a
discrepancy it goes on from what the entry itself says, so that one wrong row is not heard of in every row behind it.
Invariants: no account passes its limits (2), one effect for one version (4), held + available = posted (7).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ledger.core.facts import AccountFact, EntryFact
from ledger.evidence.discrepancy import Found, in_entry, missing_entry

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_OPEN, _FROZEN, _CLOSED = "open", "frozen", "closed"
_MONEY: Final = frozenset({"debit", "credit", "hold", "release"})
STATUS_AFTER: Final = {"open": _OPEN, "freeze": _FROZEN, "unfreeze": _OPEN, "close": _CLOSED}
MOVEMENTS: Final = frozenset({*_MONEY, *STATUS_AFTER})


@dataclass(slots=True)
class Standing:
    """Where an account stands after its entries so far. Units: minor units."""

    account: AccountFact
    debits_minor: int = 0
    credits_minor: int = 0
    held_minor: int = 0
    version: int = 0
    recorded_at: datetime = _BEGINNING
    status: str = _OPEN
    _last: EntryFact | None = None

    @property
    def posted_minor(self) -> int:
        """The balance on the account's normal side."""
        net_minor = self.debits_minor - self.credits_minor
        return net_minor if self.account.side == "debit" else -net_minor

    def take(self, entry: EntryFact) -> Found:
        """The next entry of the account, and whatever contradicts those before it."""
        found: Found = []
        if entry.version != self.version + 1:
            found += self._out_of_turn(entry)
        if entry.recorded_at < self.recorded_at:
            found.append(in_entry(entry, "recorded before the version before it"))
        if entry.movement not in MOVEMENTS:
            found.append(in_entry(entry, f"{entry.movement} is no movement"))
        if (entry.amount_minor > 0) != (entry.movement in _MONEY) or entry.amount_minor < 0:
            found.append(in_entry(entry, f"{entry.amount_minor} is no amount of a {entry.movement}"))
        if self.version == 0 and entry.movement != "open":
            found.append(in_entry(entry, "the account was never opened"))
        if self.status != _OPEN or entry.movement not in _MONEY:
            found += self._check_status(entry)
        self._count(entry)
        said = entry.debits_after_minor, entry.credits_after_minor, entry.held_after_minor
        if said != (self.debits_minor, self.credits_minor, self.held_minor):
            found.append(in_entry(entry, "the movements before it give other counters"))
            self.debits_minor, self.credits_minor, self.held_minor = said
        return found

    def check_limits(self, last: EntryFact) -> Found:
        """What the account has after the last entry of a transfer, against what it may have."""
        account, posted_minor = self.account, self.posted_minor
        found: Found = []
        floor, cap = account.min_available_minor, account.max_balance_minor
        if floor is not None and posted_minor - self.held_minor < floor:
            found.append(in_entry(last, f"takes the account below its limit of {floor}"))
        if cap is not None and posted_minor > cap:
            found.append(in_entry(last, f"takes the account above its limit of {cap}"))
        if self.held_minor < 0:
            found.append(in_entry(last, "releases more than is held on the account"))
        return found

    def _out_of_turn(self, entry: EntryFact) -> Found:
        found = [in_entry(entry, f"the version before it was {self.version}")]
        if self._last is not None and entry.version == self.version:
            found.append(in_entry(self._last, f"{entry.transfer_id} has the same version"))
        if entry.version > self.version:
            found.append(missing_entry(self.account.id, self.version + 1, f"{entry.version} follows"))
        return found

    def _check_status(self, entry: EntryFact) -> Found:
        if self.status == _CLOSED:
            return [in_entry(entry, "the account is closed")]
        if entry.movement == "open" and self.version > 0:
            return [in_entry(entry, "the account was opened before")]
        if self.status == _FROZEN and (entry.movement in {"freeze", "hold"} or self._gives(entry)):
            return [in_entry(entry, "the account is frozen")]
        if entry.movement == "unfreeze" and self.status != _FROZEN:
            return [in_entry(entry, "the account is not frozen")]
        if entry.movement == "close" and (self.posted_minor or self.held_minor):
            return [in_entry(entry, "the account is not empty")]
        return []

    def _gives(self, entry: EntryFact) -> bool:
        return entry.movement in {"debit", "credit"} and entry.movement != self.account.side

    def _count(self, entry: EntryFact) -> None:
        match entry.movement:
            case "debit":
                self.debits_minor += entry.amount_minor
            case "credit":
                self.credits_minor += entry.amount_minor
            case "hold":
                self.held_minor += entry.amount_minor
            case "release":
                self.held_minor -= entry.amount_minor
            case movement:
                self.status = STATUS_AFTER.get(movement, self.status)
        self.version = entry.version
        self.recorded_at = entry.recorded_at
        self._last = entry
