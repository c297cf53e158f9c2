"""The long form of the book's tests: `make simulate SEED=… STEPS=…`.

Each act is on what it needs: the deciding function beside the model, the book beside the model, the same decided
ahead, crowds of writers, and crashes. The first three are the same for the same seed; of a crowd only the callers are,
and a crash is never twice the same. A failure says the seed, and the command that begins with what failed.

May be run by hand or by night only: it takes as long as it is let.
"""

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from api.database import engine, migrate
from api.embedded import EmbeddedPostgres
from api.posting import PostGroups
from ledger import book
from ledger.ahead import Ahead
from tests.simulation import crash
from tests.simulation.crowd import crowd_on, mixed_doors
from tests.simulation.play import play_on
from tests.simulation.stages import BookStage, ShelfStage

STEPS = 100_000
STEPS_A_PLAY = 300
DECIDED_A_STEP = 10
"""How many steps of the deciding function alone are played for one of the book: it needs no database."""
STEPS_A_CROWD = 1_000
STEPS_A_KILL = 2_000
STEPS_A_STOP = 10_000
WRITERS, OPERATIONS = 16, 60
SECONDS_A_WORD = 2.0
CONNECTIONS = 20


@dataclass
class Progress:
    """Says on standard error how far an act is, every few seconds."""

    act: str
    rounds: int
    began_at: float
    said_at: float = 0.0

    def say(self, done: int, word: str) -> None:
        """Says how many rounds are done; not too often, and always the last."""
        now = time.monotonic()
        if now - self.said_at >= SECONDS_A_WORD or done == self.rounds:
            self.said_at = now
            passed = now - self.began_at
            print(f"{self.act}: {done} of {self.rounds} in {passed:.0f} s, {word}", file=sys.stderr)  # noqa: T201 - a program's own words


class Server:
    """A server of its own for one run, with one database."""

    def __init__(self, home: Path) -> None:
        self._server = EmbeddedPostgres(home / "postgres")
        self._server.start()
        self._server.create_database("tallystick")
        migrate(self._server.url("tallystick_owner"))

    @property
    def url(self) -> str:
        """Where it is now: after each start it is somewhere else."""
        return self._server.url("tallystick_app")

    def start(self) -> None:
        """Starts it again."""
        self._server.start()

    def stop(self) -> None:
        """Stops it at once, as a crash would."""
        self._server.stop(mode="immediate")

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """Connections to it, as the application."""
        pool = engine(self.url, pool_size=CONNECTIONS)
        try:
            yield pool
        finally:
            pool.dispose()


Round = Callable[[int], str]
"""One round of an act with its seed; says in a few words what it was like."""


def act(name: str, rounds: int, one: Round, *, seed: int) -> None:
    """Plays rounds, each with the next seed. Raises: Failed."""
    progress = Progress(name, rounds, time.monotonic())
    for number in range(rounds):
        try:
            word = one(seed + number)
        except Exception as error:
            raise Failed(name, seed + number) from error
        progress.say(number + 1, word)


class Failed(Exception):
    """A round went wrong."""

    def __init__(self, act_name: str, seed: int) -> None:
        super().__init__(f"{act_name} failed with seed {seed}")
        self.act = act_name
        self.seed = seed


def _decided(steps: int, seed: int) -> str:
    return _common(play_on(ShelfStage(), seed=seed, steps=steps).answers)


def _posted(pool: sa.Engine, steps: int, seed: int) -> str:
    return _common(play_on(BookStage(pool), seed=seed, steps=steps).answers)


def _foreseen(pool: sa.Engine, steps: int, seed: int) -> str:
    return _common(play_on(BookStage(pool, Ahead(rest=0).post), seed=seed, steps=steps).answers)


def _crowd(pool: sa.Engine, doors: Sequence[PostGroups], seed: int) -> str:
    answers = crowd_on(pool, seed=seed * 100, writers=WRITERS, operations=OPERATIONS, doors=doors)
    return _common(Counter(map(str, answers.elements())))


def _common(answers: Counter[str]) -> str:
    return ", ".join(f"{answer} {count}" for answer, count in answers.most_common(3))


def _kills(pool: sa.Engine, url: str, _seed: int) -> str:
    orders = crash.scene(pool)
    crew = crash.kill_writers(url, orders, after=lambda: 1 + secrets.randbelow(30))
    crash.check(pool, orders, crew)
    return f"{crash.seal_all(pool, orders)} transfers sealed after the last kill"


def _stop(server: Server, _seed: int) -> str:
    with server.engine() as pool:
        orders = crash.scene(pool)
    crew = crash.lose_server(server.url, orders, after=1 + secrets.randbelow(20), lose=server.stop)
    server.start()
    with server.engine() as pool:
        crash.check(pool, orders, crew)
        return f"{crash.seal_all(pool, orders)} transfers sealed after the last stop"


def play_all(server: Server, *, seed: int, steps: int) -> None:
    """All acts, one after the other. Raises: Failed."""
    plays, last = divmod(steps, STEPS_A_PLAY)
    plays = max(plays + (last > 0), 1)
    a_play = min(steps, STEPS_A_PLAY)
    act("decide", plays * DECIDED_A_STEP, partial(_decided, a_play), seed=seed)
    with server.engine() as pool:
        act("book", plays, partial(_posted, pool, a_play), seed=seed)
        act("ahead", plays, partial(_foreseen, pool, a_play), seed=seed)
        crowds = 1 + steps // STEPS_A_CROWD
        act("crowd", crowds, partial(_crowd, pool, [book.post]), seed=seed)
        act("crowd ahead", crowds, partial(_crowd, pool, mixed_doors()), seed=seed)
        act("kill", 1 + steps // STEPS_A_KILL, partial(_kills, pool, server.url), seed=seed)
    act("stop", 1 + steps // STEPS_A_STOP, partial(_stop, server), seed=seed)


def main() -> int:
    """Plays, and says how to play again what failed."""
    reader = argparse.ArgumentParser(prog="make simulate", description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    reader.add_argument("--steps", type=int, default=STEPS)
    asked = reader.parse_args()
    print(f"make simulate SEED={asked.seed} STEPS={asked.steps}", file=sys.stderr)  # noqa: T201 - a program's own words
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        try:
            play_all(server, seed=asked.seed, steps=asked.steps)
        except Failed as failed:
            again = f"make simulate SEED={failed.seed} STEPS={min(asked.steps, STEPS_A_PLAY)}"
            traceback.print_exception(failed.__cause__)
            print(f"{failed}; begin there again: {again}", file=sys.stderr)  # noqa: T201 - a program's own words
            return 1
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
