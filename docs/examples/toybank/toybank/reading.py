"""Reading Toybank's JSON: every field that is missing, or of another type, is Unreadable."""

import json
from collections.abc import Mapping, Sequence

from partners.contract import Unreadable


def read(body: bytes) -> Mapping[str, object]:
    """The object in a body. Raises: Unreadable."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise Unreadable("The body is not JSON.") from broken
    return _object(found, "the body")


def text(source: Mapping[str, object], name: str) -> str:
    """A field that holds some text. Raises: Unreadable."""
    found = source.get(name)
    if not isinstance(found, str) or not found:
        raise Unreadable(f"{name} is missing or is no text.")
    return found


def cents(source: Mapping[str, object], name: str) -> int:
    """A field that holds a whole number. Raises: Unreadable."""
    found = source.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise Unreadable(f"{name} is missing or is no whole number.")
    return found


def within(source: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A field that holds an object. Raises: Unreadable."""
    return _object(source.get(name), name)


def rows(source: Mapping[str, object], name: str) -> tuple[Mapping[str, object], ...]:
    """A field that holds a list of objects. Raises: Unreadable."""
    found = source.get(name)
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise Unreadable(f"{name} is missing or is no list.")
    return tuple(_object(each, name) for each in found)


def _object(found: object, name: str) -> Mapping[str, object]:
    if not isinstance(found, Mapping):
        raise Unreadable(f"{name} is no object.")
    return found
