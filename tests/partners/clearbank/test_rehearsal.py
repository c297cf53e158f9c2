"""What ClearBank's rehearsal says is what the adapter reads: two writings of one dialect, held against each other."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.clearbank.adapter import ClearBank
from partners.clearbank.rehearsal import ClearBankRehearsal
from partners.contract import Instruction, MoneyArrived, Rail, Statement, StatementLine, Unreadable
from tests.partners.clearbank.orders import INSTANT_ORDER, ORDER

BANK, WORDS = ClearBank(), ClearBankRehearsal()
NOW = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)
SEPA = st.text("abcXYZ0189-?:().,'+", min_size=3, max_size=70)
WORDS_OF_PEOPLE = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=40
)


@given(
    st.sampled_from([ORDER, INSTANT_ORDER]),
    st.integers(min_value=1, max_value=99_999_999_999),
    SEPA,
    SEPA,
)
def test_order_is_read_as_it_was_asked(
    template: Instruction, amount_minor: int, name: str, text: str
) -> None:
    asked = replace(template, amount_minor=amount_minor, creditor_name=name, remittance=text)
    request = BANK.prepare(asked)

    read = WORDS.read_order(
        method=request.method, path=request.path, body=request.body or b"", request_id=asked.payout_id
    )

    assert (read.known_by, read.rail, read.amount_minor) == (asked.payout_id, asked.rail, amount_minor)
    assert (read.creditor_name, read.remittance, read.currency) == (name, text, "EUR")


@given(
    st.sampled_from(list(Rail)), st.integers(min_value=1, max_value=10**14), WORDS_OF_PEOPLE, WORDS_OF_PEOPLE
)
def test_money_that_arrives_is_read_to_the_cent(rail: Rail, amount_minor: int, name: str, text: str) -> None:
    said = MoneyArrived(
        "c0ffee00-0000-4000-8000-000000000001",
        "INV-7",
        amount_minor,
        "EUR",
        creditor_iban=ORDER.debtor_iban,
        debtor_name=name,
        debtor_iban=ORDER.creditor_iban,
        remittance=text,
    )

    notice = WORDS.tells(said, rail=rail, at=NOW, nonce=1, sign=lambda body: body)

    assert notice is not None
    assert BANK.parse_notice(notice.body).meanings == (said,)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    amounts = draw(st.lists(st.integers(-(10**12), 10**12).filter(bool), max_size=12))
    lines = tuple(
        StatementLine(
            f"c0ffee00-0000-4000-8000-{number:012}",
            end_to_end_id=draw(st.none() | SEPA.map(lambda text: text[:35])),
            amount_minor=amount_minor,
            currency="EUR",
            booked_on=date(2026, 11, 16),
            value_on=date(2026, 11, 17),
            reversal=draw(st.booleans()),
            bank_code="PMNT/RCDT/ESCT",
            counterparty_name=draw(WORDS_OF_PEOPLE),
            counterparty_iban=ORDER.creditor_iban,
            remittance=draw(WORDS_OF_PEOPLE),
        )
        for number, amount_minor in enumerate(amounts)
    )
    opening_minor = draw(st.integers(-(10**12), 10**12))
    return Statement(
        "ST-1",
        ORDER.debtor_iban,
        "EUR",
        starts_at=NOW,
        ends_at=NOW + timedelta(days=1),
        opening_minor=opening_minor,
        closing_minor=opening_minor + sum(amounts),
        lines=lines,
    )


@given(statements(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_statement_is_read_as_it_was_printed_with_its_pages_in_any_order(
    statement: Statement, lines_a_page: int, chance: Random
) -> None:
    pages = list(WORDS.prints(statement, lines_a_page=lines_a_page))
    chance.shuffle(pages)

    assert BANK.parse_statement(*pages) == (statement,)


def test_enquiry_is_read_by_its_window() -> None:
    request = BANK.status_request(ORDER, account_id="a-1", since=NOW, until=NOW + timedelta(hours=1), page=1)

    assert WORDS.read_window(path=request.path, body=b"") == (NOW, NOW + timedelta(seconds=3600))
    assert WORDS.read_window(path="/elsewhere", body=b"") is None


def test_what_is_no_order_is_not_read_as_one() -> None:
    with pytest.raises(Unreadable):
        WORDS.read_order(method="GET", path="/v1/payments/sepa-instant", body=b"{}", request_id="r-1")
