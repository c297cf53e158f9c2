"""What must be true of the book after every workload, asked of the tables themselves: a fast wrong book is no book."""

from dataclasses import dataclass

import sqlalchemy as sa

from api.bench.failure import BenchRefused

# One statement, so one moment. An account's version is the number of its entries, and a leg is an entry on two.
_COUNTED = sa.text("""
    SELECT moved.debits_minor, moved.credits_minor, moved.held_minor, moved.versions,
        written.legs, written.legs_minor, stepped.steps, opened.held_minor AS open_holds_minor,
        (SELECT count(*) FROM transfers) AS transfers
    FROM (SELECT coalesce(sum(debits_minor), 0) AS debits_minor, coalesce(sum(credits_minor), 0) AS credits_minor,
            coalesce(sum(held_minor), 0) AS held_minor, coalesce(sum(version), 0) AS versions FROM standings) AS moved,
        (SELECT count(*) AS legs, coalesce(sum(amount_minor), 0) AS legs_minor FROM legs) AS written,
        (SELECT count(*) AS steps FROM account_steps) AS stepped,
        (SELECT coalesce(sum(amount_minor - captured_minor - released_minor), 0) AS held_minor FROM holds) AS opened
""")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows the book has, or has to have."""

    transfers: int = 0
    legs: int = 0
    steps: int = 0

    @property
    def entries(self) -> int:
        """Movements as accounts saw them."""
        return 2 * self.legs + self.steps

    def plus(self, other: "Tally", times: int = 1) -> "Tally":
        """This and so many of the other."""
        return Tally(
            self.transfers + times * other.transfers,
            self.legs + times * other.legs,
            self.steps + times * other.steps,
        )


SINGLE_LEG_POST = Tally(transfers=1, legs=1)
CHECKOUT = Tally(transfers=3, legs=2, steps=3)  # hold, two legs and what they take out of the hold, release


def count_rows(engine: sa.Engine) -> Tally:
    """Counts the book, and sees to it that it is one.

    Raises: BenchRefused when debits and credits differ, or entries are missing or too many.
    """
    with engine.connect() as connection:
        row = connection.execute(_COUNTED).mappings().one()
    tally = Tally(row["transfers"], row["legs"], row["steps"])
    if not row["debits_minor"] == row["credits_minor"] == row["legs_minor"]:
        raise BenchRefused(f"money was made or lost: {dict(row)}")
    if row["held_minor"] != row["open_holds_minor"]:
        raise BenchRefused(f"what is held is not what the holds say: {dict(row)}")
    if row["versions"] != tally.entries:
        raise BenchRefused(f"accounts have {row['versions']} versions, and there are {tally.entries} entries")
    return tally


def check_rows(engine: sa.Engine, expected: Tally) -> None:
    """Sees to it that the book holds what was applied, all of it and nothing else. Raises: BenchRefused."""
    found = count_rows(engine)
    if found != expected:
        raise BenchRefused(f"the tables hold {found}, and {expected} was applied")
