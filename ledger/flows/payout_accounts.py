"""Where money is paid out: an account is set by one and verified by another. No money moves here.

A changed account is a new one, that nobody has verified yet. Whether an unverified or a new one may be paid is not
decided here: the enclave looks at both before it signs.
"""

from collections.abc import Sequence

from ledger.core.declined import Declined
from ledger.core.ids import PartyId, PayoutAccountId, ProgrammeId
from ledger.core.payout import PayoutState
from ledger.flows.payout_desk import wake
from ledger.store.events import Event, record_events
from ledger.store.payout_accounts import (
    PayoutAccount,
    insert_payout_accounts,
    insert_verification,
    point_parties,
)
from ledger.store.payouts import payouts_to
from ledger.store.tx import Tx


def new_account(
    tx: Tx, programme_id: ProgrammeId, party_id: PartyId | None, *, name: str, iban: str, by: str
) -> PayoutAccount:
    """An account to be set, by a client."""
    return PayoutAccount(
        id=PayoutAccountId(tx.new_id("pac")),
        programme_id=programme_id,
        party_id=party_id,
        name=name,
        iban=iban,
        set_by=by,
    )


def keep_first(tx: Tx, accounts: Sequence[PayoutAccount]) -> None:
    """Keeps the accounts that parties and programmes came in with."""
    insert_payout_accounts(tx, accounts)
    record_events(tx, [_event(account, "payout_account.set", account.set_by) for account in accounts])


def change(tx: Tx, account: PayoutAccount) -> None:
    """Has a party paid out to another account from now on."""
    keep_first(tx, [account])
    point_parties(tx, [account])


def verify(tx: Tx, account: PayoutAccount, *, how: str, by: str) -> Declined | None:
    """Records that an account is the payee's, and has payouts that waited for it tried again.

    Declines whoever set it: four eyes are two people's.
    """
    if account.set_by == by:
        return Declined("four_eyes", "An account is verified by another client than the one that set it.")
    if insert_verification(tx, account.id, how=how, verified_by=by):
        record_events(tx, [_event(account, "payout_account.verified", by)])
        waiting = payouts_to(
            tx, account.programme_id, account.iban, {PayoutState.QUEUED, PayoutState.PENDING_APPROVAL}
        )
        wake(tx, waiting)
    return None


def _event(account: PayoutAccount, type_: str, by: str) -> Event:
    return Event(account.programme_id, account.id, type_, {"by": by, "party_id": account.party_id})
