"""A list file is kept whole or refused whole, with the line that is wrong."""

import csv
from contextlib import suppress
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.sanctions_list import parse_list
from ledger.core.errors import InvalidValue

FIELDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40)


def test_every_row_is_kept_in_order() -> None:
    text = 'entry,name\nEU.1,"ZUBAROV, Viktor A."\nEU.1,Виктор Зубаров\nEU.2,Nord Trading LLC\n'

    assert parse_list(text) == (
        ("EU.1", "ZUBAROV, Viktor A."),
        ("EU.1", "Виктор Зубаров"),
        ("EU.2", "Nord Trading LLC"),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("name,entry\nEU.1,Zubarov\n", 1),
        ("entry,name\nEU.1\n", 2),
        ("entry,name\nEU.1,Zubarov\nEU.2,Nord,Trading\n", 3),
        ("entry,name\nEU.1,\n", 2),
        ("entry,name\n ,Zubarov\n", 2),
        ("entry,name\nEU.1,Zubarov\n\n", 3),
        ('entry,name\nEU.1,"Zubarov\n', 2),
        ('entry,name\nEU.1,"Zubarov" Viktor\n', 2),
        ("entry,name\nEU.1,Zuba\x00rov\n", 2),
        ('entry,name\nEU.1,"Zuba\nrov"\n', 3),
        (f"entry,name\nEU.1,{'Z' * 1001}\n", 2),
        (f"entry,name\nEU.1,{'Z' * 200_000}\n", 2),
    ],
)
def test_a_bad_row_refuses_the_list_and_names_its_line(text: str, line: int) -> None:
    with pytest.raises(InvalidValue, match=f"^Line {line}: ") as refused:
        parse_list(text)

    assert refused.value.field == "list"


@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=20))
def test_rows_in_are_rows_kept(entries: list[tuple[str, str]]) -> None:
    file = StringIO()
    csv.writer(file).writerows([("entry", "name"), *entries])

    assert parse_list(file.getvalue()) == tuple(entries)


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(InvalidValue):
        assert all(entry and name for entry, name in parse_list(f"entry,name\n{text}"))
