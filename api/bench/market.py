"""A programme with customers and sellers, opened and funded through the book itself: where the workloads take place.

Wallets have the limit that wallets have (no overdraft), so every post is checked against it, and so much money on them
that none is refused.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from api.bench.batches import Head, make_batch
from api.bench.mint import Mint
from api.bench.scale import BATCH, Scale
from api.bench.writers import Batch, Work, carry
from ledger.core.chart import CHART, Code
from ledger.core.commands import Command, Leg, Open, Post
from ledger.core.ids import AccountId, PartyId, ProgrammeId
from ledger.flows.onboarding import found
from ledger.store.accounts import shared_accounts
from ledger.store.programmes import Programme
from ledger.store.rows import insert_rows
from ledger.store.schema import parties
from ledger.store.tx import Tx

CURRENCY = "EUR"
FUNDED_MINOR = 1_000_000_000
PATIENCE_S = 600.0
LEGAL_NAME, SAFEGUARDING_IBAN = "Bench B.V.", "NL91ABNA0417164300"
_ROLES = {Code.WALLET: "customer", Code.SELLER: "merchant"}


@dataclass(frozen=True, slots=True)
class Market:
    """The programme, the accounts of its customers, and those of its sellers."""

    programme_id: ProgrammeId
    wallets: tuple[AccountId, ...]
    sellers: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where a programme keeps its customers' money."""

    connection: str
    bank_id: str
    iban: str


NO_BANK = BankAccount("bench", "bench-safeguarding", SAFEGUARDING_IBAN)


@dataclass(frozen=True, slots=True)
class _Opening:
    """An account to be, and whose."""

    account_id: AccountId
    party_id: PartyId
    code: Code


def open_market(engine: sa.Engine, mint: Mint, scale: Scale, bank_account: BankAccount = NO_BANK) -> Market:
    """Founds a programme, opens all accounts, and puts money on every wallet."""
    programme_id = ProgrammeId(mint.id("prg"))
    wallets = [_opening(mint, Code.WALLET) for _ in range(scale.wallets)]
    sellers = [_opening(mint, Code.SELLER) for _ in range(scale.sellers)]
    bank = _found(engine, mint, _programme(programme_id, bank_account), [*wallets, *sellers])
    _carry_all(engine, mint, programme_id, [*wallets, *sellers], _open)
    _carry_all(engine, mint, programme_id, wallets, lambda head, opening: _fund(head, bank, opening))
    return Market(
        programme_id,
        wallets=tuple(opening.account_id for opening in wallets),
        sellers=tuple(opening.account_id for opening in sellers),
    )


def _found(engine: sa.Engine, mint: Mint, programme: Programme, openings: list[_Opening]) -> AccountId:
    """The programme with its parties, and the account from which its customers are funded."""
    with engine.begin() as connection:
        tx = Tx(connection, mint.instant(), secrets.token_bytes)
        declined = found(tx, programme)
        assert declined is None, "the database is new"
        insert_rows(tx, parties, [_party_row(tx, programme.id, opening) for opening in openings])
        return shared_accounts(tx, {programme.id}, Code.SAFEGUARDING)[programme.id]


def _carry_all(
    engine: sa.Engine,
    mint: Mint,
    programme_id: ProgrammeId,
    openings: list[_Opening],
    command: Callable[[Head, _Opening], Command],
) -> None:
    for start in range(0, len(openings), BATCH):
        page = openings[start : start + BATCH]
        batch = _batch(mint, programme_id, page, command)
        run = carry(engine, [Work((batch,), len(page))], writers=1, seconds=PATIENCE_S)
        assert run.works == 1, "one batch is begun at once"


def _batch(
    mint: Mint, programme_id: ProgrammeId, page: list[_Opening], command: Callable[[Head, _Opening], Command]
) -> Batch:
    return make_batch(mint, programme_id, lambda head: [command(head, opening) for opening in page])


def _opening(mint: Mint, code: Code) -> _Opening:
    return _Opening(AccountId(mint.id("acct")), PartyId(mint.id("pty")), code)


def _open(head: Head, opening: _Opening) -> Open:
    return Open(
        **head.common(),
        account_id=opening.account_id,
        code=opening.code,
        party_id=opening.party_id,
        currency=CURRENCY,
        min_available_minor=CHART[opening.code].min_available_minor,
    )


def _fund(head: Head, bank: AccountId, opening: _Opening) -> Post:
    return Post(**head.common(), legs=(Leg(bank, opening.account_id, FUNDED_MINOR),))


def _programme(programme_id: ProgrammeId, bank_account: BankAccount) -> Programme:
    return Programme(
        id=programme_id,
        name="bench",
        legal_name=LEGAL_NAME,
        bank_connection=bank_account.connection,
        safeguarding_bank_id=bank_account.bank_id,
        safeguarding_iban=bank_account.iban,
        operating_bank_id="bench-operating",
        operating_iban="bench-operating",
        currency=CURRENCY,
    )


def _party_row(tx: Tx, programme_id: ProgrammeId, opening: _Opening) -> dict[str, object]:
    return {
        "id": opening.party_id,
        "programme_id": programme_id,
        "role": _ROLES[opening.code],
        "name": "Party of the bench",
        "reference": opening.party_id,
        "status": "active",
        "payout_name": None,
        "payout_iban": None,
        "commission_bps": None,
        "created_at": tx.now,
    }
