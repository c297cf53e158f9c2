"""What ClearBank's codes mean: those of ISO 20022, which every bank has, and its own.

The bank calls its lists not exhaustive: an unlisted code is "unknown", never a crash.

Source: ClearBank EU lists of failure, cancellation and rejection codes.
"""

from collections.abc import Mapping
from typing import Final

from partners.contract import Fault, Reason
from partners.reasons import explain_iso

OWN: Final = "clearbank"

_OWN_CODES: Final[Mapping[str, tuple[str, Fault]]] = {
    "AB15": ("It would have touched a suspense account.", "us"),
    "CB01": ("The bank gives no reason.", "unknown"),
    "CB02": ("The payee's bank cannot be derived from the account number, or cannot be reached.", "payee"),
    "CB05": ("The payment was delayed and then cancelled.", "bank"),
    "RejectedByScheme": ("The scheme rejected it.", "bank"),
    "SanctionsRejection": ("Sanctions screening rejected it.", "payee"),
    "SchemeUnavailable": ("The scheme was not available.", "bank"),
}


def explain(code: str) -> Reason:
    """What one of the bank's codes means; an unlisted code has fault "unknown"."""
    text, fault = _OWN_CODES.get(code, ("The bank gave a code that it does not list.", "unknown"))
    return explain_iso(code) or Reason(namespace=OWN, code=code, text=text, fault=fault)
