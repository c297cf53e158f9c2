"""The book, done again from its facts: whoever replays them all uncontradicted has seen that they add up.

Pure, and written apart from the code that decides: it asks of each movement only what must be true of it.
Takes transfers in the log's order, in which every account's movements follow one another.
Invariants: every transfer balances (1), no account passes its floor (2), held + available = posted (7).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ledger.core.errors import EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, TransferFact

_BEGINNING = datetime.min.replace(tzinfo=UTC)
MOVEMENTS = ("debit", "credit", "hold", "release")


@dataclass(slots=True)
class Counters:
    """An account's counters as its movements have made them. Units: minor units."""

    debits_minor: int = 0
    credits_minor: int = 0
    held_minor: int = 0
    version: int = 0
    recorded_at: datetime = _BEGINNING


@dataclass(slots=True)
class Replay:
    """The state after the transfers so far."""

    accounts: Mapping[str, AccountFact]
    counters: dict[str, Counters] = field(default_factory=lambda: defaultdict(Counters))
    _holds: dict[str, tuple[str, int]] = field(default_factory=dict)
    _legs: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)
    _reversed: set[str] = field(default_factory=set)

    def apply(self, transfer: TransferFact, entries: Sequence[EntryFact]) -> None:
        """Carries out one transfer by what its entries say.

        Raises: EvidenceBroken, naming the transfer, when that contradicts itself or anything before it.
        """
        if transfer.id in self._legs:
            raise EvidenceBroken(f"{transfer.id} stands in the log twice")
        _check_authority(transfer)
        for entry in entries:
            self._move(transfer, entry)
        _check_times(transfer, entries)
        self._check_floors(entries)
        legs = self._read_legs(transfer, entries)
        _check_shape(transfer, entries, legs)
        self._check_past(transfer, entries, legs)
        self._legs[transfer.id] = legs

    def _move(self, transfer: TransferFact, entry: EntryFact) -> None:
        where = f"{transfer.id}, version {entry.version} of {entry.account_id}"
        if entry.account_id not in self.accounts:
            raise EvidenceBroken(f"{where}: there is no such account")
        counters = self.counters[entry.account_id]
        if entry.version != counters.version + 1:
            raise EvidenceBroken(f"{where}: the version before it was {counters.version}")
        if entry.recorded_at < counters.recorded_at:
            raise EvidenceBroken(f"{where}: recorded before the version before it")
        if entry.amount_minor <= 0:
            raise EvidenceBroken(f"{where}: the amount is not above zero")
        _count(counters, entry)
        after = (entry.debits_after_minor, entry.credits_after_minor, entry.held_after_minor)
        if after != (counters.debits_minor, counters.credits_minor, counters.held_minor):
            raise EvidenceBroken(f"{where}: the movements before it give other counters")

    def _check_floors(self, entries: Sequence[EntryFact]) -> None:
        for account_id in {entry.account_id for entry in entries}:
            account, counters = self.accounts[account_id], self.counters[account_id]
            net = counters.debits_minor - counters.credits_minor
            available = (net if account.side == "debit" else -net) - counters.held_minor
            if account.min_available_minor is not None and available < account.min_available_minor:
                raise EvidenceBroken(f"{entries[0].transfer_id} takes {account_id} below its limit")
            if counters.held_minor < 0:
                raise EvidenceBroken(f"{entries[0].transfer_id} releases more on {account_id} than is held")

    def _read_legs(self, transfer: TransferFact, entries: Sequence[EntryFact]) -> list[tuple[str, str, int]]:
        """The legs in order, as debited account, credited account and amount."""
        by_leg: dict[int, dict[str, EntryFact]] = defaultdict(dict)
        moved = [entry for entry in entries if entry.leg != 0]
        for entry in moved:
            by_leg[entry.leg][entry.movement] = entry
        whole = all(set(sides) == {"debit", "credit"} for sides in by_leg.values())
        if not whole or len(moved) != 2 * len(by_leg) or sorted(by_leg) != list(range(1, len(by_leg) + 1)):
            raise EvidenceBroken(f"{transfer.id}: a leg is not one debit and one credit")
        return [self._read_leg(transfer, by_leg[leg]) for leg in sorted(by_leg)]

    def _read_leg(self, transfer: TransferFact, sides: Mapping[str, EntryFact]) -> tuple[str, str, int]:
        debit, credit = sides["debit"], sides["credit"]
        if debit.amount_minor != credit.amount_minor or debit.account_id == credit.account_id:
            raise EvidenceBroken(f"{transfer.id}: the sides of leg {debit.leg} do not balance")
        if self.accounts[debit.account_id].currency != self.accounts[credit.account_id].currency:
            raise EvidenceBroken(f"{transfer.id}: the sides of leg {debit.leg} have two currencies")
        return debit.account_id, credit.account_id, debit.amount_minor

    def _check_past(
        self, transfer: TransferFact, entries: Sequence[EntryFact], legs: Sequence[tuple[str, str, int]]
    ) -> None:
        reserved = next((entry for entry in entries if entry.leg == 0), None)
        if transfer.kind == "hold" and reserved is not None:
            self._holds[transfer.id] = reserved.account_id, reserved.amount_minor
        elif transfer.hold_id is not None and reserved is not None:
            self._draw(transfer, reserved)
        elif transfer.reverses_id is not None:
            self._check_reversal(transfer, transfer.reverses_id, legs)

    def _draw(self, transfer: TransferFact, released: EntryFact) -> None:
        """Takes what a capture or release frees out of its hold."""
        account_id, left_minor = self._holds.get(transfer.hold_id or "", (None, 0))
        if account_id != released.account_id or released.amount_minor > left_minor:
            raise EvidenceBroken(f"{transfer.id} releases what {transfer.hold_id} does not hold")
        self._holds[transfer.hold_id or ""] = released.account_id, left_minor - released.amount_minor

    def _check_reversal(
        self, transfer: TransferFact, reverses_id: str, legs: Sequence[tuple[str, str, int]]
    ) -> None:
        mirrored = [(credit, debit, amount_minor) for debit, credit, amount_minor in legs]
        if self._legs.get(reverses_id) != mirrored or reverses_id in self._reversed:
            raise EvidenceBroken(f"{transfer.id} does not undo {reverses_id}, or not as the first")
        self._reversed.add(reverses_id)


def _count(counters: Counters, entry: EntryFact) -> None:
    match entry.movement:
        case "debit":
            counters.debits_minor += entry.amount_minor
        case "credit":
            counters.credits_minor += entry.amount_minor
        case "hold":
            counters.held_minor += entry.amount_minor
        case "release":
            counters.held_minor -= entry.amount_minor
        case _:
            raise EvidenceBroken(f"{entry.transfer_id}: {entry.movement} is no movement")
    counters.version = entry.version
    counters.recorded_at = entry.recorded_at


def _check_authority(transfer: TransferFact) -> None:
    """Money moves by a redeemed clearance or by a bank's word, not both; giving a hold back needs neither."""
    given = (transfer.clearance_id is not None) + (transfer.notice_id is not None)
    if given != 1 and not (given == 0 and transfer.kind == "release"):
        raise EvidenceBroken(f"{transfer.id} has not one authority")


def _check_times(transfer: TransferFact, entries: Sequence[EntryFact]) -> None:
    if any(entry.effective_at != transfer.effective_at for entry in entries):
        raise EvidenceBroken(f"{transfer.id}: an entry is effective at another time than its transfer")
    if max((entry.recorded_at for entry in entries), default=None) != transfer.recorded_at:
        raise EvidenceBroken(f"{transfer.id} was not recorded with the last of its entries")


def _check_shape(transfer: TransferFact, entries: Sequence[EntryFact], legs: Sequence[object]) -> None:
    """What a transfer of each kind does to what is held, whether it has legs, and what it names."""
    reserved = [entry.movement for entry in entries if entry.leg == 0]
    shape = (reserved, bool(legs), transfer.hold_id is not None, transfer.reverses_id is not None)
    if shape != _SHAPES.get(transfer.kind):
        raise EvidenceBroken(f"{transfer.id} is not what a {transfer.kind} consists of")


_SHAPES: dict[str, tuple[list[str], bool, bool, bool]] = {
    "post": ([], True, False, False),
    "hold": (["hold"], False, False, False),
    "capture": (["release"], True, True, False),
    "release": (["release"], False, True, False),
    "reverse": ([], True, False, True),
}
KINDS = tuple(_SHAPES)
