"""MT940: every line of a file exactly once and with its own sign, or the file is refused."""

import logging
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.contract import Unreadable
from partners.messages.account_reports import Balance, PageNumber, StatementEnded, StatementStarted
from partners.messages.details import Account, Party
from partners.messages.entries import Entry
from partners.messages.mt940 import read_mt940

STRUCTURED = (
    ":86:166?00GUTSCHRIFT?20EREF+PO-1?21MREF+M-7?22SVWZ+Sales of 15 Nov?23ember"
    "?30ABNANL2A?31NL73ABNA0529451824?32Anna ?33Visser\n"
)


def statement(
    *lines: str, opening: str = "C261101EUR100,00", closing: str = "C261102EUR100,00", number: str = "5/1"
) -> bytes:
    """One statement of these lines."""
    return (
        f":20:STARTUMS\n:25:DE75512108001245126199\n:28C:{number}\n:60F:{opening}\n"
        f"{''.join(lines)}:62F:{closing}\n"
    ).encode()


def entries(document: bytes) -> list[Entry]:
    return [event for event in read_mt940(document) if isinstance(event, Entry)]


def ended(document: bytes) -> list[StatementEnded]:
    return [event for event in read_mt940(document) if isinstance(event, StatementEnded)]


@pytest.mark.parametrize(
    ("mark", "minor", "reversal"),
    [("C", 1000, False), ("D", -1000, False), ("RC", -1000, True), ("RD", 1000, True)],
)
def test_mark_gives_the_sign_and_says_what_is_taken_back(mark: str, minor: int, reversal: bool) -> None:
    (entry,) = entries(statement(f":61:2611021102{mark}10,00NTRFNONREF\n"))

    assert (entry.amount_minor, entry.reversal, entry.is_booked) == (minor, reversal, True)


def test_lines_lead_from_the_opening_balance_to_the_closing_one() -> None:
    lines = [
        f":61:2611021102{mark}NTRFNONREF//REF{place}\n"
        for place, mark in enumerate(["C10,00", "RC5,00", "RD2,5", "D7,00"])
    ]

    (end,) = ended(statement(*lines, closing="C261102EUR100,50"))
    (wrong,) = ended(statement(*lines, closing="C261102EUR110,50"))

    assert (end.kept, end.adds_up, wrong.adds_up) == (4, True, False)
    assert end.balances == (
        Balance("OPBD", 10_000, "EUR", date(2026, 11, 1)),
        Balance("CLBD", 10_050, "EUR", date(2026, 11, 2)),
    )


def test_thirtieth_of_february_is_its_last_day() -> None:
    (entry,) = entries(statement(":61:2602300302C10,00NTRFNONREF\n"))

    assert (entry.value_on, entry.booked_on) == (date(2026, 2, 28), date(2026, 3, 2))


def test_entry_booked_in_january_for_december_is_of_the_next_year() -> None:
    (entry,) = entries(statement(":61:2612310102C10,00NTRFNONREF\n"))

    assert (entry.value_on, entry.booked_on) == (date(2026, 12, 31), date(2027, 1, 2))


def test_structured_details_have_their_ids_and_the_other_side() -> None:
    (entry,) = entries(statement(":61:2611021102C10,00NTRFPO-1//BANKREF1\n", STRUCTURED))
    (detail,) = entry.details

    assert (entry.entry_reference, entry.bank_reference, entry.own_code) == ("PO-1", "BANKREF1", "NTRF")
    assert (detail.end_to_end_id, detail.mandate_id, detail.own_code) == ("PO-1", "M-7", "166")
    assert detail.remittance == ("Sales of 15 November",)
    assert detail.debtor == Party("Anna Visser", Account("NL73ABNA0529451824"), "ABNANL2A")
    assert entry.counterparty_of(detail) == detail.debtor


def test_other_side_of_a_reversal_has_the_role_it_had() -> None:
    (entry,) = entries(statement(":61:2611021102RD10,00NTRFNONREF\n", STRUCTURED))
    (detail,) = entry.details

    assert (detail.debtor, detail.creditor is not None) == (None, True)
    assert entry.counterparty_of(detail) == detail.creditor


def test_details_without_a_structure_are_kept_as_they_stand() -> None:
    (entry,) = entries(statement(":61:2611021102C10,00NTRFNONREF\n", ":86:Sales of\n15 November\n"))

    assert entry.details[0].remittance == ("Sales of\n15 November",)


def test_words_about_the_statement_are_not_those_of_its_last_entry() -> None:
    document = (
        statement(":61:2611021102C10,00NTRFNONREF\n", ":86:mine\n") + b":64:C261102EUR1,00\n:86:not mine\n"
    )

    (entry,) = entries(document)

    assert entry.details[0].remittance == ("mine",)
    assert [balance.code for balance in ended(document)[0].balances] == ["OPBD", "CLBD", "CLAV"]


def test_statements_and_accounts_in_one_file_stay_apart() -> None:
    other = statement(":61:2611021102C2,00NTRFNONREF\n", number="6/2").replace(
        b"DE75512108001245126199", b"12345/67"
    )
    file = (
        b"{1:F01X}{4:\r\n"
        + (statement(":61:2611021102C1,00NTRFNONREF\n") + other).replace(b"\n", b"\r\n")
        + b"-}\r\n"
    )

    found = list(read_mt940(file))

    started = [event for event in found if isinstance(event, StatementStarted)]
    assert [(event.number, event.id.electronic_number, event.page) for event in started] == [
        (1, "5", PageNumber(1, is_last=True)),
        (2, "6", PageNumber(2, is_last=True)),
    ]
    assert [event.id.account for event in started] == [
        Account("DE75512108001245126199"),
        Account(None, "12345/67"),
    ]
    assert [event.amount_minor for event in found if isinstance(event, Entry)] == [100, 200]


def test_interim_balances_chain_pages() -> None:
    (end,) = ended(statement().replace(b":62F:", b":62M:"))

    assert [balance.code for balance in end.balances] == ["OPBD", "ITBD"]
    assert end.adds_up is True


@pytest.mark.parametrize(
    "line",
    [
        ":61:2611021102C10,00\n:61:2611021102C20,00NTRFNONREF\n",  # the library would drop the first
        ":61:2611021102C10,001NTRFNONREF\n",
        ":61:2611021102X10,00NTRFNONREF\n",
        ":61:2613021102C10,00NTRFNONREF\n",
        ":61:2611021102C1,0,0NTRFNONREF\n",
        ":61:2611021102CNTRFNONREF\n",
        ":60F:C261101EUR1,00\n",
    ],
)
def test_line_that_cannot_be_said_is_refused(line: str) -> None:
    with pytest.raises(Unreadable, match=r"^Statement 1|^An amount"):
        list(read_mt940(statement(line)))


@pytest.mark.parametrize(
    "document", [b"", b"\n", b"hello", b"\x00:20:A\n", b"<Document/>", b"hello\n" + statement(), b":20:\n"]
)
def test_what_is_no_mt940_is_refused(document: bytes) -> None:
    with pytest.raises(Unreadable):
        list(read_mt940(document))


def test_file_cut_short_is_refused_before_its_closing_balance() -> None:
    whole = statement(":61:2611021102C10,00NTRFNONREF\n", STRUCTURED)

    for length in range(whole.index(b":62F:")):
        with pytest.raises(Unreadable):
            list(read_mt940(whole[:length]))


def test_file_past_its_limit_is_refused() -> None:
    with pytest.raises(Unreadable, match="larger"):
        list(read_mt940(b" " * (32 * 1024 * 1024 + 1)))


def test_fault_quotes_nothing_in_its_text_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(Unreadable) as unreadable:
        list(read_mt940(statement(":61:Anna Visser\n")))

    assert "Anna" not in str(unreadable.value)
    assert unreadable.value.__suppress_context__
    assert "Anna" not in caplog.text


WHOLE = statement(":61:2611021102C10,00NTRFPO-1//R\n", STRUCTURED, ":61:2611021102RC5,00NTRFNONREF\n")


PIECES = st.binary(max_size=6) | st.sampled_from([b":61:", b"\n:86:", b"?", b"+", b":20:"])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 20), PIECES), min_size=1, max_size=4)
)
def test_mutated_file_is_read_or_unreadable(edits: list[tuple[int, int, bytes]]) -> None:
    mutated = WHOLE
    for start, length, replacement in edits:
        mutated = mutated[:start] + replacement + mutated[start + length :]

    try:
        found = list(read_mt940(mutated))
    except Unreadable:
        return

    assert sum(isinstance(event, Entry) for event in found) == mutated.count(b"\n:61:") + mutated.count(
        b"\r:61:"
    )
