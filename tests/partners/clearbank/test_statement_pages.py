"""A statement of several pages is read whole or not at all."""

from itertools import permutations

import pytest

from partners.clearbank.adapter import ClearBank
from partners.contract import Unreadable
from tests.partners.clearbank.documents import document, entry, page, statement

BANK = ClearBank()
REPEATED = (
    page(1, statement(entry("1.00"), entry("2.00"), opening="5.00", closing="12.00"), last="false"),
    page(2, statement(entry("4.00"), opening="5.00", closing="12.00"), last="true"),
)
CHAINED = (
    page(1, statement(entry("1.00"), closing="1.00").replace("CLBD", "ITBD"), last="false"),
    page(2, statement(entry("2.00"), opening="1.00", closing="3.00").replace("OPBD", "ITBD"), last="true"),
)


@pytest.mark.parametrize("last", ["true", "1", "Yes", "True"])
def test_only_page_of_a_message_is_a_whole_statement(last: str) -> None:
    (found,) = BANK.parse_statement(page(1, statement(entry(), closing="10.00"), last=last))

    assert found.closing_minor == 1000


def test_pages_that_repeat_the_balances_of_the_window_come_together() -> None:
    for pages in permutations(REPEATED):
        (found,) = BANK.parse_statement(*pages)

        assert (found.opening_minor, found.closing_minor) == (500, 1200)
        assert [line.amount_minor for line in found.lines] == [100, 200, 400]


def test_pages_whose_balances_chain_come_together() -> None:
    (found,) = BANK.parse_statement(*CHAINED)

    assert (found.opening_minor, found.closing_minor) == (0, 300)
    assert [line.amount_minor for line in found.lines] == [100, 200]


def test_account_may_be_on_one_page_only() -> None:
    other = statement(entry("7.00"), closing="7.00", id_="ST-2", iban="DE75512108001245126199")
    second = page(2, statement(entry("4.00"), opening="5.00", closing="12.00"), other, last="true")

    found = BANK.parse_statement(REPEATED[0], second)

    assert [(item.statement_id, item.closing_minor) for item in found] == [("ST-1", 1200), ("ST-2", 700)]


@pytest.mark.parametrize("pages", [REPEATED[:1], CHAINED[:1]])
def test_statement_without_its_last_page_is_refused(pages: tuple[bytes, ...]) -> None:
    with pytest.raises(Unreadable, match="last page"):
        BANK.parse_statement(*pages)


@pytest.mark.parametrize(
    "pages", [REPEATED[1:], (REPEATED[0], REPEATED[0]), (REPEATED[1], REPEATED[1]), (*REPEATED, REPEATED[1])]
)
def test_missing_or_repeated_page_is_refused(pages: tuple[bytes, ...]) -> None:
    with pytest.raises(Unreadable, match="missing or came twice"):
        BANK.parse_statement(*pages)


def test_pages_of_two_messages_are_refused() -> None:
    stranger = REPEATED[1].replace(b"a1B2c3D4", b"ffffffff")

    with pytest.raises(Unreadable, match="two messages"):
        BANK.parse_statement(REPEATED[0], stranger)


def test_balances_that_do_not_lead_on_are_refused() -> None:
    second = page(2, statement(entry("4.00"), opening="6.00", closing="12.00"), last="true")

    with pytest.raises(Unreadable, match="from one page to the next"):
        BANK.parse_statement(REPEATED[0], second)


def test_pages_that_do_not_add_up_together_are_refused() -> None:
    second = page(2, statement(entry("4.01"), opening="5.00", closing="12.00"), last="true")

    with pytest.raises(Unreadable, match="closing balance"):
        BANK.parse_statement(REPEATED[0], second)


@pytest.mark.parametrize(
    ("number", "last"), [("x", "true"), ("-1", "true"), ("1", "maybe"), ("", "true"), ("1", "")]
)
def test_page_that_does_not_say_which_it_is_is_refused(number: str, last: str) -> None:
    pagination = f"<MsgPgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></MsgPgntn>"

    with pytest.raises(Unreadable, match="which page"):
        BANK.parse_statement(document(statement(), pagination=pagination))
