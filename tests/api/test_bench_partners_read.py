"""The bench of reading statements reads what it says it reads, and its memory is flat."""

import pytest
from rich.console import Console

from api.bench.camt_document import PiecedStream, camt_pieces
from api.bench.failure import BenchRefused
from api.bench.partners_read import MEMORY_BAR, TIME_BAR, _check, read
from api.bench.partners_scale import QUICK
from partners.messages.camt import read_camt


def test_reading_is_measured_against_a_bare_pass_and_its_memory_is_flat() -> None:
    time, memory = read(QUICK, Console(quiet=True))

    assert (time.bar, time.at_most, memory.bar, memory.at_most) == (TIME_BAR, True, MEMORY_BAR, True)
    assert time.value > 0
    assert time.reference is not None
    assert not memory.missed


def test_statement_that_was_not_read_whole_is_no_figure() -> None:
    with pytest.raises(BenchRefused):
        _check(read_camt(b"".join(camt_pieces(3))), 4)


def test_document_in_pieces_is_the_document() -> None:
    whole, stream = b"".join(camt_pieces(20)), PiecedStream(camt_pieces(20))

    read = list(iter(lambda: stream.read(1000), b""))

    assert b"".join(read) == whole
    assert {len(chunk) for chunk in read[:-1]} == {1000}
