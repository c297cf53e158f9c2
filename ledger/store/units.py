"""What programmes count in besides currencies: their coins, their points."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from ledger.core.ids import ProgrammeId
from ledger.core.unit import Unit
from ledger.store.rows import insert_rows
from ledger.store.schema import units
from ledger.store.tx import Tx


def unit_codes(tx: Tx, programme_ids: Collection[ProgrammeId]) -> dict[ProgrammeId, set[str]]:
    """The codes of each programme's own units."""
    query = sa.select(units.c.programme_id, units.c.code).where(
        units.c.programme_id.in_(sorted(programme_ids))
    )
    codes: dict[ProgrammeId, set[str]] = defaultdict(set)
    for row in tx.rows(query):
        codes[row["programme_id"]].add(row["code"])
    return dict(codes)


def insert_units(tx: Tx, defined: Sequence[tuple[ProgrammeId, Unit]]) -> None:
    """Writes units. They are facts: what was counted in them must not come to mean something else."""
    rows = [
        {
            "programme_id": programme_id,
            "code": unit.code,
            "name": unit.name,
            "decimals": unit.decimals,
            "defined_at": tx.now,
        }
        for programme_id, unit in defined
    ]
    # Another transaction may have taken a code since the flow looked: then the key is violated, and nothing is lost.
    insert_rows(tx, units, rows)


def units_page(tx: Tx, programme_id: ProgrammeId, *, after: str, limit: int) -> list[Unit]:
    """Units of a programme in the order of their codes, from behind one of them."""
    query = (
        sa.select(units.c.code, units.c.name, units.c.decimals)
        .where(units.c.programme_id == programme_id, units.c.code > after)
        .order_by(units.c.code)
        .limit(limit)
    )
    return [Unit(**row) for row in tx.rows(query)]
