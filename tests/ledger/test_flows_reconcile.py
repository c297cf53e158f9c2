"""Statements against the book: what matches, what is open, and what the reports make of it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ledger.core.chart import Code
from ledger.core.errors import InvalidValue
from ledger.core.statement import Statement, StatementLine
from ledger.flows.reconcile import import_statements, reconcile
from ledger.reports.reconciliation import reconciliation
from ledger.reports.safeguarding import safeguarding
from ledger.reports.trial_balance import trial_balance
from ledger.store.statements import unmatched_movements
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, OpenTx
from tests.ledger.world import World, build_world, earn_commission, fund

STARTS = datetime(2026, 11, 15, 23, tzinfo=UTC)
DOCUMENT = b"<the bank's document/>"


def line(transaction_id: str, amount_minor: int) -> StatementLine:
    return StatementLine(
        transaction_id=transaction_id,
        end_to_end_id=None,
        amount_minor=amount_minor,
        currency="EUR",
        booked_on=date(2026, 11, 16),
        value_on=date(2026, 11, 16),
        reversal=False,
        bank_code="PMNT/RCDT/ESCT",
        counterparty_name=None,
        counterparty_iban=None,
        remittance=None,
    )


def statement(world: World, *lines: StatementLine, opening_minor: int = 0, days: int = 1) -> Statement:
    return Statement(
        statement_id=f"statement-{days}",
        iban=world.programme.safeguarding_iban,
        currency="EUR",
        starts_at=STARTS + timedelta(days=days - 1),
        ends_at=STARTS + timedelta(days=days),
        opening_minor=opening_minor,
        closing_minor=opening_minor + sum(item.amount_minor for item in lines),
        lines=lines,
    )


def references(tx: Tx, world: World) -> list[str]:
    """The bank's ids of the postings on the safeguarding account, as the book knows them."""
    return [item.reference for item in unmatched_movements(tx, world.programme_id)]


def test_a_line_that_the_book_does_not_know_is_an_open_break(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        import_statements(tx, world.programme, [statement(world, line("fee-1", -120))], document=DOCUMENT)
        fund(tx, world, "ana", amount_minor=500)

        first = reconcile(tx, world.programme_id)

        report = reconciliation(tx, world.programme_id)
        assert (first.matched, first.lines_left, first.movements_left) == (0, 1, 1)
        assert {(item.kind, item.amount_minor) for item in report.open_breaks} == {
            ("unknown_bank_entry", -120),
            ("unmatched_ledger_movement", 500),
        }


def test_a_late_line_closes_the_break_of_its_movement(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=500)
        import_statements(tx, world.programme, [statement(world)], document=DOCUMENT)
        reconcile(tx, world.programme_id)
        (reference,) = references(tx, world)
        assert len(reconciliation(tx, world.programme_id).open_breaks) == 1

        late = statement(world, line(reference, 500), days=2)
        import_statements(tx, world.programme, [late], document=DOCUMENT)
        found = reconcile(tx, world.programme_id)

        assert found.matched == 1
        assert reconciliation(tx, world.programme_id).open_breaks == ()


def test_importing_and_reconciling_again_changes_nothing(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        again = statement(world, line("fee-1", -120))
        assert len(import_statements(tx, world.programme, [again], document=DOCUMENT)) == 1
        reconcile(tx, world.programme_id)
        before = reconciliation(tx, world.programme_id)

        assert import_statements(tx, world.programme, [again], document=DOCUMENT) == []
        reconcile(tx, world.programme_id)

        assert reconciliation(tx, world.programme_id) == before


def test_a_movement_after_the_statements_end_is_not_yet_a_break(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        import_statements(tx, world.programme, [statement(world)], document=DOCUMENT)
    with open_tx(now=MONDAY_MORNING + timedelta(days=1)) as tx:
        fund(tx, world, "ana", amount_minor=500)

        assert reconcile(tx, world.programme_id).movements_left == 0


def test_a_statement_of_somebody_elses_account_is_refused(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        foreign = Statement(
            "x", "FR7630006000011234567890189", "EUR", STARTS, STARTS + timedelta(days=1), 0, 0
        )

        with pytest.raises(InvalidValue, match="No statement"):
            import_statements(tx, world.programme, [foreign], document=DOCUMENT)


def test_safeguarding_compares_customers_claims_with_the_banks_word(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=31_747)
        earn_commission(tx, world, amount_minor=3_424)
        assert safeguarding(tx, world.programme_id).shortfall_minor is None  # the bank has said nothing yet

        closing = statement(world, line("all", 31_627))
        import_statements(tx, world.programme, [closing], document=DOCUMENT)

        report = safeguarding(tx, world.programme_id)
        assert (report.requirement_minor, report.resource_minor, report.shortfall_minor) == (
            31_747,
            31_627,
            120,
        )
        assert report.excess_minor == 0
        assert report.book_minor == 31_747 + 3_424


def test_the_newest_statement_is_the_resource(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        both = [
            statement(world, line("one", 100)),
            statement(world, line("two", 50), opening_minor=100, days=2),
        ]
        import_statements(tx, world.programme, both, document=DOCUMENT)

        account = reconciliation(tx, world.programme_id).accounts[0]
        assert (account.statement_opening_minor, account.statement_closing_minor) == (0, 150)
        assert safeguarding(tx, world.programme_id).resource_minor == 150


def test_the_trial_balance_sums_to_zero(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=500)
        earn_commission(tx, world, amount_minor=70)

        report = trial_balance(tx, world.programme_id)

        assert report.sums_minor == {"EUR": 0}
        balances = {row.code: row.balance_minor for row in report.rows if row.balance_minor}
        assert balances == {Code.SAFEGUARDING: 570, Code.WALLET: 500, Code.COMMISSION: 70}
