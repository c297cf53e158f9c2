"""An account as the book sees it, and what can happen to it. Values only. Units: minor units."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from ledger.core.chart import Side
from ledger.core.ids import AccountId, ProgrammeId, TransferId


class Status(StrEnum):
    """What an account takes: a frozen one gives nothing until it is thawed, a closed one takes no movement again."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


class Movement(StrEnum):
    """What an entry did to its account."""

    DEBIT = "debit"
    CREDIT = "credit"
    HOLD = "hold"
    RELEASE = "release"
    OPEN = "open"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    CLOSE = "close"


class Account(NamedTuple):
    """One account. Counters of debits and credits only grow; `held_minor` goes both ways.

    `number` is the short name under which the database keeps the account's entries; nobody outside sees it.
    """

    id: AccountId
    number: int
    programme_id: ProgrammeId
    currency: str
    side: Side
    status: Status
    min_available_minor: int | None
    max_balance_minor: int | None
    debits_minor: int
    credits_minor: int
    held_minor: int
    version: int
    recorded_at: datetime

    @property
    def posted_minor(self) -> int:
        """The balance on the account's normal side."""
        return self.side.own(self.debits_minor - self.credits_minor)

    @property
    def available_minor(self) -> int:
        """What may still be spent: held + available = posted."""
        return self.posted_minor - self.held_minor


class HoldState(NamedTuple):
    """A hold and what has become of it. Captured and released together never exceed the amount."""

    id: TransferId
    programme_id: ProgrammeId
    account_id: AccountId
    amount_minor: int
    captured_minor: int
    released_minor: int
    expires_at: datetime | None

    @property
    def remaining_minor(self) -> int:
        """What is still reserved."""
        return self.amount_minor - self.captured_minor - self.released_minor

    def used(self, *, captured_minor: int, released_minor: int) -> "HoldState":
        """The hold after so much of it was captured and given back."""
        captured_minor += self.captured_minor
        released_minor += self.released_minor
        return HoldState(*self[:4], captured_minor, released_minor, self.expires_at)


class Entry(NamedTuple):
    """A movement as one account saw it, with that account's counters after it. `leg` 0: of that account alone."""

    account_id: AccountId
    version: int
    transfer_id: TransferId
    leg: int
    movement: Movement
    amount_minor: int
    debits_after_minor: int
    credits_after_minor: int
    held_after_minor: int
    effective_at: datetime
    recorded_at: datetime


class LegRecord(NamedTuple):
    """A leg as it stands in the book: both accounts, their new versions, and their counters after it."""

    debit: Account
    credit: Account
    amount_minor: int
    debit_version: int
    credit_version: int
    debit_debits_minor: int
    debit_credits_minor: int
    debit_held_minor: int
    credit_debits_minor: int
    credit_credits_minor: int
    credit_held_minor: int


class StepRecord(NamedTuple):
    """What happened to one account alone: it was opened, frozen, closed, or money on it was held or released."""

    account: Account
    movement: Movement
    version: int
    amount_minor: int
    debits_after_minor: int
    credits_after_minor: int
    held_after_minor: int


class Calendar(NamedTuple):
    """How far a programme's past is settled. None: nothing is.

    `answered_until` is the latest instant of which the book has said what it knew then: nothing may be recorded
    at or before it any more, or that answer would have been wrong.
    """

    soft_closed_until: datetime | None = None
    closed_until: datetime | None = None
    answered_until: datetime | None = None


OPEN_CALENDAR = Calendar()
Calendars = Mapping[ProgrammeId, Calendar]
