"""Who we are among those who send payouts: a number, and a connection of our own that shows that we still live."""

import secrets
import threading

import sqlalchemy as sa

from ledger.store.senders import SENDER_BITS, hold_sender_lock


class Sender:
    """One that sends: a lane of a worker. It connects when its number is first asked for."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._number = 0
        self._connection: sa.Connection | None = None

    @property
    def number(self) -> int:
        """Our number, by which attempts name us. While the connection is held, nobody takes them over."""
        with self._lock:
            if self._connection is None:
                number = 1 + secrets.randbelow(2**SENDER_BITS - 1)
                connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                hold_sender_lock(connection, number)
                self._connection, self._number = connection, number
            return self._number

    def renew(self) -> None:
        """Gives the number up, and with it what was taken up under it; the next one is a new one."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closed for good, and not given back to the pool with its lock
            connection.close()

    def close(self) -> None:
        """Lives no more."""
        self.renew()
