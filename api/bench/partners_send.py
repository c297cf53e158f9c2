"""How many payouts a worker sends in a second to a sandbox bank on the same machine, each attempt durable.

Every process is real: database, enclave, bank, worker. The payouts wait when the worker starts; their own rows say
when the first attempt was opened and when the last was concluded. The bank is told to keep its notices to itself:
what follows from them is other work.
"""

import os
import secrets
import shutil
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import httpx
import sqlalchemy as sa
from rich.console import Console

import compliance
from api.bank_desk import open_account
from api.bench.bench import SEED
from api.bench.failure import BenchRefused
from api.bench.market import LEGAL_NAME, BankAccount, Market, open_market
from api.bench.mint import Mint
from api.bench.partners_scale import PartnerScale
from api.bench.row import Row
from api.bench.scale import QUICK
from api.bench.signing_stock import LOT, order_payouts
from api.database import engine
from api.stack import BANK, DATABASE, Stack
from compliance.gate import Gate
from compliance.policy import load_policies
from compliance.store import load_list
from ledger.store.schema import attempts
from ledger.store.tx import Tx
from partners.contract import Rail

ASKED_FOR = 200.0  # payouts a second
BAR = 1.0
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.2
NOTICES_MAX = 1_000_000
HOME = Path(".tallystick") / "bench-partners"


def send(scale: PartnerScale, console: Console) -> list[Row]:
    """Sends payouts that wait, several times over. Raises: BenchRefused."""
    home = HOME.absolute()
    shutil.rmtree(home, ignore_errors=True)
    stack = Stack(home, say=lambda part: console.print(f"    {part}"))
    stack.start()
    try:
        rates = _rates(stack, scale, console)
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)
    name = f"send {scale.payouts:,} payouts to a sandbox bank, against {ASKED_FOR:.0f} a second"
    return [Row(name=name, value=median(rates), unit="payouts/s", reference=ASKED_FOR, bar=BAR)]


def _rates(stack: Stack, scale: PartnerScale, console: Console) -> list[float]:
    for part in ("worker", "api"):
        stack.kill(part)
    account = _bank_account(stack)
    pool = engine(stack.postgres.url("tallystick_app", DATABASE), pool_size=1)
    try:
        mint, gate = Mint(Random(SEED)), Gate(load_policies(Path(compliance.__file__).parent / "policy.toml"))
        market = open_market(pool, mint, replace(QUICK, wallets=1, sellers=1), account)
        with pool.begin() as connection:
            tx = Tx(connection, mint.instant(), secrets.token_bytes)
            load_list(tx, market.programme_id, name="bench", legal_basis="none", entries=[("1", "Nobody")])
        rates = []
        for _ in range(scale.sendings):
            console.print(f"  {scale.payouts:,} payouts wait")
            _order(pool, mint, gate, market, account, scale.payouts)
            rates.append(_sent_in_a_second(stack, pool, scale.payouts))
        return rates
    finally:
        pool.dispose()


def _order(pool: sa.Engine, mint: Mint, gate: Gate, market: Market, account: BankAccount, count: int) -> None:
    for start in range(0, count, LOT):
        with pool.begin() as connection:
            tx = Tx(connection, mint.instant(), secrets.token_bytes)
            order_payouts(
                tx, gate, market, min(LOT, count - start), rail=Rail.SCT_INST, debtor_iban=account.iban
            )


def _sent_in_a_second(stack: Stack, pool: sa.Engine, count: int) -> float:
    """Starts a worker, waits until everything is concluded, and stops it as a crash would."""
    with pool.connect() as connection:
        before = connection.execute(_CONCLUDED).one().concluded
    stack.start_worker()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with pool.connect() as connection:
            found = connection.execute(_CONCLUDED).one()
        if found.concluded - before >= count:
            break
        if time.monotonic() > deadline or stack.dead():
            raise BenchRefused(f"only {found.concluded - before} of {count} payouts were sent")
        time.sleep(LOOK_EVERY_S)
    stack.kill("worker")
    with pool.connect() as connection:
        ours = sa.select(attempts).order_by(attempts.c.id.desc()).limit(count).subquery()
        spent = connection.execute(
            sa.select(sa.func.min(ours.c.opened_at), sa.func.max(ours.c.answered_at), sa.func.count()).where(
                ours.c.outcome == "accepted"
            )
        ).one()
    if spent[2] < count:
        raise BenchRefused(f"only {spent[2]} of {count} payouts were accepted")
    seconds: float = (spent[1] - spent[0]).total_seconds()
    return count / seconds


_CONCLUDED = (
    sa.select(sa.func.count().label("concluded")).select_from(attempts).where(attempts.c.outcome.is_not(None))
)


def _bank_account(stack: Stack) -> BankAccount:
    """An account with money at the sandbox bank, which is told to keep its notices to itself."""
    opened = open_account(
        bank_url=stack.bank_url,
        token=(stack.home / "bank-token").read_text(),
        enclave_socket=Path(os.path.relpath(stack.home / "enclave.sock")),
        label="bench",
        owner=LEGAL_NAME,
        kind="GeneralSegregated",
    )
    with httpx.Client(base_url=stack.bank_url, trust_env=False, timeout=30) as bank:
        silent = {"kind": "lost_webhook", "match": {}, "times": NOTICES_MAX}
        bank.post("/sandbox/faults", json=silent).raise_for_status()
        money = {
            "creditorIban": opened.iban,
            "amount": 9_000_000,
            "endToEndId": "BENCH-1",
            "reference": "Bench",
            "debtorName": "Bench",
            "debtorIban": "FR1420041010050500013M02606",
            "debtorBic": "PSSTFRPPXXX",
        }
        bank.post("/sandbox/inbound", json=money).raise_for_status()
    return BankAccount(BANK, opened.bank_id, opened.iban)
