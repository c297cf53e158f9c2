"""Account statements: what an account had, what moved on it, and what it has, in the order of either time.

By recorded time a statement is the account's entries by version, which are never added to in between. By value date it
is the movements of a range of days as they were known at one instant: pages of the same instant fit together, and a
movement that is backdated later belongs to a statement of a later instant.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.core.errors import InvalidValue, NotFound
from ledger.core.ids import AccountId, ProgrammeId
from ledger.store.history import (
    Dated,
    StatementEntry,
    balance_of,
    dated_balance,
    dated_entries_page,
    effective_at_of,
    entries_page,
)
from ledger.store.tx import Tx

_LEAST = timedelta(microseconds=1)  # the finest step of time that the book keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedStatement:
    """A page of a statement by value date. Units: minor units, on the account's own side."""

    currency: str
    recorded_at: datetime
    opening_minor: int
    closing_minor: int
    entries: tuple[StatementEntry, ...]


def statement(
    tx: Tx,
    programme_id: ProgrammeId,
    account_id: AccountId,
    *,
    after: int,
    limit: int,
    recorded_at: datetime | None = None,
) -> list[StatementEntry]:
    """A page of an account's entries from behind a version, oldest first; with an instant, those known then.

    Raises: NotFound when the programme has no such account.
    """
    if balance_of(tx, programme_id, account_id) is None:
        raise NotFound("account", account_id)
    return entries_page(tx, account_id, after=after, limit=limit, at=recorded_at)


def statement_by_value_date(
    tx: Tx,
    programme_id: ProgrammeId,
    account_id: AccountId,
    *,
    starts_at: datetime,
    ends_at: datetime,
    recorded_at: datetime,
    after: int,
    limit: int,
) -> DatedStatement:
    """What moved on an account by value date, from `starts_at` until just before `ends_at`, as known at an instant.

    `after` is the version of the last entry of the page before; 0 for the first page.
    Raises: NotFound when the programme has no such account; InvalidValue when the range is empty, or when `after` is
    no entry of the account.
    """
    if ends_at <= starts_at:
        raise InvalidValue("A range of value dates ends after it starts.", field="effective_until")

    def posted(until: datetime) -> Dated:
        found = dated_balance(tx, programme_id, account_id, effective_at=until - _LEAST, known_at=recorded_at)
        if found is None:
            raise NotFound("account", account_id)
        return found

    opening, closing = posted(starts_at), posted(ends_at)
    place = _place(tx, account_id, after) if after else starts_at
    goes_on_at, behind = (starts_at, 0) if place < starts_at else (place, after)
    entries = dated_entries_page(
        tx,
        account_id,
        starts_at=goes_on_at,
        ends_at=ends_at,
        known_at=recorded_at,
        after=behind,
        limit=limit,
    )
    return DatedStatement(
        currency=opening.currency,
        recorded_at=recorded_at,
        opening_minor=opening.posted_minor,
        closing_minor=closing.posted_minor,
        entries=tuple(entries),
    )


def _place(tx: Tx, account_id: AccountId, version: int) -> datetime:
    found = effective_at_of(tx, account_id, version)
    if found is None:
        raise InvalidValue("This account has no entry of this version.", field="after")
    return found
