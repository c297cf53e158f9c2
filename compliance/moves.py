"""What the commands of a transfer order would do, and to whom: pure look-ups that the gate and its rules share.

Giving reserved money back, freezing and closing concern nobody: they keep money where it is. What is not the
programme's is nobody's here; the book does not know it either, and refuses the command.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from compliance.facts import Facts, HoldFact, MovedFact, OwnerFact
from ledger.core.commands import Capture, Command, Hold, Increase, Leg, Open, Post, Reverse, Unfreeze
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.core.orders import TransferOrder

Owners = Mapping[str, OwnerFact]
Holds = Mapping[str, HoldFact]
Moved = Mapping[str, MovedFact]


def commands_of(orders: Iterable[TransferOrder]) -> Iterator[Command]:
    """All commands of all orders."""
    return chain.from_iterable(order.commands for order in orders)


def named_holds(orders: Sequence[TransferOrder]) -> set[TransferId]:
    """The holds that have to be looked up, because a command does not say which account it reserves on."""
    return {command.hold_id for command in commands_of(orders) if isinstance(command, Increase)}


def named_transfers(orders: Sequence[TransferOrder]) -> set[TransferId]:
    """The transfers that are to be reversed."""
    return {command.transfer_id for command in commands_of(orders) if isinstance(command, Reverse)}


def named_openings(order: TransferOrder) -> set[PartyId]:
    """The parties for whom accounts are to be opened."""
    return {
        command.party_id
        for command in order.commands
        if isinstance(command, Open) and command.party_id is not None
    }


def named_accounts(orders: Sequence[TransferOrder], *, holds: Holds, moved: Moved) -> set[AccountId]:
    """Every account that a command moves or reserves money on, by itself or by what it refers to."""
    return {
        account_id
        for command in commands_of(orders)
        for account_id in _accounts(command, holds=holds, moved=moved)
    }


def made_here(orders: Sequence[TransferOrder]) -> tuple[Owners, Holds, Moved]:
    """What the orders themselves bring into being, for others in the same batch to use. What came first stands."""
    owners: dict[str, OwnerFact] = {}
    holds: dict[str, HoldFact] = {}
    moved: dict[str, MovedFact] = {}
    for command in commands_of(orders):
        match command:
            case Open():
                fact = OwnerFact(command.programme_id, command.party_id, command.currency)
                owners.setdefault(command.account_id, fact)
            case Hold():
                holds.setdefault(command.id, HoldFact(command.programme_id, command.account_id))
            case Post() | Capture():
                moved.setdefault(command.id, MovedFact(command.programme_id, command.legs))
            case _:
                pass
    return owners, holds, moved


def concerned(order: TransferOrder, facts: Facts) -> list[str]:
    """Whoever's accounts give or take, and whoever gets an account. Sorted."""
    owners = (
        _owner(account_id, order.programme_id, facts)
        for account_id in named_accounts([order], holds=facts.holds, moved=facts.moved)
    )
    owning = {owner.party_id for owner in owners if owner is not None and owner.party_id is not None}
    return sorted(owning | named_openings(order))


def amounts(command: Command, facts: Facts) -> dict[str, int]:
    """What a command moves or reserves, currency by currency. Units: minor units."""
    return _sums(_reserved(command, facts.holds) or _legs(command, facts.moved), command.programme_id, facts)


def _reserved(command: Command, holds: Holds) -> Sequence[Leg]:
    """What is reserved, as a leg that does not leave its account."""
    match command:
        case Hold():
            return [Leg(command.account_id, command.account_id, command.amount_minor)]
        case Increase() if command.hold_id in holds:
            account_id = holds[command.hold_id].account_id
            return [Leg(account_id, account_id, command.amount_minor)]
        case _:
            return ()


def _sums(legs: Iterable[Leg], programme_id: ProgrammeId, facts: Facts) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for leg in legs:
        owner = _owner(leg.debit, programme_id, facts) or _owner(leg.credit, programme_id, facts)
        if owner is not None:
            sums[owner.currency] += leg.amount_minor
    return dict(sums)


def _accounts(command: Command, *, holds: Holds, moved: Moved) -> Iterator[AccountId]:
    match command:
        case Hold() | Unfreeze():
            yield command.account_id
        case Increase() if command.hold_id in holds:
            yield holds[command.hold_id].account_id
        case _:
            for leg in _legs(command, moved):
                yield leg.debit
                yield leg.credit


def _legs(command: Command, moved: Moved) -> Sequence[Leg]:
    """The legs that move money; those of a reversal still point as they did the first time."""
    match command:
        case Post() | Capture():
            return command.legs
        case Reverse() if command.transfer_id in moved:
            return _undone(command, moved[command.transfer_id].legs)
        case _:
            return ()


def _undone(command: Reverse, legs: Sequence[Leg]) -> Sequence[Leg]:
    if command.parts is None:
        return legs
    return [
        Leg(legs[part.leg - 1].debit, legs[part.leg - 1].credit, part.amount_minor)
        for part in command.parts
        if 1 <= part.leg <= len(legs)
    ]


def _owner(account_id: str, programme_id: ProgrammeId, facts: Facts) -> OwnerFact | None:
    owner = facts.owners.get(account_id)
    return owner if owner is not None and owner.programme_id == programme_id else None
