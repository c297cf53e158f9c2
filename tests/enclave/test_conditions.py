"""What time and people must have done before a payout is signed: each condition at its very edge."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.facts import PayoutRecord
from enclave.policy import CLOCK_SKEW_S_MAX, Before, Conditions, refuse_payout
from tests.enclave.payouts import (
    AMOUNT_MINOR,
    COOLING,
    CREDIT_TRANSFER,
    INITIATOR,
    NOW,
    ROSTER,
    SCREENING_AGE_MAX,
    STRICT,
    approved,
    body_of,
    fit,
    good_record,
    order_text,
    record_of,
    request_of,
)
from tests.enclave.test_policy import LIMITS

GOOD = request_of(body_of(CREDIT_TRANSFER))
READY = fit(good_record())
MOMENT = timedelta(microseconds=1)
SKEW = timedelta(seconds=CLOCK_SKEW_S_MAX)


def judge(record: PayoutRecord = READY, conditions: Conditions = STRICT) -> str | None:
    answer = refuse_payout(
        GOOD,
        record,
        before=Before(),
        limits=LIMITS,
        conditions=conditions,
        approvers=ROSTER,
        now=NOW,
    )
    return None if answer is None else str(answer.code)


def test_a_payout_with_all_that_is_asked_for_may_be_signed() -> None:
    assert judge() is None


def test_what_is_not_asked_for_is_not_missed() -> None:
    assert judge(good_record(), Conditions()) is None


# The beneficiary


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"beneficiary_verified_at": None}, "beneficiary_unverified"),
        ({"beneficiary_changed_at": None}, "beneficiary_unverified"),
        ({"beneficiary_verified_at": None, "beneficiary_changed_at": None}, "beneficiary_unverified"),
        ({"beneficiary_verified_at": NOW - COOLING - MOMENT}, "beneficiary_unverified"),
        ({"beneficiary_verified_at": NOW - COOLING}, None),
        ({"beneficiary_verified_at": NOW}, None),
        ({"beneficiary_verified_at": NOW + SKEW}, None),
        ({"beneficiary_verified_at": NOW + SKEW + MOMENT}, "beneficiary_unverified"),
    ],
)
def test_the_account_must_have_been_verified_since_it_was_last_changed(
    changes: dict[str, object], code: str | None
) -> None:
    assert judge(replace(READY, **changes)) == code  # type: ignore[arg-type]  # columns by name


@pytest.mark.parametrize(
    ("age", "code"),
    [
        (COOLING + MOMENT, None),
        (COOLING, None),
        (COOLING - MOMENT, "beneficiary_cooling"),
        (timedelta(), "beneficiary_cooling"),
        (-timedelta(days=1), "beneficiary_cooling"),
    ],
)
def test_the_account_must_not_have_changed_for_the_cooling_period(age: timedelta, code: str | None) -> None:
    record = replace(READY, beneficiary_changed_at=NOW - age, beneficiary_verified_at=max(NOW, NOW - age))
    conditions = STRICT

    assert judge(record, conditions) == ("beneficiary_unverified" if age < -SKEW else code)


def test_without_a_cooling_period_verification_is_still_asked_for() -> None:
    conditions = replace(STRICT, cooling=timedelta())

    assert judge(replace(READY, beneficiary_changed_at=NOW, beneficiary_verified_at=NOW), conditions) is None
    assert judge(replace(READY, beneficiary_verified_at=None), conditions) == "beneficiary_unverified"


# The screening


@pytest.mark.parametrize(
    ("age", "code"),
    [
        (SCREENING_AGE_MAX + MOMENT, "screening_stale"),
        (SCREENING_AGE_MAX, None),
        (SCREENING_AGE_MAX - MOMENT, None),
        (timedelta(), None),
        (-SKEW, None),
        (-SKEW - MOMENT, "screening_stale"),
    ],
)
def test_the_screening_may_be_as_old_as_is_said_and_no_older(age: timedelta, code: str | None) -> None:
    assert judge(replace(READY, screened_at=NOW - age)) == code


def test_an_order_that_was_never_screened_is_refused() -> None:
    assert judge(replace(READY, screened_at=None)) == "screening_stale"


# The approvals


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ((), "approvals_missing"),
        (("anna",), "approvals_missing"),
        (("anna", "anna"), "approvals_missing"),
        (("anna", "mallory"), "approvals_missing"),
        (("anna", "boris"), None),
        (("anna", "boris", "carla"), None),
        ((INITIATOR,), "approvals_missing"),
        (("anna", INITIATOR), "approver_is_initiator"),
        (("anna", INITIATOR, "boris"), None),
    ],
)
def test_two_people_other_than_the_initiator_must_have_approved(
    names: tuple[str, ...], code: str | None
) -> None:
    assert judge(approved(READY, *names)) == code


@pytest.mark.parametrize(("needed", "code"), [(1, None), (2, None), (3, "approvals_missing")])
def test_as_many_must_have_approved_as_is_said(needed: int, code: str | None) -> None:
    assert judge(conditions=replace(STRICT, approvals_needed=needed)) == code


@pytest.mark.parametrize(
    ("above_minor", "code"),
    [
        (None, None),
        (AMOUNT_MINOR + 1, None),
        (AMOUNT_MINOR, None),
        (AMOUNT_MINOR - 1, "approvals_missing"),
        (0, "approvals_missing"),
    ],
)
def test_only_what_is_above_the_amount_needs_approvals(above_minor: int | None, code: str | None) -> None:
    conditions = replace(STRICT, approvals_above_minor=above_minor)

    assert judge(approved(READY), conditions) == code


def test_an_order_without_an_initiator_is_nobodys_to_approve() -> None:
    record = fit(record_of(order_text(initiator=""), initiator=""))

    assert judge(record) == "approver_is_initiator"


def test_the_initiator_cannot_be_made_another_than_the_order_says() -> None:
    record = replace(approved(READY, "anna", INITIATOR), initiator="cli_other")

    assert judge(record) == "order_fields_differ"


@given(
    names=st.lists(st.sampled_from(["anna", "boris", "carla", "mallory", INITIATOR]), max_size=6),
    needed=st.integers(1, 4),
)
def test_it_is_signed_when_enough_different_others_have_approved(names: list[str], needed: int) -> None:
    others = len(set(names) - {"mallory", INITIATOR})

    signed = judge(approved(READY, *names), replace(STRICT, approvals_needed=needed)) is None

    assert signed == (others >= needed)
