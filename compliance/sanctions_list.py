"""The one form in which a sanctions list comes in: CSV with the header `entry,name`, one name a row.

Strict, because a row that is quietly dropped is a person who is quietly not screened: every row is kept, or
the whole list is refused and the error names the line. An entry with many names has many rows.
"""

import csv
from io import StringIO

from ledger.core.errors import InvalidValue

Entry = tuple[str, str]

HEADER = ["entry", "name"]
ENTRY_LETTERS_MAX = 100
NAME_LETTERS_MAX = 1_000
ROWS_MAX = 1_000_000


def parse_list(text: str) -> tuple[Entry, ...]:
    """The (entry, name) rows of a list, in the file's order.

    Raises: InvalidValue, naming the line, for another header, a row that has not exactly two filled fields, a
    field too long or with a control character, a stray quote, or more rows than a list may have.
    """
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    entries: list[Entry] = []
    try:
        if next(reader, None) != HEADER:
            raise InvalidValue("Line 1: the header is entry,name.", field="list")
        for row in reader:
            entries.append(_entry(row, reader.line_num))
            if len(entries) > ROWS_MAX:
                raise InvalidValue(f"Line {reader.line_num}: more than {ROWS_MAX} rows.", field="list")
    except csv.Error as error:
        raise InvalidValue(f"Line {reader.line_num}: {error}.", field="list") from error
    return tuple(entries)


def _entry(row: list[str], line: int) -> Entry:
    if len(row) != len(HEADER):
        raise InvalidValue(f"Line {line}: {len(row)} fields where there are two.", field="list")
    entry, name = row[0].strip(), row[1].strip()
    if not 1 <= len(entry) <= ENTRY_LETTERS_MAX or not 1 <= len(name) <= NAME_LETTERS_MAX:
        raise InvalidValue(f"Line {line}: an empty field, or one that is too long.", field="list")
    if not (entry.isprintable() and name.isprintable()):
        raise InvalidValue(f"Line {line}: a control character.", field="list")
    return entry, name
