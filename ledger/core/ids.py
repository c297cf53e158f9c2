"""Typed, prefixed, time-ordered ids: `acct_0193a5…`. Minted before use, never reused, never parsed for meaning.

An id is a UUID (version 7, RFC 9562) written as 32 hex digits behind the prefix of its kind, so that an id
of one kind can never pass for another. Databases keep the 16 bytes; people and files see the text.
"""

import hashlib
import re
from typing import NewType
from uuid import UUID

ProgrammeId = NewType("ProgrammeId", str)
PartyId = NewType("PartyId", str)
AccountId = NewType("AccountId", str)
TransferId = NewType("TransferId", str)
CheckoutId = NewType("CheckoutId", str)
RefundId = NewType("RefundId", str)
PayoutId = NewType("PayoutId", str)
AttemptId = NewType("AttemptId", str)
ClearanceId = NewType("ClearanceId", str)
PayoutAccountId = NewType("PayoutAccountId", str)
PayeeCheckId = NewType("PayeeCheckId", str)
NoticeId = NewType("NoticeId", str)
CardId = NewType("CardId", str)

_TEXT = re.compile(r"\A[a-z]{2,5}_[0-9a-f]{32}\Z")


def uuid7(unix_ms: int, sequence: int, random_bytes: bytes) -> UUID:
    """A time-ordered UUID from a clock reading, a counter within it, and eight random bytes.

    Source: RFC 9562 section 5.7, with the counter of section 6.2 method 1 in the twelve bits of rand_a.
    """
    raw = bytearray(unix_ms.to_bytes(6) + (sequence & 0x0FFF).to_bytes(2) + random_bytes[:8])
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return UUID(bytes=bytes(raw))


def to_text(prefix: str, value: UUID) -> str:
    """How an id of this kind is written everywhere outside the database."""
    return f"{prefix}_{value.hex}"


def to_uuid(prefix: str, text: str) -> UUID:
    """The 16 bytes behind an id of this kind.

    Raises: ValueError when the text is not an id of this kind, so that a party can never pass for a payout.
    """
    if not is_id(prefix, text):
        raise ValueError(f"{text[:48]!r} is not an id of the kind {prefix}_")
    return UUID(hex=text[len(prefix) + 1 :])


def is_id(prefix: str, text: str) -> bool:
    """Whether a text from outside is an id of this kind at all."""
    return text.startswith(f"{prefix}_") and _TEXT.match(text) is not None


def derived(prefix: str, *parts: str) -> str:
    """The one id that these parts always give: the same outside event twice meets itself in the book."""
    digest = hashlib.sha256("\x1f".join((prefix, *parts)).encode()).digest()
    raw = bytearray(digest[:16])
    raw[6] = 0x80 | (raw[6] & 0x0F)  # version 8: by our own rule (RFC 9562 section 5.8)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return to_text(prefix, UUID(bytes=bytes(raw)))
