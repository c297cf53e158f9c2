"""Canonical bytes: one value, one sequence of bytes, one digest.

JSON with sorted keys, no white space, ASCII only, integers only (RFC 8785 without its floats), so that any
language can write the same bytes again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

Canonical = str | int | bool | None | Sequence["Canonical"] | Mapping[str, "Canonical"]


def canonical_text(value: Canonical) -> str:
    """The one text of a value. Raises: TypeError on a float or any other type that has no one text."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Canonical) -> bytes:
    """SHA-256 of the canonical text."""
    return hashlib.sha256(canonical_text(value).encode("ascii")).digest()


def _refuse_floats(value: Canonical) -> None:
    match value:
        case None | str() | bool() | int():
            return
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise TypeError("canonical objects have text keys")
                _refuse_floats(item)
        case Sequence():
            for item in value:
                _refuse_floats(item)
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")
