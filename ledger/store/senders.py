"""Who is sending: each sender holds a lock of its session's, so that everybody can see whether it still lives.

A session's lock ends with the connection that holds it, whatever ends that: no heartbeat, and no clock. Behind a pool
that gives one connection to many sessions this does not hold: a sender needs a connection of its own.
"""

from typing import Final

import sqlalchemy as sa

from ledger.store.schema import attempts
from ledger.store.tx import Tx

SENDERS: Final = 0x54535344  # which kind of lock: its number says "TSSD"
SENDER_BITS: Final = 31  # of a sender's number: a lock of a kind has 32, with a sign


def hold_sender_lock(connection: sa.Connection, sender: int) -> None:
    """Holds a sender's lock for as long as the connection lives."""
    connection.execute(sa.select(sa.func.pg_advisory_lock(SENDERS, sender)))


def gone_senders(tx: Tx, *, but: int) -> list[int]:
    """The senders of open attempts that live no more. Their locks are held until the transaction ends.

    Attempts without a sender are of a release that had none, and of nobody any more.
    """
    senders = (
        sa.select(attempts.c.sender).where(attempts.c.outcome.is_(None), attempts.c.sender != but).distinct()
    )
    named = [row["sender"] for row in tx.rows(senders)]
    return [sender for sender in named if _is_gone(tx, sender)]


def _is_gone(tx: Tx, sender: int) -> bool:
    row = tx.row(sa.select(sa.func.pg_try_advisory_xact_lock(SENDERS, sender).label("got")))
    assert row is not None
    return bool(row["got"])
