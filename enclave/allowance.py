"""What the requests of one round may read of logs, all of them together.

The enclave has one thread: while it reads leaves for one caller, all others wait. Decides nothing of what is signed.
"""

from dataclasses import dataclass
from typing import Final

LEAVES_MAX: Final = 100_000
"""For one round, which then takes about 0.15 s; whoever wants more asks again."""

PAGE: Final = 20_000

QUESTION: Final = 500
"""What a question costs besides what it reads: it takes about as long as so many leaves."""


class NotReadYet(Exception):
    """The round has read as much as it may: in another one the enclave goes on from there."""


@dataclass(slots=True)
class Allowance:
    """How many leaves may still be read.

    `again`: of these, such as were asked for before. They are few, so that whoever has the enclave read the same again
    and again never takes from others what brings their logs forward.
    """

    leaves: int = LEAVES_MAX
    again: int = PAGE

    def take(self, wanted: int, *, again: bool = False) -> int:
        """For one question: how many of so many leaves it may read.

        Raises:
            NotReadYet: none.
        """
        count = min(wanted, PAGE, self.leaves, self.again if again else wanted)
        if count <= 0:
            raise NotReadYet
        self.leaves -= count + QUESTION
        self.again -= count if again else 0
        return count
