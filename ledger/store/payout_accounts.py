"""Accounts elsewhere that money is paid out to, each as it was set, and who has verified them. Facts: only added to.

The times are the database's own clock and are never sent: the enclave waits by them, and not by the programme's time.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from ledger.core.ids import PartyId, PayoutAccountId, ProgrammeId
from ledger.store.rows import Page, insert_rows, page_of, update_rows
from ledger.store.schema import parties, payout_account_verifications, payout_accounts
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutAccount:
    """Where a party is paid out, or (no party) where a programme sweeps its own money, and which client said so."""

    id: PayoutAccountId
    programme_id: ProgrammeId
    party_id: PartyId | None
    name: str
    iban: str
    set_by: str


@dataclass(frozen=True, slots=True)
class Verification:
    """That somebody else has found an account to be the payee's: by looking at it, or by asking the payee's bank."""

    payout_account_id: PayoutAccountId
    how: str
    verified_by: str
    verified_at: datetime


_COLUMNS = tuple(payout_accounts.c[name] for name in PayoutAccount.__slots__)
_VERIFICATION_COLUMNS = tuple(payout_account_verifications.c[name] for name in Verification.__slots__)


def insert_payout_accounts(tx: Tx, accounts: Sequence[PayoutAccount]) -> None:
    """Writes accounts as they were set; the newest of a party holds."""
    insert_rows(tx, payout_accounts, [asdict(account) for account in accounts])


def point_parties(tx: Tx, accounts: Sequence[PayoutAccount]) -> None:
    """Has parties paid out to these accounts from now on."""
    rows = [
        {"id": account.party_id, "payout_name": account.name, "payout_iban": account.iban}
        for account in accounts
        if account.party_id is not None
    ]
    update_rows(tx, parties, ["id"], rows)


def read_payout_account(tx: Tx, account_id: PayoutAccountId) -> PayoutAccount | None:
    """One account, as it was set."""
    row = tx.row(sa.select(*_COLUMNS).where(payout_accounts.c.id == account_id))
    return None if row is None else PayoutAccount(**row)


def programme_payout_accounts(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[PayoutAccount]:
    """A page of the accounts that were ever set in a programme, oldest first."""
    query = sa.select(*_COLUMNS).where(payout_accounts.c.programme_id == programme_id)
    return [PayoutAccount(**row) for row in tx.rows(page_of(query, payout_accounts, page))]


def insert_verification(tx: Tx, account_id: PayoutAccountId, *, how: str, verified_by: str) -> bool:
    """Writes that an account was verified in a way; says False when it had been before."""
    row = {"payout_account_id": account_id, "how": how, "verified_by": verified_by}
    return insert_rows(tx, payout_account_verifications, [row], ignore_conflicts=True) == 1


def verifications_of(
    tx: Tx, account_ids: Collection[PayoutAccountId]
) -> dict[PayoutAccountId, list[Verification]]:
    """The verifications of these accounts, first one first."""
    verification = payout_account_verifications.c
    query = (
        sa.select(*_VERIFICATION_COLUMNS)
        .where(verification.payout_account_id.in_(sorted(account_ids)))
        .order_by(verification.verified_at)
    )
    found: dict[PayoutAccountId, list[Verification]] = {account_id: [] for account_id in account_ids}
    for row in tx.rows(query):
        found[row["payout_account_id"]].append(Verification(**row))
    return found
