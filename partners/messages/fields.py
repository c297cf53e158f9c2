"""The values that stand in every message, checked: ids, texts, IBAN, BIC, UETR, amounts, times.

Pure. What passes here holds none of the signs that XML would have to escape, so texts are written as they are. Nothing
is mended: names and remittance went through `partners.sepa_text` when the order was made.

Units: minor units of euro. Errors name the field and never its content.
Source: EPC230-15 (identifications), EPC217-08 (character set), ISO 13616 and ISO 7064 (IBAN), ISO 9362 (BIC).
"""

import re
from datetime import UTC, date, datetime
from typing import Final

from stdnum.iso7064 import mod_97_10

from ledger.core.errors import InvalidValue
from partners.amounts import decimal_text
from partners.sepa_text import is_sepa_text

NAME_MAX: Final = 70
REMITTANCE_MAX: Final = 140
REFERENCE_MAX: Final = 35
AMOUNT_MAX_MINOR: Final = (
    999_999_999_99  # what one SEPA message holds; SCT Inst has no lower bound of its own any more
)
CURRENCY: Final = "EUR"

_SIGNS = r"0-9a-zA-Z\-?:().,'+"
_REFERENCE = re.compile(rf"(?!.*//)[{_SIGNS}](?:[{_SIGNS}/ ]*[{_SIGNS}])?")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_BIC = re.compile(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9](?:[A-Z0-9]{3})?")
_UETR = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}")


def check_reference(text: str, *, field: str, length_max: int = REFERENCE_MAX) -> None:
    """An id of ours, or a short text such as a town: one sign is enough. Raises: InvalidValue."""
    if len(text) > length_max or not _REFERENCE.fullmatch(text):
        raise InvalidValue(f"This is not 1 to {length_max} characters that every bank carries.", field=field)


def check_text(text: str, *, field: str, length_max: int) -> None:
    """A name or a remittance. Raises: InvalidValue."""
    if not is_sepa_text(text, max_length=length_max):
        raise InvalidValue("This text must already be in the SEPA character set.", field=field)


def check_iban(iban: str, *, field: str) -> None:
    """Shape and check digits; national ones were looked at when the account was taken down. Raises: InvalidValue."""
    if not _IBAN.fullmatch(iban) or not mod_97_10.is_valid(iban[4:] + iban[:4]):
        raise InvalidValue("This is not an IBAN.", field=field)


def check_bic(bic: str, *, field: str) -> None:
    """Raises: InvalidValue."""
    if not _BIC.fullmatch(bic):
        raise InvalidValue("This is not a BIC.", field=field)


def check_uetr(uetr: str, *, field: str) -> None:
    """Raises: InvalidValue unless it is a UUID of version 4 in small letters."""
    if not _UETR.fullmatch(uetr):
        raise InvalidValue("A UETR is a UUID of version 4 in small letters.", field=field)


def check_amount(amount_minor: int, currency: str) -> None:
    """Raises: InvalidValue for anything that SEPA does not carry."""
    if currency != CURRENCY:
        raise InvalidValue("SEPA carries euro only.", field="currency")
    if not 1 <= amount_minor <= AMOUNT_MAX_MINOR:
        raise InvalidValue("SEPA carries 0.01 to 999,999,999.99 euro.", field="amount_minor")


def check_moment(moment: datetime, *, field: str) -> None:
    """Raises: InvalidValue for a time without a zone."""
    if moment.tzinfo is None:
        raise InvalidValue("A time needs its zone.", field=field)


def check_day(day: date, *, field: str) -> None:
    """Raises: InvalidValue for a time, which would pass for a day until it is written."""
    if isinstance(day, datetime):
        raise InvalidValue("This is a day, and not a time of it.", field=field)


def amount_text(amount_minor: int) -> str:
    """An amount of euro as it is written."""
    return decimal_text(amount_minor, CURRENCY)


def moment_text(moment: datetime) -> str:
    """A time as it is written: UTC, to the millisecond."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
