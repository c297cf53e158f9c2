"""Parties: whose money it is."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from ledger.core.ids import PartyId, ProgrammeId
from ledger.core.orders import OnboardOrder, Role
from ledger.store.rows import Page, insert_rows, page_of, taken, update_rows
from ledger.store.schema import parties
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A customer, merchant or creator. `held` parties wait for a person's decision and have no account."""

    id: PartyId
    programme_id: ProgrammeId
    role: Role
    name: str
    reference: str
    status: str
    payout_name: str | None
    payout_iban: str | None
    commission_bps: int | None


_COLUMNS = tuple(parties.c[name] for name in Party.__slots__)


def insert_parties(tx: Tx, orders: Sequence[OnboardOrder], *, status: str) -> None:
    """Writes parties as they were onboarded or held back."""
    rows = []
    for order in orders:
        row = asdict(order)
        row["id"] = row.pop("party_id")
        rows.append(row | {"role": order.role.value, "status": status, "created_at": tx.now})
    insert_rows(tx, parties, rows)


def read_parties(tx: Tx, ids: Collection[PartyId]) -> dict[PartyId, Party]:
    """Parties by id."""
    query = sa.select(*_COLUMNS).where(parties.c.id.in_(sorted(ids)))
    return {party.id: party for party in map(_party, tx.rows(query))}


def lock_parties(tx: Tx, ids: Collection[PartyId]) -> dict[PartyId, Party]:
    """Locks parties in id order."""
    query = sa.select(*_COLUMNS).where(parties.c.id.in_(sorted(ids))).order_by(parties.c.id)
    return {party.id: party for party in map(_party, tx.rows(query.with_for_update(key_share=True)))}


def references_taken(tx: Tx, references: Collection[tuple[ProgrammeId, str]]) -> set[tuple[ProgrammeId, str]]:
    """Which of these references are in use."""
    return taken(tx, parties, references)


def programme_parties(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[Party]:
    """A page of a programme's parties, oldest first."""
    query = sa.select(*_COLUMNS).where(parties.c.programme_id == programme_id)
    return [_party(row) for row in tx.rows(page_of(query, parties, page))]


def active_parties(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[Party]:
    """A page of a programme's active parties, oldest first."""
    query = sa.select(*_COLUMNS).where(parties.c.programme_id == programme_id, parties.c.status == "active")
    return [_party(row) for row in tx.rows(page_of(query, parties, page))]


def hold_parties(tx: Tx, ids: Collection[PartyId]) -> None:
    """Marks parties as held until a person has decided."""
    update_rows(tx, parties, ["id"], [{"id": party_id, "status": "held"} for party_id in ids])


def _party(row: sa.RowMapping) -> Party:
    return Party(**{**row, "role": Role(row["role"])})
