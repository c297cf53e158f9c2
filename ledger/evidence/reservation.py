"""A hold, done again from what was done under it, in the order in which its account saw it.

Pure, and written apart from the code that decides. Invariant: held + available = posted (7).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ledger.core.canonical import Canonical
from ledger.evidence.discrepancy import Found, in_transfer


@dataclass(frozen=True, slots=True)
class HoldStep:
    """What one transfer did under a hold. Units: minor units. `moved_minor`: its legs together, if it has any."""

    hold_id: str
    transfer_id: str
    programme_id: str
    kind: str
    asked: Mapping[str, Canonical]
    recorded_at: datetime
    account_id: str
    amount_minor: int
    moved_minor: int


@dataclass(slots=True)
class Reservation:
    """What has become of a hold so far. Units: minor units."""

    hold_id: str
    programme_id: str = ""
    account_id: str = ""
    expires_at: str | None = None
    amount_minor: int = 0
    captured_minor: int = 0
    released_minor: int = 0

    @property
    def remaining_minor(self) -> int:
        """What is still reserved."""
        return self.amount_minor - self.captured_minor - self.released_minor

    def take(self, step: HoldStep) -> Found:
        """The next thing that was done under the hold, and whatever contradicts what was done before."""
        if step.kind == "hold":
            return self._made(step)
        if (step.account_id, step.programme_id) != (self.account_id, self.programme_id):
            return [in_transfer(step.transfer_id, f"{step.hold_id} holds nothing on {step.account_id}")]
        if step.kind == "increase":
            self.amount_minor += step.amount_minor
            return []
        return self._drawn(step)

    def _made(self, step: HoldStep) -> Found:
        if self.account_id:
            return [in_transfer(step.transfer_id, "was held before")]
        expires_at = step.asked.get("expires_at")
        self.programme_id, self.account_id = step.programme_id, step.account_id
        self.amount_minor = step.amount_minor
        self.expires_at = expires_at if isinstance(expires_at, str) else None
        return []

    def _drawn(self, step: HoldStep) -> Found:
        left_minor = self.remaining_minor
        self.captured_minor += step.moved_minor
        self.released_minor += step.amount_minor - step.moved_minor
        if step.amount_minor > left_minor:
            detail = f"releases {step.amount_minor} where {step.hold_id} holds {left_minor}"
            return [in_transfer(step.transfer_id, detail)]
        if step.amount_minor != self._wanted(step, left_minor):
            return [
                in_transfer(step.transfer_id, f"releases {step.amount_minor}, which is not what it asked")
            ]
        if step.kind == "expire" and not self._expired(step.recorded_at):
            return [in_transfer(step.transfer_id, f"the time of {step.hold_id} had not come")]
        return []

    def _wanted(self, step: HoldStep, left_minor: int) -> int:
        """What has to be released: by an expiry all that is left, by a capture what it moves, unless it says all."""
        if step.kind == "expire" or step.asked.get("final") is True or step.asked.get("all") is True:
            return left_minor
        return step.moved_minor if step.kind == "capture" else step.amount_minor

    def _expired(self, at: datetime) -> bool:
        try:
            return self.expires_at is not None and datetime.fromisoformat(self.expires_at) <= at
        except (ValueError, TypeError):
            return False  # what is no time never comes
