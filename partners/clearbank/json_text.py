"""Reading the bank's JSON: strict where money is at stake, tolerant of fields we do not know.

Every fault is `Unreadable`; numbers with a fraction are exact decimals. Texts are never quoted in an error,
for they may hold names and account numbers. Source: RFC 8259.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Final

from partners.contract import Unreadable

Json = str | int | bool | Decimal | None | Sequence["Json"] | Mapping[str, "Json"]
JsonObject = Mapping[str, Json]

NUMBER_LENGTH_MAX: Final = 28
_EXACT = Context(prec=2 * NUMBER_LENGTH_MAX)


def read_object(body: bytes) -> JsonObject:
    """The JSON object in a body. Raises: Unreadable."""
    try:
        value: Json = json.loads(
            body.decode("utf-8"),
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repetition,
        )
    except (ValueError, ArithmeticError, RecursionError) as broken:
        raise Unreadable("The body is not JSON.") from broken
    if not isinstance(value, Mapping):
        raise Unreadable("The body is not a JSON object.")
    return value


def required_text(source: JsonObject, name: str) -> str:
    """A field that must hold some text. Raises: Unreadable."""
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is missing or is not text.")
    return value


def optional_text(source: JsonObject, name: str) -> str | None:
    """A field that may hold text; anything else counts as absent."""
    value = source.get(name)
    return value if isinstance(value, str) and value else None


def required_object(source: JsonObject, name: str) -> JsonObject:
    """A field that must hold an object. Raises: Unreadable."""
    value = source.get(name)
    if not isinstance(value, Mapping):
        raise Unreadable(f"{name} is missing or is not an object.")
    return value


def optional_object(source: JsonObject, name: str) -> JsonObject:
    """A field that may hold an object; anything else counts as an empty one."""
    value = source.get(name)
    return value if isinstance(value, Mapping) else {}


def objects(source: JsonObject, name: str) -> tuple[JsonObject, ...]:
    """The objects of a list, empty when it is absent or null. Raises: Unreadable for any other thing."""
    value = source.get(name)
    if value is None:
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise Unreadable(f"{name} is not a list.")
    found = tuple(item for item in value if isinstance(item, Mapping))
    if len(found) != len(value):
        raise Unreadable(f"{name} holds something that is not an object.")
    return found


def required_decimal(source: JsonObject, name: str) -> Decimal:
    """A field that must hold a number, exactly as written. Raises: Unreadable."""
    value = source.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unreadable(f"{name} is missing or is not a number.")
    return Decimal(value)


def whole_number(source: JsonObject, name: str) -> int:
    """A field that must hold a whole number, also when the bank wrote it as text. Raises: Unreadable."""
    value = source.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= NUMBER_LENGTH_MAX:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable(f"{name} is missing or is not a whole number.")
    return value


def number_text(number: int | Decimal) -> str:
    """One text for one value: 10, 10.0 and 1E+1 are the same number."""
    return str(Decimal(number).normalize(_EXACT))


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if len(text) > NUMBER_LENGTH_MAX or abs(value.adjusted()) > NUMBER_LENGTH_MAX:
        raise ValueError("a number out of all proportion")
    return value


def _integer(text: str) -> int:
    if len(text) > NUMBER_LENGTH_MAX:
        raise ValueError("a number out of all proportion")
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_repetition(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")  # two readers could read two different payments
    return found
