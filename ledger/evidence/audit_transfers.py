"""Part of the auditor's check of a database: transfers with their movements, holds and reversals. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ledger.core.facts import EntryFact, SideFact, canonical_fact
from ledger.core.merkle import leaf_hash
from ledger.evidence.discrepancy import Discrepancy, Found, in_leg, in_step, in_transfer
from ledger.evidence.reservation import HoldStep, Reservation
from ledger.evidence.shape import LegSeen, check_reversal, check_times, check_transfer
from ledger.store.audit import HoldRow, HoldStepRow, LegRow, ReversalRow, StepRow, TransferRow

REWRITERS_MAX: Final = 10_000
_XID_EPOCH: Final = 2**32  # rows keep the low half of the id of the transaction that wrote them
_REVERSIBLE: Final = frozenset({"post", "capture"})


def transferless(transfer_id: str, legs: Sequence[LegRow], steps: Sequence[StepRow]) -> Iterator[Discrepancy]:
    """Movements of a transfer that is not there."""
    yield in_transfer(transfer_id, "is not there, though there are movements of it")
    for leg in legs:
        yield in_leg(transfer_id, leg.number, "its transfer is not there")
    for step in steps:
        yield _in_step_row(step, f"its transfer {transfer_id} is not there")


def _in_step_row(step: StepRow, detail: str) -> Discrepancy:
    return in_step(step.account.account_id or f"number {step.number}", step.entry.version, detail)


def check_transfer_rows(
    rows: Sequence[TransferRow], legs: Sequence[LegRow], steps: Sequence[StepRow]
) -> Iterator[Discrepancy]:
    """A transfer with all its movements: what its kind consists of, and whether it is what was sealed.

    `rows` are one, unless the transfer or its leaf stands there twice.
    """
    row, *others = rows
    transfer = row.fact
    if others:
        yield in_transfer(transfer.id, "stands there, or in the log, more than once")
    seen = [LegSeen(leg.number, leg.debit, leg.credit, leg.amount_minor) for leg in legs]
    entries: list[EntryFact] = [entry for leg in legs for entry in leg.entries]
    entries += [step.entry for step in steps]
    yield from check_transfer(transfer, [step.entry for step in steps], seen)
    yield from check_times(transfer, entries)
    yield from _check_numbers(legs, steps, transfer.programme_id)
    yield from _check_named(row)
    for each in rows:
        yield from _check_sealed(each, entries)


def _check_numbers(
    legs: Sequence[LegRow], steps: Sequence[StepRow], programme_id: str
) -> Iterator[Discrepancy]:
    for leg in legs:
        for number, side in ((leg.debit_number, leg.debit), (leg.credit_number, leg.credit)):
            if not side.account_id:
                yield in_leg(leg.transfer_id, leg.number, f"there is no account of the number {number}")
    for step in steps:
        if not step.account.account_id:
            yield _in_step_row(
                step, f"of {step.transfer_id}: there is no account of the number {step.number}"
            )
        elif step.account.programme_id != programme_id:
            yield _in_step_row(step, f"{step.transfer_id} is of another programme")


def _check_named(row: TransferRow) -> Iterator[Discrepancy]:
    transfer = row.fact
    if transfer.clearance_id is not None and not row.has_clearance:
        yield in_transfer(transfer.id, f"its programme has no clearance {transfer.clearance_id}")
    if transfer.notice_id is not None and not row.has_notice:
        yield in_transfer(transfer.id, f"there is no notice {transfer.notice_id}")
    if not row.has_programme:
        yield in_transfer(transfer.id, f"there is no programme {transfer.programme_id}")
    if not row.null_where_empty:
        yield in_transfer(transfer.id, "says {} where a transfer says nothing at all")


def _check_sealed(row: TransferRow, entries: list[EntryFact]) -> Iterator[Discrepancy]:
    """A sealed fact against its leaf. Which of its rows was changed, the hash does not say; the fact is named whole."""
    if row.position is None:
        return
    try:
        leaf = leaf_hash(canonical_fact(row.fact, entries))
    except TypeError:
        leaf = b""
    if leaf == row.leaf_hash:
        return
    transfer_id, position = row.fact.id, row.position
    movements = ", ".join(dict.fromkeys(_row_of(entry) for entry in entries)) or "which are gone"
    detail = f"its row, or one of its movements ({movements}), is not what was sealed at {position}"
    yield in_transfer(transfer_id, detail)
    yield Discrepancy(
        "log_leaves", f"{row.fact.programme_id}, {position}", f"is not the hash of {transfer_id} as it stands"
    )
    if row.fact.kind == "open":
        for entry in entries:
            yield Discrepancy(
                "accounts", entry.account_id, f"or {transfer_id} opened an account of another id"
            )


def _row_of(entry: EntryFact) -> str:
    """The row in which an entry stands, shortly: the transfer is said already."""
    return f"leg {entry.leg}" if entry.leg else f"step {entry.version} of {entry.account_id}"


@dataclass(slots=True)
class Rewriters:
    """Transfers whose rows were not written by the transaction that they name.

    One of them alone in its transaction was changed; many by one transaction came out of a dump, and then the ids of
    transactions are another server's, which nobody can check here.
    """

    _of: dict[int, tuple[int, str]] = field(default_factory=dict)
    _beyond: int = 0

    def see(self, row: TransferRow) -> None:
        """Takes the next transfer in."""
        if row.xid % _XID_EPOCH == row.written_by:
            return
        count, first = self._of.get(row.written_by, (0, row.fact.id))
        if count == 0 and len(self._of) >= REWRITERS_MAX:
            self._beyond += 1
        else:
            self._of[row.written_by] = count + 1, first

    def found(self) -> Iterator[Discrepancy]:
        """The transfers whose rows were changed one by one."""
        for count, transfer_id in self._of.values():
            if count == 1:
                yield in_transfer(
                    transfer_id, "its row was not written by the transaction that its xid names"
                )

    def restored(self) -> int:
        """How many were written by one transaction together, whatever they name."""
        return self._beyond + sum(count for count, _ in self._of.values() if count > 1)


def check_hold(hold_id: str, steps: list[HoldStepRow], rows: list[HoldRow]) -> Iterator[Discrepancy]:
    """A hold, done again from what was done under it and held against its row."""
    made = Reservation(hold_id)
    for step in steps:
        yield from made.take(HoldStep(*step))
    if not rows:
        yield Discrepancy("holds", hold_id, "is missing")
        return
    if not steps:
        yield Discrepancy("holds", hold_id, "nothing was ever held under it")
        return
    if len(rows) > 1:
        yield Discrepancy("holds", hold_id, f"stands {len(rows)} times")
    row = rows[0]
    pairs = (
        ("programme_id", row.programme_id, made.programme_id),
        ("account_id", row.account_id, made.account_id),
        ("amount_minor", row.amount_minor, made.amount_minor),
        ("captured_minor", row.captured_minor, made.captured_minor),
        ("released_minor", row.released_minor, made.released_minor),
        ("expires_at", row.expires_at, _instant(made.expires_at)),
        ("is_open", row.is_open, made.remaining_minor > 0),
    )
    for name, said, comes_to in pairs:
        if said != comes_to:
            yield Discrepancy("holds", hold_id, f"{name} is {said}; its facts come to {comes_to}")


def _instant(text: str | None) -> datetime | str | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return text


def check_reversal_rows(rows: list[ReversalRow]) -> Found:
    """A reversal, by its own legs and those of the transfer that it names."""
    original = [_leg_seen(row) for row in rows if not row.own and row.leg is not None]
    own = [_leg_seen(row) for row in rows if row.own and row.leg is not None]
    undone = original if rows[0].original_kind in _REVERSIBLE else None
    return check_reversal(rows[0].transfer, own, original=undone)


def _leg_seen(row: ReversalRow) -> LegSeen:
    """A leg by the numbers of its accounts, which is enough to hold two legs against each other."""
    debit, credit = (SideFact(str(number), "", "", "") for number in (row.debit_number, row.credit_number))
    return LegSeen(row.leg or 0, debit, credit, row.amount_minor)
