"""A transfer by itself: what each kind consists of, whatever else stands in the book.

Pure, and written apart from the code that decides. Takes the facts in whatever form they come: rows or lines.
Invariants: every transfer balances (1), no money moves without its authority (8).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ledger.core.canonical import Canonical
from ledger.core.facts import EntryFact, SideFact, TransferFact
from ledger.core.money import divide_half_even
from ledger.evidence.discrepancy import Found, in_entry, in_leg, in_transfer


class Shape(NamedTuple):
    """What a transfer of one kind consists of."""

    steps: tuple[str, ...]
    legs: bool = False
    on_hold: bool = False
    reverses: bool = False
    free: bool = False
    """Whether it needs no authority, because it moves no money."""


SHAPES: Final = {
    "post": Shape((), legs=True),
    "hold": Shape(("hold",)),
    "increase": Shape(("hold",), on_hold=True),
    "capture": Shape(("release",), legs=True, on_hold=True),
    "release": Shape(("release",), on_hold=True, free=True),
    "expire": Shape(("release",), on_hold=True, free=True),
    "reverse": Shape((), legs=True, reverses=True),
    "open": Shape(("open",), free=True),
    "freeze": Shape(("freeze",), free=True),
    "unfreeze": Shape(("unfreeze",), free=True),
    "close": Shape(("close",), free=True),
}


class LegSeen(NamedTuple):
    """A leg with its two accounts. Units: minor units of both."""

    number: int
    debit: SideFact
    credit: SideFact
    amount_minor: int


def check_transfer(transfer: TransferFact, steps: Sequence[EntryFact], legs: Sequence[LegSeen]) -> Found:
    """What is wrong with a transfer by itself: its kind, authority, times, steps and legs (in their order)."""
    shape = SHAPES.get(transfer.kind)
    if shape is None:
        return [in_transfer(transfer.id, f"{transfer.kind} is no kind of transfer")]
    found = _check_parts(transfer, shape, steps, legs)
    found += _check_authority(transfer, shape)
    for leg in legs:
        found += _check_leg(transfer, leg)
    if transfer.asked:
        found += _check_asked(transfer, legs)
    if transfer.kind == "capture" and len(steps) == 1:
        found += _check_drawn(transfer, steps[0], legs)
    return found


def check_times(transfer: TransferFact, entries: Sequence[EntryFact]) -> Found:
    """A transfer has one effective date and one instant at which it was recorded, and so have all its entries."""
    found = [
        in_entry(entry, "effective at another time than its transfer")
        for entry in entries
        if entry.effective_at != transfer.effective_at
    ]
    found += [
        in_entry(entry, "recorded at another time than its transfer")
        for entry in entries
        if entry.recorded_at != transfer.recorded_at
    ]
    return found


def read_legs(
    transfer: TransferFact, entries: Sequence[EntryFact], accounts: Mapping[str, SideFact]
) -> tuple[list[LegSeen], Found]:
    """The legs behind the entries of their accounts; an entry without its other side is no leg."""
    sides: dict[int, list[EntryFact]] = defaultdict(list)
    for entry in entries:
        if entry.leg != 0:
            sides[entry.leg].append(entry)
    legs: list[LegSeen] = []
    found: Found = []
    for number, pair in sorted(sides.items()):
        if sorted(entry.movement for entry in pair) != ["credit", "debit"]:
            found.append(in_leg(transfer.id, number, "a leg is not one debit and one credit"))
            continue
        credit, debit = sorted(pair, key=lambda entry: entry.movement)
        if debit.amount_minor != credit.amount_minor:
            found.append(in_leg(transfer.id, number, "its sides do not balance"))
        legs.append(
            LegSeen(number, accounts[debit.account_id], accounts[credit.account_id], debit.amount_minor)
        )
    return legs, found


def check_reversal(
    transfer: TransferFact, legs: Sequence[LegSeen], *, original: Sequence[LegSeen] | None
) -> Found:
    """Whether a reversal undoes the legs of the transfer that it names, all of them or the parts it asked for."""
    if not original:
        return [in_transfer(transfer.id, f"there is no money moved by {transfer.reverses_id} to undo")]
    moved = {leg.number: leg for leg in original}
    parts = transfer.asked.get("parts")
    if parts is None:
        wanted: list[tuple[int, int]] | None = [(leg.number, leg.amount_minor) for leg in original]
    else:
        wanted = _pairs(parts)
    if wanted is None or any(number not in moved for number, _ in wanted):
        return [in_transfer(transfer.id, "names parts that are none")]
    undone = [
        (moved[number].credit.account_id, moved[number].debit.account_id, amount) for number, amount in wanted
    ]
    if undone != [(leg.debit.account_id, leg.credit.account_id, leg.amount_minor) for leg in legs]:
        return [in_transfer(transfer.id, f"does not undo what {transfer.reverses_id} did")]
    return [
        in_transfer(transfer.id, f"undoes more of leg {number} of {transfer.reverses_id} than it moved")
        for number, leg in moved.items()
        if sum(amount for other, amount in wanted if other == number) > leg.amount_minor
    ]


def _pairs(parts: Canonical) -> list[tuple[int, int]] | None:
    if not isinstance(parts, list) or not parts:
        return None
    pairs = [tuple(part) for part in parts if isinstance(part, list)]
    whole = all(len(pair) == 2 and all(type(item) is int for item in pair) for pair in pairs)
    return [(pair[0], pair[1]) for pair in pairs] if whole and len(pairs) == len(parts) else None


def _check_parts(
    transfer: TransferFact, shape: Shape, steps: Sequence[EntryFact], legs: Sequence[LegSeen]
) -> Found:
    found: Found = []
    consists = f"is not what a {transfer.kind} consists of"
    if tuple(step.movement for step in steps) != shape.steps:
        named = [step.movement for step in steps] or "no step"
        found.append(in_transfer(transfer.id, f"{consists}: it has {named} of an account alone"))
    if bool(legs) != shape.legs:
        found.append(in_transfer(transfer.id, f"{consists}: it has {len(legs)} legs"))
    if shape.legs and not legs:
        found.append(in_leg(transfer.id, 1, "is missing"))
    out_of_place = next(
        ((place, leg) for place, leg in enumerate(legs, start=1) if leg.number != place), None
    )
    if out_of_place is not None:
        place, leg = out_of_place
        found.append(in_leg(transfer.id, place, f"is missing: leg {leg.number} comes in its place"))
        found.append(in_leg(transfer.id, leg.number, f"comes in the place of leg {place}"))
    if (transfer.hold_id is not None) != shape.on_hold:
        found.append(in_transfer(transfer.id, f"{consists}: hold {transfer.hold_id}"))
    if (transfer.reverses_id is not None) != shape.reverses:
        found.append(in_transfer(transfer.id, f"{consists}: reverses {transfer.reverses_id}"))
    return found


def _check_authority(transfer: TransferFact, shape: Shape) -> Found:
    """Money moves by a redeemed clearance or by a bank's word, not both; what moves none needs neither."""
    given = (transfer.clearance_id is not None) + (transfer.notice_id is not None)
    if given == 1 or (given == 0 and shape.free):
        return []
    return [in_transfer(transfer.id, "has not one authority")]


def _check_leg(transfer: TransferFact, leg: LegSeen) -> Found:
    debit, credit = leg.debit, leg.credit
    found: Found = []
    if leg.amount_minor <= 0:
        found.append(in_leg(transfer.id, leg.number, f"{leg.amount_minor} is no amount"))
    if debit.account_id == credit.account_id:
        found.append(in_leg(transfer.id, leg.number, "has one account on both sides"))
    if debit.currency != credit.currency:
        detail = f"has two currencies, {debit.currency} and {credit.currency}"
        found.append(in_leg(transfer.id, leg.number, detail))
    for side in (debit, credit):
        if side.programme_id != transfer.programme_id:
            found.append(in_leg(transfer.id, leg.number, f"{side.account_id} is of another programme"))
    return found


def _check_drawn(transfer: TransferFact, released: EntryFact, legs: Sequence[LegSeen]) -> Found:
    """Every leg of a capture draws on the account that is held."""
    return [
        in_leg(transfer.id, leg.number, f"does not draw on {released.account_id}, which was held")
        for leg in legs
        if released.account_id
        not in {
            side.account_id
            for side, way in ((leg.debit, "debit"), (leg.credit, "credit"))
            if side.side != way
        }
    ]


def _check_asked(transfer: TransferFact, legs: Sequence[LegSeen]) -> Found:
    found: Found = []
    most = transfer.asked.get("up_to")
    if isinstance(most, Mapping):
        for leg in legs:
            asked = most.get(str(leg.number))
            if isinstance(asked, int) and leg.amount_minor > asked:
                found.append(in_leg(transfer.id, leg.number, f"moves more than the {asked} that were asked"))
    rate = transfer.asked.get("rate")
    if rate is not None and not _at_rate(rate, legs):
        found.append(in_transfer(transfer.id, "its legs are not at the rate that it names"))
    return found


def _at_rate(rate: Canonical, legs: Sequence[LegSeen]) -> bool:
    """Whether what was bought is what was sold, at this rate, rounded half to even."""
    match rate:
        case [str(sold), str(bought), int(numerator), int(denominator)] if numerator > 0 < denominator:
            totals = {sold: 0, bought: 0}
            for leg in legs:
                if leg.debit.currency not in totals:
                    return False
                totals[leg.debit.currency] += leg.amount_minor
            return totals[bought] == divide_half_even(totals[sold] * numerator, denominator)
        case _:
            return False
