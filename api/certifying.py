"""`tallystick certify`: plays the faults of banks against an installed adapter, and prints what it is good for."""

from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from partners.certify.findings import Part
from partners.certify.kit import certify
from partners.certify.loading import load_rehearsal
from partners.certify.page import as_html
from partners.certify.report import MEANS, Cell, Report, Verdict, as_json
from partners.host.adapters import load_adapter

WIDTH_MIN = 132  # of a table: narrower, every row would break
_SHOWN = {
    Verdict.PASSED: ("passed", "green"),
    Verdict.FAILED: ("FAILED", "bold red"),
    Verdict.DOES_NOT_APPLY: ("-", "dim"),
}


class NotCertified(Exception):
    """An adapter was played through, and fell short; what failed has been printed."""


def certify_adapter(name: str, *, payouts: int, json_file: Path | None, html_file: Path | None) -> None:
    """Certifies an installed adapter, prints and writes the report.

    Raises: AdapterUnusable, RehearsalMissing; NotCertified when anything failed.
    """
    report = certify(load_adapter(name), load_rehearsal(name), name=name, payouts=payouts)
    if json_file is not None:
        json_file.write_text(as_json(report) + "\n", "utf-8")
    if html_file is not None:
        html_file.write_text(as_html(report), "utf-8")
    _print(report)
    if report.failed:
        raise NotCertified(f"the adapter {name!r} failed in {len(report.failed)} places")


def _print(report: Report) -> None:
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH_MIN)
    console.print(_table(report))
    for case in report.cases:
        if case.title in report.remarks:
            console.print(f"  {case.name}: {report.remarks[case.title]}", style="dim", markup=False)
    for cell in report.failed:
        console.print(
            f"FAILED {cell.case.name.strip()}, {cell.part}: {'; '.join(cell.reasons)}", markup=False
        )
    played = f"{report.payouts} payouts a fault, {report.seconds:.1f} s"
    console.print(f"{report.adapter}: {report.level.name.lower()} ({played})", markup=False)
    console.print(f"It can be relied on for {MEANS[report.level]}.", markup=False)


def _table(report: Report) -> Table:
    table = Table(title=f"Certification of the adapter {report.adapter}", box=SIMPLE)
    table.add_column("case", no_wrap=True)
    table.add_column("level", no_wrap=True)
    for part in Part:
        table.add_column(part.value, no_wrap=True)
    for case in report.cases:
        table.add_row(case.name, case.level.name.lower(), *map(_cell, report.of(case)))
    return table


def _cell(cell: Cell) -> Text:
    shown, style = _SHOWN[cell.verdict]
    return Text(shown, style=style)
