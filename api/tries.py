"""A transaction, tried again while only the database stood in its way.

Two kinds of failure say nothing against what was asked. Others were in the way: a deadlock, a serialisation failure,
or somebody wrote the same key first; the transaction was undone whole. Or the connection was lost, perhaps after COMMIT
was sent, and nobody knows whether it was done. In both cases the work is run again, in a transaction of its own. That
is safe only because the work finds what it has done: every write goes by an id or a key that its caller chose.

The number of tries and the waits between them are bounded.
"""

import logging
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import TypeVar

import psycopg
import sqlalchemy as sa

from api.transactions import Transactions
from ledger.store.tx import Tx

T = TypeVar("T")
WAITS_S = (0.0, 0.02, 0.1, 0.3, 0.8)
"""How long is waited before each further try. There is one try more than there are waits."""

_CONTENDED = {"40001", "40P01"}
_OVERTAKEN = {"23505"}
_LOST = {"57P01", "57P02", "57P03"}
_CONNECTION = "08"

_log = logging.getLogger("tallystick.tries")


class NotNow(Exception):
    """The database would not; what was asked may be asked again as it is, and is never done twice."""


class Unreachable(NotNow):
    """The database cannot be reached; whether the last try was committed may be unknown."""


class Contended(NotNow):
    """Others were in the way at every try. Nothing was done."""


class _Failure(Enum):
    LOST = auto()
    CONTENDED = auto()
    OVERTAKEN = auto()


def in_tx(transactions: Transactions, work: Callable[[Tx], T]) -> T:
    """What the work gives, in a transaction that is committed.

    Raises: Unreachable and Contended when all tries are used up; what the work raises, and then nothing is done.
    """
    for wait_s in WAITS_S:
        try:
            return _once(transactions, work)
        except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
            failure = _failure(error)
            if failure is None:
                raise
            _log.warning("tx.tried_again", extra={"failure": failure.name, "wait_s": wait_s})
        time.sleep(wait_s)
    try:
        return _once(transactions, work)
    except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
        match _failure(error):
            case _Failure.LOST:
                raise Unreachable("The database cannot be reached.") from error
            case _Failure.CONTENDED:
                raise Contended("Others were in the way at every try.") from error
            case _:
                raise


def _once(transactions: Transactions, work: Callable[[Tx], T]) -> T:
    try:
        with transactions() as tx:
            answer = work(tx)
    except sa.exc.TimeoutError as error:
        raise Unreachable("No connection was free for as long as the pool waits.") from error
    return answer  # only here the transaction is committed


def _failure(error: Exception) -> _Failure | None:
    """What stood in the way; None when it was the work itself."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return None
    state = cause.sqlstate
    if state in _CONTENDED:
        return _Failure.CONTENDED
    if state in _OVERTAKEN:
        return _Failure.OVERTAKEN
    if state is None:  # the server said nothing: the driver found the connection broken
        return _Failure.LOST if isinstance(cause, psycopg.OperationalError) else None
    return _Failure.LOST if state in _LOST or state.startswith(_CONNECTION) else None
