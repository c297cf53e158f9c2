"""Documents that mean harm, or are harmed: a clear refusal that says where and not what, and bounded memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.contract import Unreadable
from partners.messages.account_reports import StatementEnded
from partners.messages.camt import read_camt, read_camt_tolerantly
from partners.messages.entries import Entry, RejectedEntry
from partners.messages.pain002 import read_pain002, read_pain002_tolerantly
from partners.messages.xml_stream import Limits
from tests.partners.messages.camt_files import wrap
from tests.partners.messages.endless import Endless, around
from tests.partners.messages.test_camt import balance, details, entry, statement
from tests.partners.messages.test_pain002 import block, report, row

MIB = 1024 * 1024
SAMPLE = wrap(
    statement(
        balance("OPBD", "0.00"),
        balance("CLBD", "10.00"),
        entry(
            inner=details("<Refs><EndToEndId>É-1</EndToEndId></Refs><RmtInf><Ustrd>Bäckerei</Ustrd></RmtInf>")
        ),
    )
    + statement(entry(), id_="ST-2")
)
HEAD, TAIL = wrap(statement("|")).split(b"|")


def read(document: bytes) -> None:
    list(read_camt_tolerantly(document))


def test_document_cut_anywhere_is_said_to_be_cut_short() -> None:
    for length in range(1, len(SAMPLE.rstrip()) - 1):
        with pytest.raises(Unreadable, match=r"cut short: it stops at line [0-9]+"):
            list(read_camt(BytesIO(SAMPLE[:length])))


def test_document_cut_short_hands_out_no_end_of_its_statement() -> None:
    def drain() -> None:
        for event in read_camt(SAMPLE[: SAMPLE.index(b"</Stmt>")]):
            assert not isinstance(event, StatementEnded)

    with pytest.raises(Unreadable):
        drain()


@pytest.mark.parametrize("document", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_empty_document_is_refused(document: bytes) -> None:
    with pytest.raises(Unreadable, match=r"empty|cut short"):
        read(document)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b"10.00", b"10\x00.00", 1),
        lambda text: b"\x00" + text,
        lambda text: text + b"\x00",
        lambda text: text.replace("ä".encode(), b"\xe4"),
        lambda text: text.replace(b'encoding="UTF-8"', b'encoding="UTF-16"'),
        lambda text: text.replace(b'encoding="UTF-8"', b'encoding="US-ASCII"'),
        lambda text: text.replace(b'encoding="UTF-8"', b'encoding="KLINGON"'),
        lambda text: text.replace(b'encoding="UTF-8"', b'encoding="UTF-7"'),
        lambda text: text.replace(b'encoding="UTF-8"', b'encoding="EBCDIC-US"'),
        lambda text: text.replace(b'encoding="UTF-8"', b'encoding="ISO-2022-JP"'),
        lambda text: text + b"<more/>",
        lambda text: text.replace(b"</Acct>", b"", 1),
        lambda text: text.replace(b"<Sts>", b"<Sts>&secret;", 1),
        lambda text: text.replace(b"<Sts>", b"<Sts>&#0;", 1),
        lambda text: b"<?xml version='1.1'?><a/>",
    ],
)
def test_spoilt_document_is_refused_by_line_and_never_by_content(spoil: Callable[[bytes], bytes]) -> None:
    spoilt = spoil(SAMPLE)
    assert spoilt != SAMPLE

    with pytest.raises(Unreadable) as unreadable:
        read(spoilt)

    assert "secret" not in str(unreadable.value)
    assert "ckerei" not in str(unreadable.value)


@pytest.mark.parametrize("encoding", ["UTF-16", "ISO-8859-1", "ISO-8859-15", "windows-1252"])
def test_document_in_another_encoding_of_banks_is_read(encoding: str) -> None:
    text = SAMPLE.decode().replace('encoding="UTF-8"', f'encoding="{encoding}"')

    found = list(read_camt(text.encode(encoding)))

    assert "Bäckerei" in repr(found)


@pytest.mark.parametrize(
    "namespace",
    [
        b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.01",
        b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.14",
        b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.8",
        b"urn:iso:std:iso:20022:tech:xsd:camt.054.001.08",
        b"urn:iso:std:iso:20022:tech:xsd:camt.053.002.08",
        b"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09",
        b"",
    ],
)
def test_wrong_namespace_is_refused(namespace: bytes) -> None:
    with pytest.raises(Unreadable):
        read(SAMPLE.replace(b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08", namespace))


@pytest.mark.parametrize(
    "dtd",
    [
        b"<!DOCTYPE Document>",
        b'<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/camt.dtd">',
        b'<!DOCTYPE Document [<!ENTITY secret SYSTEM "file:///etc/hostname">]>',
        b'<!DOCTYPE Document [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>',
        b'<!DOCTYPE Document [<!ATTLIST Amt Ccy CDATA "USD">]>',
        b"<!DOCTYPE Document ["
        + b"".join(
            b'<!ENTITY e%d "%s">' % (level, (b"&e%d;" % (level - 1)) * 10 if level else b"a" * 1000)
            for level in range(10)
        )
        + b"]>",
    ],
)
@pytest.mark.parametrize(
    "use", [b"<Id>ST-1</Id>", b"<Id>&e9;</Id>", b'<Id x="&e9;">1</Id>', b"<Id>&secret;</Id>"]
)
def test_dtd_is_refused_whatever_it_holds_and_wherever_it_is_used(dtd: bytes, use: bytes) -> None:
    spoilt = SAMPLE.replace(b"?>", b"?>" + dtd, 1).replace(b"<Id>ST-1</Id>", use)

    with pytest.raises(Unreadable, match=r"DTD|well-formed"):
        read(spoilt)


def test_million_elements_inside_each_other_are_refused() -> None:
    hostile = Endless(around(HEAD, b"<a>", TAIL, total=3_000_000))

    with pytest.raises(Unreadable, match=r"not well-formed XML at line [0-9]+"):
        list(read_camt(hostile))

    assert hostile.given < MIB


@pytest.mark.parametrize(
    "piece",
    [b" " * 1000, b"<!-- " + b"x" * 1000 + b" -->", b"<a>x</a>", b"<TxsSummry/>", b"<?pi x?>", b"x" * 1000],
)
def test_hundred_megabytes_of_nothing_are_refused_after_a_piece_of_them(piece: bytes) -> None:
    hostile = Endless(around(HEAD, piece, TAIL, total=100 * MIB))

    with pytest.raises(Unreadable, match=r"piece|well-formed"):
        list(read_camt(hostile, limits=Limits(piece_bytes_max=4 * MIB)))

    assert hostile.given < 12 * MIB


@pytest.mark.parametrize("at", [b"<Nm>", b'<Nm x="'])
def test_text_of_a_hundred_megabytes_is_refused(at: bytes) -> None:
    hostile = Endless(around(HEAD + at, b"x" * 1000, TAIL, total=100 * MIB))

    with pytest.raises(Unreadable):
        list(read_camt(hostile))

    assert hostile.given < 20 * MIB


def test_document_past_its_limit_is_refused_before_it_is_read() -> None:
    hostile = Endless(around(HEAD, entry().encode(), TAIL, total=100 * MIB))

    with pytest.raises(Unreadable, match="larger than any"):
        _drain(read_camt(hostile, limits=Limits(bytes_max=2 * MIB)))

    assert hostile.given < 3 * MIB


def _growth(read_it: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        read_it()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _drain(events: Iterator[object]) -> None:
    for _ in events:
        pass


def test_memory_of_values_does_not_grow_with_the_entries() -> None:
    def growth(total: int) -> int:
        stream = Endless(around(HEAD, entry(inner=details("")).encode(), TAIL, total=total))
        return _growth(lambda: _drain(read_camt(stream)))

    assert growth(3 * MIB) < growth(MIB // 2) + 200_000


def test_memory_of_statuses_does_not_grow_with_the_payments() -> None:
    head, tail = report(block("|")).split(b"|")

    def growth(total: int) -> int:
        stream = Endless(around(head, row().encode(), tail, total=total))
        return _growth(lambda: _drain(read_pain002(stream)))

    assert growth(3 * MIB) < growth(MIB // 2) + 200_000


REPORT = report(block(row(), row("RJCT"), id_="P-2"))
PIECES = st.binary(max_size=4) | st.sampled_from(
    [
        b"<",
        b"</Ntry>",
        b"<Ntry>",
        b"</Stmt>",
        b"<GrpHdr/>",
        b"<TxInfAndSts/>",
        b"<a/>",
        b"<!--",
        b"&x;",
        b"9",
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([(SAMPLE, read_camt_tolerantly), (REPORT, read_pain002_tolerantly)]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), PIECES), min_size=1, max_size=3),
)
def test_mutated_message_is_read_or_unreadable_and_nothing_else(
    message: tuple[bytes, Callable[[bytes], Iterator[object]]], edits: list[tuple[float, int, bytes]]
) -> None:
    mutated, read_message = message
    for place, length, replacement in edits:
        start = int(place * len(mutated))
        mutated = mutated[:start] + replacement + mutated[start + length :]

    try:
        events = list(read_message(mutated))
    except Unreadable:
        return

    rows = [event for event in events if isinstance(event, Entry | RejectedEntry)]
    ends = [event for event in events if isinstance(event, StatementEnded)]
    assert sum(end.kept + end.rejected for end in ends) == len(rows)
