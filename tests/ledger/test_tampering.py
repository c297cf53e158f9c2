"""Tampering: whatever a superuser changes in a single row of the facts is found, and the row is named.

Every guard of the database is off: triggers, keys and checks. Each lie is told in a transaction of its own, looked at
there by the auditor's role, and undone. The columns are those that the database has, so a new one is lied about too.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from api.database import engine
from api.embedded import EmbeddedPostgres
from enclave.notes import Checkpoint, verify_checkpoint
from ledger.core.commands import Leg
from ledger.core.facts import canonical_fact
from ledger.core.ids import ProgrammeId, to_text, to_uuid
from ledger.core.merkle import GrowingTree, leaf_hash
from ledger.evidence.audit import Audited, audit
from ledger.evidence.audit_log import note_text
from ledger.store.evidence import sealed_facts
from ledger.store.schema import metadata
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, TEMPLATE, make_programme
from tests.ledger.sealed import ORIGIN, Keys, seal, small_book
from tests.ledger.world import asker, done, open_account

Row = Mapping[str, Any]
SEED = 20261116
ROWS = 3  # of each table are lied about in each column: some sealed, some not
REMOVED = 25  # of each table, the first and the last among them
SWAPPED = 6
# What a row that is put in differs in from one that is there.
INSERTED = [
    ("transfers", "jsonb_build_object('id', gen_random_uuid())"),
    ("transfers", "'{}'"),
    ("further_legs", "jsonb_build_object('transfer_id', gen_random_uuid())"),
    ("further_legs", "jsonb_build_object('leg', leg + 1)"),
    ("further_legs", "'{}'"),
    ("log_leaves", "jsonb_build_object('position', 1000)"),
    ("log_leaves", "jsonb_build_object('position', 1000, 'transfer_id', gen_random_uuid())"),
    ("log_leaves", "'{}'"),
    ("checkpoints", "jsonb_build_object('size', size + 1)"),
    ("checkpoints", "jsonb_build_object('size', 0)"),
    ("accounts", "jsonb_build_object('id', gen_random_uuid(), 'number', 1000)"),
    ("accounts", "'{}'"),
    ("standings", "'{}'"),
    ("holds", "'{}'"),
    ("standings", "jsonb_build_object('number', 1000)"),
    ("standings", "jsonb_build_object('version', version + 1)"),
    ("holds", "jsonb_build_object('transfer_id', gen_random_uuid())"),
]
# The key of each table, as a discrepancy names it.
KEYS: dict[str, tuple[str, ...]] = {
    "transfers": ("id",),
    "further_legs": ("transfer_id", "leg"),
    "log_leaves": ("programme_id", "position"),
    "checkpoints": ("programme_id", "size"),
    "accounts": ("id",),
    "standings": ("number",),
    "holds": ("transfer_id",),
}
ORDERS = {
    "transfers": "recorded_at, reference, asked, kind",
    "further_legs": "debit_number, debit_version",
    "accounts": "number",
    "holds": "amount_minor, captured_minor, transfer_id",
}
PREFIXES = {"transfers": "xfr", "further_legs": "xfr", "holds": "xfr", "accounts": "acct"} | dict.fromkeys(
    ("log_leaves", "checkpoints"), "prg"
)


@dataclass(frozen=True)
class Book:
    """A book with two programmes, several checkpoints, and facts that are not sealed yet. No lie in it yet."""

    superuser: sa.Engine
    programme_id: ProgrammeId
    other_id: ProgrammeId
    keys: Keys
    sealed: int
    account_ids: Mapping[int, str]
    columns: Mapping[tuple[str, str], tuple[str, bool]]
    """The type of each column, and whether it may be nothing."""

    def audited(self, *lies: "Lie", programme_id: ProgrammeId | None = None, signed: bool = True) -> "Told":
        """What the auditor says once these lies were told; they are taken back afterwards."""
        with self.superuser.connect() as connection, connection.begin() as telling:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            touched = [name for lie in lies for name in self._tell(connection, lie)]
            connection.execute(sa.text("SET LOCAL ROLE tallystick_auditor"))
            tx = Tx(connection, MONDAY_MORNING, secrets.token_bytes)
            found = audit(tx, programme_id, self._check_signed if signed else _check_text, _ignore)
            telling.rollback()
        return Told(found, frozenset(touched))

    def _tell(self, connection: sa.Connection, lie: "Lie") -> list[tuple[str, str]]:
        """Tells a lie, and says how the rows that it touched may be named now."""
        returning = f" RETURNING {lie.table}.*" if f" {lie.table} " in lie.sql else ""
        found = connection.execute(sa.text(f"{lie.sql}{returning}"), lie.values)
        assert found.rowcount == lie.rows, f"{lie.sql} touches {found.rowcount} rows"
        rows = found.mappings().all() if returning else []
        return [name for row in rows for name in self.names(lie.table, row)]

    def _check_signed(self, _programme_name: str, note: str) -> tuple[int, bytes]:
        checkpoint = verify_checkpoint(note, origin=ORIGIN, public_key_pem=self.keys.public()["checkpoint"])
        return checkpoint.size, checkpoint.root

    def sealed_rows(self, table: str) -> list[Row]:
        """The rows of a table that are part of a sealed fact, or that are about one."""
        sealed = {row["transfer_id"] for row in self.rows("log_leaves")}
        if table == "accounts":
            opened = {
                transfer["step_number"]
                for transfer in self.rows("transfers")
                if transfer["kind"] == "open" and transfer["id"] in sealed
            }
            return [row for row in self.rows(table) if row["number"] in opened]
        key = "id" if table == "transfers" else "transfer_id"
        return [row for row in self.rows(table) if key not in row or row[key] in sealed]

    def evident_rows(self, table: str, column: str) -> list[Row]:
        """All rows, but of what nothing else follows from only those that are sealed: others can be unsaid."""
        said = table == "accounts" or (
            table == "transfers" and not column.endswith(("_minor", "_version", "_number"))
        )
        return self.sealed_rows(table) if said else self.rows(table)

    def differs(self, table: str, column: str, value: str, row: Row) -> bool:
        """Whether a value is another than the one that the row has."""
        query = sa.text(f"SELECT {column} IS DISTINCT FROM {value} FROM {table} WHERE {_where(table)}")
        with self.superuser.connect() as connection:
            return bool(connection.execute(query, _old_key(table, row)).scalar_one())

    def rows(self, table: str) -> list[Row]:
        """All rows of a table, in an order that is the same in every run."""
        query = sa.text(f"SELECT * FROM {table} ORDER BY {ORDERS.get(table, ', '.join(KEYS[table]))}")
        with self.superuser.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def names(self, table: str, row: Row) -> set[tuple[str, str]]:
        """Under which names a row may be found.

        A movement also as part of its fact, or, if it is gone, as its accounts saw it; an account by its number.
        """
        found = {(table, self.key(table, row))}
        if table == "accounts":
            found |= {(table, f"number {row['number']}")}
        if table in {"transfers", "further_legs"}:
            transfer = to_text("xfr", row["id" if table == "transfers" else "transfer_id"])
            found |= {("transfers", transfer), ("legs", f"{transfer}, {row.get('leg', 1)}")}
            found |= {
                ("account_steps", f"{self.account_ids.get(row[f'{what}_number'])}, {row[f'{what}_version']}")
                for what in ("debit", "credit", "step")
                if row.get(f"{what}_number") is not None
            }
        return found

    def key(self, table: str, row: Row) -> str:
        """How a discrepancy names a row."""
        first, *rest = (row[name] for name in KEYS[table])
        if table == "standings":
            first = self.account_ids.get(first, f"number {first}")
        else:
            first = to_text(PREFIXES[table], first)
        return ", ".join(map(str, (first, *rest)))


@dataclass(frozen=True)
class Lie:
    """One statement that touches one row of a table."""

    table: str
    sql: str
    values: Mapping[str, Any]
    rows: int = 1


@dataclass(frozen=True)
class Told:
    """What was found, and how the rows that were touched may be named, each by a table and a key."""

    audited: Audited
    touched: frozenset[tuple[str, str]]

    @property
    def found(self) -> set[tuple[str, str]]:
        return {(one.table, one.key) for one in self.audited.found}


def _check_text(_programme_name: str, note: str) -> tuple[int, bytes]:
    """Without a key: what the note's text says."""
    _, size, root = note_text(note)
    return size, root


def _ignore(_table: str, _rows: int) -> None:
    """Nobody watches the progress."""


@pytest.fixture(scope="module")
def book(postgres: EmbeddedPostgres) -> Iterator[Book]:
    name = f"tampered_{secrets.token_hex(6)}"
    postgres.create_database(name, template=TEMPLATE)
    app, superuser = (
        engine(postgres.url(role, name), pool_size=1) for role in ("tallystick_app", "postgres")
    )
    try:
        yield _written(app, superuser)
    finally:
        app.dispose()
        superuser.dispose()
        postgres.drop_database(name)


def _written(app: sa.Engine, superuser: sa.Engine) -> Book:
    def open_tx(now: Any = MONDAY_MORNING) -> Any:
        return _opened(app, now)

    keys = Keys.fresh()
    with open_tx() as tx:
        programme_id, size = small_book(tx)
        other_id = make_programme(tx, "pay-uk")
        theirs = [open_account(tx, other_id, floor_minor=None) for _ in range(2)]
        done(tx, asker(tx, other_id).post("theirs", Leg(*theirs, 7)))
    seal(open_tx, other_id, size=3, keys=keys)
    seal(open_tx, programme_id, size=size, keys=keys)
    for n in range(1, 3):
        with open_tx(MONDAY_MORNING + timedelta(hours=n)) as tx:
            size += _more(tx, programme_id, n)
        seal(open_tx, programme_id, size=size, keys=keys)
    with open_tx(MONDAY_MORNING + timedelta(hours=3)) as tx:
        _more(tx, programme_id, 3)
    _drop_guards(superuser)
    with superuser.connect() as connection:
        numbers = connection.execute(sa.text("SELECT number, id FROM accounts")).all()
        described = connection.execute(
            sa.text(
                "SELECT table_name, column_name, data_type, is_nullable = 'YES' FROM information_schema.columns"
                " WHERE table_schema = 'public'"
            )
        ).all()
    return Book(
        superuser=superuser,
        programme_id=programme_id,
        other_id=other_id,
        keys=keys,
        sealed=size,
        account_ids={number: to_text("acct", id_) for number, id_ in numbers},
        columns={(table, column): (kind, nullable) for table, column, kind, nullable in described},
    )


@contextmanager
def _opened(app: sa.Engine, now: datetime) -> Iterator[Tx]:
    with app.begin() as connection:
        yield Tx(connection, now, secrets.token_bytes)


def _more(tx: Tx, programme_id: ProgrammeId, n: int) -> int:
    """Some of everything, and how many transfers that is."""
    one, two = (open_account(tx, programme_id, floor_minor=None) for _ in range(2))
    asks = asker(tx, programme_id)
    done(
        tx,
        asks.post(f"post {n}", Leg(one, two, 10), Leg(two, one, 1)),
        asks.hold(f"hold {n}", one, amount_minor=5, expires_at=MONDAY_MORNING + timedelta(days=7)),
        asks.capture(f"capture {n}", f"hold {n}", Leg(one, two, 3)),
        asks.post(f"wrong {n}", Leg(one, two, 4)),
        asks.reverse(f"right {n}", f"wrong {n}"),
        asks.freeze(f"freeze {n}", two),
    )
    return 8


def _drop_guards(superuser: sa.Engine) -> None:
    """Keys, checks and unique indexes: nothing shall be found by the database that the auditor has to find."""
    with superuser.begin() as connection:
        tables = ", ".join(f"'{table}'" for table in KEYS)
        constraints = connection.execute(
            sa.text(
                "SELECT conrelid::regclass::text, conname FROM pg_constraint"
                f" WHERE contype <> 'n' AND conrelid::regclass::text IN ({tables})"
            )
        ).all()
        for table, constraint in constraints:
            connection.execute(
                sa.text(f'ALTER TABLE {table} DROP CONSTRAINT IF EXISTS "{constraint}" CASCADE')
            )
        indexes = connection.execute(
            sa.text(
                f"SELECT indexrelid::regclass::text FROM pg_index WHERE indisunique"
                f" AND indrelid::regclass::text IN ({tables})"
            )
        ).all()
        for (index,) in indexes:
            connection.execute(sa.text(f"DROP INDEX {index}"))


def _where(table: str) -> str:
    return " AND ".join(f"{name} = :old_{name}" for name in KEYS[table])


def _old_key(table: str, row: Row) -> dict[str, Any]:
    return {f"old_{name}": row[name] for name in KEYS[table]}


def _sample(rows: Sequence[Row], most: int) -> list[Row]:
    """The first, the last, and some in between, the same in every run."""
    if len(rows) <= most:
        return list(rows)
    return [rows[0], *Random(SEED).sample(rows[1:-1], most - 2), rows[-1]]


# Nothing is wrong --------------------------------------------------------------------------------------------


def test_a_book_that_nobody_touched_verifies(book: Book) -> None:
    found = book.audited().audited

    assert found.found == ()
    assert found.discrepancies == found.restored == 0
    counted = {table: len(book.rows(table)) for table in KEYS}
    assert (found.accounts, found.transfers, found.holds, found.leaves, found.checkpoints) == tuple(
        counted[table] for table in ("accounts", "transfers", "holds", "log_leaves", "checkpoints")
    )
    transfers = book.rows("transfers")
    legs = counted["further_legs"] + sum(row["debit_number"] is not None for row in transfers)
    assert found.entries == 2 * legs + sum(row["step_number"] is not None for row in transfers)
    assert found.unsealed == 8


def test_one_programme_can_be_verified_by_itself(book: Book) -> None:
    ours = book.audited(programme_id=book.programme_id).audited
    theirs = book.audited(programme_id=book.other_id).audited

    assert ours.discrepancies == theirs.discrepancies == 0
    assert (theirs.accounts, theirs.transfers, theirs.entries, theirs.checkpoints) == (2, 3, 4, 1)
    assert ours.transfers + theirs.transfers == book.audited().audited.transfers


# A changed row -----------------------------------------------------------------------------------------------


def _columns() -> list[tuple[str, str]]:
    """Every column of every fact table, by what the migrated schema says of itself in Python.

    `tests/ledger/test_schema.py` holds that against the database.
    """
    return [(table, column.name) for table in KEYS for column in metadata.tables[table].columns]


_OTHERS = {
    "uuid": ["gen_random_uuid()"],
    "bigint": ["coalesce(@, 0) + 1", "coalesce(@, 0) - 1", "1000"],
    "text": ["coalesce(@, '') || 'x'"],
    "timestamp with time zone": [
        "coalesce(@, now()) + interval '1 microsecond'",
        "coalesce(@, now()) - interval '1 day'",
        "'infinity'",
    ],
    "jsonb": ["'{}'", "'[]'", "'1.5'", """'{"x": "y"}'"""],
    "xid8": ["CAST(CAST(CAST(CAST(@ AS text) AS bigint) + 1 AS text) AS xid8)"],
    "bytea": ["sha256(@)", "@ || sha256('x')"],
    "boolean": ["NOT @"],
    "ARRAY": ["@ || CAST('x' AS text)"],
}
_OTHERS |= dict.fromkeys(("integer", "smallint"), _OTHERS["bigint"])


def _other_values(book: Book, table: str, column: str, row: Row) -> list[str]:
    """SQL expressions for values that the column could have, and that the row does not have."""
    kind, takes_null = book.columns[table, column]
    values = [value.replace("@", column) for value in _OTHERS[kind]]
    others = {
        str(other[column])
        for other in book.rows(table)
        if kind in {"uuid", "text"} and other[column] not in {None, row[column]}
    }
    values += [f"'{other}'" for other in sorted(others)[:2] if "'" not in other]
    values += ["NULL"] if takes_null else []
    return [value for value in values if book.differs(table, column, value, row)]


@pytest.mark.parametrize(("table", "column"), _columns(), ids=str)
def test_a_changed_field_is_found(book: Book, table: str, column: str) -> None:
    for row in _sample(book.evident_rows(table, column), ROWS):
        for value in _other_values(book, table, column, row):
            # By somebody who knows that a transfer names the transaction that wrote its row.
            honest = ", xid = pg_current_xact_id()" if table == "transfers" and column != "xid" else ""
            lie = Lie(
                table,
                f"UPDATE {table} SET {column} = {value}{honest} WHERE {_where(table)}",
                _old_key(table, row),
            )

            told = book.audited(lie)

            assert told.found & {*book.names(table, row), *told.touched}, (lie, told.audited.found)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("freeze", "amount_minor = 5"),
        ("hold", "debit_version = 5, amount_minor = 5"),
        ("capture", "step_number = NULL"),
        ("post", "step_amount_minor = 7"),
        ("post", "debit_number = 99999"),
        ("post", "debit_number = NULL"),
        ("post", """metadata = CAST('{"x": 1' || repeat('0', 5000) || '}' AS jsonb)"""),
        ("post", "asked = CAST(repeat('[', 3000) || repeat(']', 3000) AS jsonb)"),
    ],
)
def test_half_a_movement_is_found_in_its_own_programme_too(book: Book, kind: str, change: str) -> None:
    ours = to_uuid("prg", book.programme_id)
    row = next(
        row for row in book.sealed_rows("transfers") if (row["kind"], row["programme_id"]) == (kind, ours)
    )
    update = f"UPDATE transfers SET {change}, xid = pg_current_xact_id() WHERE id = :old_id"

    for programme_id in (None, book.programme_id):
        told = book.audited(Lie("transfers", update, _old_key("transfers", row)), programme_id=programme_id)

        assert told.found & book.names("transfers", row), (change, told.audited.found)


# A row too few, a row too many -------------------------------------------------------------------------------


@pytest.mark.parametrize("table", KEYS)
def test_a_removed_row_is_found(book: Book, table: str) -> None:
    for row in _sample(book.rows(table), REMOVED):
        lie = Lie(table, f"DELETE FROM {table} WHERE {_where(table)}", _old_key(table, row))

        told = book.audited(lie)

        assert told.found & book.names(table, row), (lie, told.audited.found)


@pytest.mark.parametrize("table", KEYS)
def test_two_rows_that_change_places_are_found(book: Book, table: str) -> None:
    names = [column for name, column in _columns() if name == table and column not in KEYS[table]]
    changed = ", ".join(f"{name} = other.{name}" for name in names)
    for one, other in pairwise(_sample(book.sealed_rows(table), SWAPPED)):
        each, both = KEYS[table], ("one", "other")
        columns = [f"{where}.{name}" for where in (table, "other") for name in each]
        ways = [[f":{which}_{name}" for which in way for name in each] for way in (both, both[::-1])]
        places = f"({', '.join(columns)}) IN (({', '.join(ways[0])}), ({', '.join(ways[1])}))"
        values = {f"one_{name}": one[name] for name in KEYS[table]}
        values |= {f"other_{name}": other[name] for name in KEYS[table]}
        lie = Lie(
            table,
            f"UPDATE {table} SET {changed} FROM {table} AS other WHERE {places}",
            values,
            rows=2,
        )

        told = book.audited(lie)

        for row in (one, other):
            assert told.found & book.names(table, row), (lie, told.audited.found)


@pytest.mark.parametrize(("table", "changed"), INSERTED)
def test_an_inserted_row_is_found(book: Book, table: str, changed: str) -> None:
    for row in _sample(book.rows(table), ROWS):
        lie = Lie(
            table,
            f"INSERT INTO {table} SELECT (jsonb_populate_record({table}, {changed})).*"
            f" FROM {table} WHERE {_where(table)}",
            _old_key(table, row),
        )

        told = book.audited(lie)

        assert told.found & told.touched, (lie, told.audited.found)


# More than one row at a time ---------------------------------------------------------------------------------


def _delete(table: str, rows: Sequence[Row]) -> list[Lie]:
    return [Lie(table, f"DELETE FROM {table} WHERE {_where(table)}", _old_key(table, row)) for row in rows]


def test_the_newest_unsealed_transfer_is_missed_by_its_accounts(book: Book) -> None:
    sealed = {row["transfer_id"] for row in book.rows("log_leaves")}
    unsealed = [row for row in book.rows("transfers") if row["id"] not in sealed and row["step_number"]]
    newest = max(unsealed, key=lambda row: (row["recorded_at"], row["step_version"]))
    assert newest["kind"] == "freeze"

    told = book.audited(*_delete("transfers", [newest]))

    account_id, version = book.account_ids[newest["step_number"]], newest["step_version"]
    assert ("standings", account_id) in told.found
    assert ("account_steps", f"{account_id}, {version}") in told.found


def test_what_a_transfer_was_allowed_by_is_there(book: Book) -> None:
    transfer = next(row for row in book.sealed_rows("transfers") if row["kind"] == "post")
    notice = Lie(
        "transfers", "UPDATE notices SET id = gen_random_uuid() WHERE id = :id", {"id": transfer["notice_id"]}
    )

    told = book.audited(notice)

    assert ("transfers", book.key("transfers", transfer)) in told.found
    assert any("there is no notice ntc_" in one.detail for one in told.audited.found)


def _rewritten_history(book: Book) -> list[Lie]:
    """Another reference for one transfer, and everything that follows from it written anew: all but a signature."""
    transfer = next(row for row in book.rows("transfers") if row["reference"] == "mistaken")
    with book.superuser.connect() as connection:
        tx = Tx(connection, MONDAY_MORNING, secrets.token_bytes)
        facts = list(sealed_facts(tx, book.programme_id, end=book.sealed))
    lies = [_reworded(transfer)]
    tree = GrowingTree()
    kept = {row["size"]: row for row in book.rows("checkpoints") if _is_ours(book, row)}
    for sealed in facts:
        fact = sealed.transfer
        if fact.reference == "mistaken":
            fact = replace(fact, reference="innocent")
        leaf = leaf_hash(canonical_fact(fact, sealed.entries))
        # Every leaf is written anew, so that one transaction has written all of them.
        lies.append(
            Lie(
                "log_leaves",
                "UPDATE log_leaves SET leaf_hash = :leaf WHERE transfer_id = :id",
                {"leaf": leaf, "id": to_uuid("xfr", fact.id)},
            )
        )
        tree.append(leaf)
        if tree.size in kept:
            lies.append(_checkpoint_over(tree, kept[tree.size]))
    return lies


def _is_ours(book: Book, row: Row) -> bool:
    return to_text("prg", row["programme_id"]) == book.programme_id


def _checkpoint_over(tree: GrowingTree, row: Row) -> Lie:
    signatures = row["note"].partition("\n\n")[2]
    note = f"{Checkpoint(ORIGIN, tree.size, tree.root()).text()}\n{signatures}"
    values = {"root": tree.root(), "peaks": tree.peaks, "note": note}
    return Lie(
        "checkpoints",
        f"UPDATE checkpoints SET root = :root, peaks = :peaks, note = :note WHERE {_where('checkpoints')}",
        values | _old_key("checkpoints", row),
    )


def test_rewritten_history_is_found_by_the_signatures(book: Book) -> None:
    told = book.audited(*_rewritten_history(book))

    notes = [one for one in told.audited.found if one.table == "checkpoints" and "its note: " in one.detail]
    assert len(notes) == 3


# What an auditor cannot see in a database by itself; docs/guides/auditor.md says so, and what to do about it --


def test_without_the_key_rewritten_history_is_not_seen(book: Book) -> None:
    told = book.audited(*_rewritten_history(book), signed=False)

    assert told.audited.found == ()


def test_what_nothing_follows_from_is_not_seen_before_it_is_sealed(book: Book) -> None:
    sealed = {row["transfer_id"] for row in book.rows("log_leaves")}
    transfer = next(row for row in book.rows("transfers") if row["id"] not in sealed)

    told = book.audited(_reworded(transfer))

    assert told.audited.found == ()


def _reworded(transfer: Row) -> Lie:
    """Another reference for a transfer, by somebody who knows that a row names the transaction that wrote it."""
    return Lie(
        "transfers",
        "UPDATE transfers SET reference = 'innocent', xid = pg_current_xact_id() WHERE id = :old_id",
        _old_key("transfers", transfer),
    )
