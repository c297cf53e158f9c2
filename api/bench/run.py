"""Runs the bench: the workloads that were named, on the server that was given or on one of its own."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from api.bench.bench import Bench
from api.bench.callers import callers
from api.bench.failure import BarMissed, BenchRefused
from api.bench.history import history
from api.bench.machine import this_machine
from api.bench.reference import Reference, find_pgbench
from api.bench.report import console_for_results, print_notes, print_rows, print_surroundings
from api.bench.row import Row, write_rows
from api.bench.scale import FULL, QUICK, Scale
from api.bench.server import Server, embedded, given, not_durable
from api.bench.storage import storage
from api.bench.throughput import BULK, CHECKOUTS, HOT, throughput

Measure = Callable[[Bench], list[Row]]
WORKLOADS: dict[str, Measure] = {
    "bulk": partial(throughput, kind=BULK),
    "hot": partial(throughput, kind=HOT),
    "callers": callers,
    "checkouts": partial(throughput, kind=CHECKOUTS),
    "storage": storage,
    "history": history,
}
AGAINST_PGBENCH = {"bulk", "hot", "callers", "checkouts"}
PREPARING = 1.5  # how much longer a run takes than its seconds, commands made and tables counted


def run_bench(
    names: Sequence[str],
    *,
    database: str | None,
    home: Path,
    output: Path,
    quick: bool,
    even_if_not_durable: bool,
) -> None:
    """Measures, prints, and writes a file for each workload into `output`. The bench's own server lives under `home`.

    Raises: BenchRefused when nothing can be measured that would mean anything; BarMissed after a full run with figures
    that are not good enough.
    """
    wanted = _wanted(names)
    scale = QUICK if quick else FULL
    progress, results = Console(stderr=True, highlight=False), console_for_results()
    with _server(database, home) as server, server.empty_database() as tables:
        reference, settings = Reference(find_pgbench(), tables), tables.settings()
        marks = _marks(settings, quick=quick, even_if_not_durable=even_if_not_durable)
        print_surroundings(results, this_machine(), settings, reference.version())
        progress.print(_estimate(wanted, scale))
        if AGAINST_PGBENCH.intersection(wanted):
            reference.prepare(scale.reference_scale)
        bench = Bench(server, reference, scale, progress)
        measured = []
        for name in wanted:
            rows = [replace(row, name=row.name + marks) for row in WORKLOADS[name](bench)]
            write_rows(output / f"{name}.json", rows)
            print_rows(results, rows, judged=not quick)
            measured += rows
    print_notes(results, scale)
    if not quick:
        judge(measured)


def judge(rows: Sequence[Row]) -> None:
    """Says which rows are not good enough. Raises: BarMissed."""
    missed = [row.name for row in rows if row.missed]
    if missed:
        raise BarMissed(missed)


def _wanted(names: Sequence[str]) -> list[str]:
    unknown = sorted(set(names) - WORKLOADS.keys())
    if unknown:
        raise BenchRefused(f"no workload is called {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return [name for name in WORKLOADS if name in names or not names]


def _server(database: str | None, home: Path) -> AbstractContextManager[Server]:
    return embedded(home.resolve()) if database is None else nullcontext(given(database))


def _marks(settings: Mapping[str, str], *, quick: bool, even_if_not_durable: bool) -> str:
    """What is put behind the name of every row. Raises: BenchRefused."""
    lacking = not_durable(settings)
    if lacking and not even_if_not_durable:
        raise BenchRefused(
            f"{' and '.join(lacking)}: commits are answered before they are on disk, and what is fast then says "
            "nothing. --not-durable measures all the same, and marks every row"
        )
    return (" (not durable)" if lacking else "") + (" (quick)" if quick else "")


def _estimate(wanted: Sequence[str], scale: Scale) -> str:
    round_s = scale.reference_s + 2 * PREPARING * scale.run_s
    minutes = (len(wanted) * scale.rounds * round_s) / 60
    filling = f", besides filling tables with {scale.entries:,} entries" if "history" in wanted else ""
    return f"measuring {', '.join(wanted)}: about {max(1, round(minutes))} min{filling}"
