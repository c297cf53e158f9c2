"""The one door that posts. Reads once, has `decide` decide, writes once; whatever the size of the batch.

May not commit, call a network or look at a clock: the transaction brings its own `now`.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

from ledger.core.commands import BATCH_MAX, Capture, Command, Hold, Post, Release, Result, Reverse
from ledger.core.decide import Book, Decision, HoldState, Posted, decide
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId
from ledger.store.accounts import lock_accounts, save_accounts
from ledger.store.postings import (
    insert_entries,
    insert_transfers,
    known_transfers,
    read_holds,
    read_posted,
    save_holds,
)
from ledger.store.tx import Tx


def post(tx: Tx, groups: Sequence[Sequence[Command]]) -> tuple[tuple[Result, ...], ...]:
    """Carries out groups of commands; each group is all-or-nothing, and each command gets its result.

    Raises: InvalidValue when the batch holds more than 8,192 commands.
    """
    commands = list(chain.from_iterable(groups))
    if len(commands) > BATCH_MAX:
        raise InvalidValue(f"A batch holds at most {BATCH_MAX} commands.", field="groups")
    decision = decide(_read(tx, commands), groups, tx.now)
    _write(tx, decision)
    return decision.results


def _read(tx: Tx, commands: Sequence[Command]) -> Book:
    """Locks every account that the batch may touch, and only then reads what the locks protect."""
    hold_ids = {command.hold_id for command in commands if isinstance(command, Capture | Release)}
    reversed_ids = {command.transfer_id for command in commands if isinstance(command, Reverse)}
    held, posted = read_holds(tx, hold_ids), read_posted(tx, reversed_ids)
    named = chain(_named_accounts(commands), _held_accounts(held.values()), _moved_accounts(posted.values()))
    locked = lock_accounts(tx, set(named))
    return Book(
        accounts=locked,
        # What came into being while we waited for the locks stays unknown: its accounts are not locked.
        holds=read_holds(tx, held.keys()),
        posted=read_posted(tx, posted.keys()),
        known=known_transfers(tx, {command.id for command in commands}),
    )


def _write(tx: Tx, decision: Decision) -> None:
    insert_transfers(tx, decision.recorded)
    insert_entries(tx, decision.entries)
    save_accounts(tx, decision.accounts)
    save_holds(tx, decision.holds, [item.command for item in decision.recorded])


def _named_accounts(commands: Iterable[Command]) -> Iterable[AccountId]:
    for command in commands:
        if isinstance(command, Post | Capture):
            for leg in command.legs:
                yield from (leg.debit, leg.credit)
        elif isinstance(command, Hold):
            yield command.account_id


def _held_accounts(holds: Iterable[HoldState]) -> Iterable[AccountId]:
    return (hold.account_id for hold in holds)


def _moved_accounts(posted: Iterable[Posted]) -> Iterable[AccountId]:
    return (account for item in posted for leg in item.legs for account in (leg.debit, leg.credit))
