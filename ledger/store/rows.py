"""Many rows in one statement: arrays go over once, `unnest` makes rows of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ledger.core.ids import ProgrammeId
from ledger.store.tx import Tx


def insert_rows(
    tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, ignore_conflicts: bool = False
) -> int:
    """Inserts rows that all name the same columns; says how many went in."""
    if not rows:
        return 0
    names = list(rows[0])
    source = _source(table, names, rows)
    statement = postgresql.insert(table).from_select(names, sa.select(*(source.c[name] for name in names)))
    if ignore_conflicts:
        statement = statement.on_conflict_do_nothing()
    return tx.run(statement)


def update_rows(tx: Tx, table: sa.Table, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> int:
    """Sets every column that the rows name, in the rows that their key columns find; says how many were found."""
    if not rows:
        return 0
    names = list(rows[0])
    source = _source(table, names, rows)
    found = sa.and_(*(table.c[key] == source.c[key] for key in keys))
    changes = {name: source.c[name] for name in names if name not in keys}
    return tx.run(sa.update(table).where(found).values(changes))


def claim_rows(
    tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, free: sa.ColumnElement[bool]
) -> list[str]:
    """Sets the columns that the rows name, in the rows of these ids that are still free; says the ids of those."""
    if not rows:
        return []
    names = list(rows[0])
    source = _source(table, names, rows)
    changes = {name: source.c[name] for name in names if name != "id"}
    statement = sa.update(table).where(table.c.id == source.c.id, free).values(changes)
    return [row["id"] for row in tx.rows(statement.returning(table.c.id))]


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows are wanted: those behind the one that `after` names, and how many at most."""

    after: str | None
    limit: int


def page_of(query: sa.Select[Any], table: sa.Table, page: Page, *, order: str = "id") -> sa.Select[Any]:
    """A query cut to one page. Stable under inserts: the place of a row is its order and its id, not a number."""
    if page.after is not None:
        place = sa.select(table.c[order], table.c.id).where(table.c.id == page.after)
        query = query.where(sa.tuple_(table.c[order], table.c.id) > place.scalar_subquery())
    return query.order_by(table.c[order], table.c.id).limit(page.limit)


def taken(
    tx: Tx, table: sa.Table, references: Collection[tuple[ProgrammeId, str]]
) -> set[tuple[ProgrammeId, str]]:
    """Which references are in use among the rows of a table whose references are unique in their programme."""
    query = sa.select(table.c.programme_id, table.c.reference).where(
        table.c.reference.in_(sorted({reference for _, reference in references}))
    )
    found = {(row["programme_id"], row["reference"]) for row in tx.rows(query)}
    return found & set(references)


def _source(table: sa.Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> sa.Subquery:
    """The rows as a table expression. JSON and arrays travel as JSON texts: arrays of those have no cheap form."""
    arrays = [_array(table.c[name], [row[name] for row in rows]) for name in names]
    travel = [
        sa.column(name, sa.Text() if _is_nested(table.c[name]) else table.c[name].type) for name in names
    ]
    given = sa.func.unnest(*arrays).table_valued(*travel, name="sent").render_derived()
    return sa.select(*(_arrived(table.c[name], given.c[name]) for name in names)).subquery("given")


def _is_nested(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, JSONB | ARRAY)


def _arrived(column: sa.Column[Any], given: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    if not _is_nested(column):
        return given.label(column.name)
    document: sa.ColumnElement[Any] = sa.cast(given, JSONB)
    if isinstance(column.type, ARRAY):
        items = sa.func.jsonb_array_elements_text(document).column_valued("item")
        document = sa.func.array(sa.select(items).scalar_subquery(), type_=column.type)
    return document.label(column.name)


def _array(column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[Any]:
    if _is_nested(column):
        values = [None if value is None else json.dumps(value) for value in values]
    kind = ARRAY(sa.Text() if _is_nested(column) else column.type)
    return sa.cast(sa.bindparam(None, list(values), type_=kind), kind)
