"""Every error the ledger raises, as one tree, and nothing about HTTP.

    TallystickError
    ├── InvalidValue            a value that no rule of the book could accept; names its field
    ├── NotFound                no such thing in this programme
    ├── Conflict                the request contradicts what is already recorded
    │   └── ClearanceSpent      a clearance was redeemed before
    └── EvidenceBroken          exported or sealed facts do not verify

Refusals of the book are data (`ledger.core.commands.Refusal`), not errors: raise to undo, return to remember.
"""


class TallystickError(Exception):
    """The root: has a stable snake_case `code` that outlives its text."""

    code = "error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidValue(TallystickError):
    """A value outside its domain. `field` names where it stood in the input."""

    code = "invalid_value"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class NotFound(TallystickError):
    """Nothing of that id belongs to the caller's programme."""

    code = "not_found"

    def __init__(self, noun: str, key: str) -> None:
        super().__init__(f"There is no {noun} {key} in this programme.")
        self.noun = noun


class Conflict(TallystickError):
    """The request contradicts what is already recorded."""

    code = "conflict"


class ClearanceSpent(Conflict):
    """A clearance moves money once; this one already has."""

    code = "clearance_spent"


class EvidenceBroken(TallystickError):
    """Sealed or exported facts do not verify; the detail names the first thing that is wrong."""

    code = "evidence_broken"
