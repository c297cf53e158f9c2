"""Many callers at once, each with one post at a time, and one commit for as many of them as there are.

Through `api.posting`, as whoever embeds the book uses it. Callers are tasks of one event loop; and, for comparison,
threads. Each waits for the answer to its post, which comes after the commit, before it sends the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from statistics import median, quantiles

from api.bench.audit import SINGLE_LEG_POST
from api.bench.bench import SPARE, Bench, Stage
from api.bench.failure import BenchRefused
from api.bench.row import Row
from api.bench.scale import Scale
from api.bench.writers import prepared_left_alone
from api.posting import PostingLane
from api.transactions import SystemClock, transactions
from ledger import book
from ledger.core.batch import Results
from ledger.core.commands import Applied, Post
from ledger.core.ids import NoticeId

BAR = 2
ANSWER_S_MAX = 60.0
WARM_UP = 0.25  # of a run's seconds: plans made, caches filled, and a first guess at the rate


@dataclass(frozen=True, slots=True)
class Calls:
    """What a stretch of calling came to. Units: seconds; one latency for each call that was answered."""

    latencies_s: Sequence[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.latencies_s) / self.seconds


@dataclass(frozen=True, slots=True)
class Line:
    """The posts that wait for a caller, until the time is over."""

    posts: deque[Post]
    deadline: float

    def __iter__(self) -> Iterator[Post]:
        while self.posts and time.perf_counter() < self.deadline:
            try:
                yield self.posts.popleft()
            except IndexError:
                return  # another thread was faster


Calling = Callable[[PostingLane, Line, int], list[float]]


def callers(bench: Bench) -> list[Row]:
    """Measures tasks, of which the bar is asked, and threads beside them."""
    ways: dict[str, Calling] = {"tasks": _tasks, "threads": _threads}
    with bench.stage() as stage, PostingLane(transactions(stage.engine, SystemClock()), book.post) as lane:
        notice_id = stage.keep_notice()
        session = _Session(bench.scale, stage, lane, notice_id)
        calls = {way: [session.warm_up(calling)] for way, calling in ways.items()}
        references: list[float] = []
        for turn in range(bench.scale.rounds):
            prepared = {way: session.prepare(calls[way]) for way in ways}
            references.append(bench.reference_rate())
            for way, posts in prepared.items():
                calls[way].append(session.call(ways[way], posts, bench.scale.run_s))
            rates = ", ".join(f"{way} {calls[way][-1].rate:,.0f}" for way in ways)
            bench.say(f"callers, round {turn + 1}: pgbench {references[-1]:,.0f} tps; {rates} posts/s")
        stage.check()
    name, reference = f"callers, {bench.scale.callers}", median(references)
    return [
        *_rows(f"{name} tasks", calls["tasks"][1:], reference, BAR),
        *_rows(f"{name} threads", calls["threads"][1:], reference, None),
    ]


@dataclass(frozen=True, slots=True)
class _Session:
    scale: Scale
    stage: Stage
    lane: PostingLane
    notice_id: NoticeId

    def warm_up(self, calling: Calling) -> Calls:
        posts = self.stage.workload.singles(self.scale.calls_max // 10, self.notice_id)
        return self.call(calling, posts, WARM_UP * self.scale.run_s)

    def prepare(self, before: Sequence[Calls]) -> list[Post]:
        fastest = max(calls.rate for calls in before)
        number = min(self.scale.calls_max, ceil(SPARE * fastest * self.scale.run_s))
        return self.stage.workload.singles(number, self.notice_id)

    def call(self, calling: Calling, posts: Sequence[Post], seconds: float) -> Calls:
        """Calls until the posts, or the seconds, are used up."""
        with prepared_left_alone():
            begun = time.perf_counter()
            latencies_s = calling(self.lane, Line(deque(posts), begun + seconds), self.scale.callers)
            taken_s = time.perf_counter() - begun
        self.stage.expect(SINGLE_LEG_POST, len(latencies_s))
        return Calls(latencies_s, taken_s)


def _tasks(lane: PostingLane, line: Line, number: int) -> list[float]:
    """Callers on one event loop."""

    async def one() -> list[float]:
        latencies_s = []
        for post in line:
            begun = time.perf_counter()
            results = await lane.post([[post]])
            latencies_s.append(time.perf_counter() - begun)
            _check_applied(post, results)
        return latencies_s

    async def everybody() -> list[list[float]]:
        return await asyncio.gather(*(one() for _ in range(number)))

    return [latency_s for each in asyncio.run(everybody()) for latency_s in each]


def _threads(lane: PostingLane, line: Line, number: int) -> list[float]:
    """Callers each with a thread of its own."""

    def one() -> list[float]:
        latencies_s = []
        for post in line:
            begun = time.perf_counter()
            results = lane.submit([[post]]).result(ANSWER_S_MAX)
            latencies_s.append(time.perf_counter() - begun)
            _check_applied(post, results)
        return latencies_s

    with ThreadPoolExecutor(number, thread_name_prefix="caller") as pool:
        callers_ = [pool.submit(one) for _ in range(number)]
        return [latency_s for each in callers_ for latency_s in each.result()]


def _check_applied(post: Post, results: Results) -> None:
    ((result,),) = results
    if not isinstance(result, Applied) or result.id != post.id:
        raise BenchRefused(f"{post.id} was to be applied, and the book says {result}")


def _rows(name: str, calls: Sequence[Calls], reference: float, bar: float | None) -> list[Row]:
    centiles = quantiles((latency_s for each in calls for latency_s in each.latencies_s), n=100)
    return [
        Row(
            name=name,
            value=median(each.rate for each in calls),
            unit="posts/s",
            reference=reference,
            bar=bar,
        ),
        Row(name=f"{name}, median latency", value=centiles[49] * 1000, unit="ms"),
        Row(name=f"{name}, 99th percentile of latency", value=centiles[98] * 1000, unit="ms"),
    ]
