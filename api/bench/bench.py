"""What all workloads share: the server, the reference on it, how much is measured, and where progress is told."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
from rich.console import Console

from api.bench.audit import Tally, check_rows, count_rows
from api.bench.batches import notice_row
from api.bench.market import Market, open_market
from api.bench.mint import Mint
from api.bench.reference import Reference
from api.bench.scale import Scale
from api.bench.server import Database, Server
from api.bench.workload import Workload
from api.bench.writers import Run, Work, carry
from ledger.core.ids import NoticeId
from ledger.store.rows import insert_rows
from ledger.store.schema import notices
from ledger.store.tx import Tx

SEED = 20_261_122
SPARE = 1.3  # how much more is prepared than the fastest run so far would use
PATIENCE_S = 3600.0


class Stage:
    """A market in a database, and what has to stand in its tables by now."""

    def __init__(
        self, engine: sa.Engine, market: Market, mint: Mint, *, random: Random, expected: Tally
    ) -> None:
        self.engine = engine
        self.market = market
        self.mint = mint
        self.random = random
        self.expected = expected
        self.workload = Workload(market, mint, random)

    def carry(self, works: list[Work], each: Tally, *, writers: int = 1, seconds: float = PATIENCE_S) -> Run:
        """Carries works, each unit of which leaves these rows."""
        run = carry(self.engine, works, writers=writers, seconds=seconds)
        self.expect(each, run.units)
        return run

    def expect(self, each: Tally, units: int) -> None:
        """Notes what was applied."""
        self.expected = self.expected.plus(each, units)

    def check(self) -> None:
        """Sees to it that the book is whole and holds just what was applied. Raises: BenchRefused."""
        check_rows(self.engine, self.expected)

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """A transaction of its own, beside what is measured."""
        with self.engine.begin() as connection:
            yield Tx(connection, self.mint.instant(), secrets.token_bytes)

    def keep_notice(self) -> NoticeId:
        """A bank's word under which anything may be posted."""
        notice_id = NoticeId(self.mint.id("ntc"))
        with self.tx() as tx:
            insert_rows(tx, notices, [notice_row(notice_id, tx.now)])
        return notice_id

    def moved_to(self, engine: sa.Engine) -> "Stage":
        """The same market in a copy of its database, as it stands."""
        return Stage(engine, self.market, self.mint, random=self.random, expected=self.expected)


@dataclass(frozen=True, slots=True)
class Bench:
    """A run of the bench."""

    server: Server
    reference: Reference
    scale: Scale
    console: Console

    def say(self, line: str) -> None:
        """Tells how far it has come."""
        self.console.print(f"  {line}", soft_wrap=True)

    def reference_rate(self) -> float:
        """What pgbench does on this server just now. Units: transactions a second."""
        return self.reference.rate(self.scale.reference_s)

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """A database of its own for one workload, with a market in it."""
        with self.server.database() as database, self.stage_in(database) as stage:
            yield stage

    @contextmanager
    def stage_in(self, database: Database) -> Iterator[Stage]:
        """The market in a database that has none: the same one every time."""
        random = Random(SEED)
        mint = Mint(random)
        with database.engine() as engine:
            market = open_market(engine, mint, self.scale)
            database.analyse()
            yield Stage(engine, market, mint, random=random, expected=count_rows(engine))
