"""CSV as strictly as evidence wants it: the exact columns, and one spelling for every value.

Read by the verifier only, and on purpose not shared with the writer. Every complaint names file and row; the
row of the column names is row 1.
Follows: RFC 4180.
"""

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from ledger.core.canonical import Canonical, canonical_text
from ledger.core.errors import EvidenceBroken

INTEGER_MAX = 2**63 - 1
_INTEGER = re.compile(r"\A(0|-?[1-9][0-9]{0,18})\Z")
_INSTANT = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")
_CURRENCY = re.compile(r"\A[A-Z]([A-Z]{2}|[A-Z0-9]{3,11})\Z")
_ID_DIGITS = re.compile(r"\A[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table. An empty field is nothing."""

    file: str
    row: int
    cells: Mapping[str, str]

    def broken(self, detail: str) -> NoReturn:
        """Raises: EvidenceBroken, always, naming this row."""
        raise EvidenceBroken(f"{self.file} row {self.row}: {detail}")

    def text(self, column: str) -> str:
        """Any text, also none at all."""
        return self.cells[column]

    def optional_text(self, column: str) -> str | None:
        """Any text, or None where the field is empty."""
        return self.cells[column] or None

    def word(self, column: str, allowed: Collection[str]) -> str:
        """One of these words."""
        if self.cells[column] not in allowed:
            self._refuse(column, "is none of the words that belong here")
        return self.cells[column]

    def integer(self, column: str) -> int:
        """A whole number of 64 bits in its one spelling."""
        text = self.cells[column]
        if not _INTEGER.match(text) or abs(int(text)) > INTEGER_MAX:
            self._refuse(column, "is not a whole number as one is written here")
        return int(text)

    def optional_integer(self, column: str) -> int | None:
        """A whole number, or None where the field is empty."""
        return self.integer(column) if self.cells[column] else None

    def id(self, column: str, prefix: str) -> str:
        """An id of this kind."""
        text = self.cells[column]
        if not text.startswith(f"{prefix}_") or not _ID_DIGITS.match(text[len(prefix) + 1 :]):
            self._refuse(column, f"is not an id of the kind {prefix}_")
        return text

    def optional_id(self, column: str, prefix: str) -> str | None:
        """An id of this kind, or None where the field is empty."""
        return self.id(column, prefix) if self.cells[column] else None

    def instant(self, column: str) -> datetime:
        """A time in UTC, to the microsecond."""
        text = self.cells[column]
        if not _INSTANT.match(text):
            self._refuse(column, "is not a time in UTC to the microsecond")
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            self._refuse(column, "is a time that never was")

    def currency(self, column: str) -> str:
        """The code of a currency, or of a programme's own unit."""
        if not _CURRENCY.match(self.cells[column]):
            self._refuse(column, "is not a currency")
        return self.cells[column]

    def object(self, column: str) -> dict[str, Canonical]:
        """A JSON object in canonical form."""
        value = self._json(column)
        if not isinstance(value, dict):
            self._refuse(column, "is not a JSON object")
        return value

    def texts(self, column: str) -> tuple[str, ...]:
        """A list of texts, as JSON in canonical form."""
        value = self._json(column)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse(column, "is not a list of texts")
        return tuple(value)

    def _json(self, column: str) -> Any:
        text = self.cells[column]
        try:
            value = json.loads(text)
            canonical = canonical_text(value)
        except (ValueError, TypeError, RecursionError):
            self._refuse(column, "is not JSON without fractions")
        if canonical != text:
            self._refuse(column, "is not JSON in canonical form")
        return value

    def _refuse(self, column: str, detail: str) -> NoReturn:
        self.broken(f"{column} {detail}: {self.cells[column][:80]!r}")


def read_table(file: str, content: bytes, header: str) -> Iterator[Line]:
    """The rows of a table with exactly the columns of this header, one by one.

    Raises: EvidenceBroken when it is not UTF-8, not CSV, or has other columns.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise EvidenceBroken(f"{file}: not UTF-8") from error
    columns = header.split(",")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    for number, cells in enumerate(_read(file, rows), start=1):
        if len(cells) != len(columns):
            raise EvidenceBroken(
                f"{file} row {number}: {len(cells)} fields where there are {len(columns)} columns"
            )
        if number > 1:
            yield Line(file, number, dict(zip(columns, cells, strict=True)))
        elif cells != columns:
            raise EvidenceBroken(f"{file} row 1: these are not the columns of this table")
    if not text.endswith("\n"):
        raise EvidenceBroken(f"{file}: does not end with its last row")


def _read(file: str, rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise EvidenceBroken(f"{file}: not CSV: {error}") from error
