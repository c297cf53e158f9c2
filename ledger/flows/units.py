"""A programme defines what it counts in besides currencies. A unit is defined once, and stays what it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.core.declined import Declined
from ledger.core.ids import ProgrammeId
from ledger.core.unit import Unit, check_unit
from ledger.store.events import Event, record_events
from ledger.store.tx import Tx
from ledger.store.units import insert_units, unit_codes


@dataclass(frozen=True, slots=True)
class DefineUnit:
    """A programme wants to count in a unit of its own."""

    programme_id: ProgrammeId
    unit: Unit


def define_units(tx: Tx, orders: Sequence[DefineUnit]) -> tuple[Unit | Declined, ...]:
    """Defines units. Declines a code that the programme has.

    Raises: InvalidValue when a unit could be taken for a currency, or for nothing that can be counted in.
    """
    for order in orders:
        check_unit(order.unit)
    taken = unit_codes(tx, {order.programme_id for order in orders})
    results: list[Unit | Declined] = []
    accepted: list[tuple[ProgrammeId, Unit]] = []
    for order in orders:
        codes = taken.setdefault(order.programme_id, set())
        if order.unit.code in codes:
            results.append(Declined("unit_exists", "The programme counts in a unit of this code.", "code"))
            continue
        codes.add(order.unit.code)
        accepted.append((order.programme_id, order.unit))
        results.append(order.unit)
    insert_units(tx, accepted)
    record_events(
        tx,
        [
            Event(programme_id, unit.code, "unit.defined", {"name": unit.name, "decimals": unit.decimals})
            for programme_id, unit in accepted
        ],
    )
    return tuple(results)
