"""A connection to the database that keeps nobody waiting: each question has a deadline by our own clock.

The enclave has one thread. A server that hangs, or a network that swallows what is sent, does not keep the server's
time-outs either; so whoever asks waits for a second and no longer, and then drops the connection without a word to the
server. What kept us waiting is not asked again for a while (`enclave.pause`). Knows no tables and decides nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, LiteralString, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import RowFactory

from enclave.pause import Pause

# The least that psycopg takes; for each address that the host's name has.
CONNECT_TIMEOUT_S = 2
ANSWER_TIMEOUT_S = 1.0
# A little less, so that a server that is merely busy says so itself, and does not go on with what nobody waits for.
STATEMENT_TIMEOUT_MS = 900
LONG_S = 0.5
"""What failed after so long, failed by silence; what fails sooner was answered, and may be asked again at once."""

RowT = TypeVar("RowT")
AnswerT = TypeVar("AnswerT")


class _ImpatientConnection(psycopg.Connection[RowT]):
    """A connection on which no statement takes longer than its deadline, whatever the server does."""

    def wait(self, gen: PQGen[AnswerT], interval: float = 0.1, timeout: float | None = None) -> AnswerT:
        return super().wait(gen, interval, ANSWER_TIMEOUT_S if timeout is None else timeout)


class OwnConnection(Generic[RowT]):
    """A connection of its own: opened when first asked, let go of when it failed."""

    def __init__(
        self,
        database_url: str,
        *,
        row_factory: RowFactory[RowT],
        purpose: str,
        settings: LiteralString = "",
    ) -> None:
        """`settings`: statements for each new connection, besides its time limit."""
        self._database_url = database_url
        self._row_factory = row_factory
        self._purpose = purpose
        # By statement, not by connection options: those would replace the options of the URL. All in one, for there is
        # a deadline for each.
        self._settings = f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; {settings}"
        self._connection: _ImpatientConnection[RowT] | None = None
        self._silence = Pause()
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
                another question was met with silence a moment ago.
        """
        if not self._silence.is_over:
            raise psycopg.OperationalError("a question a moment ago found no answer")
        asked_at_s, opened = time.monotonic(), self._connection
        try:
            yield opened or self._open()
        except (psycopg.Error, UnicodeError):
            if time.monotonic() - asked_at_s >= LONG_S:
                self._silence.begin(asked_at_s)
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
        self._connection = _ImpatientConnection.connect(
            self._database_url,
            autocommit=True,
            row_factory=self._row_factory,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=self._purpose,
        )
        self._connection.execute(self._settings)
        return self._connection
