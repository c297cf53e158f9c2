"""Sending back a payment that came in: the client's own return, or the answer to a recall.

Source: ClearBank EU, "SEPA CT returns": the whole amount, within three business days of settlement, from an
account that holds it.
"""

from datetime import datetime

from partners.sandbox import booking, reasons
from partners.sandbox.bank import Bank
from partners.sandbox.clock import read_stamp, stamp
from partners.sandbox.hours import after_business_days
from partners.sandbox.records import Direction, Party, Place, Posting, PostingKind, Scheme
from partners.sandbox.store import accounts, postings
from partners.sandbox.store.database import Tx

RETURN_BUSINESS_DAYS = 3
ALREADY_RETURNED = "ARDT"


def scheme_of(credit: Posting) -> Scheme:
    """How a payment came in."""
    return Scheme.INST if credit.channel == Scheme.INST.channel else Scheme.CT


def is_in_time(credit: Posting, now: datetime) -> bool:
    """Whether the client may still return it of its own accord."""
    assert credit.settled_at is not None
    return now <= after_business_days(read_stamp(credit.settled_at), RETURN_BUSINESS_DAYS)


def refusal(tx: Tx, credit: Posting) -> str | None:
    """Why it cannot be sent back, as a reason code; None when it can."""
    assert credit.payment_id is not None
    if postings.was_sent_back(tx, payment_id=credit.payment_id):
        return ALREADY_RETURNED
    account = accounts.find_account(tx, credit.account_id)
    assert account is not None
    available_minor = account.actual_minor - account.earmarked_minor
    return reasons.INSUFFICIENT_FUNDS if available_minor < credit.amount_minor else None


def draft(bank: Bank, credit: Posting, *, reason: str) -> Posting:
    """The debit that sends a credit back, not yet written."""
    place = Place(
        account_id=credit.account_id,
        virtual_account_id=credit.virtual_account_id,
        iban=credit.own_iban,
        owner=credit.own_name,
    )
    other = Party(name=credit.other_name or "", iban=credit.other_iban or "", bic=credit.other_bic)
    return booking.draft(
        place,
        other,
        direction=Direction.DEBIT,
        kind=PostingKind.RETURN,
        channel=credit.channel,
        amount_minor=credit.amount_minor,
        end_to_end_id=credit.end_to_end_id,
        reference=credit.reference,
        now=stamp(bank.clock.now()),
        payment_id=credit.payment_id,
        return_reason=reason,
    )
