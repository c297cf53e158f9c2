"""Many at once: whatever the interleaving, no limit is passed, nothing is done twice and nobody deadlocks."""

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from api.database import engine
from ledger import book
from ledger.core.chart import Side
from ledger.core.commands import Command, Leg, Refusal
from ledger.core.ids import AccountId
from ledger.core.orders import LineAmount
from ledger.flows import carts, checkouts
from ledger.store.accounts import lock_accounts
from ledger.store.checkouts import read_checkouts
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, make_programme
from tests.ledger.model import Answer, answer_of
from tests.ledger.world import (
    Asker,
    asker,
    breaches,
    build_world,
    capture_order,
    cart,
    clear,
    done,
    fund,
    open_account,
    wait_until_blocked,
)

THREADS = 8
OPERATIONS = 30
FUNDS_MINOR = 300
WAIT_S = 60


@contextmanager
def crowd(database: Database) -> Iterator[tuple[sa.Engine, ThreadPoolExecutor]]:
    """Threads, and a connection for each of them."""
    pool = engine(database.url("tallystick_app"), pool_size=THREADS + 2)
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            yield pool, threads
    finally:
        pool.dispose()


@contextmanager
def opened(pool: sa.Engine, seconds: float = 0) -> Iterator[Tx]:
    with pool.begin() as connection:
        yield Tx(connection, MONDAY_MORNING + timedelta(seconds=seconds), secrets.token_bytes)


def ask_book(pool: sa.Engine, *commands: Command, seconds: float = 0) -> list[Answer]:
    with opened(pool, seconds) as tx:
        return [answer_of(result) for (result,) in book.post(tx, [[command] for command in commands])]


class Purses:
    """Four accounts: three that may not be overdrawn and one with a cap, filled from one bank account."""

    def __init__(self, tx: Tx) -> None:
        self.ask: Asker = asker(tx, make_programme(tx))
        self.bank = open_account(tx, self.ask.programme_id, floor_minor=None, side=Side.DEBIT)
        self.places: list[AccountId] = [open_account(tx, self.ask.programme_id) for _ in range(3)]
        self.places.append(open_account(tx, self.ask.programme_id, cap_minor=FUNDS_MINOR + 20))
        done(
            tx, *(self.ask.post(f"fund {place}", Leg(self.bank, place, FUNDS_MINOR)) for place in self.places)
        )

    def total_minor(self, tx: Tx) -> int:
        return sum(item.posted_minor for item in lock_accounts(tx, self.places).values())


def wander(pool: sa.Engine, purses: Purses, seed: int) -> Counter[Answer]:
    """One caller's day: transfers in any direction, holds, and what becomes of them, in batches of any order."""
    dice, ask, answers = random.Random(seed), purses.ask, Counter[Answer]()
    holds: list[tuple[str, AccountId]] = []
    for step in range(OPERATIONS):
        commands: list[Command] = []
        for part in range(dice.randint(1, 4)):
            name = f"{seed} {step} {part}"
            source, target = dice.sample(purses.places, 2)
            kind = dice.choice(["post", "post", "hold", "capture", "release"])
            if kind == "post":
                commands.append(ask.post(name, Leg(source, target, dice.randint(1, 90))))
            elif kind == "hold" or not holds:
                commands.append(ask.hold(name, source, amount_minor=dice.randint(1, 90)))
                holds.append((name, source))
            elif kind == "release":
                commands.append(ask.release(name, dice.choice(holds)[0]))
            else:
                hold, held = dice.choice(holds)
                other = dice.choice([place for place in purses.places if place != held])
                commands.append(
                    ask.capture(name, hold, Leg(held, other, dice.randint(1, 30)), final=dice.random() < 0.5)
                )
        dice.shuffle(commands)
        # Every caller's clock is a little different, and at times behind.
        answers.update(ask_book(pool, *commands, seconds=dice.uniform(-1, 1)))
    return answers


def test_eight_callers_over_four_accounts_lose_nothing_pass_no_limit_and_never_deadlock(
    database: Database,
) -> None:
    first_seed = secrets.randbelow(2**31)
    print(f"seeds from {first_seed}")  # noqa: T201 - shown with a failure, so that it can be played again

    with crowd(database) as (pool, threads):
        with opened(pool) as tx:
            purses = Purses(tx)
        barrier = Barrier(THREADS, timeout=WAIT_S)

        def caller(seed: int) -> Counter[Answer]:
            barrier.wait()
            return wander(pool, purses, seed)

        running = [threads.submit(caller, first_seed + place) for place in range(THREADS)]
        answers = sum((future.result(WAIT_S) for future in running), Counter[Answer]())

        with opened(pool) as tx:
            assert breaches(tx, [purses.ask.programme_id]) == []
            assert purses.total_minor(tx) == 4 * FUNDS_MINOR
    assert answers["applied"] > THREADS * OPERATIONS / 2
    assert answers[Refusal.INSUFFICIENT_FUNDS] > 0


def test_the_last_of_the_money_is_spent_once(database: Database) -> None:
    with crowd(database) as (pool, threads):
        with opened(pool) as tx:
            purses = Purses(tx)
        barrier = Barrier(THREADS, timeout=WAIT_S)

        def spend(place: int) -> list[Answer]:
            barrier.wait()
            leg = Leg(purses.places[0], purses.places[1], FUNDS_MINOR)
            return ask_book(pool, purses.ask.post(f"all of it {place}", leg))

        futures = [threads.submit(spend, place) for place in range(THREADS)]
        answers = Counter(future.result(WAIT_S)[0] for future in futures)

    assert answers == {"applied": 1, Refusal.INSUFFICIENT_FUNDS: THREADS - 1}


def test_a_hold_is_captured_by_one_of_many(database: Database) -> None:
    with crowd(database) as (pool, threads):
        with opened(pool) as tx:
            purses = Purses(tx)
            done(tx, purses.ask.hold("hold", purses.places[0], amount_minor=100))
        barrier = Barrier(THREADS, timeout=WAIT_S)

        def capture(place: int) -> list[Answer]:
            barrier.wait()
            leg = Leg(purses.places[0], purses.places[1], 60)
            return ask_book(pool, purses.ask.capture(f"capture {place}", "hold", leg))

        futures = [threads.submit(capture, place) for place in range(THREADS)]
        answers = Counter(future.result(WAIT_S)[0] for future in futures)
        with opened(pool) as tx:
            assert breaches(tx, [purses.ask.programme_id]) == []

    assert answers == {"applied": 1, Refusal.EXCEEDS_HOLD: THREADS - 1}


def test_the_same_command_from_many_callers_is_one_effect(database: Database) -> None:
    with crowd(database) as (pool, threads):
        with opened(pool) as tx:
            purses = Purses(tx)
        command = purses.ask.post("once", Leg(purses.places[0], purses.places[1], 10))
        barrier = Barrier(THREADS, timeout=WAIT_S)

        def send(_place: int) -> list[Answer]:
            barrier.wait()
            return ask_book(pool, command)

        answers = Counter(
            future.result(WAIT_S)[0] for future in [threads.submit(send, n) for n in range(THREADS)]
        )
        with opened(pool) as tx:
            assert lock_accounts(tx, purses.places)[purses.places[0]].available_minor == FUNDS_MINOR - 10

    assert answers == {"applied": 1, "exists": THREADS - 1}


@contextmanager
def while_it_waits(
    database: Database, first: Callable[[Tx], object], then: Callable[[], Answer | int]
) -> Iterator[Future[Answer | int]]:
    """Runs `first` in a transaction that commits only once `then`, in another one, waits for its locks."""
    with ThreadPoolExecutor(1) as thread:
        with opened(database.app_engine) as tx:
            first(tx)
            running = thread.submit(then)
            wait_until_blocked(database.app_engine)
        yield running


def test_a_second_transaction_with_the_same_command_waits_and_finds_it_done(database: Database) -> None:
    with opened(database.app_engine) as tx:
        purses = Purses(tx)
    command = purses.ask.post("once", Leg(purses.places[0], purses.places[1], 10))

    with while_it_waits(
        database, lambda tx: done(tx, command), lambda: ask_book(database.app_engine, command)[0]
    ) as answer:
        assert answer.result(WAIT_S) == "exists"


def test_an_id_used_at_the_same_time_for_other_accounts_is_a_key_violation_and_no_second_effect(
    database: Database,
) -> None:
    with opened(database.app_engine) as tx:
        purses = Purses(tx)
    one, two, three, four = purses.places
    other = purses.ask.post("same id", Leg(three, four, 10))

    with (
        while_it_waits(
            database,
            lambda tx: done(tx, purses.ask.post("same id", Leg(one, two, 10))),
            lambda: ask_book(database.app_engine, other)[0],
        ) as answer,
        pytest.raises(sa.exc.IntegrityError, match="transfers_pkey"),
    ):
        answer.result(WAIT_S)

    assert ask_book(database.app_engine, other) == [Refusal.ID_REUSED]


def test_a_hold_that_commits_while_we_wait_for_other_locks_is_still_unknown(database: Database) -> None:
    with opened(database.app_engine) as tx:
        purses = Purses(tx)
    one, two, three, _ = purses.places
    ask = purses.ask
    waiting: list[Command] = [
        ask.post("wait", Leg(two, three, 1)),
        ask.release("release", "hold"),
        ask.reverse("undo", "pay"),
    ]

    def hold_and_pay(tx: Tx) -> None:
        done(tx, ask.hold("hold", one, amount_minor=5), ask.post("pay", Leg(two, one, 1)))

    with ThreadPoolExecutor(1) as thread:
        with opened(database.app_engine) as tx:
            hold_and_pay(tx)
            running = thread.submit(ask_book, database.app_engine, *waiting)
            wait_until_blocked(database.app_engine)
        answers = running.result(WAIT_S)

    assert answers == ["applied", Refusal.HOLD_UNKNOWN, Refusal.TRANSFER_UNKNOWN]
    assert ask_book(database.app_engine, *waiting) == ["exists", "applied", "applied"]


def test_a_last_capture_and_the_expiry_of_its_hold_do_not_deadlock_and_the_checkout_stays_closed(
    database: Database,
) -> None:
    with opened(database.app_engine) as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=50_000)
        order = cart(tx, world, hours=1)
        checkouts.authorise(tx, [clear(tx, order)])

    def capture_all(tx: Tx) -> None:
        lines = [LineAmount(line=item.reference, amount_minor=item.amount_minor) for item in order.lines]
        carts.capture(tx, [clear(tx, capture_order(tx, world, order.checkout_id, *lines))])

    def expire() -> int:
        with opened(database.app_engine, seconds=3600) as tx:
            return checkouts.expire(tx)

    with while_it_waits(database, capture_all, expire) as expired:
        expired.result(WAIT_S)

    with opened(database.app_engine) as tx:
        assert read_checkouts(tx, [order.checkout_id])[order.checkout_id].state == "closed"
        assert breaches(tx, [world.programme_id]) == []
