"""When only the database stands in the way: work is run again, is never done twice, and ends in bounded time."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from api.lanes import Answer, Ask, Lane, Reply, Work
from api.problems import Problem
from api.transactions import SystemClock, transactions
from api.tries import WAITS_S, Contended, Unreachable, in_tx
from ledger.store.tx import Tx
from tests.api.test_lanes import ask, body, count, echo, gathered, write_client
from tests.api.wire import Cut, Wire
from tests.conftest import Database

TRIES = len(WAITS_S) + 1


@pytest.fixture
def lane(wired: sa.Engine) -> Iterator[Lane]:
    made = Lane(transactions(wired, SystemClock()))
    made.start()
    yield made
    made.stop()


def failing(state: str, times: int) -> tuple[Callable[[Tx], int], list[int]]:
    """Work that the database refuses with a state so many times; and what it counts."""
    calls: list[int] = []

    def work(tx: Tx) -> int:
        calls.append(len(calls) + 1)
        if len(calls) <= times:
            fail(tx, state)
        write_client(tx, "done")
        return len(calls)

    return work, calls


def fail(tx: Tx, state: str) -> None:
    tx.connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$")


# --- one transaction ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["40001", "40P01", "23505"])
@pytest.mark.parametrize("times", [1, TRIES - 1])
def test_work_that_others_were_in_the_way_of_is_done_at_last(
    database: Database, state: str, times: int
) -> None:
    work, calls = failing(state, times)

    assert in_tx(transactions(database.app_engine, SystemClock()), work) == times + 1

    assert (len(calls), count(database, "clients")) == (times + 1, 1)


@pytest.mark.parametrize(
    ("state", "raised"), [("40001", Contended), ("40P01", Contended), ("23505", sa.exc.IntegrityError)]
)
def test_tries_are_bounded_and_nothing_is_left_of_them(
    database: Database, state: str, raised: type[Exception]
) -> None:
    work, calls = failing(state, 1_000)

    with pytest.raises(raised):
        in_tx(transactions(database.app_engine, SystemClock()), work)

    assert (len(calls), count(database, "clients")) == (TRIES, 0)


@pytest.mark.parametrize("state", ["23514", "22012", "P0001", "57014"])
def test_what_is_the_works_own_fault_is_not_tried_again(database: Database, state: str) -> None:
    work, calls = failing(state, 1_000)

    with pytest.raises(sa.exc.DBAPIError):
        in_tx(transactions(database.app_engine, SystemClock()), work)

    assert len(calls) == 1


@pytest.mark.parametrize("cuts", [[Cut.BEFORE_COMMIT], [Cut.BEFORE_COMMIT, Cut.BEFORE_COMMIT]])
def test_connection_that_is_lost_before_commit_is_made_anew(
    database: Database, wire: Wire, wired: sa.Engine, cuts: list[Cut]
) -> None:
    work, calls = failing("", 0)
    wire.plan(*cuts)

    in_tx(transactions(wired, SystemClock()), work)

    assert (len(calls), count(database, "clients")) == (len(cuts) + 1, 1)


def test_connection_that_the_server_ends_is_made_anew(database: Database) -> None:
    calls: list[int] = []

    def work(tx: Tx) -> int:
        calls.append(tx.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        if len(calls) == 1:
            with database.app_engine.connect() as other:
                other.exec_driver_sql("SELECT pg_terminate_backend(%s)", (calls[0],))
        write_client(tx, "done")
        return len(calls)

    assert in_tx(transactions(database.app_engine, SystemClock()), work) == 2
    assert count(database, "clients") == 1


def test_database_that_is_gone_is_said_to_be_gone(wire: Wire, wired: sa.Engine) -> None:
    work, calls = failing("", 0)
    wire.close()

    with pytest.raises(Unreachable):
        in_tx(transactions(wired, SystemClock()), work)

    assert calls == []


# --- on a lane ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", Cut)
def test_keyed_work_is_done_once_however_the_connection_ends(
    lane: Lane, wire: Wire, database: Database, cut: Cut
) -> None:
    wire.plan(cut)

    answer = asyncio.run(lane.submit(echo, ask("one", key="k")))

    assert wire.planned == 0
    assert (answer.status, body(answer)) == (201, {"echo": "one"})
    assert answer.replayed is (cut is Cut.AFTER_COMMIT)  # what was committed is found under its key
    assert (count(database, "clients"), count(database, "idempotency_keys")) == (1, 1)


def test_batch_whose_commit_nobody_heard_of_is_answered_item_by_item(
    lane: Lane, wire: Wire, database: Database
) -> None:
    wire.plan(Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT)

    outcomes = gathered(lane, echo, [ask(f"item{number}") for number in range(20)])

    assert [body(outcome)["echo"] for outcome in outcomes] == [f"item{number}" for number in range(20)]
    assert count(database, "clients") == 20


def test_two_lanes_that_block_each_other_both_come_through(database: Database) -> None:
    with database.owner_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rows (id int PRIMARY KEY, taken int NOT NULL)")
        connection.exec_driver_sql("INSERT INTO rows VALUES (1, 0), (2, 0)")
        connection.exec_driver_sql("GRANT SELECT, UPDATE ON rows TO tallystick_app")
    meeting = threading.Barrier(2, timeout=30)
    lanes = [Lane(transactions(database.app_engine, SystemClock())) for _ in range(2)]

    async def both() -> list[Answer]:
        works = [Crossing(meeting, 1, 2), Crossing(meeting, 2, 1)]
        return await asyncio.gather(
            *(each.submit(work.run, ask("x")) for each, work in zip(lanes, works, strict=True))
        )

    for each in lanes:
        each.start()
    answers = asyncio.run(both())
    for each in lanes:
        each.stop()

    assert [answer.status for answer in answers] == [200, 200]
    with database.owner_engine.connect() as connection:
        taken = connection.exec_driver_sql("SELECT taken FROM rows ORDER BY id").scalars().all()
    assert taken == [2, 2]


@dataclass(slots=True)
class Crossing:
    """Takes two rows in an order; the first time it waits between them until somebody else stands there too."""

    meeting: threading.Barrier
    first: int
    second: int
    met: bool = False

    def run(self, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        tx.connection.exec_driver_sql("UPDATE rows SET taken = taken + 1 WHERE id = %s", (self.first,))
        if not self.met:
            self.met = True
            self.meeting.wait()
        tx.connection.exec_driver_sql("UPDATE rows SET taken = taken + 1 WHERE id = %s", (self.second,))
        return [Reply(200, {}, keep=False) for _ in asks]


def test_item_that_is_always_in_somebodys_way_is_told_to_come_back_and_fails_alone(
    lane: Lane, database: Database
) -> None:
    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        if any(item.payload == "bad" for item in asks):
            fail(tx, "40P01")
        return echo(tx, asks)

    good, bad = gathered(lane, work, [ask("good"), ask("bad")])

    assert body(good) == {"echo": "good"}
    assert isinstance(bad, Problem)
    assert (bad.status, bad.code, bad.retry) == (503, "unavailable", "same_key")
    assert bad.headers == {"Retry-After": "1"}
    assert count(database, "clients") == 1


def test_callers_of_a_database_that_is_gone_all_hear_so_at_once(lane: Lane, wire: Wire) -> None:
    works: list[int] = []

    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        works.append(len(asks))
        if len(works) == 1:
            wire.close()
        return echo(tx, asks)

    outcomes = gathered(lane, work, [ask(f"item{number}") for number in range(30)])

    assert works == [30]  # no connection, no work: they are not tried one by one
    assert {getattr(outcome, "code", "") for outcome in outcomes} == {"unavailable"}


# --- items without keys ---------------------------------------------------------------------------------------


def unkeyed(payload: str) -> Ask:
    return Ask(None, None, payload)


def test_items_with_and_without_keys_share_a_batch(lane: Lane, database: Database) -> None:
    twins = [ask("twin", key="k"), ask("twin", key="k")]

    outcomes = gathered(lane, echo, [unkeyed("a"), twins[0], unkeyed("b"), twins[1], unkeyed("a")])

    assert [body(outcome)["echo"] for outcome in outcomes] == ["a", "twin", "b", "twin", "a"]
    assert [isinstance(outcome, Answer) and outcome.replayed for outcome in outcomes] == [
        False, False, False, True, False,
    ]  # fmt: skip
    assert (count(database, "clients"), count(database, "idempotency_keys")) == (4, 1)


def test_what_weighs_more_than_a_batch_is_taken_alone(database: Database) -> None:
    sizes: list[list[str]] = []

    def work(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        sizes.append([item.payload for item in asks])
        return [Reply(200, {}, keep=False) for _ in asks]

    lane = Lane(transactions(database.app_engine, SystemClock()), queued_max=32_768)
    lane.start()
    asyncio.run(weighed(lane, work))
    lane.stop()

    assert sizes == [["first"], ["light", "light"], ["heavy"], ["half", "half"], ["light"]]


async def weighed(lane: Lane, work: Work) -> None:
    """Puts items of different weights behind one that holds the lane up."""
    entered, opened = threading.Event(), threading.Event()

    def first(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
        entered.set()
        assert opened.wait(30)
        return work(tx, asks)

    waiting = [asyncio.create_task(lane.submit(first, unkeyed("first")))]
    await asyncio.to_thread(entered.wait, 30)
    weights = [("light", 1), ("light", 1), ("heavy", 8_192), ("half", 128), ("half", 128), ("light", 1)]
    waiting += [
        asyncio.create_task(lane.submit(work, unkeyed(name), weight=weight)) for name, weight in weights
    ]
    await asyncio.sleep(0)  # every task has run up to its answer
    opened.set()
    await asyncio.gather(*waiting)
