"""A discrepancy: one row of the book that contradicts another, itself, or what was sealed of it. Values only."""

from dataclasses import dataclass

from ledger.core.facts import EntryFact


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """What is wrong, and in which row: its table, and the key by which the row is found (or was, if it is gone)."""

    table: str
    key: str
    detail: str

    def __str__(self) -> str:
        return f"{self.table} ({self.key}): {self.detail}"


Found = list[Discrepancy]


def in_transfer(transfer_id: str, detail: str) -> Discrepancy:
    """Something wrong with a transfer as a whole."""
    return Discrepancy("transfers", transfer_id, detail)


def in_leg(transfer_id: str, leg: int, detail: str) -> Discrepancy:
    """Something wrong with a leg."""
    return Discrepancy("legs", f"{transfer_id}, {leg}", detail)


def in_step(account_id: str, version: int, detail: str) -> Discrepancy:
    """Something wrong with what happened to one account alone."""
    return Discrepancy("account_steps", f"{account_id}, {version}", detail)


def in_entry(entry: EntryFact, detail: str) -> Discrepancy:
    """Something wrong with a leg as one of its accounts saw it, or with a step."""
    if entry.leg == 0:
        return in_step(entry.account_id, entry.version, f"of {entry.transfer_id}: {detail}")
    seen = f"{entry.movement} at version {entry.version} of {entry.account_id}"
    return in_leg(entry.transfer_id, entry.leg, f"{seen}: {detail}")


def missing_entry(account_id: str, version: int, why: str) -> Discrepancy:
    """A version of an account that is nowhere: whether it was a step or a side of a leg, nothing says any more."""
    return in_step(account_id, version, f"is missing, as a step and as a side of a leg, though {why}")
