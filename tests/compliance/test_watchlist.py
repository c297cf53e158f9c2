"""The index of a list finds exactly what trying every name would find."""

from hypothesis import given
from hypothesis import strategies as st

from compliance.names import score
from compliance.watchlist import Watchlist
from tests.compliance.given import LISTED, ZUBAROV

WORDS = "Viktor Viktoria Wiktor Zubarov Zubarow Sukirno Sutrisno Ana Anna Moreau A. V Z. GmbH ViktorZubarov"
NAMES = st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=4).map(" ".join) | st.text(max_size=12)


@given(NAMES, st.lists(NAMES, max_size=12))
def test_the_index_finds_what_trying_every_name_finds(name: str, listed: list[str]) -> None:
    watchlist = Watchlist.of((f"E{place}", each) for place, each in enumerate(listed))

    closest = watchlist.closest(name, limit=len(listed) + 1)

    expected = {
        (f"E{place}", score(name, each)) for place, each in enumerate(listed) if score(name, each) > 0
    }
    found = {(match.entry, match.likeness.score) for match in closest}
    assert found >= expected
    assert all(likeness_score == 0 for _, likeness_score in found - expected)


def test_the_most_alike_comes_first_and_the_limit_is_kept() -> None:
    watchlist = Watchlist.of([("E1", "Viktor Petrov"), ("E2", LISTED), ("E3", "Viktor Orlov")])

    closest = watchlist.closest(ZUBAROV, limit=2)

    assert [match.entry for match in closest] == ["E2", "E3"]
    assert closest[0].listed == LISTED


def test_a_name_without_letters_finds_nothing() -> None:
    assert Watchlist.of([("E1", LISTED)]).closest("…", limit=5) == ()
