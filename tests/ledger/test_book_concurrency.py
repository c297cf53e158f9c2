"""Many at once: whatever the interleaving, no limit is passed, nothing is done twice and nobody deadlocks."""

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
import sqlalchemy as sa

from api.database import engine
from api.posting import PostGroups
from api.tries import in_tx
from ledger import book
from ledger.core.chart import Code
from ledger.core.commands import Command, Leg, Refusal
from ledger.core.ids import AccountId
from ledger.core.orders import LineAmount
from ledger.flows import carts, checkouts
from ledger.store.accounts import lock_accounts
from ledger.store.checkouts import read_checkouts
from ledger.store.tx import Tx
from tests.conftest import Database
from tests.ledger.model import Answer, answer_of
from tests.ledger.world import (
    breaches,
    build_world,
    capture_order,
    cart,
    clear,
    done,
    fund,
    wait_until_blocked,
)
from tests.simulation.crowd import FUNDS_MINOR, Purses, crowd_on, mixed_doors, opened, transactions_of

WRITERS = 16
OPERATIONS = 20
THREADS = 8
WAIT_S = 60


@contextmanager
def crowd(database: Database, size: int = THREADS) -> Iterator[tuple[sa.Engine, ThreadPoolExecutor]]:
    """Threads, and a connection for each of them."""
    pool = engine(database.url("tallystick_app"), pool_size=size + 2)
    try:
        with ThreadPoolExecutor(size) as threads:
            yield pool, threads
    finally:
        pool.dispose()


def ask_book(pool: sa.Engine, *commands: Command, seconds: float = 0) -> list[Answer]:
    with opened(pool, seconds) as tx:
        return [answer_of(result) for (result,) in book.post(tx, [[command] for command in commands])]


@pytest.mark.parametrize("doors", [[book.post], mixed_doors()], ids=["the book", "some decide ahead"])
def test_sixteen_writers_over_four_accounts_lose_nothing_pass_no_limit_and_change_no_past(
    database: Database, doors: Sequence[PostGroups]
) -> None:
    seed = secrets.randbelow(2**31)
    print(f"seeds from {seed}")  # noqa: T201 - shown with a failure, so that it can be played again

    with crowd(database, WRITERS) as (pool, _):
        answers = crowd_on(pool, seed=seed, writers=WRITERS, operations=OPERATIONS, doors=doors)

    assert answers["applied"] > sum(answers.values()) / 4
    assert {"exists", Refusal.INSUFFICIENT_FUNDS, Refusal.ACCOUNT_FROZEN} <= answers.keys()


def test_the_same_batch_from_many_writers_in_any_order_is_one_effect(database: Database) -> None:
    with crowd(database, WRITERS) as (pool, threads):
        with opened(pool) as tx:
            purses = Purses(tx)
        ask, (one, two, three, _) = purses.ask, purses.places
        groups: list[list[Command]] = [[ask.post(f"pay {n}", Leg(one, two, 5))] for n in range(10)]
        groups += [
            [
                ask.hold(f"hold {n}", two, amount_minor=3),
                ask.capture(f"take {n}", f"hold {n}", Leg(two, three, 2)),
            ]
            for n in range(10)
        ]
        groups += [
            [ask.open(f"open {n}", AccountId(f"acct_{n:032x}"), code=Code.SELLER, subdivision=(f"{n}",))]
            for n in range(3)
        ]
        barrier = Barrier(WRITERS, timeout=WAIT_S)

        def send(place: int) -> Counter[Answer]:
            mine = random.Random(place).sample(groups, len(groups))
            barrier.wait()
            results = in_tx(transactions_of(pool), lambda tx: book.post(tx, mine))
            return Counter(answer_of(result) for group in results for result in group)

        answers = sum(
            (future.result(WAIT_S) for future in [threads.submit(send, n) for n in range(WRITERS)]),
            Counter[Answer](),
        )
        with opened(pool) as tx:
            assert breaches(tx, [ask.programme_id]) == []
            assert lock_accounts(tx, [one])[one].available_minor == FUNDS_MINOR - 50
            assert lock_accounts(tx, [three])[three].available_minor == FUNDS_MINOR + 20

    assert answers == {"applied": 33, "exists": 33 * (WRITERS - 1)}


def test_a_deadlock_is_tried_again_and_nothing_is_applied_twice(database: Database) -> None:
    """One batch never deadlocks; two batches in one transaction, in opposite order, do."""
    with crowd(database) as (pool, threads):
        with opened(pool) as tx:
            purses = Purses(tx)
        ask, (one, two, three, four) = purses.ask, purses.places
        barrier, tries = Barrier(2, timeout=WAIT_S), Counter[str]()

        def send(name: str, *legs: Leg) -> list[Answer]:
            def both(tx: Tx) -> list[Answer]:
                tries[name] += 1
                answers = []
                for part, leg in enumerate(legs):
                    ((result,),) = book.post(tx, [[ask.post(f"{name} {part}", leg)]])
                    answers.append(answer_of(result))
                    if tries[name] == 1 and part == 0:
                        barrier.wait()
                return answers

            return in_tx(transactions_of(pool), both)

        here, there = Leg(one, two, 10), Leg(three, four, 10)
        running = [threads.submit(send, "there", here, there), threads.submit(send, "back", there, here)]
        answers = [future.result(WAIT_S) for future in running]
        with opened(pool) as tx:
            assert breaches(tx, [ask.programme_id]) == []
            assert lock_accounts(tx, [one])[one].available_minor == FUNDS_MINOR - 20

    assert answers == [["applied", "applied"]] * 2
    assert tries.total() >= 3


def test_a_serialisation_failure_is_tried_again_and_nothing_is_applied_twice(database: Database) -> None:
    with opened(database.app_engine) as tx:
        purses = Purses(tx)
    ask, (one, two, *_) = purses.ask, purses.places
    strict = database.app_engine.execution_options(isolation_level="REPEATABLE READ")
    tries = Counter[str]()

    def send() -> Answer:
        def work(tx: Tx) -> Answer:
            tries["second"] += 1
            ((result,),) = book.post(tx, [[ask.post("second", Leg(one, two, 1))]])
            return answer_of(result)

        return in_tx(transactions_of(strict), work)

    with while_it_waits(database, lambda tx: done(tx, ask.post("first", Leg(one, two, 1))), send) as answer:
        assert answer.result(WAIT_S) == "applied"
    with opened(database.app_engine) as tx:
        assert lock_accounts(tx, [one])[one].available_minor == FUNDS_MINOR - 2
    assert tries["second"] == 2


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


def test_an_id_that_was_overtaken_is_tried_again_and_found_to_be_reused(database: Database) -> None:
    with opened(database.app_engine) as tx:
        purses = Purses(tx)
    one, two, *_ = purses.places

    def send() -> Answer:
        hold = purses.ask.hold("same id", two, amount_minor=10)
        results = in_tx(transactions_of(database.app_engine), lambda tx: book.post(tx, [[hold]]))
        return answer_of(results[0][0])

    with while_it_waits(
        database, lambda tx: done(tx, purses.ask.hold("same id", one, amount_minor=10)), send
    ) as answer:
        assert answer.result(WAIT_S) == Refusal.ID_REUSED


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
