"""Canonical JSON: one value, one spelling, so that a digest of the spelling is a digest of the value.

Sorted keys, no spaces, ASCII only, integers but no fractions. `parse` reads JSON that others wrote and keeps
every digit (fractions become Decimal, never float) but refuses what two readers could read differently: a
member named twice, NaN and Infinity, bytes that are not UTF-8.
Follows: RFC 8259 (JSON), in the spirit of RFC 8785 with escapes instead of raw UTF-8.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NoReturn, TypeAlias

JsonValue: TypeAlias = "Mapping[str, JsonValue] | Sequence[JsonValue] | str | int | Decimal | bool | None"


class JsonUnreadable(ValueError):
    """The bytes are not JSON that every reader would read the same way."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encode(value: JsonValue) -> bytes:
    """The canonical bytes of a value made of objects, lists, texts, integers, booleans and null."""
    return _ENCODER.encode(value).encode()


def parse(data: bytes) -> JsonValue:
    """Read JSON strictly.

    Raises:
        JsonUnreadable: not UTF-8, not JSON, a member named twice, NaN or Infinity, nested too deep.
    """
    try:
        value: JsonValue = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise JsonUnreadable(type(error).__name__) from error
    return value


def parse_object(data: bytes) -> Mapping[str, JsonValue]:
    """Read JSON strictly and insist on an object at the top.

    Raises:
        JsonUnreadable: as `parse`, or the top is not an object.
    """
    value = parse(data)
    if not isinstance(value, Mapping):
        raise JsonUnreadable("not an object")
    return value


def _distinct_members(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonUnreadable("a member is named twice")
    return members


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise JsonUnreadable("a number is out of range") from error


def _refuse_constant(name: str) -> NoReturn:
    raise JsonUnreadable(f"{name} is not JSON")


# Made once: a log of many records is read through it.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct_members, parse_float=_decimal, parse_constant=_refuse_constant
)
