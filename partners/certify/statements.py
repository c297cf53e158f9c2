"""Fault 12: statements over days of 23 and 25 hours, pages in any order, ids used again, entries that come twice.

Each is printed by the rehearsal and read back; what does not add up, or lacks a page, must be refused.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

from partners.certify.findings import Part
from partners.certify.stage import Stage
from partners.contract import Statement, StatementLine, Unreadable

LINES_A_PAGE: Final = 3
_LINES: Final = 8
_DAYS: Final = (
    (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)),  # 23 hours
    (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)),  # 25 hours
    (datetime(2026, 11, 15, 23, tzinfo=UTC), datetime(2026, 11, 16, 23, tzinfo=UTC)),
)


def statements(stage: Stage) -> str | None:
    """12: what was printed is what is read, page by page in any order."""
    kept = [_statement(stage, starts_at=one, ends_at=other) for one, other in _DAYS]
    if stage.words.prints(kept[0], lines_a_page=LINES_A_PAGE) is None:
        return "this bank prints no statements"
    for statement in kept:
        pages = _pages(stage, statement)
        _reads(stage, statement, pages, what="a statement")
        _reads(stage, statement, pages[::-1], what="pages that come last to first")
        if len(pages) > 1:
            _refuses(stage, pages[:-1], what="a statement without its last page")
            _refuses(stage, pages[1:], what="a statement without its first page")
        wrong = replace(statement, closing_minor=statement.closing_minor + 1)
        _refuses(stage, _pages(stage, wrong), what="a statement that does not add up")
        _asks(stage, statement)
    _repeats(stage, kept[0])
    return None


def _statement(stage: Stage, *, starts_at: datetime, ends_at: datetime) -> Statement:
    template = stage.templates[0]
    lines = tuple(_lines(stage, ends_at.date()))
    return Statement(
        "REUSED-1",  # the same for every day: some banks count from one again
        template.debtor_iban,
        template.currency,
        starts_at=starts_at,
        ends_at=ends_at,
        opening_minor=100_000,
        closing_minor=100_000 + sum(line.amount_minor for line in lines),
        lines=lines,
    )


def _lines(stage: Stage, day: date) -> Iterator[StatementLine]:
    template = stage.templates[0]
    for number in range(_LINES):
        comes_in = number % 2 == 0
        yield StatementLine(
            transaction_id=f"c0ffee00-0000-4000-8000-{number:012}",
            end_to_end_id=f"LINE-{number}",
            amount_minor=(1 if comes_in else -1) * (1_001 + number),
            currency=template.currency,
            booked_on=day,
            value_on=day,
            reversal=number == _LINES - 1,
            bank_code="PMNT/RCDT/ESCT" if comes_in else "PMNT/ICDT/ESCT",
            counterparty_name=template.creditor_name,
            counterparty_iban=template.creditor_iban,
            remittance=template.remittance,
        )


def _pages(stage: Stage, statement: Statement) -> tuple[bytes, ...]:
    pages = stage.words.prints(statement, lines_a_page=LINES_A_PAGE)
    assert pages is not None, "it printed one before"
    return pages


def _read(stage: Stage, pages: tuple[bytes, ...], what: str) -> tuple[Statement, ...] | None:
    parse = partial(stage.adapter.parse_statement, *pages)
    return stage.findings.ask(Part.STATEMENT, parse, name=f"parse_statement of {what}", allowed=(Unreadable,))


def _reads(stage: Stage, statement: Statement, pages: tuple[bytes, ...], *, what: str) -> None:
    try:
        found = _read(stage, pages, what)
    except Unreadable:
        stage.findings.fault(Part.STATEMENT, f"refused {what}")
        return
    same = found is not None and len(found) == 1 and _facts(found[0]) == _facts(statement)
    stage.findings.check(Part.STATEMENT, same, f"read something else in {what}")


def _refuses(stage: Stage, pages: tuple[bytes, ...], *, what: str) -> None:
    try:
        if _read(stage, pages, what) is not None:
            stage.findings.fault(Part.STATEMENT, f"believed {what}")
    except Unreadable:
        return


def _repeats(stage: Stage, statement: Statement) -> None:
    """An entry that stands in two statements has one id, by which it is known again."""
    line = statement.lines[0]
    closing_minor = statement.opening_minor + line.amount_minor
    short = replace(statement, statement_id="OTHER-2", lines=(line,), closing_minor=closing_minor)
    ids = set()
    for each in (statement, short):
        try:
            found = _read(stage, _pages(stage, each), "an entry in two statements") or ()
        except Unreadable:
            continue
        ids |= {entry.transaction_id for one in found for entry in one.lines[:1]}
    stage.findings.check(Part.STATEMENT, len(ids) == 1, "an entry in two statements has two ids")


def _asks(stage: Stage, statement: Statement) -> None:
    """A day is asked for as it is, 23 or 25 hours long, if a day may be asked for at all."""
    if statement.ends_at - statement.starts_at <= stage.adapter.manifest().statement_span_max:
        ask = partial(
            stage.adapter.statement_request, starts_at=statement.starts_at, ends_at=statement.ends_at
        )
        stage.findings.ask(Part.STATEMENT, ask, name="statement_request of one day", counts=False)


def _facts(statement: Statement) -> tuple[object, ...]:
    """What the book relies on; what a bank says of a counterparty differs from bank to bank."""
    lines = [
        (
            line.transaction_id,
            line.end_to_end_id,
            line.amount_minor,
            line.currency,
            line.booked_on,
            line.reversal,
        )
        for line in statement.lines
    ]
    return (
        statement.statement_id,
        statement.iban,
        statement.currency,
        statement.starts_at,
        statement.ends_at,
        statement.opening_minor,
        statement.closing_minor,
        sorted(lines),
    )
