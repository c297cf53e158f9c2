"""Throughput of batches: bulk, hot, checkouts. Reference and workload take turns, so that a machine that slows down
slows down both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from statistics import median

from api.bench.audit import CHECKOUT, SINGLE_LEG_POST, Tally
from api.bench.bench import SPARE, Bench, Stage
from api.bench.row import Row, best_has_the_bar
from api.bench.scale import Scale
from api.bench.workload import Workload
from api.bench.writers import Run, Work

WRITERS = (1, 2)
WARM_UP = 2  # works before the first round: plans made, caches filled, and a first guess at the rate


@dataclass(frozen=True, slots=True)
class Kind:
    """One of these workloads: how its works are made, what each unit of it leaves in the tables, and its bar."""

    name: str
    unit: str
    make: Callable[[Workload, Scale, int], list[Work]]
    each: Tally
    bar: float


BULK = Kind("bulk", "posts/s", lambda workload, _, works: workload.bulk(works), SINGLE_LEG_POST, 8)
HOT = Kind("hot", "posts/s", lambda workload, _, works: workload.hot(works), SINGLE_LEG_POST, 8)
CHECKOUTS = Kind(
    "checkouts",
    "checkouts/s",
    lambda workload, scale, works: workload.checkouts(works, scale.checkouts),
    CHECKOUT,
    3,
)


def throughput(bench: Bench, kind: Kind) -> list[Row]:
    """Measures one kind with one writer and with two. The bar is for the better of them."""
    with bench.stage() as stage:
        warm_up = stage.carry(kind.make(stage.workload, bench.scale, WARM_UP), kind.each)
        references: list[float] = []
        runs: dict[int, list[Run]] = {writers: [warm_up] for writers in WRITERS}
        for turn in range(bench.scale.rounds):
            prepared = {writers: _prepare(bench, kind, stage, runs[writers]) for writers in WRITERS}
            references.append(bench.reference_rate())
            for writers, works in prepared.items():
                run = stage.carry(works, kind.each, writers=writers, seconds=bench.scale.run_s)
                runs[writers].append(run)
            bench.say(_told(bench, kind, turn, references, runs))
        stage.check()
    rows = [
        Row(
            name=f"{kind.name}, {_writers(writers)}",
            value=median(run.rate for run in runs[writers][1:]),
            unit=kind.unit,
            reference=median(references),
        )
        for writers in WRITERS
    ]
    return best_has_the_bar(rows, kind.bar)


def works_for(scale: Scale, before: list[Run]) -> int:
    """How many works the seconds of a run will use, going by the fastest run before, and no more than the scale has."""
    fastest = max(run.works / run.seconds for run in before)
    return max(WARM_UP, min(scale.works_max, ceil(SPARE * fastest * scale.run_s)))


def _prepare(bench: Bench, kind: Kind, stage: Stage, before: list[Run]) -> list[Work]:
    return kind.make(stage.workload, bench.scale, works_for(bench.scale, before))


def _told(bench: Bench, kind: Kind, turn: int, references: list[float], runs: dict[int, list[Run]]) -> str:
    rates = ", ".join(f"{_writers(writers)} {runs[writers][-1].rate:,.0f}" for writers in WRITERS)
    return (
        f"{kind.name}, round {turn + 1} of {bench.scale.rounds}: "
        f"pgbench {references[-1]:,.0f} tps; {rates} {kind.unit}"
    )


def _writers(writers: int) -> str:
    return "1 writer" if writers == 1 else f"{writers} writers"
