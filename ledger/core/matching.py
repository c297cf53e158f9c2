"""Which bank entry is which movement of ours. Pure: two lists in, pairs and what is left out.

A match is exact or it is none: the bank's own id of the posting first, our end-to-end id second, and never when two
candidates fit. Amounts are signed minor units, positive is money into the account.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from ledger.core.ids import AccountId


class MatchRule(StrEnum):
    """By what a line and a movement were found to be the same."""

    TRANSACTION_ID = "transaction_id"
    END_TO_END_ID = "end_to_end_id"


@dataclass(frozen=True, slots=True)
class BankLine:
    """A statement line that nothing matches yet."""

    id: str
    account_id: AccountId
    transaction_id: str
    end_to_end_id: str | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class BookMovement:
    """An entry on a bank account of ours that nothing matches yet."""

    account_id: AccountId
    version: int
    reference: str
    end_to_end_id: str | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Match:
    """A line and the movement that it is."""

    line: BankLine
    movement: BookMovement
    rule: MatchRule


@dataclass(frozen=True, slots=True)
class Matched:
    """The pairs, and what is left over on both sides."""

    matches: tuple[Match, ...]
    lines: tuple[BankLine, ...]
    movements: tuple[BookMovement, ...]


def match(lines: Sequence[BankLine], movements: Sequence[BookMovement]) -> Matched:
    """Pairs lines with movements of the same account and amount, by the bank's id and then by ours."""
    by_bank_id = _pair(
        lines,
        movements,
        MatchRule.TRANSACTION_ID,
        lambda line: line.transaction_id,
        lambda movement: movement.reference,
    )
    by_our_id = _pair(
        by_bank_id.lines,
        by_bank_id.movements,
        MatchRule.END_TO_END_ID,
        lambda line: line.end_to_end_id,
        lambda movement: movement.end_to_end_id,
    )
    return Matched(by_bank_id.matches + by_our_id.matches, by_our_id.lines, by_our_id.movements)


T = TypeVar("T", BankLine, BookMovement)


def _pair(
    lines: Sequence[BankLine],
    movements: Sequence[BookMovement],
    rule: MatchRule,
    line_key: Callable[[BankLine], str | None],
    movement_key: Callable[[BookMovement], str | None],
) -> Matched:
    left = _unambiguous(lines, line_key)
    right = _unambiguous(movements, movement_key)
    pairs = tuple(Match(left[key], right[key], rule) for key in left if key in right)
    taken_lines = {pair.line.id for pair in pairs}
    taken = {(pair.movement.account_id, pair.movement.version) for pair in pairs}
    return Matched(
        pairs,
        tuple(line for line in lines if line.id not in taken_lines),
        tuple(item for item in movements if (item.account_id, item.version) not in taken),
    )


def _unambiguous(items: Sequence[T], key: Callable[[T], str | None]) -> dict[Hashable, T]:
    keyed = [((item.account_id, item.amount_minor, key(item)), item) for item in items if key(item)]
    counts = Counter(found for found, _ in keyed)
    return {found: item for found, item in keyed if counts[found] == 1}
