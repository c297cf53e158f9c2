"""Units: what a programme counts in besides the currencies of ISO 4217, its coins and its points. Pure."""

import re
from typing import NamedTuple

from ledger.core.currency import ISO_CODES
from ledger.core.errors import InvalidValue

DECIMALS_MAX = 18
NAME_MAX = 70
_CODE = re.compile(r"\A[A-Z][A-Z0-9]{3,11}\Z")


class Unit(NamedTuple):
    """A unit. `decimals` says how many of its minor units make one: 2 decimals, 100 minor units."""

    code: str
    name: str
    decimals: int


def check_unit(unit: Unit) -> None:
    """Raises: InvalidValue when a unit could be taken for a currency, or for nothing that can be counted in."""
    if not _CODE.match(unit.code) or unit.code in ISO_CODES:
        raise InvalidValue("A unit's code is 4 to 12 capitals and digits, a capital first.", field="code")
    if not 1 <= len(unit.name) <= NAME_MAX:
        raise InvalidValue(f"A unit's name has 1 to {NAME_MAX} characters.", field="name")
    if not 0 <= unit.decimals <= DECIMALS_MAX:
        raise InvalidValue(f"A unit has 0 to {DECIMALS_MAX} decimals.", field="decimals")
