"""A sanctions list made ready for comparison: finds the listed names most like a name without trying them
all.

Only names that share at least one alike token, or are alike without their spaces, score at all; those are
found through an index of tokens and scored in full, so that the answer is the same as trying every name (a
test compares the two). Pure; may not decide what score is an alert.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from compliance.names import JOINED_CUTOFF, PAIR_CUTOFF, Likeness, Tokens, likeness, tokens_of


@dataclass(frozen=True, slots=True)
class Match:
    """A listed name that is like the name asked for."""

    entry: str
    listed: str
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Watchlist:
    """The listed names, their tokens, and the places in the list where each token stands."""

    entries: tuple[tuple[str, str], ...]
    tokens: tuple[Tokens, ...]
    joined: tuple[str, ...]
    vocabulary: tuple[str, ...]
    places: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, entries: Iterable[tuple[str, str]]) -> "Watchlist":
        """A list of (entry, name) made ready. What comparing would cost each time is paid here once."""
        kept = tuple(entries)
        tokens = tuple(tokens_of(name) for _, name in kept)
        places: dict[str, list[int]] = defaultdict(list)
        for place, name_tokens in enumerate(tokens):
            for token in set(name_tokens):
                places[token].append(place)
        return cls(kept, tokens, tuple("".join(each) for each in tokens), tuple(places), dict(places))

    def closest(self, name: str, limit: int) -> tuple[Match, ...]:
        """At most `limit` listed names that are at all like this one, the most alike first."""
        ours = tokens_of(name)
        found = [(likeness(ours, self.tokens[place]), place) for place in self._candidates(ours)]
        found.sort(key=lambda candidate: (-candidate[0].score, candidate[1]))
        return tuple(Match(*self.entries[place], alike) for alike, place in found[:limit])

    def _candidates(self, ours: Tokens) -> set[int]:
        by_token = {place for token in set(ours) for near in self._near(token) for place in self.places[near]}
        joined = process.extract(
            "".join(ours),
            self.joined,
            scorer=OSA.normalized_similarity,
            score_cutoff=JOINED_CUTOFF,
            limit=None,
        )
        return by_token.union(place for _, _, place in joined) if ours else set()

    def _near(self, token: str) -> set[str]:
        """The listed tokens that may pair with this one; an initial pairs with all that begin with it."""
        if len(token) == 1:
            return {listed for listed in self.vocabulary if listed[0] == token}
        alike = process.extract(
            token,
            self.vocabulary,
            scorer=JaroWinkler.normalized_similarity,
            score_cutoff=PAIR_CUTOFF,
            limit=None,
        )
        return {listed for listed, _, _ in alike} | ({token[0]} & self.places.keys())
