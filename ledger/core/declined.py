"""What a flow says when it will not carry out an order: data, with a stable code. Nothing of it is left behind."""

from dataclasses import dataclass

from ledger.core.commands import Refused


@dataclass(frozen=True, slots=True)
class Declined:
    """One order that was not carried out. `field` names what was wrong with it, where one field was."""

    code: str
    detail: str
    field: str | None = None


def declined_by_book(refused: Refused) -> Declined:
    """The book's refusal, as the flow's answer."""
    return Declined(refused.refusal.value, f"The book refused: {refused.detail}.")
