"""The payments in an entry: one, or each of a batch where the bank says how much each was.

The same payment gets the same id in a notification and in the statement that follows, so that what was booked by the
one is found again in the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from partners.messages.details import Detail, Party
from partners.messages.entries import Entry
from partners.messages.wire_values import BankTime

ZONE: Final = ZoneInfo("Europe/Berlin")  # where TARGET, and with it every SEPA bank, has its days
TIME: Final = BankTime(days=ZONE, unzoned=ZONE)


@dataclass(frozen=True, slots=True)
class Booking:
    """One payment as it was booked. Units: signed minor units, positive is a credit to the account.

    `transaction_id` is the bank's id of the posting; None where it gives none, and nothing can be found again.
    """

    transaction_id: str | None
    amount_minor: int
    entry: Entry
    detail: Detail

    @property
    def is_return(self) -> bool:
        """Whether money comes back that had gone the other way."""
        returned = self.detail.returned is not None or self.entry.reversal
        return returned or (self.detail.bank_code or self.entry.bank_code).endswith("/RRTN")

    @property
    def counterparty(self) -> Party:
        """The other side, as far as the bank names it."""
        return self.entry.counterparty_of(self.detail) or Party()

    @property
    def remittance(self) -> str:
        """What it was for."""
        return " ".join(self.detail.remittance) or next(iter(self.detail.references), "")


def bookings_of(entry: Entry) -> tuple[Booking, ...]:
    """The payments of an entry, which add up to it; a batch that does not say how much each was is one payment."""
    amounts = [detail.amount for detail in entry.details if detail.amount is not None]
    of_entry = [amount.minor for amount in amounts if amount.currency == entry.currency]
    if len(of_entry) < 2 or len(of_entry) < len(entry.details) or sum(of_entry) != entry.amount_minor:
        detail = entry.only_detail or Detail()
        return (Booking(_id_of(entry, detail), entry.amount_minor, entry, detail),)
    ids = _ids_of_many(entry)
    return tuple(
        Booking(id_, minor, entry, detail)
        for id_, minor, detail in zip(ids, of_entry, entry.details, strict=True)
    )


def _id_of(entry: Entry, detail: Detail) -> str | None:
    return entry.bank_reference or detail.bank_reference or detail.uetr


def _ids_of_many(entry: Entry) -> Sequence[str | None]:
    """Each one's own id; a bank that repeats the batch's id has its payments numbered under it."""
    own = [detail.bank_reference or detail.uetr for detail in entry.details]
    if None not in own and len(set(own)) == len(own):
        return own
    whole = entry.bank_reference or entry.details[0].bank_reference
    return [None if whole is None else f"{whole}/{number}" for number in range(1, len(own) + 1)]
