"""How fast messages to and from banks are written and read, and how fast payouts are sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from api.bench.machine import this_machine
from api.bench.partners_read import read
from api.bench.partners_scale import FULL, QUICK, PartnerScale
from api.bench.partners_send import send
from api.bench.partners_write import write
from api.bench.report import console_for_results, print_rows
from api.bench.row import Row, write_rows

PARTNER_WORKLOADS: Final[dict[str, Callable[[PartnerScale, Console], list[Row]]]] = {
    "read": read,  # first: the bare pass is twice as slow in a process that has written before
    "write": write,
    "send": send,
}


def run_partners_bench(*, output: Path, quick: bool) -> list[Row]:
    """Measures every workload, prints, and writes `partners.json` into `output`.

    Raises: BenchRefused when two that should do the same do not.
    """
    scale, progress = QUICK if quick else FULL, Console(stderr=True, highlight=False)
    rows: list[Row] = []
    for name, measure in PARTNER_WORKLOADS.items():
        progress.print(f"  {name}")
        rows += measure(scale, progress)
    write_rows(output / "partners.json", rows)
    results, machine = console_for_results(), this_machine()
    results.print(f"machine     {machine.cpu}, {machine.cores} cores, {machine.kernel}, {machine.python}")
    results.print("reference   bare lxml over the same elements, in turns with what is measured")
    print_rows(results, rows, judged=not quick)
    return rows
