"""Commands of the book as a caller wrote them: carried out under their clearances, or answered again.

Names are not looked at, limits and parties neither: that is the gate's work, done before. A command's id is its
caller's, so the same command again is no second one, whatever has become of its parties or of the policy since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ledger import book
from ledger.core.clearance import Cleared
from ledger.core.commands import Authority, Command, Refusal, Refused, Result
from ledger.core.ids import TransferId
from ledger.core.orders import TransferOrder
from ledger.core.view import Known
from ledger.store.known import known_transfers
from ledger.store.tx import Tx

Results = tuple[Result, ...]


def carry_out(tx: Tx, cleared: Sequence[Cleared[TransferOrder]]) -> tuple[Results, ...]:
    """Posts each order as one group, all or nothing, under its clearance: one result a command, order by order.

    A clearance is redeemed when its order did something. A refused order leaves nothing behind, and one that was
    carried out before gives its first results.

    Raises: InvalidValue when the orders hold more than 8,192 commands together; ClearanceSpent.
    """
    orders, clearances = [item.order for item in cleared], [item.clearance for item in cleared]
    dates = _dates(_known(tx, orders))
    groups = [_dated(item.order, _commands(tx, item), dates) for item in cleared]
    results = list(book.post(tx, groups, clearances))
    # Somebody else carried out a command of these between our look and our locks, and dated it.
    overtaken = [place for place, order in enumerate(orders) if _dated_otherwise(order, results[place])]
    if overtaken:
        dates = _dates(_known(tx, [orders[place] for place in overtaken]))
        again = [_dated(orders[place], groups[place], dates) for place in overtaken]
        for place, answer in zip(overtaken, book.post(tx, again, clearances), strict=True):
            results[place] = answer
    return tuple(results)


def recall(tx: Tx, orders: Sequence[TransferOrder]) -> tuple[Results | None, ...]:
    """The answers of orders whose ids all stand in the book already; None for those of which something is still to do.

    They need no clearance and no lock, because nothing can come of them: each command is found as it is, or is another
    one under a used id.
    """
    known = _known(tx, orders)
    standing = [
        place for place, order in enumerate(orders) if all(command.id in known for command in order.commands)
    ]
    dates = _dates(known)
    groups = [_dated(orders[place], orders[place].commands, dates) for place in standing]
    answers = dict(zip(standing, book.recall(tx, groups, known), strict=True))
    return tuple(answers.get(place) for place in range(len(orders)))


def _commands(tx: Tx, item: Cleared[TransferOrder]) -> list[Command]:
    """The commands of an order with the authority to carry them out; what has no date is dated now."""
    authority = Authority(clearance_id=item.clearance.id)
    undated = item.order.undated
    return [
        replace(command, authority=authority, effective_at=tx.now)
        if command.id in undated
        else replace(command, authority=authority)
        for command in item.order.commands
    ]


def _dated_otherwise(order: TransferOrder, answers: Results) -> bool:
    """Whether an order was refused only for a date that it leaves open: it was carried out before, on another one."""
    return any(
        isinstance(answer, Refused)
        and answer.refusal is Refusal.ID_REUSED
        and answer.field == "effective_at"
        and answer.id in order.undated
        for answer in answers
    )


def _known(tx: Tx, orders: Sequence[TransferOrder]) -> Mapping[TransferId, Known]:
    return known_transfers(tx, {command.id for order in orders for command in order.commands})


def _dates(known: Mapping[TransferId, Known]) -> Mapping[TransferId, datetime]:
    """The effective date under which each command was carried out, of those that were."""
    return {
        transfer_id: datetime.fromisoformat(str(before.content["effective_at"]))
        for transfer_id, before in known.items()
    }


def _dated(
    order: TransferOrder, commands: Sequence[Command], dates: Mapping[TransferId, datetime]
) -> list[Command]:
    """The same commands; those that leave their date open have the one they were first carried out on."""
    return [
        replace(command, effective_at=dates[command.id])
        if command.id in order.undated and command.id in dates
        else command
        for command in commands
    ]
