"""How much is measured: everything a run of the bench does is bounded here, in count and in time."""

from dataclasses import dataclass

from ledger.core.commands import BATCH_MAX

BATCH = (
    8_189  # commands in one transaction: as many as TigerBeetle takes in one request, so that figures compare
)
assert BATCH <= BATCH_MAX, "the book takes such a batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One size of the bench. Counts are the most that is done; a run ends earlier when its seconds are over.

    rounds           how often reference and workload take turns; figures are medians over them
    reference_scale  pgbench's own scale factor (100,000 rows each)
    reference_s      seconds of one run of pgbench
    run_s            seconds of one run of a workload
    works_max        batches (or lots of checkouts) prepared for one run
    calls_max        single posts prepared for one run
    wallets          accounts of customers, between which everything is posted
    sellers          accounts of sellers, to which checkouts are captured
    checkouts        checkouts in one lot of three batches
    callers          callers at the same time, each with one post at a time
    entries          how full the tables are made for the history
    entries_few      and the tables it is compared with, for look-ups
    lookups          balances asked for as of an instant, in one round
    stored           batches loaded to measure what a transfer takes on disk
    """

    name: str
    rounds: int
    reference_scale: int
    reference_s: int
    run_s: float
    works_max: int
    calls_max: int
    wallets: int
    sellers: int
    checkouts: int
    callers: int
    entries: int
    entries_few: int
    lookups: int
    stored: int


FULL = Scale(
    name="full",
    rounds=3,
    reference_scale=20,
    reference_s=8,
    run_s=8.0,
    works_max=48,
    calls_max=200_000,
    wallets=10_000,
    sellers=300,
    checkouts=BATCH,
    callers=64,
    entries=10_000_000,
    entries_few=100_000,
    lookups=2_000,
    stored=24,
)
QUICK = Scale(
    name="quick",
    rounds=1,
    reference_scale=1,
    reference_s=1,
    run_s=1.0,
    works_max=2,
    calls_max=1_000,
    wallets=200,
    sellers=20,
    checkouts=200,
    callers=64,
    entries=200_000,
    entries_few=20_000,
    lookups=50,
    stored=1,
)
