"""The enclave's own look at the database: one view, one statement, one read-only role.

Asks for no lock, writes nothing, and opens its own connection when first asked, so that an enclave can start
before its database. May not decide anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import class_row

from enclave.facts import FactsUnavailable, PayoutRecord

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 3000

_COLUMNS = ", ".join(field.name for field in fields(PayoutRecord))
# Only our own column names are spliced in; the ids go as a parameter.
_SELECT_PAYOUTS = f"SELECT {_COLUMNS} FROM enclave_payouts WHERE payout_id = ANY(%s)"  # noqa: S608  # see above


class DatabaseFacts:
    """Payout records from PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection[PayoutRecord] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; the next look opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def payouts(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        """The records of those ids that exist, by id.

        A connection that broke since the last look is replaced once; a fresh one that fails is not.

        Raises:
            FactsUnavailable: no connection, no permission, no view, or no answer in time.
        """
        try:
            return self._select_again_if_broken(payout_ids)
        except (psycopg.Error, UnicodeError) as error:
            self.close()
            raise FactsUnavailable(type(error).__name__) from error

    def _select_again_if_broken(self, payout_ids: Sequence[str]) -> Mapping[str, PayoutRecord]:
        if self._connection is None:
            return self._select(self._open(), payout_ids)
        try:
            return self._select(self._connection, payout_ids)
        except psycopg.OperationalError:
            if not self._connection.closed:
                # The server answered, if only that it took too long: asking again would take as long again.
                raise
            self.close()
            return self._select(self._open(), payout_ids)

    @staticmethod
    def _select(
        connection: psycopg.Connection[PayoutRecord], payout_ids: Sequence[str]
    ) -> Mapping[str, PayoutRecord]:
        with connection.cursor() as cursor:
            cursor.execute(_SELECT_PAYOUTS, (list(payout_ids),))
            return {record.payout_id: record for record in cursor.fetchall()}

    def _open(self) -> psycopg.Connection[PayoutRecord]:
        self._connection = psycopg.connect(
            self._database_url,
            autocommit=True,
            row_factory=class_row(PayoutRecord),
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="tallystick enclave",
        )
        # Set by statement, not by connection options: those would replace the options of the URL.
        self._connection.execute("SET default_transaction_read_only = on")
        self._connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        return self._connection
