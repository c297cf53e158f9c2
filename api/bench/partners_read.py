"""How fast and in how much memory a statement is read, against a bare pass of lxml over the same bytes.

The reference takes every element of the document and clears it, and does nothing else. Memory is that of a process
that reads a statement which is never whole anywhere: `python -m api.bench.partners_read ENTRIES` is that process.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from statistics import median

from lxml import etree
from rich.console import Console

from api.bench.camt_document import PiecedStream, camt_pieces
from api.bench.failure import BenchRefused
from api.bench.partners_scale import PartnerScale
from api.bench.row import Row
from partners.messages.account_reports import ReportEvent, StatementEnded
from partners.messages.camt import read_camt

TIME_BAR = 3.0
MEMORY_BAR = 1.1
KIB_IN_MIB = 1024
_STATUS = Path("/proc/self/status")


def read(scale: PartnerScale, console: Console) -> list[Row]:
    """Reads a statement and says how long it took and what it needed. Raises: BenchRefused."""
    return [_time_row(scale, console), _memory_row(scale, console)]


def _time_row(scale: PartnerScale, console: Console) -> Row:
    document = b"".join(camt_pieces(scale.entries))
    console.print(f"  a statement of {scale.entries:,} entries, {len(document) / 1e6:,.0f} MB")
    bare, ours = [], []
    for _ in range(scale.readings):
        bare.append(_seconds(lambda: _pass_bare(document)))
        ours.append(_seconds(lambda: _check(read_camt(BytesIO(document)), scale.entries)))
    return Row(
        name=f"read a camt.053.001.08 of {scale.entries:,} entries, against a bare pass of lxml",
        value=median(ours),
        unit="s",
        reference=median(bare),
        bar=TIME_BAR,
        at_most=True,
    )


def _memory_row(scale: PartnerScale, console: Console) -> Row:
    console.print("  the same from a stream, in processes of their own")
    return Row(
        name=f"memory of a process that reads {scale.entries:,} entries, against {scale.entries_few:,}",
        value=_peak_mib(scale.entries),
        unit="MiB",
        reference=_peak_mib(scale.entries_few),
        bar=MEMORY_BAR,
        at_most=True,
    )


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _pass_bare(document: bytes) -> None:
    for _, element in etree.iterparse(BytesIO(document)):
        element.clear()


def _check(events: Iterator[ReportEvent], entries: int) -> None:
    """Reads to the end, keeps nothing, and sees to it that it was all there."""
    last = None
    for event in events:
        last = event
    if not isinstance(last, StatementEnded) or last.kept != entries or not last.adds_up:
        raise BenchRefused(f"the statement was not read whole: {last}")


def _peak_mib(entries: int) -> float:
    command = [sys.executable, "-m", "api.bench.partners_read", str(entries)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return int(done.stdout) / KIB_IN_MIB


def main(entries: int) -> None:
    """Reads so many entries from a stream, and prints the most memory that it took, in KiB."""
    _check(read_camt(PiecedStream(camt_pieces(entries))), entries)
    # What `getrusage` calls the peak is at least that of the process which started this one; this is its own.
    (peak,) = (line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(f"{peak}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
