"""A payee's bank is asked by name and IBAN; only the scheme's four answers are believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from partners.clearbank.adapter import ClearBank
from partners.contract import Answer, PayeeAnswer, PayeeMatch, Signing, Unreadable
from tests.partners.clearbank.orders import answer

BANK = ClearBank()
IBAN = "NL73ABNA0529451824"


def test_request_names_payee_account_and_its_bank() -> None:
    request = BANK.payee_request(name='Zoë "Z" Ågren', iban=IBAN)

    assert request.body is not None
    assert json.loads(request.body) == {
        "party": {"name": 'Zoë "Z" Ågren'},
        "partyAccount": {"iban": IBAN},
        "partyAgent": {"financialInstitutionId": {"bicfi": "ABNANL2A"}},
    }
    assert (request.method, request.path) == ("POST", "/open-banking/vop/v1/payees/single")
    assert (request.signing, request.profile) == (Signing.MESSAGE, "clearbank.payee")


@pytest.mark.parametrize(
    ("name", "iban", "field"),
    [
        ("", IBAN, "name"),
        (" ", IBAN, "name"),
        ("x" * 141, IBAN, "name"),
        ("two\nlines", IBAN, "name"),
        ("Ada", "NL73ABNA0529451825", "iban"),
        ("Ada", "", "iban"),
        ("Ada", "AT611904300234573201", "iban"),  # sound, and of a bank that nobody knows
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(name: str, iban: str, field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        BANK.payee_request(name=name, iban=iban)

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"partyNameMatch": "MTCH"}, PayeeAnswer(PayeeMatch.MATCH, None)),
        (
            {"partyNameMatch": "CMTC", "matchedName": "Ada Lovelace"},
            PayeeAnswer(PayeeMatch.CLOSE_MATCH, "Ada Lovelace"),
        ),
        ({"partyNameMatch": "CMTC", "matchedName": None}, PayeeAnswer(PayeeMatch.CLOSE_MATCH, None)),
        ({"partyNameMatch": "NMTC", "matchedName": "Not to be told"}, PayeeAnswer(PayeeMatch.NO_MATCH, None)),
        ({"partyNameMatch": "NOAP", "partyIdMatch": None}, PayeeAnswer(PayeeMatch.NOT_POSSIBLE, None)),
    ],
)
def test_the_four_answers_are_read(said: object, meant: PayeeAnswer) -> None:
    assert BANK.interpret_payee(answer(200, said)) == meant


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (202, {"partyNameMatch": "MTCH"}),
        (400, {"status": 400}),
        (200, {"partyNameMatch": "match"}),
        (200, {"partyNameMatch": None}),
        (200, {"partyNameMatch": ["MTCH"]}),
        (200, {}),
        (200, b"MTCH"),
    ],
)
def test_anything_else_is_unreadable(status: int, said: object) -> None:
    with pytest.raises(Unreadable):
        BANK.interpret_payee(answer(status, said))


@given(st.binary(max_size=200), st.integers(100, 599))
def test_noise_never_says_that_a_name_is_right(body: bytes, status: int) -> None:
    with pytest.raises(Unreadable):
        BANK.interpret_payee(Answer(status, (), body))
