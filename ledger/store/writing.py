"""What a decided batch writes besides its transfers, packed for the server: nothing is left to do but to send it."""

from collections.abc import Sequence
from typing import NamedTuple

from ledger.core.commands import Hold
from ledger.core.decide import Changes
from ledger.core.view import Recorded
from ledger.store.accounts import Moved, pack_accounts, save_accounts
from ledger.store.postings import Held, insert_further_legs, pack_further_legs, pack_holds, save_holds
from ledger.store.tx import Tx


class Rest(NamedTuple):
    """The legs behind the first ones, what has become of accounts, and what of holds."""

    further_legs: bytes
    accounts: Moved
    holds: Held


def pack_rest(recorded: Sequence[Recorded], changes: Changes) -> Rest:
    """Packs what was decided."""
    made = (
        {item.command.id for item in recorded if isinstance(item.command, Hold)} if changes.holds else set()
    )
    return Rest(pack_further_legs(recorded), pack_accounts(changes.accounts), pack_holds(changes.holds, made))


def write_rest(tx: Tx, rest: Rest) -> None:
    """Writes it, after the transfers and in their transaction.

    Raises: RuntimeError when an account is not as it was when it was looked at: nothing of the batch may stay.
    """
    insert_further_legs(tx, rest.further_legs)
    save_accounts(tx, rest.accounts)
    save_holds(tx, rest.holds)
