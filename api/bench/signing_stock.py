"""Payouts that wait for their signature, made through the flows, as they stand just before the bank is told."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import sqlalchemy as sa

import compliance
from api.bench.failure import BenchRefused
from api.bench.market import CURRENCY, LEGAL_NAME, SAFEGUARDING_IBAN, Market, open_market
from api.bench.mint import Mint
from api.bench.scale import QUICK
from compliance.gate import Gate
from compliance.policy import load_policies
from compliance.store import load_list
from ledger.core.clearance import Cleared
from ledger.core.ids import PartyId, PayoutId
from ledger.core.orders import PayoutOrder, end_to_end_id_of
from ledger.flows import payout_sending, payouts
from ledger.store.payouts import Attempt, Payout
from ledger.store.schema import accounts
from ledger.store.tx import Tx
from partners.clearbank.payments import prepare
from partners.contract import Rail
from partners.host.bank import instruction_of

LOT = 500
CREDITOR_NAME, CREDITOR_IBAN = "Hotel Mirador", "ES9121000418450200051332"
AMOUNT_MINOR = 12_345


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payout that may be signed, and the body that its bank would get."""

    payout_id: str
    attempt_id: str
    profile: str
    body: bytes


def stock(engine: sa.Engine, random: Random, count: int) -> tuple[Waiting, ...]:
    """Founds a programme with money, and orders and submits so many payouts from it."""
    mint, gate = Mint(random), Gate(load_policies(Path(compliance.__file__).parent / "policy.toml"))
    market = open_market(engine, mint, replace(QUICK, wallets=1, sellers=1))
    with engine.begin() as connection:
        tx = Tx(connection, mint.instant(), secrets.token_bytes)
        load_list(tx, market.programme_id, name="bench", legal_basis="none", entries=[("1", "Nobody at all")])
    waiting: list[Waiting] = []
    while len(waiting) < count:
        with engine.begin() as connection:
            tx = Tx(connection, mint.instant(), secrets.token_bytes)
            waiting += _lot(tx, gate, market, min(LOT, count - len(waiting)))
    return tuple(waiting)


def _lot(tx: Tx, gate: Gate, market: Market, count: int) -> list[Waiting]:
    ordered = order_payouts(tx, gate, market, count, rail=Rail.SCT, debtor_iban=SAFEGUARDING_IBAN)
    submitted = payout_sending.submit(tx, ordered, sender=0)
    return [_waiting(*each) for each in submitted]


def order_payouts(
    tx: Tx, gate: Gate, market: Market, count: int, *, rail: Rail, debtor_iban: str
) -> list[Payout]:
    """Orders so many payouts from the market's first wallet. Raises: BenchRefused."""
    owner = sa.select(accounts.c.party_id).where(accounts.c.id == market.wallets[0])
    party_id = PartyId(tx.connection.execute(owner).scalar_one())
    orders = [_order(tx, market, party_id, rail=rail, debtor_iban=debtor_iban) for _ in range(count)]
    screened = gate.screen(tx, orders)
    ordered = payouts.order(tx, [order for order in screened if isinstance(order, Cleared)])
    found = [item for item in ordered if isinstance(item, Payout)]
    if len(found) < count:
        raise BenchRefused("not every payout was ordered")
    return found


def _order(tx: Tx, market: Market, party_id: PartyId, *, rail: Rail, debtor_iban: str) -> PayoutOrder:
    payout_id = PayoutId(tx.new_id("pay"))
    return PayoutOrder(
        payout_id=payout_id,
        programme_id=market.programme_id,
        party_id=party_id,
        account_id=market.wallets[0],
        reference=payout_id,
        rail=rail.value,
        amount_minor=AMOUNT_MINOR,
        currency=CURRENCY,
        creditor_name=CREDITOR_NAME,
        creditor_iban=CREDITOR_IBAN,
        debtor_name=LEGAL_NAME,
        debtor_iban=debtor_iban,
        end_to_end_id=end_to_end_id_of(payout_id),
        remittance="Payout",
        initiator="cli_bench",
    )


def _waiting(payout: Payout, attempt: Attempt) -> Waiting:
    request = prepare(instruction_of(payout))
    assert request.body is not None, "a payment has a body"
    return Waiting(payout.id, attempt.id, request.profile, request.body)
