"""Whole statements from the pages of one message: all of them, belonging together, and adding up.

The bank cuts a statement into pages of at most 5,000 entries. Each page is a document and prints the
balances again, either those of the whole window or, as ISO 20022 has it, interim ones that chain from page
to page; both are understood. A missing page, or a balance that the entries do not lead to, refuses the whole.

Source: ISO 20022 camt.053 (MsgPgntn, ITBD); ClearBank EU camt.053 statements 1.0.
"""

from dataclasses import replace

from partners.clearbank.camt053 import Page, read_page
from partners.contract import Statement, Unreadable


def parse_statement(document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
    """Every statement of one message, given all of its pages in any order. Raises: Unreadable."""
    pages = sorted((read_page(page) for page in (document, *further_pages)), key=lambda page: page.number)
    _check_complete(pages)
    whole: dict[tuple[object, ...], Statement] = {}
    for statement in (statement for page in pages for statement in page.statements):
        key = (statement.statement_id, statement.iban, statement.starts_at, statement.ends_at)
        whole[key] = _join(whole[key], statement) if key in whole else statement
    for statement in whole.values():
        _check_sum(statement)
    return tuple(whole.values())


def _check_complete(pages: list[Page]) -> None:
    if [page.number for page in pages] != list(range(1, len(pages) + 1)):
        raise Unreadable("A page of the statement is missing or came twice.")
    if [page.is_last for page in pages] != [False] * (len(pages) - 1) + [True]:
        raise Unreadable("The last page of the statement is missing.")
    if len({page.message_id for page in pages}) > 1:
        raise Unreadable("The pages come from two messages.")


def _join(earlier: Statement, later: Statement) -> Statement:
    lines = earlier.lines + later.lines
    if earlier.currency != later.currency:
        raise Unreadable("The pages of a statement are in two currencies.")
    if (earlier.opening_minor, earlier.closing_minor) == (later.opening_minor, later.closing_minor):
        return replace(earlier, lines=lines)
    if earlier.closing_minor == later.opening_minor:
        return replace(earlier, closing_minor=later.closing_minor, lines=lines)
    raise Unreadable("The balances of a statement do not lead from one page to the next.")


def _check_sum(statement: Statement) -> None:
    if (
        statement.opening_minor + sum(line.amount_minor for line in statement.lines)
        != statement.closing_minor
    ):
        raise Unreadable("The opening balance and the entries do not give the closing balance.")
