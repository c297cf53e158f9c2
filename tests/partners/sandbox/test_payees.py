"""Verification of Payee: by magic remittance, and by comparing names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.sandbox.payees import Match, compare
from tests.partners.sandbox.bank_process import SigningClient
from tests.partners.sandbox.customers import OUTSIDE_IBAN, Customer

PATH = "/open-banking/vop/v1/payees/single"


def question(iban: str, **changes: object) -> dict[str, object]:
    return {
        "party": {"name": "Ana Moreau"},
        "partyAccount": {"iban": iban},
        "partyAgent": {"financialInstitutionId": {"bicfi": "CLRBNL2AXXX"}},
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "match", "matched"),
    [
        ("Ana Moreau", "MTCH", None),
        ("ANA  MOREAU.", "MTCH", None),
        ("Moreau Ana", "CMTC", "Ana Moreau"),
        ("Anna Moreau", "CMTC", "Ana Moreau"),
        ("Ben Silva", "NMTC", None),
    ],
)
def test_name_is_compared_with_the_account_holders(
    client: SigningClient, customer: Customer, name: str, match: str, matched: str | None
) -> None:
    answer = client.post(PATH, question(customer.virtual_iban, party={"name": name}))

    assert answer.status_code == 200
    assert answer.json() == {"partyNameMatch": match, "partyIdMatch": None, "matchedName": matched}


@pytest.mark.parametrize(
    ("magic", "match"),
    [
        ("--match--", "MTCH"),
        ("--nomatch--", "NMTC"),
        ("--closematch--", "CMTC"),
        ("--notapplicable--", "NOAP"),
        ("Payout 17", "NOAP"),
    ],
)
def test_magic_remittance_decides_for_any_iban(client: SigningClient, magic: str, match: str) -> None:
    answer = client.post(PATH, question(OUTSIDE_IBAN, unstructuredRemittanceInformation=[magic]))

    assert answer.json()["partyNameMatch"] == match
    assert (answer.json()["matchedName"] is None) == (match != "CMTC")


def test_identification_is_not_checked_here(client: SigningClient, customer: Customer) -> None:
    party = {"identification": {"organisationId": {"anyBIC": "CLRBNL2AXXX"}}}
    answer = client.post(PATH, question(customer.iban, party=party))

    assert answer.json() == {"partyNameMatch": None, "partyIdMatch": "NOAP", "matchedName": None}


@pytest.mark.parametrize(
    "party",
    [
        {},
        {"name": "Ana", "identification": {"organisationId": {"anyBIC": "CLRBNL2AXXX"}}},
        {"identification": {"organisationId": {}}},
        {"name": "x" * 141},
    ],
)
def test_question_that_breaks_a_rule_is_refused(
    client: SigningClient, customer: Customer, party: dict[str, object]
) -> None:
    assert client.post(PATH, question(customer.iban, party=party)).status_code == 400


@given(st.text(min_size=1))
def test_every_name_matches_itself_in_any_case(name: str) -> None:
    assert compare(name, name) is Match.MATCH
    assert compare(name, None) is Match.NOT_APPLICABLE
