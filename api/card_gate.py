"""The gate around card numbers: what looks like one in the clear is refused before anything of it is kept or logged.

A card reaches this API as a JWE that it cannot open (docs/decisions/0018). A number in any other field is a mistake of
the caller's, and keeping it would bring all of this, its database, its logs and its backups, under PCI DSS.

The rule. A text is taken for a card number when all of it, once spaces and dashes are left out, is 13 to 19 digits that
begin like a card of some scheme, in a length that this scheme issues, and end with the right check digit (Luhn). Of
13 digits none is: those that schemes once issued have long expired, and every tenth German and British article number
(GTIN-13) would be taken for one. The names of members are texts like any other. Numbers in JSON are not looked at:
where one is taken it is an amount, a rate or a count, and nowhere else is it kept. A number amid other words is not
found: the gate is for mistakes, not for those who want to get around it.
How often others are taken for one: three in a hundred texts of 16 random digits, two of 19, one of 17 or 18, one in
three hundred of 14; no IBAN, id, article number, telephone number or time (`tests/api/test_card_gate.py`).
Follows: PCI DSS 4.0.1 3.2.1 and 3.5.1; ISO/IEC 7812-1.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from api.problems import Problem

# Thirteen digits and more between two quotes: most bodies have none, and need not be looked through.
_MAY_HOLD_ONE = re.compile(rb'"[ -]*[0-9](?:[ -]*[0-9]){12,18}[ -]*"')
_ESCAPE = b"\\u"  # may stand for any character
_WRITTEN = re.compile(r"[ -]*[0-9](?:[ -]*[0-9]){12,18}[ -]*")
_LEFT_OUT = str.maketrans("", "", " -")


class _Issuers(NamedTuple):
    """Some scheme's cards: from which first digits to which, and how long its numbers are."""

    first: str
    last: str
    lengths: tuple[int, ...]


_LONG = (16, 17, 18, 19)
_SCHEMES = (
    _Issuers("4", "4", (16, 19)),  # Visa
    _Issuers("51", "55", (16,)),  # Mastercard
    _Issuers("2221", "2720", (16,)),  # Mastercard
    _Issuers("34", "34", (15,)),  # American Express
    _Issuers("37", "37", (15,)),  # American Express
    _Issuers("300", "305", (14, *_LONG)),  # Diners Club
    _Issuers("3095", "3095", (14, *_LONG)),  # Diners Club
    _Issuers("36", "36", (14, *_LONG)),  # Diners Club
    _Issuers("38", "39", (14, *_LONG)),  # Diners Club
    _Issuers("3528", "3589", _LONG),  # JCB
    _Issuers("6011", "6011", _LONG),  # Discover
    _Issuers("644", "649", _LONG),  # Discover
    _Issuers("65", "65", _LONG),  # Discover, RuPay
    _Issuers("60", "60", (16,)),  # RuPay
    _Issuers("508", "508", (16,)),  # RuPay
    _Issuers("62", "62", _LONG),  # UnionPay
    _Issuers("81", "82", _LONG),  # UnionPay, RuPay
    _Issuers("2200", "2204", _LONG),  # Mir
    _Issuers("9792", "9792", (16,)),  # Troy
    _Issuers("5018", "5018", _LONG),  # Maestro, and so on
    _Issuers("5020", "5020", _LONG),
    _Issuers("5038", "5038", _LONG),
    _Issuers("5641", "5641", _LONG),
    _Issuers("5893", "5893", _LONG),
    _Issuers("6304", "6304", _LONG),
    _Issuers("67", "67", _LONG),
)


def looks_like_card_number(text: str) -> bool:
    """Whether a text is, all of it, what a card's number looks like."""
    if not _WRITTEN.fullmatch(text):
        return False
    digits = text.translate(_LEFT_OUT)
    return _is_of_a_scheme(digits) and _has_check_digit(digits)


def refuse_card_numbers(body: bytes, parsed: Any) -> None:
    """Looks through a body that was read. Raises: Problem `card_number_in_clear`, which never says what."""
    if _ESCAPE not in body and not _MAY_HOLD_ONE.search(body):
        return
    for text in _texts(parsed):
        if looks_like_card_number(text):
            raise card_number_in_clear()


def card_number_in_clear() -> Problem:
    """Something in the request is a card number for all to read."""
    return Problem(
        422,
        "card_number_in_clear",
        "A field of the request is a card number. Nothing of it was kept: encrypt cards, and POST /v1/cards.",
    )


def _texts(parsed: Any) -> Iterator[str]:
    waiting = [parsed]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case Mapping() as members:
                yield from members
                waiting.extend(members.values())
            case list() as items:
                waiting.extend(items)
            case _:
                continue


def _is_of_a_scheme(digits: str) -> bool:
    return any(
        len(digits) in issuers.lengths and issuers.first <= digits[: len(issuers.first)] <= issuers.last
        for issuers in _SCHEMES
    )


def _has_check_digit(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0
