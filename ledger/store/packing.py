"""Rows and arrays in PostgreSQL's own binary form, packed by hand.

Encoding is the first wall of a batch in Python: a driver that looks at every value by itself takes half of its time.
Knows nothing of tables. Source: PostgreSQL's documentation of COPY (binary format) and of array_send.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
UUID_LENGTH = b"\0\0\0\x10"

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LENGTH = struct.Struct(">i").pack
_ARRAY = struct.Struct(">iiiii").pack
_TIMES = struct.Struct(">iqiq").pack


def id_bytes(text: str) -> bytes:
    """The 16 bytes behind a prefixed id."""
    return bytes.fromhex(text[text.index("_") + 1 :])


def microseconds(instant: datetime) -> int:
    """An instant as the database counts it."""
    return (instant - _EPOCH) // _MICROSECOND


def id_field(text: str | None) -> bytes:
    """An id as a field of a row."""
    return NULL if text is None else UUID_LENGTH + bytes.fromhex(text[text.index("_") + 1 :])


def text_field(text: str) -> bytes:
    """A text as a field of a row."""
    raw = text.encode()
    return _LENGTH(len(raw)) + raw


def json_field(text: str) -> bytes:
    """A JSON text as a jsonb field of a row."""
    raw = text.encode()
    return _LENGTH(len(raw) + 1) + b"\x01" + raw


def time_fields(first: datetime, second: datetime) -> bytes:
    """Two instants as two fields of a row."""
    return _TIMES(8, microseconds(first), 8, microseconds(second))


class _Array:
    """An array that is packed already."""

    __slots__ = ("packed",)

    def __init__(self, packed: bytes) -> None:
        self.packed = packed


class Uuids(_Array):
    """uuid[]"""


class Integers(_Array):
    """integer[]"""


class Bigints(_Array):
    """bigint[]"""


class Instants(_Array):
    """timestamptz[]"""


def uuids(ids: Iterable[str]) -> Uuids:
    """Ids as an array."""
    parts = [UUID_LENGTH + bytes.fromhex(text[text.index("_") + 1 :]) for text in ids]
    return Uuids(_header(2950, len(parts)) + b"".join(parts))


def integers(values: Sequence[int]) -> Integers:
    """Whole numbers of four bytes as an array."""
    return Integers(_header(23, len(values)) + _fixed("i", values))


def bigints(values: Sequence[int]) -> Bigints:
    """Whole numbers of eight bytes as an array."""
    return Bigints(_header(20, len(values)) + _fixed("q", values))


def instants(values: Sequence[datetime]) -> Instants:
    """Instants as an array."""
    counted = {value: microseconds(value) for value in set(values)}
    return Instants(_header(1184, len(values)) + _fixed("q", [counted[value] for value in values]))


def _header(element_oid: int, length: int) -> bytes:
    return _ARRAY(1, 0, element_oid, length, 1)


def _fixed(kind: str, values: Sequence[int]) -> bytes:
    """Elements of one size, each behind its length: all first bytes at once, then all second ones, and so on."""
    raw = array(kind, values)
    if sys.byteorder == "little":
        raw.byteswap()
    size, content = raw.itemsize, raw.tobytes()
    packed = bytearray((4 + size) * len(values))
    packed[3 :: 4 + size] = bytes([size]) * len(values)
    for place in range(size):
        packed[4 + place :: 4 + size] = content[place::size]
    return bytes(packed)


def _dumper(array_oid: int) -> type[Dumper]:
    class Packed(Dumper):
        """Hands over what is packed already."""

        format = Format.BINARY
        oid = array_oid

        def dump(self, obj: _Array) -> Buffer:
            """The bytes as they are."""
            return obj.packed

    return Packed


for _kind, _oid in ((Uuids, 2951), (Integers, 1007), (Bigints, 1016), (Instants, 1185)):
    # Once, for every connection there will be: a cursor of its own adapters costs more than a small statement.
    psycopg.adapters.register_dumper(_kind, _dumper(_oid))
