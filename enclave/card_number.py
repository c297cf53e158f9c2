"""A card's number and how long the card lasts: what makes one, what may be shown of it, and the text that is sealed.

Nothing here shows a number by accident: neither its representation nor any error holds it. There is no member for a
security code or for what is on a card's stripe: what may never be kept (PCI DSS 3.3.1) cannot be said.
Follows: ISO/IEC 7812-1 (lengths, the check digit), PCI DSS 4.0.1 3.4.1 (what may be shown).
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeGuard

from enclave import canonical
from enclave.canonical import JsonUnreadable, parse_object

YEARS = range(2000, 2100)
# Of shorter numbers eight digits and the last four would leave too few to be guessed.
BIN_DIGITS = 6
# A card is good until its last month is over wherever it is used: the last zone is twelve hours behind UTC.
LAST_ZONE_BEHIND = timedelta(hours=12)

_NUMBER = re.compile(r"\A[0-9]{12,19}\Z")
_MEMBERS = frozenset({"expiry_month", "expiry_year", "pan"})


class CardFieldsRefused(Exception):
    """The card does not have exactly the members of one, or one of them is of another kind."""


class CardNumberRefused(Exception):
    """The digits are not a card's number."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The last month in which a card is good."""

    month: int
    year: int

    def is_over(self, now: datetime) -> bool:
        """Whether the month is over everywhere."""
        there = now - LAST_ZONE_BEHIND
        return (there.year, there.month) > (self.year, self.month)


@dataclass(frozen=True, slots=True)
class Card:
    """A card as it is inside the enclave. `number` is for sealing, for its fingerprint and for a processor alone."""

    number: str = field(repr=False)
    expiry: Expiry

    @property
    def bin(self) -> str:
        """The issuer's digits: the first six. PCI DSS would show eight of a long number; they would leave too few."""
        return self.number[:BIN_DIGITS]

    @property
    def last_four(self) -> str:
        """The digits by which its holder knows a card."""
        return self.number[-4:]

    def text(self) -> bytes:
        """The card as canonical JSON: what callers encrypt, and what processors decrypt."""
        return canonical.encode(
            {"expiry_month": self.expiry.month, "expiry_year": self.expiry.year, "pan": self.number}
        )


def read_card(text: bytes) -> Card:
    """The card that somebody encrypted: exactly number, month and year, in canonical JSON.

    Raises:
        CardFieldsRefused: another member, one too few, one of another kind, another spelling. A security code is
            another member, so that none is ever taken in.
        CardNumberRefused: not 12 to 19 digits, or the check digit is wrong.
    """
    try:
        members = parse_object(text)
        is_canonical = canonical.encode(members) == text
    except (JsonUnreadable, TypeError):
        raise CardFieldsRefused("not canonical JSON") from None
    if not is_canonical or set(members) != _MEMBERS:
        raise CardFieldsRefused("not exactly the members of a card")
    number, month, year = members["pan"], members["expiry_month"], members["expiry_year"]
    if not isinstance(number, str) or not _is_whole(month, range(1, 13)) or not _is_whole(year, YEARS):
        raise CardFieldsRefused("a member is of another kind")
    return Card(number=checked_number(number), expiry=Expiry(month=month, year=year))


def checked_number(number: str) -> str:
    """The number, if it is one. Raises: CardNumberRefused."""
    if not _NUMBER.match(number) or not has_check_digit(number):
        raise CardNumberRefused("not a card's number")
    return number


def has_check_digit(digits: str) -> bool:
    """Whether the last digit is the one that ISO/IEC 7812-1 annex B (Luhn) wants."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0


def _is_whole(value: object, within: range) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value in within
