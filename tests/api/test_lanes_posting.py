"""The book's lane in this process: many callers share a commit, each gets its own results, nothing is done twice."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from api.gathering import LaneFull, fair_share
from api.posting import Groups, PostGroups, PostingLane
from api.transactions import SystemClock, Transactions, transactions
from api.tries import Unreachable
from ledger import book
from ledger.core.batch import Results
from ledger.core.commands import Applied, Exists, Leg, Post, Refusal, Refused, Result
from ledger.core.errors import InvalidValue
from ledger.store.tx import Tx
from tests.api.wire import Cut, Wire
from tests.conftest import Database, OpenTx
from tests.ledger.world import Asker, World, asker, build_world, fund, posted

WAIT_S = 30


@dataclass(frozen=True, slots=True)
class Book:
    """Ana has EUR 100.00, and somebody asks for posts to the hotel."""

    world: World
    asker: Asker
    open_tx: OpenTx

    def pay(self, name: str, amount_minor: int = 1) -> Post:
        return self.asker.post(
            name, Leg(self.world.accounts["ana"], self.world.accounts["hotel"], amount_minor)
        )

    def commits(self) -> int:
        """How many transactions carried out the posts of the asker."""
        with self.open_tx() as tx:
            counted = "SELECT count(DISTINCT xid) FROM transfers WHERE notice_id = %s"
            notice = (self.asker.authority.notice_id or "").partition("_")[2]
            return int(tx.connection.exec_driver_sql(counted, (notice,)).scalar_one())

    def balance(self, who: str) -> int:
        with self.open_tx() as tx:
            return posted(tx, self.world).get(who, 0)


@pytest.fixture
def books(open_tx: OpenTx) -> Book:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=10_000)
        return Book(world, asker(tx, world.programme_id), open_tx)


@pytest.fixture
def opened(database: Database) -> Transactions:
    return transactions(database.app_engine, SystemClock())


@dataclass(slots=True)
class HeldUp:
    """Posts, but the first time only when it is let through: what comes meanwhile gathers."""

    post: PostGroups = book.post
    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)

    def __call__(self, tx: Tx, groups: Groups) -> Sequence[tuple[Result, ...]]:
        self.entered.set()
        assert self.opened.wait(WAIT_S)
        self.sizes.append(len(groups))
        return self.post(tx, groups)


def behind(lane: PostingLane, keeper: HeldUp, first: Groups, then: Sequence[Groups]) -> list[Future[Results]]:
    """Submits a first one, which holds the lane up, and then the others, which gather."""
    waiting = [lane.submit(first)]
    assert keeper.entered.wait(WAIT_S)
    waiting += [lane.submit(groups) for groups in then]
    keeper.opened.set()
    return waiting


def results(waiting: Sequence[Future[Results]]) -> list[Results]:
    return [future.result(WAIT_S) for future in waiting]


# --- many callers -----------------------------------------------------------------------------------------------


def test_what_has_gathered_is_one_commit_and_each_gets_its_own_results(
    books: Book, opened: Transactions
) -> None:
    keeper = HeldUp()
    asked = [[[books.pay(f"{number}-{n}")] for n in range(number % 3 + 1)] for number in range(60)]

    with PostingLane(opened, keeper, lanes=1) as lane:
        first, *others = results(behind(lane, keeper, [[books.pay("first")]], asked))

    assert keeper.sizes == [1, 120]
    assert books.commits() == 2
    assert isinstance(first[0][0], Applied)
    for groups, answered in zip(asked, others, strict=True):
        assert [[result.id for result in group] for group in answered] == [[group[0].id] for group in groups]
        assert all(isinstance(result, Applied) for group in answered for result in group)


def test_tasks_and_threads_post_side_by_side(books: Book, opened: Transactions) -> None:
    async def tasks(lane: PostingLane) -> list[Results]:
        return await asyncio.gather(*(lane.post([[books.pay(f"task-{n}")]]) for n in range(100)))

    with PostingLane(opened, book.post) as lane, ThreadPoolExecutor(8) as pool:
        threads = [
            pool.submit(lambda n: lane.submit([[books.pay(f"thread-{n}")]]).result(WAIT_S), n)
            for n in range(100)
        ]
        from_tasks = asyncio.run(tasks(lane))
        from_threads = [future.result(WAIT_S) for future in threads]

    for ((result,),) in from_tasks + from_threads:
        assert isinstance(result, Applied)
    assert books.balance("hotel") == 200


def test_refusals_are_results_and_groups_are_whole(books: Book, opened: Transactions) -> None:
    keeper = HeldUp()
    asked = [
        [[books.pay("a", 10), books.pay("b", 999_999)], [books.pay("c", 20)]],
        [[books.pay("d", 30)]],
        [[books.pay("d", 30)]],
        [[books.pay("d", 31)]],
        [],
    ]

    with PostingLane(opened, keeper, lanes=1) as lane:
        answered = results(behind(lane, keeper, [], asked))[1:]

    kinds = [[[type(result) for result in group] for group in groups] for groups in answered]
    assert kinds == [[[Refused, Refused], [Applied]], [[Applied]], [[Exists]], [[Refused]], []]
    reused = answered[3][0][0]
    assert isinstance(reused, Refused)
    assert (reused.refusal, reused.field) == (Refusal.ID_REUSED, "legs")
    assert books.balance("hotel") == 50


def test_bad_caller_fails_alone(books: Book, opened: Transactions) -> None:
    def post(tx: Tx, groups: Groups) -> Sequence[tuple[Result, ...]]:
        answered = book.post(tx, groups)
        if any(command.reference == "bad" for group in groups for command in group):
            raise ValueError("a bug")
        return answered

    keeper = HeldUp(post)
    names = [f"good-{n}" for n in range(20)] + ["bad"] + [f"fine-{n}" for n in range(20)]

    with PostingLane(opened, keeper, lanes=1) as lane:
        waiting = behind(lane, keeper, [], [[[books.pay(name)]] for name in names])[1:]
        failed = [name for name, future in zip(names, waiting, strict=True) if future.exception(WAIT_S)]

    assert failed == ["bad"]
    assert isinstance(waiting[20].exception(), ValueError)
    assert books.balance("hotel") == 40


def test_no_commit_takes_more_than_a_batch(books: Book, opened: Transactions) -> None:
    keeper = HeldUp()
    asked = [[[books.pay(f"{number}-{n}")] for n in range(3)] for number in range(10)]

    with PostingLane(opened, keeper, lanes=1, gathered_max=10) as lane:
        results(behind(lane, keeper, [[books.pay("first")]], asked))

    assert keeper.sizes == [1, 9, 9, 9, 3]


@pytest.mark.parametrize(
    ("waiting", "idle", "taken"),
    [
        (1, 0, 16),
        (64, 0, 64),
        (64, 1, 32),
        (65, 1, 33),
        (64, 2, 22),
        (20, 1, 16),
        (20_000, 0, 8_192),
        (20_000, 1, 8_192),
    ],
)
def test_idle_lanes_share_what_waits_but_not_into_crumbs(waiting: int, idle: int, taken: int) -> None:
    assert fair_share(waiting, idle=idle, most=8_192) == taken


def test_one_lane_gathers_while_another_waits_for_its_commit(books: Book, opened: Transactions) -> None:
    committing, committed = threading.Event(), threading.Event()

    @contextmanager
    def slow_to_commit() -> Iterator[Tx]:
        with opened() as tx:
            yield tx
            if not committing.is_set():
                committing.set()
                assert committed.wait(WAIT_S)

    with PostingLane(slow_to_commit, book.post, lanes=2) as lane:
        slow = lane.submit([[books.asker.post("slow", Leg(books.world.accounts["tax_payable"],
                                                        books.world.accounts["commission_income"], 1))]])  # fmt: skip
        assert committing.wait(WAIT_S)
        quick = results([lane.submit([[books.pay(f"quick-{n}")]]) for n in range(10)])
        answered_early = slow.done()
        committed.set()
        ((result,),) = slow.result(WAIT_S)

    assert len(quick) == 10
    assert not answered_early  # not before its own commit
    assert isinstance(result, Applied)


def test_an_event_loop_is_woken_once_for_all_of_its_callers(books: Book, opened: Transactions) -> None:
    woken: list[int] = []

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *arguments: object, **more: object) -> asyncio.Handle:  # type: ignore[override]
            woken.append(1)
            return super().call_soon_threadsafe(*arguments, **more)  # type: ignore[arg-type]

    keeper = HeldUp()

    async def many(lane: PostingLane) -> int:
        first = asyncio.create_task(lane.post([[books.pay("first")]]))
        await asyncio.sleep(0)
        assert keeper.entered.wait(WAIT_S)
        tasks = [asyncio.create_task(lane.post([[books.pay(f"n{n}")]])) for n in range(200)]
        await asyncio.sleep(0)
        woken.clear()
        keeper.opened.set()
        await asyncio.gather(first, *tasks)
        return len(woken)

    with PostingLane(opened, keeper, lanes=1) as lane, asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(many(lane)) == 2  # the first one's commit, and that of the two hundred


# --- callers that are too many, too large, or gone ----------------------------------------------------------------


def test_queue_is_bounded_by_commands(books: Book, opened: Transactions) -> None:
    keeper = HeldUp()

    with PostingLane(opened, keeper, lanes=1, queued_max=10) as lane:
        waiting = behind_closed(lane, keeper, [[books.pay("first")]])
        waiting += [lane.submit([[books.pay(f"{number}-{n}") for n in range(5)]]) for number in range(2)]
        with pytest.raises(LaneFull):
            lane.submit([[books.pay("one too many")]])
        with pytest.raises(LaneFull):
            asyncio.run(lane.post([[books.pay("one too many")]]))
        keeper.opened.set()
        results(waiting)

    assert books.balance("hotel") == 11


def behind_closed(lane: PostingLane, keeper: HeldUp, groups: Groups) -> list[Future[Results]]:
    waiting = [lane.submit(groups)]
    assert keeper.entered.wait(WAIT_S)
    return waiting


def test_batch_of_one_command_too_many_is_refused_at_once(books: Book, opened: Transactions) -> None:
    command = books.pay("one")

    with PostingLane(opened, book.post) as lane:
        for groups in ([[command] * 8_193], [[command]] * 8_193, [[command] * 8_192, [command]]):
            with pytest.raises(InvalidValue):
                lane.submit(groups)


def test_caller_who_went_away_harms_nobody(books: Book, opened: Transactions) -> None:
    keeper = HeldUp()

    with PostingLane(opened, keeper, lanes=1) as lane:
        first, gone, patient = behind_cancelling(lane, keeper, books)
        ((result,),) = patient.result(WAIT_S)

    assert gone.cancelled()
    assert first.done()
    assert isinstance(result, Applied)
    assert books.balance("hotel") == 3  # what was asked is done, whoever waits for the answer


def behind_cancelling(lane: PostingLane, keeper: HeldUp, books: Book) -> list[Future[Results]]:
    waiting = behind_closed(lane, keeper, [[books.pay("first")]])
    waiting += [lane.submit([[books.pay(name)]]) for name in ("gone", "patient")]
    waiting[1].cancel()
    keeper.opened.set()
    return waiting


def test_loop_that_was_closed_harms_nobody(books: Book, opened: Transactions) -> None:
    keeper = HeldUp()

    async def leave(lane: PostingLane) -> None:
        task = asyncio.create_task(lane.post([[books.pay("gone")]]))
        await asyncio.sleep(0)
        task.cancel()

    with PostingLane(opened, keeper, lanes=1) as lane:
        waiting = behind_closed(lane, keeper, [[books.pay("first")]])
        asyncio.run(leave(lane))
        waiting.append(lane.submit([[books.pay("patient")]]))
        keeper.opened.set()
        results(waiting)

    assert books.balance("hotel") == 3


def test_lane_finishes_what_waits_and_then_takes_nothing(books: Book, opened: Transactions) -> None:
    keeper = HeldUp()
    lane = PostingLane(opened, keeper, lanes=2)
    lane.start()
    waiting = behind(lane, keeper, [[books.pay("first")]], [[[books.pay(f"n{n}")]] for n in range(50)])

    lane.stop()

    assert all(future.done() for future in waiting)
    assert books.balance("hotel") == 51
    with pytest.raises(LaneFull):
        lane.submit([[books.pay("late")]])


# --- when the connection goes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuts", "kind"),
    [
        ([], Applied),
        ([Cut.BEFORE_COMMIT], Applied),
        ([Cut.AFTER_COMMIT], Exists),
        ([Cut.BEFORE_COMMIT, Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT], Exists),
        ([Cut.AFTER_COMMIT, Cut.AFTER_COMMIT, Cut.AFTER_COMMIT], Exists),
    ],
)
def test_nothing_is_lost_and_nothing_done_twice_however_the_connection_ends(
    books: Book, wire: Wire, wired: sa.Engine, cuts: list[Cut], kind: type[Result]
) -> None:
    asked = [[[books.pay(f"n{n}", 2)]] for n in range(40)] + [[[books.pay("short", 999_999)]]]
    lane = PostingLane(transactions(wired, SystemClock()), book.post, lanes=1)
    waiting = [lane.submit(groups) for groups in asked]
    wire.plan(*cuts)

    with lane:
        answered = results(waiting)

    assert wire.planned == 0
    assert {type(result) for ((result,),) in answered[:-1]} == {kind}
    assert isinstance(answered[-1][0][0], Refused)
    assert (books.balance("hotel"), books.balance("ana")) == (80, 9_920)
    assert books.commits() == 1


def test_database_that_is_gone_is_told_to_every_caller(books: Book, wire: Wire, wired: sa.Engine) -> None:
    keeper = HeldUp()

    with PostingLane(transactions(wired, SystemClock()), keeper, lanes=1) as lane:
        waiting = behind_closed(lane, keeper, [[books.pay("first")]])
        waiting += [lane.submit([[books.pay(f"n{n}")]]) for n in range(30)]
        wire.close()
        keeper.opened.set()
        failures = [future.exception(WAIT_S) for future in waiting]

    assert {type(failure) for failure in failures} == {Unreachable}
    assert books.balance("hotel") == 0


def test_lanes_under_many_cuts_apply_every_post_once(books: Book, wire: Wire, wired: sa.Engine) -> None:
    cuts = [Cut.AFTER_COMMIT, None, Cut.BEFORE_COMMIT, None] * 6

    async def many(lane: PostingLane) -> list[Results]:
        return await asyncio.gather(*(caller(lane, number) for number in range(16)))

    async def caller(lane: PostingLane, number: int) -> Results:
        answered: Results = ()
        for n in range(12):
            answered += await lane.post([[books.pay(f"{number}-{n}")]])
        return answered

    wire.plan(*cuts)
    with PostingLane(transactions(wired, SystemClock()), book.post, lanes=2) as lane:
        answered = asyncio.run(many(lane))

    assert wire.planned == 0
    for groups in answered:
        for (result,) in groups:
            assert isinstance(result, Applied | Exists)
    assert books.balance("hotel") == 16 * 12
