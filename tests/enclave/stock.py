"""A database in which a test says what the enclave sees of payouts."""

from collections.abc import Mapping
from dataclasses import astuple, fields

import psycopg
from psycopg import sql

from enclave.facts import PayoutRecord
from tests.conftest import Database

COLUMN_TYPES: Mapping[str, str] = {
    "amount_minor": "int8",
    "attempts_possibly_sent": "int4",
    "order_digest": "bytea",
    "cleared_digest": "bytea",
    "beneficiary_verified_at": "timestamptz",
    "beneficiary_changed_at": "timestamptz",
    "screened_at": "timestamptz",
}


def make_table(database: Database) -> None:
    """The view replaced by a table of the same columns, so that a test says what the enclave sees."""
    columns = [
        sql.Identifier(field.name) + sql.SQL(" " + COLUMN_TYPES.get(field.name, "text"))
        for field in fields(PayoutRecord)
    ]
    columns.append(sql.SQL("id uuid GENERATED ALWAYS AS (replace(payout_id, 'pay_', '')::uuid) STORED"))
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute("DROP VIEW enclave_payouts")
        connection.execute(sql.SQL("CREATE TABLE enclave_payouts ({})").format(sql.SQL(", ").join(columns)))
        connection.execute("GRANT SELECT ON enclave_payouts TO tallystick_enclave")


def store_row(database: Database, record: PayoutRecord) -> None:
    row = astuple(record)
    values = sql.SQL(", ").join(sql.Placeholder() * len(row))
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute(sql.SQL("INSERT INTO enclave_payouts VALUES ({})").format(values), row)
