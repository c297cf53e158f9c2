"""The gate over a real database: each order its own result, cases that commit, statements that do not
multiply.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from compliance.gate import Gate
from compliance.sca import Answered, answer, ask, enrol
from compliance.store import load_list
from ledger.core.canonical import canonical_text
from ledger.core.clearance import Barred, Cleared, Held
from ledger.core.ids import PartyId, ProgrammeId
from ledger.core.orders import CheckoutOrder, Order, order_text
from ledger.store.rows import insert_rows
from ledger.store.schema import accounts, cases, checkout_lines, checkouts, clearances
from ledger.store.tx import Tx
from tests.compliance.given import (
    ANA,
    HOTEL,
    LISTED,
    WALLET,
    ZUBAROV,
    book_parties,
    capture,
    checkout,
    deposit,
    key_pair,
    onboard,
    payout,
    policies,
    refund,
    sign,
    some_id,
    sweep,
)
from tests.conftest import Database, OpenTx, make_programme


@pytest.fixture
def programme(open_tx: OpenTx, programme_id: ProgrammeId) -> ProgrammeId:
    """A programme with its parties, Ana's wallet and one sanctions list."""
    with open_tx() as tx:
        book_parties(tx, programme_id)
        book_wallet(tx, programme_id)
        load_list(tx, programme_id, name="un", legal_basis="un", entries=[("UN.1", LISTED)])
    return programme_id


def book_wallet(tx: Tx, programme_id: ProgrammeId) -> None:
    row = {
        "id": WALLET,
        "programme_id": programme_id,
        "code": "customer_wallet",
        "path": "liability/customer_wallet",
        "party_id": ANA,
        "currency": "EUR",
        "class": "liability",
        "side": "credit",
        "pool": "e_money",
        "tags": [],
        "opened_at": tx.now,
    }
    insert_rows(tx, accounts, [row])


def book_checkout(tx: Tx, order: CheckoutOrder) -> None:
    head = {
        "id": order.checkout_id,
        "programme_id": order.programme_id,
        "payer_id": order.payer_id,
        "reference": order.reference,
        "currency": order.currency,
        "amount_minor": order.amount_minor,
        "state": "authorised",
        "expires_at": order.expires_at,
        "created_at": tx.now,
    }
    lines = [
        {
            "checkout_id": order.checkout_id,
            "line_no": line_no,
            "reference": line.reference,
            "seller_id": line.seller_id,
            "quantity": line.quantity,
            "unit_minor": line.unit_minor,
            "amount_minor": line.amount_minor,
            "splits": [],
            "captured_minor": 0,
            "refunded_minor": 0,
            "captured_parts": [],
            "refunded_parts": [],
            "final": False,
        }
        for line_no, line in enumerate(order.lines, start=1)
    ]
    insert_rows(tx, checkouts, [head])
    insert_rows(tx, checkout_lines, lines)


def of(programme_id: ProgrammeId, *orders: Order) -> list[Any]:
    return [replace(order, programme_id=programme_id) for order in orders]


def case_rows(tx: Tx) -> Sequence[sa.RowMapping]:
    columns = ("id", "order_kind", "order_canonical", "outcome", "findings", "inputs", "opened_at")
    return tx.rows(sa.select(*(cases.c[name] for name in columns)).order_by(cases.c.id))


@contextmanager
def counted_statements(engine: sa.Engine) -> Iterator[list[str]]:
    seen: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", see)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", see)


def test_a_clean_order_is_cleared_for_exactly_itself(open_tx: OpenTx, programme: ProgrammeId) -> None:
    (order,) = of(programme, payout())

    with open_tx() as tx:
        (result,) = Gate(policies()).screen(tx, [order])

    assert isinstance(result, Cleared)
    assert result.order is order
    assert result.clearance.id.startswith("clr_")
    assert result.clearance.programme_id == programme
    assert result.clearance.order_canonical == order_text(order)


def test_a_clearance_says_what_was_looked_at(open_tx: OpenTx, programme: ProgrammeId) -> None:
    with open_tx() as tx:
        (result,) = Gate(policies()).screen(tx, of(programme, payout()))

    assert isinstance(result, Cleared)
    decision = json.loads(canonical_text(result.clearance.decision))
    assert decision["rules"] == ["party_active", "transaction_limit", "sanctions_name"]
    assert decision["policy"] == "2026-01"
    (listed,) = decision["inputs"]["sanctions_name"]["lists"]
    assert (listed["name"], listed["legal_basis"], len(listed["digest"])) == ("un", "un", 64)


def test_screening_writes_no_clearance(open_tx: OpenTx, programme: ProgrammeId) -> None:
    with open_tx() as tx:
        Gate(policies()).screen(tx, of(programme, payout()))

        assert tx.rows(sa.select(clearances.c.id)) == []
        assert case_rows(tx) == []


def test_every_order_gets_its_own_result_in_its_own_place(open_tx: OpenTx, programme: ProgrammeId) -> None:
    orders = of(programme, payout(ZUBAROV), payout(), payout(amount_minor=10_000_001), deposit(), sweep())

    with open_tx() as tx:
        results = Gate(policies()).screen(tx, orders)

    assert [type(result) for result in results] == [Held, Cleared, Barred, Cleared, Cleared]
    assert [result.order for result in results] == orders


def test_held_and_barred_orders_open_cases_that_commit(open_tx: OpenTx, programme: ProgrammeId) -> None:
    orders = of(programme, onboard(ZUBAROV), payout(ZUBAROV, amount_minor=10_000_001))

    with open_tx() as tx:
        held, barred = Gate(policies()).screen(tx, orders)

    assert isinstance(held, Held)
    assert isinstance(barred, Barred)
    with open_tx() as tx:
        rows = {row["id"]: row for row in case_rows(tx)}
        now = tx.now
    assert {case_id: row["outcome"] for case_id, row in rows.items()} == {
        held.case_id: "held",
        barred.case_id: "refused",
    }
    row = rows[barred.case_id]
    assert row["order_canonical"] == order_text(barred.order)
    assert [finding["rule"] for finding in row["findings"]] == ["transaction_limit", "sanctions_name"]
    assert row["inputs"]["inputs"]["sanctions_name"]["closest"][0]["entry"] == "UN.1"
    assert row["opened_at"] == now


def test_a_case_is_undone_with_its_transaction(open_tx: OpenTx, programme: ProgrammeId) -> None:
    with open_tx() as tx:
        Gate(policies()).screen(tx, of(programme, onboard(ZUBAROV)))
        assert case_rows(tx)
        tx.connection.rollback()

    with open_tx() as tx:
        assert case_rows(tx) == []


def test_a_checkout_that_only_waits_for_its_payer_opens_no_case(
    open_tx: OpenTx, programme: ProgrammeId
) -> None:
    with open_tx() as tx:
        (result,) = Gate(policies()).screen(tx, of(programme, checkout(3_001)))

        assert isinstance(result, Held)
        assert result.case_id.startswith("case_")
        assert [finding.rule for finding in result.findings] == ["strong_authentication"]
        assert case_rows(tx) == []


def test_a_checkout_that_waits_for_more_opens_a_case(open_tx: OpenTx, programme_id: ProgrammeId) -> None:
    with open_tx() as tx:
        book_parties(tx, programme_id, held=[HOTEL])
        (result,) = Gate(policies()).screen(tx, of(programme_id, checkout(3_001)))

        assert isinstance(result, Held)
        assert [finding.rule for finding in result.findings] == ["party_active", "strong_authentication"]
        assert [row["id"] for row in case_rows(tx)] == [result.case_id]


def test_an_authenticated_checkout_is_cleared_and_a_changed_one_is_not(
    open_tx: OpenTx, programme: ProgrammeId
) -> None:
    private, pem = key_pair()
    (order,) = of(programme, checkout(5_000))
    changed = replace(order, amount_minor=5_001)
    gate = Gate(policies())

    with open_tx() as tx:
        enrol(tx, programme, party_id=ANA, public_key_pem=pem)
        (challenge,) = ask(tx, policies(), [order])
        signature = sign(private, challenge.text)
        answered = answer(
            tx, policies(), programme_id=programme, subject_id=order.checkout_id, signature=signature
        )
        (result,) = gate.screen(tx, [order])
        (other,) = gate.screen(tx, [changed])

    assert isinstance(answered, Answered)
    assert isinstance(result, Cleared)
    inputs = json.loads(canonical_text(result.clearance.decision))["inputs"]
    assert inputs["strong_authentication"]["authentication_id"] == challenge.authentication_id
    assert isinstance(other, Held)


def test_captures_and_refunds_are_screened_by_their_checkout(open_tx: OpenTx, programme: ProgrammeId) -> None:
    with open_tx() as tx:
        book_checkout(tx, *of(programme, checkout()))
        results = Gate(policies()).screen(tx, of(programme, capture(), refund(), capture(number=7)))

    assert [type(result) for result in results] == [Cleared, Cleared, Barred]


def test_an_order_about_another_programmes_money_is_barred(open_tx: OpenTx, programme: ProgrammeId) -> None:
    with open_tx() as tx:
        book_checkout(tx, *of(programme, checkout()))
        stranger = make_programme(tx, "pay-uk")
        load_list(tx, stranger, name="un", legal_basis="un", entries=[("UN.1", LISTED)])
        results = Gate(policies()).screen(
            tx, of(stranger, payout(), deposit(), checkout(number=2), capture(), refund())
        )

    assert [type(result) for result in results] == [Barred] * 5


def test_a_newly_loaded_list_is_used_at_once(open_tx: OpenTx, programme: ProgrammeId) -> None:
    gate = Gate(policies())
    with open_tx() as tx:
        (before,) = gate.screen(tx, of(programme, payout()))
        load_list(tx, programme, name="un", legal_basis="un", entries=[("UN.2", "Hotel Mirador")])
        (after,) = gate.screen(tx, of(programme, payout()))

    assert isinstance(before, Cleared)
    assert isinstance(after, Held)


def test_no_orders_no_statements(open_tx: OpenTx, database: Database) -> None:
    with open_tx() as tx, counted_statements(database.app_engine) as seen:
        assert Gate(policies()).screen(tx, []) == ()

    assert not [statement for statement in seen if "SELECT" in statement]


def test_the_number_of_statements_does_not_grow_with_the_orders(
    open_tx: OpenTx, database: Database, programme: ProgrammeId
) -> None:
    def batch(size: int) -> list[Any]:
        each = [
            (
                payout(ZUBAROV, number=number),
                onboard(number=number),
                checkout(4_000, number=number),
                deposit(),
            )
            for number in range(10, 10 + size)
        ]
        captures = [capture(number=1)] * size
        return of(programme, *(order for orders in each for order in orders), *captures)

    with open_tx() as tx:
        book_checkout(tx, *of(programme, checkout()))
        with counted_statements(database.app_engine) as few:
            one = Gate(policies()).screen(tx, batch(1))
        with counted_statements(database.app_engine) as many:
            lots = Gate(policies()).screen(tx, batch(100))

    assert (len(one), len(lots)) == (5, 500)
    assert len(many) == len(few) == 7


def test_the_inputs_of_a_party_that_does_not_exist_name_it(open_tx: OpenTx, programme: ProgrammeId) -> None:
    nobody = PartyId(some_id("pty", 99))

    with open_tx() as tx:
        (result,) = Gate(policies()).screen(tx, of(programme, replace(payout(), party_id=nobody)))

    assert isinstance(result, Barred)
    assert [finding.detail for finding in result.findings] == [f"The programme has no party {nobody}."]
