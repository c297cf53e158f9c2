"""An account as a batch moves it along: the one mutable value of the core, and only decisions change it.

Counters move in place because a batch touches the same account thousands of times. What they were before is kept
by `before`, so that a refused command costs only itself.
"""

from datetime import datetime

from ledger.core.account import Account, Status
from ledger.core.chart import Side
from ledger.core.money import MINOR_MAX

# A named tuple's own constructor is a Python function: going past it is worth it on every account of every batch.
_account_of = tuple.__new__

Before = tuple["Running", int, int, int, int, datetime, Status]


class Running:
    """The moving part of one account. Units: minor units."""

    __slots__ = (
        "account", "cap_minor", "credits", "currency", "debits", "floor_minor", "grows_on_debit", "held", "is_open",
        "mark", "programme_id", "recorded_at", "status", "version",
    )  # fmt: skip

    def __init__(self, account: Account) -> None:
        self.account = account
        (
            _, _, self.programme_id, self.currency, side, self.status, self.floor_minor, self.cap_minor,
            self.debits, self.credits, self.held, self.version, self.recorded_at,
        ) = account  # fmt: skip
        self.grows_on_debit = side is Side.DEBIT
        self.is_open = self.status is Status.OPEN
        self.mark = 0
        """The command that touched it last."""

    def posted(self) -> int:
        """The balance on the account's normal side."""
        return self.debits - self.credits if self.grows_on_debit else self.credits - self.debits

    def available(self) -> int:
        """What may still be spent."""
        net = self.debits - self.credits if self.grows_on_debit else self.credits - self.debits
        return net - self.held

    def within(self) -> bool:
        """Whether its counters can be kept and its limits hold."""
        net = self.debits - self.credits if self.grows_on_debit else self.credits - self.debits
        floor, cap = self.floor_minor, self.cap_minor
        return (
            self.debits <= MINOR_MAX
            and self.credits <= MINOR_MAX
            and self.held <= MINOR_MAX
            and net - self.held >= (-MINOR_MAX if floor is None else floor)
            and (cap is None or net <= cap)
        )

    def become(self, status: Status) -> None:
        """Changes what the account takes."""
        self.status = status
        self.is_open = status is Status.OPEN

    def settled(self) -> Account:
        """The account as it stands now."""
        account = self.account
        state = (
            account.id, account.number, self.programme_id, self.currency, account.side, self.status,
            self.floor_minor, self.cap_minor, self.debits, self.credits, self.held, self.version, self.recorded_at,
        )  # fmt: skip
        return _account_of(Account, state)

    def before(self) -> Before:
        """What it takes to go back to here."""
        return self, self.debits, self.credits, self.held, self.version, self.recorded_at, self.status


def go_back(before: Before) -> None:
    """Puts an account back to what it was."""
    running = before[0]
    _, running.debits, running.credits, running.held, running.version, running.recorded_at, status = before
    running.become(status)


def posted_before(before: Before) -> int:
    """The balance that an account had, on its normal side."""
    running, debits, credits_ = before[:3]
    return debits - credits_ if running.grows_on_debit else credits_ - debits


def available_before(before: Before) -> int:
    """What could be spent of it."""
    return posted_before(before) - before[3]
