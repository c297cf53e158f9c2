"""The bank as one object: its books, clock, keys and settings, the bells that wake its two workers, and
the orders to be down.

Everything that touches the books runs on the event loop's thread and never awaits inside a database
transaction, so no two pieces of business ever interleave.
"""

import asyncio
import sqlite3
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from partners.sandbox.clock import BankClock, read_stamp, stamp
from partners.sandbox.keys import KeyRing
from partners.sandbox.settings import BankSettings
from partners.sandbox.store.database import begin, open_database, read_setting, write_setting

_CLOCK_OFFSET = "clock_offset_us"
_INSTITUTION = "institution_id"
_PREVIOUS_KEY_UNTIL = "previous_key_until"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """What every part of the bank is handed."""

    settings: BankSettings
    books: sqlite3.Connection
    clock: BankClock
    keys: KeyRing
    institution_id: str
    payments_due: asyncio.Event = field(default_factory=asyncio.Event)
    webhooks_due: asyncio.Event = field(default_factory=asyncio.Event)
    downtimes: asyncio.Queue[float] = field(default_factory=asyncio.Queue)

    def wake(self) -> None:
        """Something was written that the workers should look at now."""
        self.payments_due.set()
        self.webhooks_due.set()


def open_bank(settings: BankSettings) -> Bank:
    """The bank of a home directory, as it was left, or a new one."""
    books = open_database(settings.database_path)
    with begin(books) as tx:
        institution_id = read_setting(tx, _INSTITUTION) or str(uuid.uuid4())
        write_setting(tx, _INSTITUTION, institution_id)
        offset_us = int(read_setting(tx, _CLOCK_OFFSET) or 0)
    return Bank(
        settings=settings,
        books=books,
        clock=BankClock(timedelta(microseconds=offset_us)),
        keys=KeyRing(settings.key_path, settings.previous_key_path),
        institution_id=institution_id,
    )


def move_clock(bank: Bank, offset: timedelta) -> None:
    """Make a new clock offset durable, then run on it."""
    with begin(bank.books) as tx:
        write_setting(tx, _CLOCK_OFFSET, str(offset // timedelta(microseconds=1)))
    bank.clock.move(offset)
    bank.wake()


def change_key(bank: Bank, published_for: timedelta) -> None:
    """Sign webhooks with a new key, and publish the old one beside it for a while."""
    with begin(bank.books) as tx:
        write_setting(tx, _PREVIOUS_KEY_UNTIL, stamp(bank.clock.now() + published_for))
    bank.keys.change()


def published_keys(bank: Bank) -> str:
    """The public keys that a client may meet now, in PEM, the newest first."""
    until = read_setting(bank.books, _PREVIOUS_KEY_UNTIL)
    return bank.keys.public_pem(with_previous=until is not None and bank.clock.now() < read_stamp(until))
