"""How like two names are: the names of the story, each rule of comparison, and any text at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.names import likeness, score, tokens_of
from tests.compliance.given import LISTED, ZUBAROV, policy

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
WORDS = "Viktor Anatolyevich Zubarov A. V Zubarow Ana Moreau Lea Brandt Nord GmbH Viktoria"
NAMES = st.lists(
    st.sampled_from(WORDS.split()),
    min_size=1,
    max_size=5,
).map(" ".join)


@pytest.mark.parametrize(
    "name",
    [
        ZUBAROV,
        "Viktor Zubarov",
        "Zubarov V.",
        "VIKTOR ZUBAROW",
        "Mr. Víktor Zubárov",
        "Виктор Зубаров",
        "ZubarovViktor A",
        "Viktor Zubarov GmbH",
    ],
)
def test_spellings_of_a_listed_name_alert(name: str) -> None:
    assert score(name, LISTED) >= policy().name_alert_score


@pytest.mark.parametrize(
    "name",
    [
        "Ana Moreau",
        "Lea Brandt",
        "Hotel Mirador SL",
        "Soundbar GmbH",
        "Atelier Nord SARL",
        "Viktor Petrov",
    ],
)
def test_other_names_do_not_alert(name: str) -> None:
    assert score(name, LISTED) < policy().name_alert_score


def test_the_explanation_names_the_pairs() -> None:
    alike = likeness(tokens_of(ZUBAROV), tokens_of(LISTED))

    assert alike.pairs == (("viktor", "viktor", 1.0), ("zubarov", "zubarov", 1.0), ("anatolyevich", "a", 0.9))


def test_initials_alone_are_enough_to_ask_a_person() -> None:
    assert score("A. V.", LISTED) >= policy().name_alert_score


def test_two_different_initials_are_no_pair() -> None:
    assert score("William G. Frost", "William W. Frost") < score("William G. Frost", "William Frost")


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("Bowne Global Solutions, S.A.R.L.", ("bowne", "global", "solutions")),
        ("OAO Gazprom", ("gazprom",)),
        ("Open Joint Stock Company Gazprom", ("gazprom",)),
        ("J.-C. Juncker", ("j", "c", "juncker")),
        ("O'Neill", ("oneill",)),
        ("Société Générale", ("societe", "generale")),
        ("GmbH", ("gmbh",)),
        ("   ", ()),
        ("🎉", ()),
        ("\ud800", ()),
    ],
)
def test_titles_and_legal_forms_fall_away(name: str, tokens: tuple[str, ...]) -> None:
    assert tokens_of(name) == tokens


@given(ANY_TEXT, ANY_TEXT)
def test_any_two_texts_have_a_score(name: str, listed: str) -> None:
    assert 0.0 <= score(name, listed) <= 1.0


@given(ANY_TEXT | NAMES)
def test_a_name_is_itself(name: str) -> None:
    # Rounding of the weighed sum may stay a hair below one.
    assert score(name, name) == pytest.approx(1.0 if tokens_of(name) else 0.0)


@given(NAMES, NAMES)
def test_which_name_is_listed_matters_little(name: str, listed: str) -> None:
    # Two pairings can be equally good; which of them is taken depends on the side.
    assert score(name, listed) == pytest.approx(score(listed, name), abs=0.1)


@given(NAMES)
def test_the_order_of_a_name_does_not_matter(name: str) -> None:
    words = name.split()

    assert score(name, " ".join(reversed(words))) == pytest.approx(1.0)
