"""Writers that are killed, servers that are stopped at once, and connections that are cut: what came to stay?

Every acknowledged batch stands, once; of every other one either all stands or nothing.
"""

import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from ledger.core.chart import Side
from ledger.core.ids import ProgrammeId, TransferId
from ledger.evidence.log import append_leaves, keep_checkpoint
from ledger.store.schema import transfers
from tests.conftest import make_programme
from tests.ledger.sealed import Keys
from tests.ledger.world import asker, breaches, open_account
from tests.simulation.crowd import opened
from tests.simulation.writer import LOST, Orders

ROOT = Path(__file__).parents[2]
WRITERS = 4
WAIT_S = 60
COMMANDS = 4  # in each batch


def scene(engine: sa.Engine) -> Orders:
    """A programme, a bank account that gives all that is asked, and two wallets."""
    with opened(engine) as tx:
        ask = asker(tx, make_programme(tx, f"p-{secrets.token_hex(6)}"))
        bank = open_account(tx, ask.programme_id, floor_minor=None, side=Side.DEBIT)
        here, there = (open_account(tx, ask.programme_id) for _ in range(2))
    assert ask.authority.notice_id is not None, "an asker has a bank's word"
    return Orders(ask.programme_id, ask.authority.notice_id, bank, (here, there))


@dataclass
class Writer:
    """One process, and what it has said so far."""

    name: str
    process: subprocess.Popen[str]
    begun: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        assert self.process.stdout is not None, "it was started with a pipe"
        self._heard: queue.Queue[None] = queue.Queue()
        self._listening = threading.Thread(target=self._listen, args=(self.process.stdout,))
        self._listening.start()

    def _listen(self, pipe: IO[str]) -> None:
        for line in pipe:
            word, number = line.split()
            (self.begun if word == "begun" else self.done).add(int(number))
            self._heard.put(None)
        self._heard.put(None)

    def wait_for(self, batches: int) -> None:
        """Waits until so many batches were acknowledged."""
        deadline = time.monotonic() + WAIT_S
        while len(self.done) < batches:
            assert self.process.poll() is None, "the writer writes"
            self._heard.get(timeout=max(deadline - time.monotonic(), 0.001))

    def kill(self) -> None:
        """Ends it without a word, wherever it is."""
        self.process.kill()

    def end(self) -> int:
        """Waits for its end, and for its last words."""
        code = self.process.wait(WAIT_S)
        self._listening.join(WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def writing(url: str, orders: Orders, *, writers: int = WRITERS) -> Iterator[list[Writer]]:
    """Writers in processes of their own; whoever is still alive at the end is killed."""
    crew = []
    try:
        for _ in range(writers):
            name = secrets.token_hex(4)
            command = [sys.executable, "-m", "tests.simulation.writer", url, name, *orders.arguments()]
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            crew.append(Writer(name, process))
        yield crew
    finally:
        for writer in crew:
            writer.kill()
            writer.end()


def kill_writers(url: str, orders: Orders, *, after: Callable[[], int]) -> list[Writer]:
    """Lets writers write some batches each, and kills them in the middle of it."""
    with writing(url, orders) as crew:
        for writer in crew:
            writer.wait_for(after())
            writer.kill()
        return crew


def lose_server(url: str, orders: Orders, *, after: int, lose: Callable[[], None]) -> list[Writer]:
    """Lets writers write some batches each, and takes the server away from them."""
    with writing(url, orders) as crew:
        for writer in crew:
            writer.wait_for(after)
        lose()
        codes = [writer.end() for writer in crew]
        assert codes == [LOST] * len(crew), codes
        return crew


def check(engine: sa.Engine, orders: Orders, crew: Sequence[Writer]) -> None:
    """Raises: AssertionError when an acknowledged batch is not in the book, or half of one is."""
    programme_id = ProgrammeId(orders.programme_id)
    _wait_until_alone(engine)
    with opened(engine) as tx:
        query = sa.select(transfers.c.id).where(transfers.c.programme_id == programme_id)
        standing = {row["id"] for row in tx.rows(query)}
        assert breaches(tx, [programme_id]) == []
    for writer in crew:
        assert writer.done <= writer.begun
        for number in writer.begun:
            ids = _ids(orders, writer.name, number)
            stands = len(ids & standing)
            assert stands in {0, COMMANDS}, f"{writer.name} {number}: half of it stands"
            assert stands == COMMANDS or number not in writer.done, f"{writer.name} {number} is lost"
        # It cannot have got further than one batch behind the last one that it began.
        later = _ids(orders, writer.name, max(writer.begun, default=-1) + 1)
        assert standing.isdisjoint(later)


def _ids(orders: Orders, name: str, number: int) -> set[TransferId]:
    return {command.id for group in orders.batch(name, number) for command in group}


def _wait_until_alone(engine: sa.Engine) -> None:
    """Until the server has noticed that the killed are gone, what they were doing may still end either way."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
        "AND (state <> 'idle' OR wait_event_type = 'Lock')"
    )
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(query).scalar_one() == 0:
                return
    raise AssertionError("somebody is still writing")


def seal_all(engine: sa.Engine, orders: Orders) -> int:
    """Seals all that stands, with a checkpoint for each head; says how many leaves there are.

    Raises: AssertionError when the log does not come to hold every transfer.
    """
    programme_id, keys = ProgrammeId(orders.programme_id), Keys.fresh()
    with opened(engine) as tx:
        count = sa.select(sa.func.count().label("all")).where(transfers.c.programme_id == programme_id)
        wanted = tx.rows(count)[0]["all"]
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with opened(engine) as tx:
            head = append_leaves(tx, programme_id)
        with opened(engine) as tx:
            keep_checkpoint(tx, programme_id, head, keys.note(head))
        if head.size == wanted:
            return head.size
    raise AssertionError(f"{head.size} of {wanted} transfers are sealed")
