"""What a code in a bank's file means: one of ISO's, or one that the bank made up itself."""

from typing import Final

from partners.contract import Reason
from partners.messages.details import GivenReason
from partners.reasons import ISO, explain_iso

OWN: Final = "iso20022.proprietary"
NARRATIVE: Final = "NARR"  # ISO's own code for a reason that stands in words only


def explain(code: str) -> Reason:
    """What a code means; an unlisted code has fault "unknown"."""
    unlisted = Reason(
        namespace=ISO, code=code, text="The bank gave a code that is not listed.", fault="unknown"
    )
    return explain_iso(code) or unlisted


def reason_of(given: GivenReason | None) -> Reason:
    """What a bank gave as its reason. Its words are not repeated: people's names stand in them."""
    if given is not None and given.code is not None:
        return explain(given.code)
    if given is not None and given.own_code is not None:
        text = "The bank gave a code of its own."
        return Reason(namespace=OWN, code=given.own_code[:35], text=text, fault="unknown")
    return Reason(namespace=ISO, code=NARRATIVE, text="The bank gave no code.", fault="unknown")
