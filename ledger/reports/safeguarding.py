"""The safeguarding report: what customers are owed against what the bank says is there to pay them.

The requirement is built bottom-up from each customer's own balance, and no negative balance offsets another
(CASS 15.8.31R, and 7.16 for the offsetting). The resource is the closing balance of the newest statement of the
safeguarding account: the bank's word, not ours.
"""

from dataclasses import dataclass
from datetime import datetime

from ledger.core.chart import Code
from ledger.core.ids import ProgrammeId
from ledger.store.accounts import programme_accounts, shared_accounts
from ledger.store.statements import closings
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Safeguarding:
    """One pool in one currency. Units: minor units. `resource_minor` None: no statement has been imported yet."""

    pool: str
    currency: str
    requirement_minor: int
    resource_minor: int | None
    book_minor: int
    statement_ends_at: datetime | None
    by_code: dict[str, int]

    @property
    def shortfall_minor(self) -> int | None:
        """What own funds must add at once; zero when the resource covers the requirement."""
        return None if self.resource_minor is None else max(self.requirement_minor - self.resource_minor, 0)

    @property
    def book_shortfall_minor(self) -> int:
        """What the book alone says is short, before any bank has spoken: nobody needs to wait for a statement."""
        return max(self.requirement_minor - self.book_minor, 0)

    @property
    def excess_minor(self) -> int | None:
        """What is not customers' and should be withdrawn."""
        return None if self.resource_minor is None else max(self.resource_minor - self.requirement_minor, 0)


def safeguarding(tx: Tx, programme_id: ProgrammeId) -> Safeguarding:
    """The report as the book and the newest statement stand."""
    places = programme_accounts(tx, programme_id)
    # The programme's own pool: it may keep other accounts of the same code, in other currencies.
    bank_id = shared_accounts(tx, [programme_id], Code.SAFEGUARDING)[programme_id]
    bank = next(place for place in places if place.account.id == bank_id)
    pooled = [place for place in places if place.pool and place.account.currency == bank.account.currency]
    by_code: dict[str, int] = {}
    for place in pooled:
        owed_minor = max(place.account.posted_minor, 0)
        by_code[place.code.value] = by_code.get(place.code.value, 0) + owed_minor
    closing = closings(tx, programme_id).get(bank.account.id)
    return Safeguarding(
        pool=pooled[0].pool or "",
        currency=bank.account.currency,
        requirement_minor=sum(by_code.values()),
        resource_minor=closing.closing_minor if closing else None,
        book_minor=bank.account.posted_minor,
        statement_ends_at=closing.ends_at if closing else None,
        by_code=by_code,
    )
