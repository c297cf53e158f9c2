"""The one door that posts. Reads once, has `Deciding` decide, writes once; whatever the size of the batch.

May not commit, call a network or look at a clock: the transaction brings its own `now`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain

from ledger.core.batch import Batch, Group, Results, batch_of
from ledger.core.clearance import Clearance
from ledger.core.commands import Exists, Open, Result
from ledger.core.decide import Deciding
from ledger.core.errors import ClearanceSpent
from ledger.core.ids import TransferId
from ledger.core.view import Book, Known, Recorded
from ledger.store.accounts import draw_numbers, insert_accounts, lock_accounts, taken_places
from ledger.store.clearances import redeem
from ledger.store.known import known_transfers
from ledger.store.periods import share_calendars
from ledger.store.postings import pack_transfers, read_holds, read_posted, writing_transfers
from ledger.store.tx import Tx
from ledger.store.units import unit_codes
from ledger.store.writing import pack_rest, write_rest

PIECE = 128
"""How many groups are decided before the first of them goes to the server."""


def post(tx: Tx, groups: Sequence[Group], clearances: Collection[Clearance] = ()) -> Results:
    """Carries out groups of commands; each group is all-or-nothing, and each command gets its result.

    A group without commands gets no results. Of the clearances, those are redeemed under which something was
    applied: a refused order leaves nothing.

    Raises: InvalidValue when the batch holds more than 8,192 commands, or one of them says what cannot be kept: an id
    of another kind, a time without an offset, a text or metadata that is no Unicode or too long; ClearanceSpent.
    """
    return post_batch(tx, batch_of(groups), clearances)


def post_batch(tx: Tx, batch: Batch, clearances: Collection[Clearance] = ()) -> Results:
    """The same for a batch that was taken together before.

    Raises: InvalidValue when a text or metadata cannot be kept; ClearanceSpent.
    """
    if not batch.ids:
        return tuple(() for _ in batch.groups)
    deciding = Deciding(_read(tx, batch), tx.now)
    # Accounts and clearances stand before the transfers that name them: where there are any, all is decided first.
    whole = batch.of_kind[Open] or clearances
    return _write(tx, deciding, [batch.groups] if whole else _pieces(batch.groups), clearances)


def post_once(tx: Tx, groups: Sequence[Group], clearances: Collection[Clearance]) -> Results:
    """The same for orders that are carried out once: their clearance is good for that.

    Raises: InvalidValue as `post`; ClearanceSpent when one of the orders was carried out before.
    """
    results = post(tx, groups, clearances)
    if any(isinstance(result, Exists) for result in chain.from_iterable(results)):
        raise ClearanceSpent("This order was carried out before.")
    return results


def recall(tx: Tx, groups: Sequence[Group], known: Mapping[TransferId, Known]) -> Results:
    """The answers to commands whose ids all stand in the book, as `known_transfers` has read them. Locks nothing.

    A command whose id does not stand is refused as if its accounts were not there: it is for `post`.
    """
    return tuple(Deciding(Book(accounts={}, known=known), tx.now).decide(groups).results)


def _read(tx: Tx, batch: Batch) -> Book:
    """Locks every account that the batch may touch, and only then reads what the locks protect."""
    programme_ids, hold_ids, openings = batch.programme_ids, batch.hold_ids, batch.of_kind[Open]
    calendars = share_calendars(tx, programme_ids)
    posted = read_posted(tx, batch.reversed_ids)
    locked = lock_accounts(tx, batch.account_ids(posted.values()), held_by=hold_ids)
    holds = read_holds(tx, hold_ids)
    known = known_transfers(tx, batch.ids)
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


def _write(
    tx: Tx, deciding: Deciding, pieces: Iterable[Sequence[Group]], clearances: Collection[Clearance]
) -> Results:
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
                write_transfers(pack_transfers(decision.recorded))
        rest = pack_rest(recorded, deciding.changes())
    write_rest(tx, rest)
    return tuple(results)


def _redeem(tx: Tx, recorded: Sequence[Recorded], clearances: Collection[Clearance]) -> None:
    if clearances:
        used = {item.command.authority.clearance_id for item in recorded if item.command.authority}
        redeem(tx, [clearance for clearance in clearances if clearance.id in used])


def _pieces(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    return (groups[start : start + PIECE] for start in range(0, len(groups), PIECE))
