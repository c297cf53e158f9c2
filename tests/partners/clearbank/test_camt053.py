"""Statements: every booked line exactly once and exactly right, or the document is refused and says why."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.clearbank.adapter import ClearBank
from partners.contract import Statement, StatementLine, Unreadable
from tests.partners.clearbank.documents import IBAN, NAMESPACE, balance, detail, document, entry, statement

BANK = ClearBank()


def only(parsed: bytes) -> Statement:
    (found,) = BANK.parse_statement(parsed)
    return found


def line(text: str, *, closing: str) -> StatementLine:
    (found,) = only(document(statement(text, closing=closing))).lines
    return found


# --- what is read -------------------------------------------------------------------------------------------


def test_statement_has_its_account_window_and_balances() -> None:
    found = only(document(statement(entry(), entry("4.00", side="DBIT"), opening="100.00", closing="106.00")))

    assert (found.statement_id, found.iban, found.currency) == ("ST-1", IBAN, "EUR")
    assert found.starts_at == datetime(2026, 11, 15, 23, tzinfo=UTC)
    assert found.ends_at == datetime(2026, 11, 16, 23, tzinfo=UTC)
    assert (found.opening_minor, found.closing_minor) == (10_000, 10_600)
    assert [line.amount_minor for line in found.lines] == [1000, -400]


def test_credit_line_has_its_references_and_the_side_it_came_from() -> None:
    assert line(entry(details=detail()), closing="10.00") == StatementLine(
        transaction_id="c0ffee00-0000-4000-8000-000000000001",
        end_to_end_id="PO-1",
        amount_minor=1000,
        currency="EUR",
        booked_on=date(2026, 11, 16),
        value_on=date(2026, 11, 17),
        reversal=False,
        bank_code="PMNT/RCDT/ESCT",
        counterparty_name="Anna Visser",
        counterparty_iban="NL73ABNA0529451824",
        remittance="Sales of 15 November",
    )


def test_debit_line_names_the_side_it_went_to() -> None:
    found = line(entry(side="DBIT", details=detail()), closing="-10.00")

    assert (found.amount_minor, found.counterparty_name) == (-1000, "Bakery De Gouden Korst")


def test_parties_of_old_versions_are_read_as_well() -> None:
    old = detail().replace("<Pty>", "").replace("</Pty>", "")

    assert line(entry(details=old), closing="10.00").counterparty_name == "Anna Visser"


def test_reversal_keeps_its_own_sign_and_the_roles_of_what_it_takes_back() -> None:
    found = line(entry(reversal="<RvslInd>true</RvslInd>", details=detail()), closing="10.00")

    assert found.reversal
    assert found.amount_minor == 1000
    assert found.counterparty_name == "Bakery De Gouden Korst"


@pytest.mark.parametrize(
    ("written", "reversal"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_reversal_flag_is_an_xml_boolean(written: str, reversal: bool) -> None:
    found = line(entry(reversal=f"<RvslInd>{written}</RvslInd>"), closing="10.00")

    assert found.reversal is reversal


def test_batch_stays_one_line_and_no_single_reference_speaks_for_it() -> None:
    batch = detail("PO-1", amount="4.00") + detail("PO-2", amount="6.00")

    found = line(entry(details=batch), closing="10.00")

    assert found.amount_minor == 1000
    assert (found.end_to_end_id, found.counterparty_name, found.remittance) == (None, None, None)


def test_booked_amount_wins_over_the_amount_of_its_detail() -> None:
    assert line(entry("10.00", details=detail(amount="9.00")), closing="10.00").amount_minor == 1000


@pytest.mark.parametrize("status", ["BOOK", "<Cd>BOOK</Cd>"])
def test_booked_status_is_read_in_both_forms(status: str) -> None:
    assert line(entry(status=status), closing="10.00").amount_minor == 1000


@pytest.mark.parametrize("status", ["PDNG", "<Cd>PDNG</Cd>", "<Cd>INFO</Cd>", "<Prtry>HELD</Prtry>"])
def test_entry_that_is_not_booked_is_no_line(status: str) -> None:
    found = only(document(statement(entry("99.00", status=status), entry(), closing="10.00")))

    assert [line.amount_minor for line in found.lines] == [1000]


def test_time_counts_on_the_day_it_had_in_amsterdam() -> None:
    found = line(entry(booked="<DtTm>2026-11-15T23:30:00Z</DtTm>"), closing="10.00")

    assert found.booked_on == date(2026, 11, 16)


def test_time_without_a_zone_counts_on_the_day_it_prints() -> None:
    found = line(entry(booked="<DtTm>2026-11-15T23:30:00.123</DtTm>"), closing="10.00")

    assert found.booked_on == date(2026, 11, 15)


def test_missing_value_date_is_the_booking_date() -> None:
    assert line(entry(value=""), closing="10.00").value_on == date(2026, 11, 16)


def test_reference_may_stand_in_the_only_detail() -> None:
    inner = detail().replace("<Refs>", "<Refs><AcctSvcrRef>INNER-1</AcctSvcrRef>")
    text = entry(details=inner).replace("<AcctSvcrRef>c0ffee00000040008000000000000001</AcctSvcrRef>", "")

    assert line(text, closing="10.00").transaction_id == "INNER-1"


def test_reference_that_was_not_provided_is_none() -> None:
    assert line(entry(details=detail("NOTPROVIDED")), closing="10.00").end_to_end_id is None


def test_own_code_of_the_bank_stands_where_there_is_no_iso_code() -> None:
    iso = "<Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn>"
    text = entry().replace(iso, "<Prtry><Cd>FEE</Cd></Prtry>")

    assert line(text, closing="10.00").bank_code == "FEE"


def test_several_accounts_in_one_document_stay_apart() -> None:
    first = statement(entry("1.00"), closing="1.00", id_="ST-1")
    second = statement(
        entry("2.00"), entry("3.00"), closing="5.00", id_="ST-2", iban="DE75512108001245126199"
    )
    empty = statement(id_="ST-3")

    found = BANK.parse_statement(document(first, second, empty))

    assert [(item.statement_id, item.iban, len(item.lines)) for item in found] == [
        ("ST-1", IBAN, 1),
        ("ST-2", "DE75512108001245126199", 2),
        ("ST-3", IBAN, 0),
    ]


@pytest.mark.parametrize("version", ["02", "04", "08", "10", "11"])
@pytest.mark.parametrize("prefix", ["", "c:"])
def test_versions_and_prefixes_do_not_matter(version: str, prefix: str) -> None:
    namespace = NAMESPACE[:-2] + version
    text = document(statement(entry(), closing="10.00"), namespace=namespace)
    if prefix:
        text = text.replace(b"</", b"\0").replace(b"<", b"<c:").replace(b"\0", b"</c:")
        text = text.replace(b"<c:?xml", b"<?xml").replace(b"xmlns=", b"xmlns:c=")

    assert only(text).closing_minor == 1000


@pytest.mark.parametrize(
    ("ccy", "written", "minor"),
    [("JPY", "1000", 1000), ("KWD", "1.234", 1234), ("EUR", "1", 100), ("EUR", "1.00000", 100)],
)
def test_amount_has_the_decimals_of_its_currency(ccy: str, written: str, minor: int) -> None:
    found = only(document(statement(entry(written, ccy=ccy), opening="0", closing=written, ccy=ccy)))

    assert (found.currency, found.closing_minor) == (ccy, minor)


def test_later_page_goes_from_one_interim_balance_to_the_next() -> None:
    page = statement(entry(), closing="10.00").replace("OPBD", "ITBD").replace("CLBD", "ITBD")

    found = only(document(page))

    assert (found.opening_minor, found.closing_minor) == (0, 1000)


def test_comment_inside_an_amount_does_not_cut_it() -> None:
    assert line(entry("1<!-- --><?x?>0.00"), closing="10.00").amount_minor == 1000


@given(
    st.lists(st.integers(min_value=-(10**12), max_value=10**12), max_size=20), st.integers(-(10**12), 10**12)
)
def test_amounts_round_trip_exactly(amounts_minor: list[int], opening_minor: int) -> None:
    entries = [entry(written(abs(minor)), side="DBIT" if minor < 0 else "CRDT") for minor in amounts_minor]
    closing_minor = opening_minor + sum(amounts_minor)

    found = only(
        document(statement(*entries, opening=written(opening_minor), closing=written(closing_minor)))
    )

    assert [line.amount_minor for line in found.lines] == amounts_minor
    assert (found.opening_minor, found.closing_minor) == (opening_minor, closing_minor)


def written(minor: int) -> str:
    return f"{Decimal(minor).scaleb(-2):.2f}" if minor else "0.00"


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount", ["10.000000", "10.001", "10,00", "", "-10.00", "+10.00", "1e1", "NaN", "٣", ".5", "5."]
)
def test_amount_that_the_currency_does_not_have_is_refused(amount: str) -> None:
    with pytest.raises(Unreadable, match="Amt"):
        BANK.parse_statement(document(statement(entry(amount), closing="10.00")))


def test_amount_past_63_bits_is_refused() -> None:
    with pytest.raises(Unreadable, match="63 bits"):
        BANK.parse_statement(document(statement(entry("999999999999999999.00"), closing="0.00")))


@pytest.mark.parametrize("ccy", ["", "eur", "ZZZ", "XAU"])
def test_currency_without_minor_units_is_refused(ccy: str) -> None:
    with pytest.raises(Unreadable):
        BANK.parse_statement(document(statement(entry(ccy=ccy), closing="10.00")))


def test_entry_in_another_currency_is_refused() -> None:
    with pytest.raises(Unreadable, match="currency"):
        BANK.parse_statement(document(statement(entry(ccy="USD"), closing="10.00")))


def test_sums_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(Unreadable, match="closing balance"):
        BANK.parse_statement(document(statement(entry("10.00"), closing="10.01")))


@pytest.mark.parametrize("code", ["OPBD", "CLBD"])
def test_missing_balance_is_refused(code: str) -> None:
    text = statement(entry(), closing="10.00").replace(f"<Cd>{code}</Cd>", "<Cd>CLAV</Cd>")

    with pytest.raises(Unreadable, match="balance"):
        BANK.parse_statement(document(text))


def test_one_interim_balance_cannot_be_both_ends() -> None:
    text = statement(opening="0.00").replace("OPBD", "ITBD").replace("CLBD", "CLAV")

    with pytest.raises(Unreadable, match="balance"):
        BANK.parse_statement(document(text))


def test_balance_printed_twice_is_refused() -> None:
    text = statement().replace("</Acct>", "</Acct>" + balance("OPBD", "5.00"))

    with pytest.raises(Unreadable, match="twice"):
        BANK.parse_statement(document(text))


@pytest.mark.parametrize(
    ("cut", "named"),
    [
        ("<Id>ST-1</Id>", "Id"),
        (f"<IBAN>{IBAN}</IBAN>", "IBAN"),
        ("<FrDtTm>2026-11-15T23:00:00Z</FrDtTm>", "FrDtTm"),
        ("<ToDtTm>2026-11-16T23:00:00Z</ToDtTm>", "ToDtTm"),
        ("<Sts><Cd>BOOK</Cd></Sts>", "Sts"),
        ("<BookgDt><Dt>2026-11-16</Dt></BookgDt>", "BookgDt"),
        ("<AcctSvcrRef>c0ffee00000040008000000000000001</AcctSvcrRef>", "AcctSvcrRef"),
        ('<Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>', "Amt"),
        ("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "CdtDbtInd"),
    ],
)
def test_missing_element_is_named(cut: str, named: str) -> None:
    text = statement(entry(), closing="10.00")
    assert cut in text

    with pytest.raises(Unreadable, match=named):
        BANK.parse_statement(document(text.replace(cut, "<Sts>" if cut.endswith("<Sts>") else "")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Dt>2026-11-16</Dt></BookgDt>", "<Dt>2026-02-30</Dt></BookgDt>"),
        ("<Dt>2026-11-16</Dt></BookgDt>", "<Dt>16-11-2026</Dt></BookgDt>"),
        ("<Dt>2026-11-16</Dt></BookgDt>", "<DtTm>0001-01-01T00:00:00+14:00</DtTm></BookgDt>"),
        ("2026-11-15T23:00:00Z", "9999-12-31T23:59:59-12:00"),
        ("2026-11-15T23:00:00Z", "yesterday"),
        (f"<IBAN>{IBAN}</IBAN>", "<IBAN>our account</IBAN>"),
    ],
)
def test_date_time_or_account_that_is_none_is_refused(old: str, new: str) -> None:
    text = statement(entry(), closing="10.00")
    assert old in text

    with pytest.raises(Unreadable):
        BANK.parse_statement(document(text.replace(old, new)))


@pytest.mark.parametrize(
    "namespace",
    [
        "urn:iso:std:iso:20022:tech:xsd:camt.052.001.08",
        "urn:iso:std:iso:20022:tech:xsd:camt.053.001.01",
        "urn:iso:std:iso:20022:tech:xsd:camt.053.001.12",
        "",
    ],
)
def test_other_message_is_refused(namespace: str) -> None:
    with pytest.raises(Unreadable, match=r"camt\.053"):
        BANK.parse_statement(document(statement(), namespace=namespace))


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b"<html/>", b"\x00\x01", b"PK\x03\x04", document()])
def test_document_without_a_statement_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        BANK.parse_statement(body)


def test_statement_in_the_wrong_place_is_refused() -> None:
    nested = statement(entry("1.00", details=entry("1.00")), closing="2.00")

    with pytest.raises(Unreadable, match="wrong place"):
        BANK.parse_statement(document(nested))
    with pytest.raises(Unreadable, match="wrong place"):
        BANK.parse_statement(
            b"<x>" + document(statement()).removeprefix(b'<?xml version="1.0" encoding="UTF-8"?>') + b"</x>"
        )


def test_truncated_document_is_refused_and_says_so() -> None:
    whole = document(statement(entry(details=detail()), closing="10.00"))

    for length in range(1, len(whole) - 1, 7):
        with pytest.raises(Unreadable, match="cut short"):
            BANK.parse_statement(whole[:length])


def test_broken_document_with_an_end_is_not_called_truncated() -> None:
    broken = document(statement()).replace(b"</Acct>", b"")

    with pytest.raises(Unreadable, match="not well-formed"):
        BANK.parse_statement(broken)


BOMB = (
    b'<!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">'
    b'<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">'
    b'<!ENTITY g "&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;"><!ENTITY h "&g;&g;&g;&g;&g;&g;&g;&g;&g;&g;">]>'
)


@pytest.mark.parametrize("place", [b"<Id>&h;</Id>", b'<Id x="&h;">1</Id>'])
def test_entity_bomb_is_refused(place: bytes) -> None:
    body = document(statement()).replace(b"?>", b"?>" + BOMB, 1).replace(b"<Id>ST-1</Id>", place)

    with pytest.raises(Unreadable):
        BANK.parse_statement(body)


@pytest.mark.parametrize(
    "dtd",
    [
        b"<!DOCTYPE Document>",
        b'<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/camt.dtd">',
        b'<!DOCTYPE Document [<!ENTITY secret SYSTEM "file:///etc/hostname">]>',
        b'<!DOCTYPE Document [<!ATTLIST Amt Ccy CDATA "USD">]>',
    ],
)
def test_dtd_is_refused_even_when_it_is_not_used(dtd: bytes) -> None:
    body = document(statement()).replace(b"?>", b"?>" + dtd, 1)

    with pytest.raises(Unreadable, match="DTD"):
        BANK.parse_statement(body)


def test_error_text_does_not_repeat_personal_data() -> None:
    text = entry(details=detail()).replace("10.00</Amt><CdtDbtInd>", "Anna Visser</Amt><CdtDbtInd>")

    with pytest.raises(Unreadable) as unreadable:
        BANK.parse_statement(document(statement(text, closing="10.00")))

    assert "Anna" not in str(unreadable.value)


# --- totality -----------------------------------------------------------------------------------------------

WHOLE = document(
    statement(
        entry(details=detail()), entry("4.00", side="DBIT", status="BOOK"), opening="1.00", closing="7.00"
    ),
    statement(entry(booked="<DtTm>2026-11-16T10:00:00+01:00</DtTm>"), closing="10.00", id_="ST-2"),
)
FRAGMENTS = (
    b"<",
    b">",
    b"</Ntry>",
    b"<Ntry>",
    b"<Stmt>",
    b"&amp;",
    b"&x;",
    b"<!--",
    b"]]>",
    b"9",
    b"-",
    b"\x00",
    b"\xff",
)


@settings(max_examples=500)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(WHOLE) - 1),
            st.integers(0, 40),
            st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=6)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_mutated_document_is_a_sound_statement_or_unreadable(edits: list[tuple[int, int, bytes]]) -> None:
    mutated = WHOLE
    for start, length, replacement in edits:
        mutated = mutated[:start] + replacement + mutated[start + length :]

    try:
        found = BANK.parse_statement(mutated)
    except Unreadable:
        return

    for item in found:
        assert item.opening_minor + sum(line.amount_minor for line in item.lines) == item.closing_minor


def test_page_of_five_thousand_entries_is_read_whole() -> None:
    found = only(document(statement(*[entry("0.01", details=detail())] * 5000, closing="50.00")))

    assert len(found.lines) == 5000
