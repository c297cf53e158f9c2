"""Any text becomes one that every SEPA bank carries, or is refused; carried text stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import InvalidValue
from partners.sepa_text import is_sepa_text, sepa_text


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        ("Café Société Générale", "Cafe Societe Generale"),
        ("Müller & Söhne GmbH", "Muller + Sohne GmbH"),
        ("Straße 5", "Strasse 5"),
        ("Łukasz Żółć", "Lukasz Zolc"),
        ("Ωμέγα", "Omega"),
        ("Борис", "Boris"),
        ("order_17 #4", "order-17 4"),
        ("  two\t words\n", "two words"),
        ("/RFB//12345/", "RFB/12345"),
        ("[a]{b}", "(a)(b)"),
        ("5 € tip", "5 EUR tip"),
    ],
)
def test_foreign_signs_become_their_nearest_relation(text: str, carried: str) -> None:
    assert sepa_text(text, max_length=70) == carried


@pytest.mark.parametrize("text", ["", "  ", "//", "ab", "🙂🙂🙂", "\ud800\ud800\ud800", "!!!"])
def test_text_of_which_too_little_is_left_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        sepa_text(text, max_length=70, field="creditor_name")

    assert refused.value.field == "creditor_name"


def test_cut_text_does_not_end_in_a_slash_or_space() -> None:
    assert sepa_text("abcd /efgh", max_length=6) == "abcd"


@given(st.text(max_size=200), st.integers(min_value=3, max_value=140))
def test_result_is_carried_and_is_its_own_result(text: str, max_length: int) -> None:
    try:
        carried = sepa_text(text, max_length=max_length)
    except InvalidValue:
        return

    assert is_sepa_text(carried, max_length=max_length)
    assert sepa_text(carried, max_length=max_length) == carried


@given(st.from_regex(r"\A[0-9a-zA-Z\-?:().,'+][0-9a-zA-Z\-?:().,'+]{1,60}[0-9a-zA-Z\-?:().,'+]\Z"))
def test_carried_text_is_not_changed(text: str) -> None:
    assert sepa_text(text, max_length=70) == text


@pytest.mark.parametrize(
    "text", ["ab", "a//b", "/abc", "abc/", " abc", "abc ", "a_c", "abç", "abc\n", "a\nc"]
)
def test_text_that_a_bank_refuses_is_told_apart(text: str) -> None:
    assert not is_sepa_text(text, max_length=70)
