"""camt.052, camt.053 and camt.054: what readers of such files get wrong, each thing by itself."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from partners.contract import Unreadable
from partners.messages.account_reports import (
    MessageStarted,
    PageNumber,
    ReportEvent,
    StatementEnded,
    StatementStarted,
)
from partners.messages.camt import read_camt, read_camt_tolerantly
from partners.messages.details import Account, Charge, Detail, GivenReason, Party
from partners.messages.entries import Batch, Entry, EntryStatus, RejectedEntry
from partners.messages.wire_values import Amount, BankTime
from tests.partners.messages.camt_files import wrap

IBAN = "NL07CLRB0066110345"
AMSTERDAM = BankTime(days=ZoneInfo("Europe/Amsterdam"))


def statement(
    *inner: str,
    tag: str = "Stmt",
    id_: str = "ST-1",
    sequence: str = "1",
    owned: str = f"<IBAN>{IBAN}</IBAN>",
    day: int = 16,
) -> str:
    """A statement of balances and entries."""
    return (
        f"<{tag}><Id>{id_}</Id><ElctrncSeqNb>{sequence}</ElctrncSeqNb>"
        f"<FrToDt><FrDtTm>2026-11-{day}T00:00:00Z</FrDtTm><ToDtTm>2026-11-{day + 1}T00:00:00Z</ToDtTm></FrToDt>"
        f"<Acct><Id>{owned}</Id><Ccy>EUR</Ccy></Acct>{''.join(inner)}</{tag}>"
    )


def balance(code: str, amount: str, side: str = "CRDT", ccy: str = "EUR") -> str:
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="{ccy}">{amount}</Amt>'
        f"<CdtDbtInd>{side}</CdtDbtInd><Dt><DtTm>2026-11-16T23:30:00Z</DtTm></Dt></Bal>"
    )


def entry(
    amount: str = "10.00",
    *,
    side: str = "CRDT",
    ccy: str = "EUR",
    status: str = "<Cd>BOOK</Cd>",
    inner: str = "",
    booked: str = "<Dt>2026-11-16</Dt>",
) -> str:
    return (
        f'<Ntry><Amt Ccy="{ccy}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd><Sts>{status}</Sts>'
        f"<BookgDt>{booked}</BookgDt>{inner}</Ntry>"
    )


def details(*inner: str) -> str:
    return f"<NtryDtls>{''.join(f'<TxDtls>{tx}</TxDtls>' for tx in inner)}</NtryDtls>"


PARTIES = (
    "<RltdPties><Dbtr><Pty><Nm>Anna</Nm></Pty></Dbtr><UltmtDbtr><Pty><Nm>Her firm</Nm></Pty></UltmtDbtr>"
    "<Cdtr><Pty><Nm>Bakery</Nm></Pty></Cdtr>"
    "<CdtrAcct><Id><Othr><Id>12345</Id></Othr></Id></CdtrAcct></RltdPties>"
)


def entries(events: Iterable[ReportEvent]) -> list[Entry]:
    return [event for event in events if isinstance(event, Entry)]


def ended(events: Iterable[ReportEvent]) -> list[StatementEnded]:
    return [event for event in events if isinstance(event, StatementEnded)]


def only(text: str) -> Entry:
    (found,) = entries(read_camt(wrap(statement(text)), time=AMSTERDAM))
    return found


def only_detail(*inner: str) -> Detail:
    found = only(entry(inner=details("".join(inner)))).only_detail
    assert found is not None
    return found


# --- amounts, signs and states ------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "minor", "name"), [("CRDT", 1000, "Bakery"), ("DBIT", -1000, "Anna")])
def test_reversal_keeps_the_sign_it_prints_and_swaps_the_other_side(side: str, minor: int, name: str) -> None:
    found = only(entry(side=side, inner=f"<RvslInd>true</RvslInd>{details(PARTIES)}"))
    party = found.counterparty_of(found.details[0])

    assert (found.amount_minor, found.reversal) == (minor, True)
    assert party is not None
    assert party.name == name


@pytest.mark.parametrize(("side", "name"), [("CRDT", "Anna"), ("DBIT", "Bakery")])
def test_entry_that_reverses_nothing_names_the_side_it_came_from_or_went_to(side: str, name: str) -> None:
    found = only(entry(side=side, inner=f"<RvslInd>false</RvslInd>{details(PARTIES)}"))
    party = found.counterparty_of(found.details[0])

    assert party is not None
    assert party.name == name


def test_batch_is_one_entry_with_all_of_its_details() -> None:
    def payment(name: str, amount: str, more: str = "") -> str:
        return f'<Refs><EndToEndId>{name}</EndToEndId></Refs><Amt Ccy="EUR">{amount}</Amt>{more}'

    batch = details(payment("A", "4.00"), payment("B", "6.50", "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"))
    announced = batch.replace(
        "<NtryDtls>", "<NtryDtls><Btch><PmtInfId>P-1</PmtInfId><NbOfTxs>2</NbOfTxs></Btch>"
    )

    found = only(entry("10.00", side="DBIT", inner=announced))

    assert (found.amount_minor, found.only_detail) == (-1000, None)
    assert found.batch == Batch(None, "P-1", "2")
    assert [(each.end_to_end_id, each.amount) for each in found.details] == [
        ("A", Amount(-400, "EUR")),
        ("B", Amount(-650, "EUR")),
    ]
    assert found.details[1].returned == GivenReason("AC04", None, ())


def test_details_may_be_spread_over_several_lists() -> None:
    found = only(entry(inner=details("<AddtlTxInf>1</AddtlTxInf>") + details("<AddtlTxInf>2</AddtlTxInf>")))

    assert [each.additional for each in found.details] == ["1", "2"]


def test_booked_amount_wins_over_that_of_its_only_detail() -> None:
    found = only(entry("10.00", inner=details('<Amt Ccy="EUR">9.00</Amt>')))

    assert (found.amount_minor, found.details[0].amount) == (1000, Amount(900, "EUR"))


def test_detail_has_a_sign_of_its_own_where_it_prints_one() -> None:
    detail = only_detail('<Amt Ccy="EUR">9.00</Amt><CdtDbtInd>DBIT</CdtDbtInd>')

    assert detail.amount == Amount(-900, "EUR")


@pytest.mark.parametrize(
    ("ccy", "written", "minor"),
    [("EUR", "10.00000", 1000), ("EUR", "10", 1000), ("JPY", "7.00", 7), ("KWD", "1.23400", 1234)],
)
def test_zeros_past_the_decimals_of_the_currency_say_nothing(ccy: str, written: str, minor: int) -> None:
    assert only(entry(written, ccy=ccy)).amount_minor == minor


@pytest.mark.parametrize(
    ("ccy", "written"), [("EUR", "10.00001"), ("EUR", "10.001"), ("JPY", "7.5"), ("EUR", "1.000000")]
)
def test_digit_past_the_decimals_of_the_currency_is_no_amount(ccy: str, written: str) -> None:
    with pytest.raises(Unreadable, match="Entry 1 of statement 1, line 4: Amt"):
        only(entry(written, ccy=ccy))


@pytest.mark.parametrize(
    ("printed", "status"),
    [
        ("<Cd>BOOK</Cd>", EntryStatus.BOOKED),
        ("BOOK", EntryStatus.BOOKED),
        ("<Cd>PDNG</Cd>", EntryStatus.PENDING),
        ("PDNG", EntryStatus.PENDING),
        ("<Cd>INFO</Cd>", EntryStatus.INFORMATION),
        ("<Cd>FUTR</Cd>", EntryStatus.FUTURE),
        ("<Prtry>BOOK</Prtry>", EntryStatus.OWN),
        ("<Cd>HUHU</Cd>", EntryStatus.OWN),
    ],
)
def test_only_what_is_booked_is_booked(printed: str, status: EntryStatus) -> None:
    found = only(entry(status=printed))

    assert (found.status, found.is_booked) == (status, status is EntryStatus.BOOKED)


def test_pending_entries_do_not_count_towards_the_balance() -> None:
    text = statement(
        balance("OPBD", "0.00"), balance("CLBD", "10.00"), entry("99.00", status="<Cd>PDNG</Cd>"), entry()
    )

    (end,) = ended(read_camt(wrap(text)))

    assert (end.kept, end.adds_up) == (2, True)


# --- dates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "day", "at"),
    [
        ("<Dt>2026-11-16</Dt>", date(2026, 11, 16), None),
        ("<Dt>2026-11-16+01:00</Dt>", date(2026, 11, 16), None),
        ("<DtTm>2026-11-15T23:30:00Z</DtTm>", date(2026, 11, 16), datetime(2026, 11, 15, 23, 30, tzinfo=UTC)),
        ("<DtTm>2026-11-15T23:30:00</DtTm>", date(2026, 11, 15), datetime(2026, 11, 15, 23, 30, tzinfo=UTC)),
    ],
)
def test_time_stands_where_a_date_is_usual(printed: str, day: date, at: datetime | None) -> None:
    found = only(entry(booked=printed))

    assert (found.booked_on, found.booked_at) == (day, at)


def test_bank_whose_zone_is_not_known_has_the_day_it_prints() -> None:
    text = entry(booked="<DtTm>2026-11-15T23:30:00-05:00</DtTm>")

    (found,) = entries(read_camt(wrap(statement(text))))

    assert found.booked_on == date(2026, 11, 15)


@pytest.mark.parametrize(
    "printed", ["<Dt>2026-02-30</Dt>", "<Dt>20261116</Dt>", "<DtTm>2026-11-16</DtTm>", "<X/>"]
)
def test_date_that_is_none_is_refused(printed: str) -> None:
    with pytest.raises(Unreadable, match="BookgDt is not a date"):
        only(entry(booked=printed))


# --- statements, accounts, messages -------------------------------------------------------------------------


def test_statements_and_accounts_in_one_file_stay_apart() -> None:
    document = wrap(
        statement(balance("OPBD", "0"), balance("CLBD", "10.00"), entry())
        + statement(id_="ST-2", owned="<Othr><Id>12345/67</Id></Othr>")
        + statement(entry("1.00"), entry("2.00"), id_="ST-3", day=17)
    )

    found = list(read_camt(document))

    started = [event for event in found if isinstance(event, StatementStarted)]
    assert [(event.number, event.id.statement_id, event.id.account) for event in started] == [
        (1, "ST-1", Account(IBAN)),
        (2, "ST-2", Account(None, "12345/67")),
        (3, "ST-3", Account(IBAN)),
    ]
    assert [type(event).__name__ for event in found] == [
        "MessageStarted",
        *("StatementStarted", "Entry", "StatementEnded"),
        *("StatementStarted", "StatementEnded"),
        *("StatementStarted", "Entry", "Entry", "StatementEnded"),
    ]
    assert [event.adds_up for event in ended(found)] == [True, None, None]


def test_statement_id_that_is_used_again_is_another_statement() -> None:
    document = wrap(
        statement()
        + statement(sequence="2")
        + statement(day=17)
        + statement(owned="<IBAN>DE75512108001245126199</IBAN>")
    )

    ids = [event.id for event in read_camt(document) if isinstance(event, StatementStarted)]

    assert {each.statement_id for each in ids} == {"ST-1"}
    assert len(set(ids)) == 4


def test_notification_has_no_balances_and_claims_nothing() -> None:
    found = list(read_camt(wrap(statement(entry(), tag="Ntfctn"), name="camt.054", version=8)))

    assert isinstance(found[0], MessageStarted)
    assert (found[0].name, found[0].version) == ("camt.054", 8)
    assert ended(found)[0].balances == ()
    assert ended(found)[0].adds_up is None


def test_report_within_the_day_has_no_closing_balance_and_claims_nothing() -> None:
    text = statement(balance("ITBD", "5.00"), balance("ITAV", "5.00"), entry(), tag="Rpt")

    (end,) = ended(read_camt(wrap(text, name="camt.052", version=6)))

    assert (len(end.balances), end.adds_up) == (2, None)


def test_balances_in_two_currencies_claim_nothing() -> None:
    text = statement(balance("OPBD", "0.00"), balance("CLBD", "10.00"), entry(ccy="USD"))

    assert ended(read_camt(wrap(text)))[0].adds_up is None


def test_balances_that_do_not_lead_to_each_other_are_told() -> None:
    text = statement(balance("OPBD", "5.00", "DBIT"), balance("CLBD", "10.00"), entry())

    (end,) = ended(read_camt(wrap(text)))

    assert end.adds_up is False
    assert [each.amount_minor for each in end.balances] == [-500, 1000]


def test_balances_behind_the_entries_are_read_as_well() -> None:
    text = statement(balance("OPBD", "0.00"), entry(), balance("CLBD", "10.00"))

    assert ended(read_camt(wrap(text)))[0].adds_up is True


def test_statement_says_which_page_it_is() -> None:
    text = statement().replace(
        "<Elctrnc", "<StmtPgntn><PgNb>2</PgNb><LastPgInd>false</LastPgInd></StmtPgntn><Elctrnc"
    )

    (start,) = [event for event in read_camt(wrap(text)) if isinstance(event, StatementStarted)]

    assert start.page == PageNumber(2, is_last=False)


# --- what a payment says of itself --------------------------------------------------------------------------


def test_own_code_of_the_bank_is_kept_beside_that_of_iso() -> None:
    codes = (
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn>"
        "<Prtry><Cd>NTRF+166</Cd><Issr>DK</Issr></Prtry></BkTxCd>"
    )

    found = only(entry(inner=codes))

    assert (found.bank_code, found.own_code) == ("PMNT/RCDT/ESCT", "NTRF+166")


def test_entry_in_another_currency_keeps_what_was_ordered_and_the_rate() -> None:
    detail = only_detail(
        '<AmtDtls><InstdAmt><Amt Ccy="USD">11.50</Amt></InstdAmt>'
        '<TxAmt><Amt Ccy="EUR">10.00</Amt><CcyXchg><SrcCcy>USD</SrcCcy><XchgRate>1.15</XchgRate></CcyXchg></TxAmt>'
        "</AmtDtls>"
    )

    assert (detail.amount, detail.instructed) == (Amount(1000, "EUR"), Amount(1150, "USD"))
    assert detail.exchange_rate == "1.15"


@pytest.mark.parametrize(
    "written",
    [
        (
            '<Chrgs><TtlChrgsAndTaxAmt Ccy="EUR">1</TtlChrgsAndTaxAmt><Rcrd><Amt Ccy="EUR">0.25</Amt>'
            "<CdtDbtInd>DBIT</CdtDbtInd><ChrgInclInd>true</ChrgInclInd><Tp><Prtry><Id>FEE</Id></Prtry></Tp>"
            "</Rcrd></Chrgs>"
        ),
        '<Chrgs><Amt Ccy="EUR">0.25</Amt><ChrgInclInd>1</ChrgInclInd><Tp><Cd>FEE</Cd></Tp></Chrgs>',
    ],
)
def test_charges_are_read_in_old_and_new_form(written: str) -> None:
    assert only(entry(inner=written)).charges == (Charge(Amount(-25, "EUR"), included=True, kind="FEE"),)


def test_payment_has_its_parties_texts_and_ids() -> None:
    detail = only_detail(
        "<Refs><EndToEndId>NOTPROVIDED</EndToEndId><UETR>8a562c67-ca16-48ba-b074-65581be6f001</UETR></Refs>",
        PARTIES,
        "<RltdAgts><DbtrAgt><FinInstnId><BIC>ABNANL2A</BIC></FinInstnId></DbtrAgt></RltdAgts>",
        "<RmtInf><Ustrd>one</Ustrd><Ustrd>two</Ustrd>",
        "<Strd><CdtrRefInf><Ref>RF18539007547034</Ref></CdtrRefInf></Strd>",
        "<Strd><RfrdDocInf><Nb>INV-1</Nb></RfrdDocInf></Strd></RmtInf>",
    )

    assert (detail.end_to_end_id, detail.uetr) == (None, "8a562c67-ca16-48ba-b074-65581be6f001")
    assert detail.debtor == Party("Anna", None, "ABNANL2A")
    assert detail.ultimate_debtor == Party("Her firm")
    assert detail.creditor == Party("Bakery", Account(None, "12345"))
    assert detail.remittance == ("one", "two")
    assert (detail.references, detail.documents) == (("RF18539007547034",), ("INV-1",))


def test_return_says_why() -> None:
    detail = only_detail(
        "<RtrInf><OrgnlBkTxCd/><Rsn><Prtry>X1</Prtry></Rsn><AddtlInf>a</AddtlInf><AddtlInf>b</AddtlInf></RtrInf>"
    )

    assert detail.returned == GivenReason(None, "X1", ("a", "b"))


def test_element_of_a_foreign_namespace_says_nothing() -> None:
    foreign = '<Amt xmlns="urn:x" Ccy="EUR">99.00</Amt>'

    assert only(entry().replace("<Ntry>", f"<Ntry>{foreign}")).amount_minor == 1000


# --- bad entries --------------------------------------------------------------------------------------------


def test_bad_entry_is_isolated_and_its_statement_claims_no_sum() -> None:
    document = wrap(
        statement(
            balance("OPBD", "0"), balance("CLBD", "10.00"), entry(), entry("Anna Visser"), entry("0.00")
        )
        + statement(balance("OPBD", "0"), balance("CLBD", "10.00"), entry(), id_="ST-2")
    )

    found = list(read_camt_tolerantly(document))

    (rejected,) = [event for event in found if isinstance(event, RejectedEntry)]
    assert rejected == RejectedEntry(
        2, "Entry 2 of statement 1, line 4", "Amt is missing or is not an amount."
    )
    assert [(end.kept, end.rejected, end.adds_up) for end in ended(found)] == [(2, 1, None), (1, 0, True)]


def test_bad_detail_rejects_its_entry() -> None:
    bad = entry(inner=details('<Amt Ccy="EUR">1,00</Amt>', "<AddtlTxInf>fine</AddtlTxInf>"))

    found = list(read_camt_tolerantly(wrap(statement(bad, entry()))))

    assert [type(event).__name__ for event in found[2:4]] == ["RejectedEntry", "Entry"]


def test_line_is_told_past_the_sixteen_bits_that_libxml_counts() -> None:
    document = wrap(statement("\n" * 70_000, entry("x")))

    (rejected,) = [event for event in read_camt_tolerantly(document) if isinstance(event, RejectedEntry)]

    assert rejected.place.endswith("line 70004")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (statement(owned=""), "Acct/Id"),
        (statement().replace("<Id>ST-1</Id>", ""), "In statement 1: Id is missing"),
        (statement(balance("OPBD", "x")), "In a balance of statement 1: Amt"),
        (statement().replace("2026-11-16T00", "yesterday"), "In statement 1: A time"),
    ],
)
def test_statement_that_cannot_be_read_is_refused_even_tolerantly(broken: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        list(read_camt_tolerantly(wrap(broken)))
