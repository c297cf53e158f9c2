"""Whether the book slows down as it fills: the same posts into full tables and into empty ones, and balances as of a
past instant in much and in little history. Full and empty take turns, as copies of one market with the same accounts.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from statistics import median

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.bench.audit import SINGLE_LEG_POST
from api.bench.bench import Bench, Stage
from api.bench.failure import BenchRefused
from api.bench.row import Row
from api.bench.scale import BATCH
from api.bench.server import Database
from api.bench.throughput import works_for
from api.bench.writers import Run
from ledger.store.history import balance_of
from ledger.store.periods import settle

BAR_POSTING = 0.8
BAR_LOOKUP = 2
CHUNK = 16  # batches prepared at a time while tables are filled
LOOKUPS_WARM_UP = 20
WARM_UP = 12  # batches before each run that is measured


@dataclass(frozen=True, slots=True)
class Past:
    """A filled market, and the time in which it was filled."""

    stage: Stage
    began_at: datetime
    ended_at: datetime


def history(bench: Bench) -> list[Row]:
    """Fills tables, then compares. What opened and funded the market stands in the empty ones too."""
    with ExitStack() as stack:
        full_database = stack.enter_context(bench.server.database())
        with bench.stage_in(full_database) as opened:
            opened.check()
        # Nobody is connected now, so it can be copied.
        empty_database = stack.enter_context(bench.server.copy_of(full_database))
        few_database = stack.enter_context(bench.server.copy_of(full_database))
        few = _fill(
            bench, opened.moved_to(stack.enter_context(few_database.engine())), bench.scale.entries_few
        )
        full = _fill(bench, opened.moved_to(stack.enter_context(full_database.engine())), bench.scale.entries)
        for database in (few_database, full_database):
            database.settle()
        posting = _posting(bench, full.stage, opened, empty_database)
        lookup = _lookup(bench, full, few)
        full.stage.check()
        few.stage.check()
    return [posting, lookup]


def _fill(bench: Bench, stage: Stage, entries: int) -> Past:
    """Fills the tables through the book until they hold so many entries."""
    began_at, begun = stage.mint.instant(), time.perf_counter()
    columns = (
        TextColumn("filling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("entries"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=bench.console, transient=True) as progress:
        bar = progress.add_task("filling", total=entries)
        while stage.expected.entries < entries:
            batches = ceil((entries - stage.expected.entries) / (2 * BATCH))
            stage.carry(stage.workload.bulk(min(CHUNK, batches)), SINGLE_LEG_POST)
            progress.update(bar, completed=min(entries, stage.expected.entries))
    stage.check()
    bench.say(f"history: {stage.expected.entries:,} entries stand after {time.perf_counter() - begun:,.0f} s")
    return Past(stage, began_at, stage.mint.instant())


def _posting(bench: Bench, full: Stage, opened: Stage, empty_database: Database) -> Row:
    full_runs: list[Run] = []
    empty_runs: list[Run] = []
    for turn in range(bench.scale.rounds):
        with bench.server.copy_of(empty_database) as database, database.engine() as engine:
            empty = opened.moved_to(engine)
            empty_runs.append(_run(bench, empty))
            empty.check()
        full_runs.append(_run(bench, full))
        bench.say(
            f"history, round {turn + 1} of {bench.scale.rounds}: "
            f"empty {empty_runs[-1].rate:,.0f}, full {full_runs[-1].rate:,.0f} posts/s"
        )
    return Row(
        name=f"history, posting with {bench.scale.entries:,} entries against empty tables",
        value=median(run.rate for run in full_runs),
        unit="posts/s",
        reference=median(run.rate for run in empty_runs),
        bar=BAR_POSTING,
    )


def _run(bench: Bench, stage: Stage) -> Run:
    """A run, once both sides are as warm as a book in use.

    The server has just taken a checkpoint, because a copy was dropped, and the first change of each page after one is
    written out whole. That falls on the side with more pages, and in a book in use once in many minutes.
    """
    warm_up = stage.carry(stage.workload.bulk(min(WARM_UP, bench.scale.works_max)), SINGLE_LEG_POST)
    works = stage.workload.bulk(works_for(bench.scale, [warm_up]))
    return stage.carry(works, SINGLE_LEG_POST, seconds=bench.scale.run_s)


def _lookup(bench: Bench, full: Past, few: Past) -> Row:
    for past in (full, few):
        with past.stage.tx() as tx:  # what is asked about has to be settled, once
            settle(tx, past.stage.market.programme_id, past.ended_at)
    full_s: list[float] = []
    few_s: list[float] = []
    for _ in range(bench.scale.rounds):
        few_s += _latencies(few, bench.scale.lookups)
        full_s += _latencies(full, bench.scale.lookups)
    full_ms, few_ms = median(full_s) * 1000, median(few_s) * 1000
    bench.say(f"history: as of an instant, {few_ms:.3f} ms with few entries, {full_ms:.3f} ms with many")
    return Row(
        name=(
            f"history, one account's balance as of an instant, {bench.scale.entries:,} entries "
            f"against {bench.scale.entries_few:,}"
        ),
        value=full_ms,
        unit="ms",
        reference=few_ms,
        bar=BAR_LOOKUP,
        at_most=True,
    )


def _latencies(past: Past, number: int) -> list[float]:
    """How long each of so many look-ups took, of any wallet at any instant of the past. Units: seconds."""
    stage, span = past.stage, past.ended_at - past.began_at
    latencies_s = []
    with stage.tx() as tx:
        for _ in range(LOOKUPS_WARM_UP + number):
            account_id = stage.random.choice(stage.market.wallets)
            at = past.began_at + stage.random.random() * span
            begun = time.perf_counter()
            balance = balance_of(tx, stage.market.programme_id, account_id, at=at)
            latencies_s.append(time.perf_counter() - begun)
            if balance is None or balance.version < 1:
                raise BenchRefused(
                    f"{account_id} was open at {at.isoformat()}, and the book does not know it"
                )
    return latencies_s[LOOKUPS_WARM_UP:]
