"""The tables in Python are the tables in the database, and facts cannot be changed by anyone."""

import pytest
import sqlalchemy as sa

from ledger.store.schema import metadata
from tests.conftest import Database


def test_the_schema_in_python_names_the_columns_of_the_database(database: Database) -> None:
    query = sa.text(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables "
        "USING (table_schema, table_name) WHERE table_schema = 'public' "
        "AND (table_type = 'BASE TABLE' OR table_name IN ('legs', 'account_steps', 'account_entries'))"
    )

    with database.owner_engine.connect() as connection:
        found = {(table, column) for table, column in connection.execute(query)}

    ours = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
    foreign = {pair for pair in found if pair[0].startswith("procrastinate") or pair[0] == "alembic_version"}
    assert ours == found - foreign


@pytest.mark.parametrize(
    "fact",
    ["transfers", "further_legs", "units", "clearances", "events", "statement_lines", "log_leaves"],
)
@pytest.mark.parametrize("change", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_even_the_owner_cannot_change_facts(database: Database, fact: str, change: str) -> None:
    with (
        pytest.raises(sa.exc.DBAPIError, match="holds facts"),
        database.owner_engine.begin() as connection,
    ):
        connection.execute(sa.text(change.format(fact)))
