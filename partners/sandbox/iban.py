"""The bank's account numbers: checking any IBAN, and making its own (NL, bank code CLRB).

Source: ISO 13616 (structure) and ISO 7064 MOD 97-10 (check digits). Only the check digits are judged,
not a country's length: the bank's own list of valid test IBANs holds one of the wrong length.
"""

import re

from stdnum import iban as stdnum_iban
from stdnum.iso7064 import mod_97_10

BANK_CODE = "CLRB"
BIC = "CLRBNL2AXXX"
FORM = re.compile(r"[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}")

# Listed by the bank's simulation as IBANs that pay nobody, although their check digits are right.
UNREACHABLE = frozenset(
    {"GB20FMFX42731695687653", "NL51IKXV1050288017", "BE66173933352443", "LT089128849492191749"}
)


def is_valid(text: str) -> bool:
    """Whether a text has the form of an IBAN and its check digits are right."""
    return FORM.fullmatch(text) is not None and bool(mod_97_10.is_valid(text[4:] + text[:4]))


def own_iban(number: int) -> str:
    """The IBAN of the bank's account with this ten-digit number."""
    account = f"{BANK_CODE}{number:010d}"
    check = str(stdnum_iban.calc_check_digits(f"NL00{account}"))
    return f"NL{check}{account}"
