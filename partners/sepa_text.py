"""Text that any SEPA bank will carry: the Latin character set of the credit transfer rulebooks.

Pure. An order's names and remittance pass through `sepa_text` when the order is made, so that what is
approved is what is signed and sent; adapters only check, and never change a text.

Source: EPC217-08 (best practices for the SEPA character set); EPC230-15 for the rules on "/".
"""

import re

from ledger.core.errors import InvalidValue
from ledger.core.latin import latin

LENGTH_MIN = 3  # the banks' own pattern wants a first, an inner and a last character

_ALLOWED = r"0-9a-zA-Z\-?:().,'+"
_CARRIED = re.compile(rf"\A(?!.*//)[{_ALLOWED}][{_ALLOWED}/ ]+[{_ALLOWED}]\Z")
_FOREIGN = re.compile(rf"[^{_ALLOWED}/ ]")
_SPACES = re.compile(r"\s+")
_SLASHES = re.compile(r"/{2,}")

# Signs outside the set that have a near relation inside it; every other sign is dropped.
_NEAR = str.maketrans(
    {
        "&": "+",
        "_": "-",
        "~": "-",
        "`": "'",
        ";": ",",
        "[": "(",
        "]": ")",
        "{": "(",
        "}": ")",
        "\\": "/",
        "|": "/",
    }
)


def sepa_text(text: str, *, max_length: int, field: str | None = None) -> str:
    """The nearest text that every SEPA bank carries unchanged, cut to `max_length` characters.

    The same text always gives the same result, and a result gives itself.
    Raises: InvalidValue when too little of the text is left to be sent; it names `field`.
    """
    known = _FOREIGN.sub("", _SPACES.sub(" ", latin(text)).translate(_NEAR))
    joined = _SLASHES.sub("/", _SPACES.sub(" ", known)).strip(" /")
    carried = joined[:max_length].rstrip(" /")
    if not is_sepa_text(carried, max_length=max_length):
        raise InvalidValue("Too little of this text can be written in the SEPA character set.", field=field)
    return carried


def is_sepa_text(text: str, *, max_length: int) -> bool:
    """Whether a text may be sent exactly as it stands."""
    return len(text) <= max_length and _CARRIED.match(text) is not None
