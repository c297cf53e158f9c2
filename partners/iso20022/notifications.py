"""What a camt.054 means: money that arrived, payments of ours that left, and payments that came back.

Booked entries only: what is pending is not money yet. Statements repeat what is told here, and are for reconciliation;
so a movement that cannot be acted on is kept as information, and found again in the statement.
Source: ISO 20022 camt.054; EPC125-05 (returns and their reasons).
"""

from collections.abc import Iterator
from typing import Final, assert_never

from partners.contract import (
    Informational,
    MoneyArrived,
    NoticeMeaning,
    PaymentState,
    PayoutAdvanced,
    PayoutReturned,
)
from partners.iso20022.bookings import TIME, Booking, bookings_of
from partners.iso20022.reasons import reason_of
from partners.messages.account_reports import MessageStarted, StatementEnded, StatementStarted
from partners.messages.camt import read_camt_tolerantly
from partners.messages.details import Account
from partners.messages.entries import Entry, RejectedEntry
from partners.messages.xml_stream import Kind

_KIND: Final = Kind(("camt.054",), first=2, last=13)


def read_notification(body: bytes) -> tuple[NoticeMeaning, ...]:
    """Everything that a notification says. Raises: Unreadable for anything that is no whole notification."""
    meanings: list[NoticeMeaning] = []
    iban: str | None = None
    for event in read_camt_tolerantly(body, time=TIME, kind=_KIND):
        match event:
            case StatementStarted():
                iban = event.id.account.iban
            case Entry():
                meanings.extend(_of_entry(event, iban))
            case RejectedEntry(_, place, why):
                meanings.append(Informational(f"not read: {place}: {why}"))
            case MessageStarted() | StatementEnded():
                pass
            case _:
                assert_never(event)
    return tuple(meanings)


def _of_entry(entry: Entry, iban: str | None) -> Iterator[NoticeMeaning]:
    if not entry.is_booked:
        yield Informational(f"entry {entry.number} is not booked yet")
        return
    for booking in bookings_of(entry):
        yield _credit(booking, iban) if booking.amount_minor > 0 else _debit(booking)


def _credit(booking: Booking, iban: str | None) -> NoticeMeaning:
    detail, entry = booking.detail, booking.entry
    if booking.transaction_id is None:
        return Informational(f"not read: entry {entry.number}: AcctSvcrRef is missing.")
    if booking.is_return and detail.end_to_end_id is not None:
        return PayoutReturned(
            end_to_end_id=detail.end_to_end_id,
            payment_id=detail.uetr or detail.end_to_end_id,
            transaction_id=booking.transaction_id,
            reason=reason_of(detail.returned),
            amount_minor=booking.amount_minor,
        )
    # In what comes back, the creditor is whom we had paid.
    named = None if detail.creditor is None or booking.is_return else _iban(detail.creditor.account)
    arrived_on = named or iban
    if arrived_on is None:
        return Informational(f"not read: entry {entry.number}: no IBAN says where the money is.")
    payer = booking.counterparty
    return MoneyArrived(
        transaction_id=booking.transaction_id,
        end_to_end_id=detail.end_to_end_id or "",
        amount_minor=booking.amount_minor,
        currency=entry.currency,
        creditor_iban=arrived_on,
        debtor_name=payer.name or "",
        debtor_iban=_iban(payer.account) or "",
        remittance=booking.remittance,
        account_iban=iban,
    )


def _debit(booking: Booking) -> NoticeMeaning:
    """A payment that left us, if it is one; fees, and money that was taken back, are for reconciliation."""
    detail = booking.detail
    if booking.is_return or detail.end_to_end_id is None or booking.amount_minor == 0:
        return Informational(f"entry {booking.entry.number} is no payment of ours")
    return PayoutAdvanced(
        end_to_end_id=detail.end_to_end_id,
        payment_id=detail.uetr or detail.end_to_end_id,
        state=PaymentState.SETTLED,
        transaction_id=booking.transaction_id,
        reason=None,
    )


def _iban(account: Account | None) -> str | None:
    return None if account is None else account.iban
