"""Postings and the balances they move, always together in the caller's database transaction.

A debit may first be earmarked (status Clearing: less is available, the booked balance stands) and then be
settled or cancelled; everything else is booked at once.
"""

import uuid
from dataclasses import replace

from partners.sandbox.money import CURRENCY
from partners.sandbox.records import Direction, Party, Place, Posting, PostingKind, PostingStatus
from partners.sandbox.store import accounts, postings
from partners.sandbox.store.database import Tx


def draft(
    place: Place,
    other: Party | None,
    *,
    direction: Direction,
    kind: PostingKind,
    channel: str,
    amount_minor: int,
    end_to_end_id: str,
    reference: str,
    now: str,
    payment_id: str | None = None,
    return_reason: str | None = None,
) -> Posting:
    """A posting under way on the account behind a place, not yet written; it gets its id here.

    Units: amount in cents, always positive; the direction gives the sign.
    """
    return Posting(
        id=str(uuid.uuid4()),
        account_id=place.account_id,
        virtual_account_id=place.virtual_account_id,
        payment_id=payment_id,
        batch_id=None,
        kind=kind,
        channel=channel,
        direction=direction,
        status=PostingStatus.CLEARING,
        amount_minor=amount_minor,
        currency=CURRENCY,
        end_to_end_id=end_to_end_id,
        reference=reference,
        creditor_reference=None,
        own_name=place.owner,
        own_iban=place.iban,
        other_name=other.name if other else None,
        other_iban=other.iban if other else None,
        other_bic=other.bic if other else None,
        return_reason=return_reason,
        created_at=now,
        settled_at=None,
        cancelled_at=None,
    )


def earmark(tx: Tx, debit: Posting) -> None:
    """Set money aside for a debit that has not settled yet."""
    assert debit.direction is Direction.DEBIT
    postings.insert_posting(tx, debit)
    accounts.move(tx, debit.account_id, earmarked_minor=debit.amount_minor)


def settle(tx: Tx, debit: Posting, *, now: str) -> Posting:
    """Book an earmarked debit."""
    settled = replace(debit, status=PostingStatus.SETTLED, settled_at=now)
    postings.save_outcome(tx, settled)
    accounts.move(tx, debit.account_id, actual_minor=debit.signed_minor, earmarked_minor=-debit.amount_minor)
    return settled


def cancel(tx: Tx, debit: Posting, *, now: str) -> None:
    """Let the money of an earmarked debit go."""
    postings.save_outcome(tx, replace(debit, status=PostingStatus.CANCELLED, cancelled_at=now))
    accounts.move(tx, debit.account_id, earmarked_minor=-debit.amount_minor)


def book(tx: Tx, posting: Posting) -> Posting:
    """Write a posting as settled at the moment it was made."""
    settled = replace(posting, status=PostingStatus.SETTLED, settled_at=posting.created_at)
    postings.insert_posting(tx, settled)
    accounts.move(tx, settled.account_id, actual_minor=settled.signed_minor)
    return settled


def record_cancelled(tx: Tx, posting: Posting) -> None:
    """Write a posting that never moved anything, so that its id can be found."""
    postings.insert_posting(
        tx, replace(posting, status=PostingStatus.CANCELLED, cancelled_at=posting.created_at)
    )
