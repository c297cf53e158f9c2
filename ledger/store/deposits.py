"""Deposits: money that has arrived, and the IBANs that it arrives on."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from ledger.core.ids import AccountId, NoticeId, PartyId, ProgrammeId
from ledger.store.rows import Page, insert_rows, page_of, update_rows
from ledger.store.schema import accounts, deposits, virtual_ibans
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """One credit at the bank. `account_id` is None when nobody of ours has the IBAN. Units: minor units."""

    id: str
    programme_id: ProgrammeId
    account_id: AccountId | None
    amount_minor: int
    currency: str
    debtor_name: str
    debtor_iban: str
    creditor_iban: str
    remittance: str
    transaction_id: str
    notice_id: NoticeId
    state: str


_COLUMNS = tuple(deposits.c[name] for name in Deposit.__slots__)


def insert_deposits(tx: Tx, received: Sequence[Deposit]) -> None:
    """Writes deposits."""
    insert_rows(tx, deposits, [asdict(deposit) | {"received_at": tx.now} for deposit in received])


def read_deposits(tx: Tx, ids: Collection[str]) -> dict[str, Deposit]:
    """Deposits by id."""
    query = sa.select(*_COLUMNS).where(deposits.c.id.in_(sorted(ids)))
    return {row["id"]: Deposit(**row) for row in tx.rows(query)}


def credit_deposits(tx: Tx, ids: Collection[str]) -> None:
    """Marks deposits as credited to their account."""
    update_rows(tx, deposits, ["id"], [{"id": deposit_id, "state": "credited"} for deposit_id in ids])


def programme_deposits(tx: Tx, programme_id: ProgrammeId, page: Page) -> list[Deposit]:
    """A page of a programme's deposits, oldest first."""
    query = sa.select(*_COLUMNS).where(deposits.c.programme_id == programme_id)
    return [Deposit(**row) for row in tx.rows(page_of(query, deposits, page, order="received_at"))]


def accounts_by_iban(tx: Tx, ibans: Collection[str]) -> dict[str, tuple[ProgrammeId, AccountId]]:
    """Whose IBAN it is: the programme and the account behind each virtual IBAN that we issued."""
    query = sa.select(virtual_ibans.c.iban, virtual_ibans.c.programme_id, virtual_ibans.c.account_id).where(
        virtual_ibans.c.iban.in_(sorted(ibans))
    )
    return {row["iban"]: (row["programme_id"], row["account_id"]) for row in tx.rows(query)}


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualIban:
    """An IBAN of its own for one account; `iban` is None until the bank has given it, `party_id` until it is read."""

    id: str
    programme_id: ProgrammeId
    account_id: AccountId
    party_id: PartyId | None
    state: str
    iban: str | None


def request_virtual_ibans(tx: Tx, wanted: Sequence[tuple[ProgrammeId, AccountId]]) -> list[VirtualIban]:
    """Notes that accounts want IBANs of their own; the bank has not been asked yet."""
    wishes = [
        VirtualIban(
            id=tx.new_id("vib"),
            programme_id=programme_id,
            account_id=account_id,
            party_id=None,
            state="requested",
            iban=None,
        )
        for programme_id, account_id in wanted
    ]
    rows = [
        {
            "id": wish.id,
            "programme_id": wish.programme_id,
            "account_id": wish.account_id,
            "state": wish.state,
            "requested_at": tx.now,
        }
        for wish in wishes
    ]
    insert_rows(tx, virtual_ibans, rows)
    return wishes


def read_virtual_iban(tx: Tx, virtual_iban_id: str) -> VirtualIban | None:
    """One virtual IBAN with the party that owns its account."""
    query = (
        sa.select(
            virtual_ibans.c.id,
            virtual_ibans.c.programme_id,
            virtual_ibans.c.account_id,
            virtual_ibans.c.state,
            virtual_ibans.c.iban,
            accounts.c.party_id,
        )
        .select_from(virtual_ibans.join(accounts, accounts.c.id == virtual_ibans.c.account_id))
        .where(virtual_ibans.c.id == virtual_iban_id)
    )
    row = tx.row(query)
    return None if row is None else VirtualIban(**row)


def activate_virtual_iban(tx: Tx, virtual_iban_id: str, *, iban: str, bank_id: str) -> None:
    """Notes the IBAN that the bank gave."""
    row = {"id": virtual_iban_id, "state": "active", "iban": iban, "bank_id": bank_id}
    update_rows(tx, virtual_ibans, ["id"], [row])
