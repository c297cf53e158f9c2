"""A connection to the database that keeps nobody waiting: each question has a deadline by our own clock.

The enclave has one thread. A server that hangs, or a network that swallows what is sent, does not keep the server's
time-outs either; so whoever asks waits for as long as there is patience (`enclave.patience`) and no longer, and then
drops the connection without a word to the server. Opening one is waiting too. Knows no tables and decides nothing.
"""

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, LiteralString, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, PollingStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import RowFactory

from enclave.patience import Patience

COMMAND_S = 3.0
"""How long each question of a command may wait, which keeps nobody from anything else."""
# A little less than a round waits, so that a server that is merely busy says so itself, and does not go on with what
# nobody waits for.
STATEMENT_TIMEOUT_MS = 900

RowT = TypeVar("RowT")
AnswerT = TypeVar("AnswerT")


class _ImpatientConnection(psycopg.Connection[RowT]):
    """A connection on which no statement takes longer than there is patience, whatever the server does."""

    def __init__(self, pgconn: PGconn, row_factory: RowFactory[RowT], patience: Patience) -> None:
        super().__init__(pgconn, row_factory)
        self._patience = patience

    def wait(self, gen: PQGen[AnswerT], interval: float = 0.1, timeout: float | None = None) -> AnswerT:
        with self._patience.waiting() as left_s:
            return super().wait(gen, interval, left_s if timeout is None else min(timeout, left_s))


class OwnConnection(Generic[RowT]):
    """A connection of its own: opened when first asked, let go of when it failed."""

    def __init__(
        self,
        database_url: str,
        *,
        row_factory: RowFactory[RowT],
        purpose: str,
        patience: Patience | None,
        settings: LiteralString = "",
    ) -> None:
        """`settings`: statements for each new connection, besides its time limit.

        Without a patience that somebody else counts by rounds, each question is a round of its own.
        """
        self._database_url = database_url
        self._row_factory = row_factory
        self._purpose = purpose
        # By statement, not by connection options: those would replace the options of the URL. All in one, for there is
        # a deadline for each.
        self._settings = f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; {settings}"
        self._connection: _ImpatientConnection[RowT] | None = None
        self._counts_rounds = patience is None
        self._patience = patience or Patience(whole_s=COMMAND_S, quick_s=COMMAND_S)
        self._had_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; the next use opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _asked(self) -> Iterator[psycopg.Connection[RowT]]:
        """The connection, for one question; let go of when that fails.

        Raises:
            psycopg.Error, UnicodeError: no connection, no answer in time, or an answer that is none; at once, if
                no patience is left.
        """
        if self._counts_rounds:
            self._patience.begin_round()
        if not self._patience.left_s:
            raise psycopg.OperationalError("the database was waited for long enough")
        opened = self._connection
        try:
            yield opened or self._open()
        except (psycopg.Error, UnicodeError):
            self._had_ended = opened is not None and opened.closed
            self.close()
            raise

    def _asked_again_if_it_had_ended(self, ask: Callable[[], AnswerT]) -> AnswerT:
        """What `ask` answers; once more on a new connection, if the old one turns out to have ended meanwhile.

        A fresh one that fails is not replaced, nor one on which nobody answered: that would take as long again.
        """
        self._had_ended = False
        try:
            return ask()
        except psycopg.OperationalError:
            if not self._had_ended:
                raise
            return ask()

    def _open(self) -> _ImpatientConnection[RowT]:
        conninfo = make_conninfo(self._database_url, application_name=self._purpose)
        with self._patience.waiting() as left_s:
            pgconn = _connected(conninfo, left_s)
        self._connection = _ImpatientConnection(pgconn, self._row_factory, self._patience)
        self._connection.autocommit = True
        self._connection.execute(self._settings)
        return self._connection


def _connected(conninfo: str, within_s: float) -> PGconn:
    """A new connection. By our own clock: the library's is in whole seconds, two at least for each address.

    Raises:
        psycopg.OperationalError: there is none, or not in time.
    """
    ends_at_s = time.monotonic() + within_s
    pgconn = psycopg.pq.PGconn.connect_start(conninfo.encode())
    try:
        while (status := _polled(pgconn)) is not PollingStatus.OK:
            _wait_for(pgconn.socket, status, ends_at_s - time.monotonic())
    except BaseException:
        pgconn.finish()
        raise
    # As psycopg wants it.
    pgconn.nonblocking = 1
    return pgconn


def _polled(pgconn: PGconn) -> PollingStatus:
    status = PollingStatus.FAILED if pgconn.status == ConnStatus.BAD else PollingStatus(pgconn.connect_poll())
    if status is PollingStatus.FAILED:
        raise psycopg.OperationalError(pgconn.get_error_message())
    return status


def _wait_for(socket: int, status: PollingStatus, within_s: float) -> None:
    # Anew each time: between two addresses the library exchanges the socket.
    with selectors.DefaultSelector() as selector:
        is_reading = status is PollingStatus.READING
        selector.register(socket, selectors.EVENT_READ if is_reading else selectors.EVENT_WRITE)
        if within_s <= 0 or not selector.select(within_s):
            raise psycopg.errors.ConnectionTimeout("no connection in time")
