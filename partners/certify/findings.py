"""What one case finds: which parts of an adapter it has touched, and where they fell short."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")
FAULTS_KEPT_MAX: Final = 3  # of one part in one case: two hundred payouts may all fail for the same reason


class Part(StrEnum):
    """What of an adapter is looked at; the columns of a report."""

    MANIFEST = "manifest"
    ORDER = "order"
    ANSWER = "answer"
    ENQUIRY = "enquiry"
    NOTICE = "notice"
    STATEMENT = "statement"
    REASON = "reason"
    MONEY = "money"  # what all of them together come to: who was paid, how often, and what the book says


@dataclass(slots=True)
class Findings:
    """What one case has found so far."""

    touched: Counter[Part] = field(default_factory=Counter)
    faults: dict[Part, list[str]] = field(default_factory=dict)

    def touch(self, part: Part) -> None:
        """Something of this part was tried."""
        self.touched[part] += 1

    def check(self, part: Part, is_so: bool, otherwise: str) -> bool:
        """Counts a claim about a part, and keeps what is wrong if it does not hold."""
        self.touch(part)
        if not is_so:
            self.fault(part, otherwise)
        return is_so

    def fault(self, part: Part, text: str) -> None:
        """Keeps what is wrong, once."""
        self.touched[part] += 1
        known = self.faults.setdefault(part, [])
        if text not in known and len(known) < FAULTS_KEPT_MAX:
            known.append(text)

    def ask(
        self,
        part: Part,
        call: Callable[[], T],
        *,
        name: str,
        allowed: tuple[type[Exception], ...] = (),
        counts: bool = True,
    ) -> T | None:
        """What a method gives; None, and a fault, if it raises what it must not. `allowed` goes on to the caller.

        What may give None for "this bank has no such words" does not count as a part that was tried.
        """
        self.touched[part] += counts
        try:
            return call()
        except allowed:
            raise
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and that is a finding
            self.fault(part, f"{name} raised {type(error).__name__}")
            return None
