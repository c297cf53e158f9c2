"""The programme's calendar and its own units. Runs on a lane, inside its transaction."""

from collections.abc import Sequence

from api import present
from api.lanes import Ask, Reply
from api.problems import from_declined
from ledger.core.declined import Declined
from ledger.core.unit import Unit
from ledger.flows.periods import MovePeriod, OpenPeriod, move_periods, open_periods
from ledger.flows.units import DefineUnit, define_units
from ledger.store.periods import PeriodRecord
from ledger.store.tx import Tx


def make_periods(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Opens periods."""
    orders = [
        OpenPeriod(programme_id=ask.programme, starts_at=body.starts_at, ends_at=body.ends_at)
        for ask in asks
        for body in ask.payload
    ]
    return [_period(result, 201) for result in open_periods(tx, orders)]


def change_periods(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Closes periods step by step, or opens them again."""
    orders = []
    for ask in asks:
        body, period_id = ask.payload
        orders.append(MovePeriod(programme_id=ask.programme, period_id=period_id, to=body.to))
    return [_period(result, 200) for result in move_periods(tx, orders)]


def make_units(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Defines units."""
    orders = [
        DefineUnit(ask.programme, Unit(body.code, body.name, body.decimals))
        for ask in asks
        for body in ask.payload
    ]
    return [
        Reply.declined(from_declined(result))
        if isinstance(result, Declined)
        else Reply(201, present.unit(result))
        for result in define_units(tx, orders)
    ]


def _period(result: PeriodRecord | Declined, status: int) -> Reply:
    if isinstance(result, Declined):
        return Reply.declined(from_declined(result))
    return Reply(status, present.period(result))
