"""The book, done again from its facts: whoever replays them all uncontradicted has seen that they add up.

Pure, and written apart from the code that decides: it asks of each movement only what must be true of it.
Takes transfers in the log's order, in which every account's movements follow one another.
Invariants: every transfer balances (1), no account passes its limits (2), held + available = posted (7).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger.core.errors import EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, SideFact, TransferFact
from ledger.evidence.discrepancy import Found
from ledger.evidence.opening import check_opening
from ledger.evidence.reservation import HoldStep, Reservation
from ledger.evidence.shape import LegSeen, check_reversal, check_times, check_transfer, read_legs
from ledger.evidence.standing import Standing


@dataclass(slots=True)
class Replay:
    """The state after the transfers so far."""

    accounts: Mapping[str, AccountFact]
    standings: dict[str, Standing] = field(default_factory=dict)
    _sides: dict[str, SideFact] = field(default_factory=dict)
    _holds: dict[str, Reservation] = field(default_factory=dict)
    _legs: dict[str, list[LegSeen]] = field(default_factory=dict)
    _reversed: set[str] = field(default_factory=set)

    def apply(self, transfer: TransferFact, entries: Sequence[EntryFact]) -> None:
        """Carries out one transfer by what its entries say.

        Raises: EvidenceBroken, naming the row, when that contradicts itself or anything before it.
        """
        if transfer.id in self._legs:
            raise EvidenceBroken(f"{transfer.id} stands in the log twice")
        for entry in entries:
            _stop_at(self._standing(entry).take(entry))
        for last in {entry.account_id: entry for entry in entries}.values():
            _stop_at(self.standings[last.account_id].check_limits(last))
        _stop_at(check_times(transfer, entries))
        legs, found = read_legs(transfer, entries, self._sides)
        _stop_at(found)
        steps = [entry for entry in entries if entry.leg == 0]
        _stop_at(check_transfer(transfer, steps, legs))
        self._check_past(transfer, steps, legs)
        self._legs[transfer.id] = legs

    def _standing(self, entry: EntryFact) -> Standing:
        standing = self.standings.get(entry.account_id)
        if standing is None:
            account = self.accounts.get(entry.account_id)
            if account is None:
                raise EvidenceBroken(f"{entry.transfer_id}: there is no such account as {entry.account_id}")
            standing = self.standings[account.id] = Standing(account)
            self._sides[account.id] = SideFact(
                account.id, account.programme_id, account.currency, account.side
            )
        return standing

    def _check_past(
        self, transfer: TransferFact, steps: Sequence[EntryFact], legs: Sequence[LegSeen]
    ) -> None:
        if transfer.kind == "open":
            _stop_at(check_opening(transfer, self.accounts[steps[0].account_id]))
        elif transfer.reverses_id is not None:
            if transfer.reverses_id in self._reversed:
                raise EvidenceBroken(f"{transfer.reverses_id} was reversed before {transfer.id}")
            self._reversed.add(transfer.reverses_id)
            _stop_at(check_reversal(transfer, legs, original=self._legs.get(transfer.reverses_id)))
        elif transfer.kind == "hold" or transfer.hold_id is not None:
            step = _hold_step(transfer, steps[0], legs)
            hold = self._holds.setdefault(step.hold_id, Reservation(step.hold_id))
            _stop_at(hold.take(step))


def _hold_step(transfer: TransferFact, step: EntryFact, legs: Sequence[LegSeen]) -> HoldStep:
    return HoldStep(
        hold_id=transfer.hold_id or transfer.id,
        transfer_id=transfer.id,
        programme_id=transfer.programme_id,
        kind=transfer.kind,
        asked=transfer.asked,
        recorded_at=transfer.recorded_at,
        account_id=step.account_id,
        amount_minor=step.amount_minor,
        moved_minor=sum(leg.amount_minor for leg in legs),
    )


def _stop_at(found: Found) -> None:
    for first in found:
        raise EvidenceBroken(str(first))
