"""Money that comes in: to a real account, to a virtual IBAN, to an IBAN that nobody has, or several as one.

Incoming money is credited at any hour; the published receiving hours are not played. What is sent to an
IBAN under the bank's own code that leads nowhere goes to the Repair Suspense account, of which only
the posting tells.

Source: ClearBank EU, "Real accounts" (Repair Suspense), `Sepa.Ct.InboundPayment.Completed`.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from partners.sandbox import booking, iban, notices
from partners.sandbox.bank import Bank
from partners.sandbox.clock import stamp
from partners.sandbox.records import Account, Direction, Party, Place, Posting, PostingKind, Scheme
from partners.sandbox.store import accounts
from partners.sandbox.store.database import Tx, next_number, read_setting, write_setting

REPAIR_SUSPENSE = "RepairSuspense"
REPAIR_SUSPENSE_NUMBER = 6_600_000_001
_REPAIR_SUSPENSE_ID = "repair_suspense_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What another bank has sent. Units: amount in cents."""

    payer: Party
    scheme: Scheme
    amount_minor: int
    end_to_end_id: str
    reference: str
    creditor_reference: str | None = None


def find_or_suspend(bank: Bank, tx: Tx, creditor_iban: str) -> Place | None:
    """Where money for an IBAN goes: its account, Repair Suspense, or nowhere when it is another bank's."""
    place = accounts.find_place(tx, creditor_iban)
    if place is not None or creditor_iban[4:8] != iban.BANK_CODE:
        return place
    suspense = _repair_suspense(bank, tx)
    return Place(account_id=suspense.id, virtual_account_id=None, iban=creditor_iban, owner=suspense.owner)


def receive(
    bank: Bank,
    tx: Tx,
    place: Place,
    transfer: Transfer,
    *,
    batch_id: str | None = None,
    silenced: bool = False,
) -> Posting:
    """Credit money that comes in for one of the bank's IBANs, at any hour, and tell the client."""
    inbound_id = str(uuid.uuid4())
    draft = booking.draft(
        place,
        transfer.payer,
        direction=Direction.CREDIT,
        kind=PostingKind.TRANSFER,
        channel=transfer.scheme.channel,
        amount_minor=transfer.amount_minor,
        end_to_end_id=transfer.end_to_end_id,
        reference=transfer.reference,
        now=stamp(bank.clock.now()),
        payment_id=inbound_id,
    )
    draft = replace(draft, creditor_reference=transfer.creditor_reference, batch_id=batch_id)
    credit = booking.book(tx, draft)
    if accounts.find_place(tx, place.iban) is not None:
        notices.tell_inbound(tx, credit, inbound_id=inbound_id, scheme=transfer.scheme, silenced=silenced)
    subject = notices.Subject(
        payment_id=inbound_id,
        end_to_end_id=transfer.end_to_end_id,
        creditor_iban=place.iban,
        silenced=silenced,
    )
    notices.tell_posted(tx, credit, subject)
    return credit


def receive_together(
    bank: Bank, tx: Tx, transfers: Sequence[tuple[Place, Transfer]]
) -> tuple[str, list[Posting]]:
    """Credit several at once; an account's statement shows them as one entry. The batch's id, and the credits."""
    batch_id = str(uuid.uuid4())
    return batch_id, [receive(bank, tx, place, transfer, batch_id=batch_id) for place, transfer in transfers]


def _repair_suspense(bank: Bank, tx: Tx) -> Account:
    known = accounts.find_account(tx, read_setting(tx, _REPAIR_SUSPENSE_ID) or "")
    if known is not None:
        return known
    account = Account(
        id=str(uuid.uuid4()),
        name="Repair Suspense",
        label="Repair Suspense",
        owner="Sandbox Bank",
        kind=REPAIR_SUSPENSE,
        bic=iban.BIC,
        iban=_free_iban(tx),
        actual_minor=0,
        earmarked_minor=0,
        opened_at=stamp(bank.clock.now()),
    )
    accounts.insert_account(tx, account)
    write_setting(tx, _REPAIR_SUSPENSE_ID, account.id)
    return account


def _free_iban(tx: Tx) -> str:
    while accounts.find_place(
        tx, candidate := iban.own_iban(next_number(tx, "repair_suspense", REPAIR_SUSPENSE_NUMBER))
    ):
        continue
    return candidate
