"""Programmes: a licence, a brand and a region, with the two accounts that it keeps at its bank."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from ledger.core.ids import ProgrammeId
from ledger.store.rows import insert_rows
from ledger.store.schema import programmes
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """`*_bank_id` is the bank's own id of an account. `bank_connection` names how that bank is reached."""

    id: ProgrammeId
    name: str
    legal_name: str
    bank_connection: str
    safeguarding_bank_id: str
    safeguarding_iban: str
    operating_bank_id: str
    operating_iban: str
    currency: str


_COLUMNS = tuple(programmes.c[name] for name in Programme.__slots__)


def insert_programme(tx: Tx, programme: Programme) -> bool:
    """Writes a programme; says False when its name or one of its bank accounts is taken."""
    row = asdict(programme) | {"created_at": tx.now}
    return insert_rows(tx, programmes, [row], ignore_conflicts=True) == 1


def name_taken(tx: Tx, name: str) -> bool:
    """Whether a programme has this name."""
    return tx.row(sa.select(programmes.c.id).where(programmes.c.name == name)) is not None


def read_programmes(tx: Tx, ids: Collection[ProgrammeId]) -> dict[ProgrammeId, Programme]:
    """Programmes by id."""
    query = sa.select(*_COLUMNS).where(programmes.c.id.in_(sorted(ids)))
    return {row["id"]: Programme(**row) for row in tx.rows(query)}


def programmes_at_bank(tx: Tx, bank_connection: str) -> list[Programme]:
    """Every programme that keeps its money at this bank."""
    query = sa.select(*_COLUMNS).where(programmes.c.bank_connection == bank_connection)
    return [Programme(**row) for row in tx.rows(query)]


def all_programmes(tx: Tx, *, founded_before: datetime | None = None) -> list[Programme]:
    """Every programme, or those that had been founded at a time."""
    query = sa.select(*_COLUMNS).order_by(programmes.c.id)
    if founded_before is not None:
        query = query.where(programmes.c.created_at < founded_before)
    return [Programme(**row) for row in tx.rows(query)]
