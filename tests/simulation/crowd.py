"""Many writers at once over few accounts, and one who asks about the past meanwhile.

Whatever the interleaving: money is neither made nor lost, no limit is passed, nothing is done twice, and what was said
of the past stands. The seed makes the callers, not the interleaving: that is the machine's.
"""

import random
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier, Event

import sqlalchemy as sa

from api.posting import PostGroups
from api.transactions import Transactions, told_at_end
from api.tries import in_tx
from ledger import book
from ledger.ahead import Ahead
from ledger.core.chart import Side
from ledger.core.commands import Applied, Command, Exists, Leg, Result
from ledger.core.ids import AccountId
from ledger.store.accounts import lock_accounts
from ledger.store.history import balances
from ledger.store.periods import settle
from ledger.store.schema import transfers
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, make_programme
from tests.ledger.model import Answer, answer_of
from tests.ledger.world import Asker, asker, breaches, done, open_account

FUNDS_MINOR = 300
WAIT_S = 120
KINDS = (
    "post", "post", "post", "up to", "hold", "hold", "increase", "capture", "capture", "release", "expire",
    "reverse", "reverse", "freeze", "unfreeze", "unfreeze", "popular",
)  # fmt: skip

Past = Mapping[AccountId, tuple[int, int, int]]


@contextmanager
def opened(engine: sa.Engine, seconds: float = 0) -> Iterator[Tx]:
    """A transaction of one whose clock is so many seconds ahead."""
    with told_at_end() as at_end, engine.begin() as connection:
        yield Tx(connection, MONDAY_MORNING + timedelta(seconds=seconds), secrets.token_bytes, at_end)


def transactions_of(engine: sa.Engine, seconds: float = 0) -> Transactions:
    """Transactions of one whose clock is so many seconds ahead."""
    return lambda: opened(engine, seconds)


class Purses:
    """Four accounts: three that may not be overdrawn and one with a cap, filled from one bank account."""

    def __init__(self, tx: Tx) -> None:
        self.ask: Asker = asker(tx, make_programme(tx, f"p-{secrets.token_hex(6)}"))
        self.bank = open_account(tx, self.ask.programme_id, floor_minor=None, side=Side.DEBIT)
        self.places: list[AccountId] = [open_account(tx, self.ask.programme_id) for _ in range(3)]
        self.places.append(open_account(tx, self.ask.programme_id, cap_minor=FUNDS_MINOR + 20))
        done(
            tx, *(self.ask.post(f"fund {place}", Leg(self.bank, place, FUNDS_MINOR)) for place in self.places)
        )

    def total_minor(self, tx: Tx) -> int:
        """What is on the four accounts together."""
        return sum(item.posted_minor for item in lock_accounts(tx, self.places).values())


@dataclass
class Writer:
    """One caller's day: everything in any direction, in batches of any order, with a clock of its own."""

    engine: sa.Engine
    purses: Purses
    seed: int
    operations: int
    post: PostGroups = book.post
    answers: Counter[Answer] = field(default_factory=Counter)
    applied: list[str] = field(default_factory=list)
    found: set[str] = field(default_factory=set)
    holds: list[tuple[str, AccountId]] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)

    def run(self, start: Barrier) -> "Writer":
        """Everything that this writer does, once all are there."""
        dice = random.Random(self.seed)
        start.wait()
        for number in range(self.operations):
            commands = [
                self._command(dice, f"{self.seed} {number} {part}") for part in range(dice.randint(1, 4))
            ]
            dice.shuffle(commands)
            # Every caller's clock is a little different, and at times behind.
            for (result,) in self._send(commands, seconds=dice.uniform(-1, 1)):
                self._note(result)
        return self

    def _send(self, commands: Sequence[Command], *, seconds: float) -> Sequence[Sequence[Result]]:
        groups = [[command] for command in commands]
        return in_tx(transactions_of(self.engine, seconds), lambda tx: self.post(tx, groups))

    def _note(self, result: Result) -> None:
        self.answers[answer_of(result)] += 1
        if isinstance(result, Applied):
            self.applied.append(result.id)
        if isinstance(result, Exists):
            self.found.add(result.id)

    def _command(self, dice: random.Random, name: str) -> Command:
        ask, places = self.purses.ask, self.purses.places
        source, target = dice.sample(places, 2)
        kind = dice.choice(KINDS)
        if kind in {"increase", "capture", "release", "expire"} and self.holds:
            return self._on_hold(dice, kind, name)
        if kind == "hold":
            self.holds.append((name, source))
            late = dice.choice([None, MONDAY_MORNING + timedelta(seconds=dice.uniform(-1, 1))])
            return ask.hold(name, source, amount_minor=dice.randint(1, 90), expires_at=late)
        if kind in {"freeze", "unfreeze"}:
            return ask.freeze(name, places[0]) if kind == "freeze" else ask.unfreeze(name, places[0])
        if kind == "reverse" and self.moved:
            return ask.reverse(name, dice.choice(self.moved))
        if kind == "popular":
            # The same command for all the writers: one of them does it.
            day = dice.randrange(10)
            return ask.post(f"popular {day}", Leg(places[day % 4], places[(day + 1) % 4], 1 + day))
        self.moved.append(name)
        return ask.post(name, Leg(source, target, dice.randint(1, 90), up_to=kind == "up to"))

    def _on_hold(self, dice: random.Random, kind: str, name: str) -> Command:
        ask = self.purses.ask
        hold, held = dice.choice(self.holds[-4:])
        other = dice.choice([place for place in self.purses.places if place != held])
        match kind:
            case "increase":
                return ask.increase(name, hold, amount_minor=dice.randint(1, 30))
            case "capture":
                self.moved.append(name)
                leg = Leg(held, other, dice.randint(1, 30))
                return ask.capture(name, hold, leg, final=dice.random() < 0.3)
            case "expire":
                return ask.expire(name, hold)
            case _:
                return ask.release(name, hold)


@dataclass
class Historian:
    """Asks what the book knew at an instant, while others write, and whether it says the same later."""

    engine: sa.Engine
    purses: Purses
    seed: int
    told: list[tuple[datetime, Past]] = field(default_factory=list)

    def run(self, start: Barrier, end: Event) -> "Historian":
        """Asks until the end, at least twice."""
        dice = random.Random(self.seed)
        start.wait()
        while not end.is_set() or len(self.told) < 2:
            instant = MONDAY_MORNING + timedelta(seconds=dice.uniform(-1.2, 1.2))
            self.told.append(
                (instant, in_tx(transactions_of(self.engine), partial(self._ask, instant=instant)))
            )
            self.check(dice.choice(self.told))
        return self

    def check(self, before: tuple[datetime, Past]) -> None:
        """Raises: AssertionError when an answer is not the one that was given before, or does not balance."""
        instant, past = before
        again = in_tx(transactions_of(self.engine), partial(self._ask, instant=instant))
        assert again == past, f"of {instant} it was said {past}, and now {again}"
        assert sum(debits - credits_ for debits, credits_, _ in past.values()) == 0, past

    def _ask(self, tx: Tx, instant: datetime) -> Past:
        programme_id = self.purses.ask.programme_id
        settle(tx, programme_id, instant)
        return {
            item.id: (item.debits_minor, item.credits_minor, item.held_minor)
            for item in balances(tx, programme_id, at=instant)
        }


def mixed_doors() -> list[PostGroups]:
    """The book itself, and the doors of two processes that decide ahead, whatever comes of it."""
    one, other = Ahead(rest=0), Ahead(rest=0, patience_s=0.2)
    return [one.post, one.post, other.post, book.post]


def crowd_on(
    engine: sa.Engine, *, seed: int, writers: int, operations: int, doors: Sequence[PostGroups] = (book.post,)
) -> Counter[Answer]:
    """Lets a crowd loose, each at one of the doors, looks at all that must be true afterwards, and says how often
    what was answered.

    Raises: AssertionError when something is not true.
    """
    with opened(engine) as tx:
        purses = Purses(tx)
    crew = [
        Writer(engine, purses, seed + place, operations, doors[place % len(doors)])
        for place in range(writers)
    ]
    historian, start, end = Historian(engine, purses, seed), Barrier(writers + 1, timeout=WAIT_S), Event()
    with ThreadPoolExecutor(writers + 1) as threads:
        asking = threads.submit(historian.run, start, end)
        writing = [threads.submit(writer.run, start) for writer in crew]
        wait(writing, timeout=WAIT_S)
        end.set()
        for future in writing:
            future.result(WAIT_S)
        asking.result(WAIT_S)
    for answer in historian.told:
        historian.check(answer)
    _check(engine, purses, crew)
    return sum((writer.answers for writer in crew), Counter[Answer]())


def _check(engine: sa.Engine, purses: Purses, crew: list[Writer]) -> None:
    with opened(engine) as tx:
        assert breaches(tx, [purses.ask.programme_id]) == []
        assert purses.total_minor(tx) == 4 * FUNDS_MINOR
        query = sa.select(transfers.c.id).where(
            transfers.c.programme_id == purses.ask.programme_id,
            transfers.c.kind != "open",
            transfers.c.reference.not_like("fund %"),
        )
        standing = [row["id"] for row in tx.rows(query)]
    applied = [transfer_id for writer in crew for transfer_id in writer.applied]
    # A writer that lost its connection after the commit hears of its command as existing; nobody was told twice.
    assert max(Counter(applied).values()) == 1
    assert set(applied) <= set(standing) == {*applied, *(item for writer in crew for item in writer.found)}
