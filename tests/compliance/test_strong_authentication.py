"""When a checkout needs its payer's authentication, and which authentication counts."""

from dataclasses import replace

import pytest

from compliance.facts import AuthenticationFact, Facts
from compliance.opinion import Effect
from compliance.rules.strong_authentication import check, digest_hex
from ledger.core.orders import CheckoutOrder
from tests.compliance.given import ANA, LEA, OTHER_PROGRAMME, PROGRAMME, checkout, facts, payout, some_id

DEAR = checkout(3_001)


def answered(order: CheckoutOrder = DEAR) -> AuthenticationFact:
    return AuthenticationFact(some_id("sca", 1), PROGRAMME, ANA, digest_hex(order), answered=True)


def told(authentication: AuthenticationFact) -> Facts:
    return replace(facts(), authentications={DEAR.checkout_id: authentication})


def is_held(order: CheckoutOrder, known: Facts) -> bool:
    opinion = check(order, known)
    assert opinion is not None
    assert all(verdict.effect is Effect.HOLD for verdict in opinion.verdicts)
    return bool(opinion.verdicts)


def test_thirty_euro_is_exempt_and_a_cent_more_is_not() -> None:
    assert not is_held(checkout(3_000), facts())
    assert is_held(checkout(3_001), facts())


def test_a_currency_without_an_amount_always_needs_authentication() -> None:
    assert is_held(checkout(1_001, currency="XTS"), facts())


def test_an_answered_authentication_of_this_order_passes_and_is_recorded() -> None:
    opinion = check(DEAR, told(answered()))

    assert opinion is not None
    assert opinion.verdicts == ()
    assert opinion.inputs == {"exempt_up_to_minor": 3_000, "authentication_id": some_id("sca", 1)}


@pytest.mark.parametrize(
    "authentication",
    [
        replace(answered(), answered=False),
        replace(answered(), party_id=LEA),
        replace(answered(), programme_id=OTHER_PROGRAMME),
        answered(checkout(3_002)),
        answered(replace(DEAR, lines=tuple(reversed(DEAR.lines)))),
    ],
    ids=["not answered", "another payer", "another programme", "another amount", "other lines"],
)
def test_an_authentication_of_anything_else_does_not_count(authentication: AuthenticationFact) -> None:
    assert is_held(DEAR, told(authentication))


def test_only_checkouts_are_authenticated() -> None:
    assert check(payout(), facts()) is None
