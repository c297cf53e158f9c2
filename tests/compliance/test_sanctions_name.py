"""Which names are screened against which lists, and what an alert does."""

import pytest

from compliance.facts import Facts, SanctionsList
from compliance.opinion import Effect, Opinion
from compliance.rules.sanctions_name import check
from ledger.core.orders import Order
from tests.compliance.given import (
    LISTED,
    ZUBAROV,
    capture,
    checkout,
    deposit,
    facts,
    onboard,
    payout,
    refund,
    sanctions_list,
    sweep,
)


def opinion_on(order: Order, known: Facts) -> Opinion:
    opinion = check(order, known)
    assert opinion is not None
    assert all(verdict.effect is Effect.HOLD for verdict in opinion.verdicts)
    return opinion


@pytest.mark.parametrize(
    "order", [onboard(ZUBAROV), onboard(payout_name=ZUBAROV), deposit(ZUBAROV), payout(ZUBAROV)]
)
def test_a_listed_name_is_held(order: Order) -> None:
    (verdict,) = opinion_on(order, facts()).verdicts

    assert verdict.finding.detail == "A name is 0.9888 like entry E0 of the list consolidated."


@pytest.mark.parametrize("order", [onboard(), deposit(), payout()])
def test_another_name_passes_and_the_record_says_what_was_compared(order: Order) -> None:
    opinion = opinion_on(order, facts())

    assert opinion.verdicts == ()
    assert opinion.inputs["alert_score"] == "0.8800"
    assert opinion.inputs["lists"] == [{"name": "consolidated", "legal_basis": "un", "digest": "ab" * 32}]


def test_the_record_explains_the_score() -> None:
    (closest,) = opinion_on(payout("V. Orlov"), facts()).inputs["closest"]

    assert closest["listed"] == LISTED
    assert closest["pairs"] == [["v", "viktor", "0.9000"]]


def test_an_instant_payout_is_not_screened_against_eu_measures() -> None:
    eu, un = (
        sanctions_list(LISTED, legal_basis="eu_tfs"),
        sanctions_list("Nord Trading LLC", legal_basis="un"),
    )

    assert opinion_on(payout(ZUBAROV, rail="SCT_INST"), facts(lists=[eu, un])).verdicts == ()
    assert opinion_on(payout(ZUBAROV, rail="SCT_INST"), facts(lists=[eu])).verdicts == ()
    assert opinion_on(payout(ZUBAROV, rail="SCT"), facts(lists=[eu, un])).verdicts


def test_an_instant_payout_is_screened_against_every_other_list() -> None:
    other = sanctions_list(LISTED, legal_basis="un")

    assert opinion_on(payout(ZUBAROV, rail="SCT_INST"), facts(lists=[other])).verdicts


def test_a_customer_is_screened_against_eu_measures_when_taken_in() -> None:
    assert opinion_on(onboard(ZUBAROV), facts(lists=[sanctions_list(LISTED, legal_basis="eu_tfs")])).verdicts


@pytest.mark.parametrize("order", [onboard(), deposit(), payout(), payout(rail="SCT_INST")])
def test_without_any_list_nobody_is_clean(order: Order) -> None:
    (verdict,) = opinion_on(order, facts(lists=[])).verdicts

    assert verdict.finding.detail == "The programme has no sanctions list to screen against."


def test_a_name_that_cannot_be_compared_is_held() -> None:
    (verdict,) = opinion_on(deposit("…"), facts()).verdicts

    assert verdict.finding.detail == "A name has no letters that could be compared."


def test_many_alerts_are_bounded() -> None:
    crowd: SanctionsList = sanctions_list(*([LISTED] * 50))

    assert len(opinion_on(payout(ZUBAROV), facts(lists=[crowd])).verdicts) == 5


@pytest.mark.parametrize("order", [checkout(), capture(), refund(), sweep()])
def test_orders_between_known_parties_are_not_screened_by_name(order: Order) -> None:
    assert check(order, facts()) is None
