"""The one door that posts. Reads once, has `Deciding` decide, writes once; whatever the size of the batch.

May not commit, call a network or look at a clock: the transaction brings its own `now`.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import chain
from typing import Any

from ledger.core.account import HoldState
from ledger.core.clearance import Clearance
from ledger.core.commands import (
    BATCH_MAX,
    Capture,
    Close,
    Command,
    Exists,
    Expire,
    Freeze,
    Hold,
    Increase,
    Open,
    Post,
    Release,
    Result,
    Reverse,
    Unfreeze,
)
from ledger.core.decide import Deciding
from ledger.core.errors import ClearanceSpent, InvalidValue
from ledger.core.ids import AccountId, TransferId
from ledger.core.view import Book, Known, Posted, Recorded
from ledger.store.accounts import (
    draw_numbers,
    insert_accounts,
    lock_accounts,
    pack_accounts,
    save_accounts,
    taken_places,
)
from ledger.store.clearances import redeem
from ledger.store.known import known_transfers
from ledger.store.periods import share_calendars
from ledger.store.postings import (
    insert_further_legs,
    insert_holds,
    read_holds,
    read_posted,
    save_holds,
    writing_transfers,
)
from ledger.store.tx import Tx
from ledger.store.units import unit_codes

Group = Sequence[Command]
YEAR_MIN, YEAR_MAX = 1, 9999
"""What an offset could carry out of the calendar is no instant."""
PIECE = 128
"""How many groups are decided before the first of them goes to the server."""
OfKind = Mapping[type[Command], list[Any]]
"""The commands of a batch by what they are, each kind in the order of the batch."""
_ARE_IDS = re.compile(r"(?:xfr_[0-9a-f]{32}\n)*").fullmatch


def post(
    tx: Tx, groups: Sequence[Group], clearances: Collection[Clearance] = ()
) -> tuple[tuple[Result, ...], ...]:
    """Carries out groups of commands; each group is all-or-nothing, and each command gets its result.

    A group without commands gets no results. Of the clearances, those are redeemed under which something was
    applied: a refused order leaves nothing.

    Raises: InvalidValue when the batch holds more than 8,192 commands, or one of them says what cannot be kept: an id
    of another kind, a time without an offset, a text or metadata that is no Unicode or too long; ClearanceSpent.
    """
    commands = list(chain.from_iterable(groups))
    if len(commands) > BATCH_MAX:
        raise InvalidValue(f"A batch holds at most {BATCH_MAX} commands.", field="groups")
    if not commands:
        return tuple(() for _ in groups)
    ids = [command.id for command in commands]
    if not _ARE_IDS("\n".join([*ids, ""])):
        raise InvalidValue("The id of a command is an id of the kind xfr_.", field="id")
    of_kind: OfKind = defaultdict(list)
    for command in commands:
        of_kind[type(command)].append(command)
    _check_times({command.effective_at for command in commands}, "effective_at")
    _check_times({command.expires_at for command in of_kind[Hold] if command.expires_at}, "expires_at")
    deciding = Deciding(_read(tx, ids, of_kind), tx.now)
    # Accounts and clearances stand before the transfers that name them: where there are any, all is decided first.
    return _write(tx, deciding, [groups] if of_kind[Open] or clearances else _pieces(groups), clearances)


def _check_times(instants: Collection[datetime], field: str) -> None:
    """Looks at each once: the commands of a batch mostly share theirs."""
    if any(instant.tzinfo is None for instant in instants):
        raise InvalidValue("An instant says its offset.", field=field)
    if not all(YEAR_MIN < instant.year < YEAR_MAX for instant in instants):
        raise InvalidValue(f"An instant lies between the years {YEAR_MIN} and {YEAR_MAX}.", field=field)


def post_once(
    tx: Tx, groups: Sequence[Group], clearances: Collection[Clearance]
) -> tuple[tuple[Result, ...], ...]:
    """The same for orders that are carried out once: their clearance is good for that.

    Raises: InvalidValue as `post`; ClearanceSpent when one of the orders was carried out before.
    """
    results = post(tx, groups, clearances)
    if any(isinstance(result, Exists) for result in chain.from_iterable(results)):
        raise ClearanceSpent("This order was carried out before.")
    return results


def recall(
    tx: Tx, groups: Sequence[Group], known: Mapping[TransferId, Known]
) -> tuple[tuple[Result, ...], ...]:
    """The answers to commands whose ids all stand in the book, as `known_transfers` has read them. Locks nothing.

    A command whose id does not stand is refused as if its accounts were not there: it is for `post`.
    """
    return tuple(Deciding(Book(accounts={}, known=known), tx.now).decide(groups).results)


def _read(tx: Tx, ids: Collection[TransferId], of_kind: OfKind) -> Book:
    """Locks every account that the batch may touch, and only then reads what the locks protect."""
    programme_ids = {command.programme_id for commands in of_kind.values() for command in commands}
    calendars = share_calendars(tx, programme_ids)
    hold_ids = {command.hold_id for kind in (Increase, Capture, Release, Expire) for command in of_kind[kind]}
    posted = read_posted(tx, {command.transfer_id for command in of_kind[Reverse]})
    locked = lock_accounts(tx, _named_accounts(of_kind, posted.values()), held_by=hold_ids)
    holds = read_holds(tx, hold_ids)
    known = known_transfers(tx, ids)
    openings = of_kind[Open]
    new = [command.account_id for command in openings if command.id not in known]
    return Book(
        accounts=locked,
        # What came into being while we waited for the locks stays unknown: its accounts are not locked.
        holds={hold_id: hold for hold_id, hold in holds.items() if hold.account_id in locked},
        posted=read_posted(tx, posted.keys()),
        known=known,
        calendars=calendars,
        places=taken_places(tx, openings),
        units=unit_codes(tx, programme_ids) if openings else {},
        numbers=draw_numbers(tx, [account_id for account_id in new if account_id not in locked]),
    )


def _named_accounts(of_kind: OfKind, posted: Iterable[Posted]) -> set[AccountId]:
    """The accounts that commands name, and those of the transfers that they reverse."""
    named = {
        command.account_id for kind in (Hold, Open, Freeze, Unfreeze, Close) for command in of_kind[kind]
    }
    for moving in (of_kind[Post], of_kind[Capture], posted):
        legs = [leg for each in moving for leg in each.legs]
        named.update([leg.debit for leg in legs], [leg.credit for leg in legs])
    return named


def _write(
    tx: Tx, deciding: Deciding, pieces: Iterable[Sequence[Group]], clearances: Collection[Clearance]
) -> tuple[tuple[Result, ...], ...]:
    """Decides piece by piece: the server writes the transfers of one piece while the next is decided."""
    results: list[tuple[Result, ...]] = []
    recorded: list[Recorded] = []
    with ExitStack() as stack:
        write_transfers = None
        for piece in pieces:
            decision = deciding.decide(piece)
            results += decision.results
            if decision.recorded:
                recorded += decision.recorded
                insert_accounts(tx, decision.opened)
                _redeem(tx, decision.recorded, clearances)
                write_transfers = write_transfers or stack.enter_context(writing_transfers(tx))
                write_transfers(decision.recorded)
        changes = deciding.changes()
        moved = pack_accounts(changes.accounts)
    if recorded:
        insert_further_legs(tx, recorded)
        save_accounts(tx, moved)
        _save_holds(tx, changes.holds, recorded)
    return tuple(results)


def _redeem(tx: Tx, recorded: Sequence[Recorded], clearances: Collection[Clearance]) -> None:
    if clearances:
        used = {item.command.authority.clearance_id for item in recorded if item.command.authority}
        redeem(tx, [clearance for clearance in clearances if clearance.id in used])


def _save_holds(tx: Tx, changed: Sequence[HoldState], recorded: Sequence[Recorded]) -> None:
    if changed:
        made = {item.command.id for item in recorded if isinstance(item.command, Hold)}
        insert_holds(tx, [hold for hold in changed if hold.id in made])
        save_holds(tx, [hold for hold in changed if hold.id not in made])


def _pieces(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    return (groups[start : start + PIECE] for start in range(0, len(groups), PIECE))
