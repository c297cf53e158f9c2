"""A card as the ledger knows it: a token, what may be shown, and a seal that only the enclave opens. Pure.

There is no place here for a number or a security code (PCI DSS 3.3.1, 3.5.1).
"""

from dataclasses import dataclass
from datetime import datetime

from ledger.core.ids import CardId, ProgrammeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card of one programme. Equal fingerprints in a programme are one card; `sealed` is under the key `key_id`.

    Of a card that was erased there is no seal, and so no number, any more.
    """

    id: CardId
    programme_id: ProgrammeId
    bin: str
    last_four: str
    expiry_month: int
    expiry_year: int
    fingerprint: bytes
    key_id: str
    sealed: bytes | None
    erased_at: datetime | None = None
