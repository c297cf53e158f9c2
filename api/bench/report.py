"""How results are shown: the machine, the server's durability, and a table with the ratios."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from api.bench.machine import Machine
from api.bench.row import AT_MOST, Row
from api.bench.scale import Scale

WIDTH = 118  # where nobody says how wide the output is
NOTES = """\
Commands are made before the clock starts. A value counts what was applied, and the time to the last durable commit.
Every result was looked at, and after every workload the tables were counted: no money made or lost, no row too many.
Reference: pgbench, TPC-B-like, scale {scale}, 8 clients, prepared, right before each round; medians of {rounds} rounds.
Of bulk, hot and checkouts, the bar is for the better of one writer and two."""


def console_for_results() -> Console:
    """Standard output, wide enough for the table wherever it goes."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=WIDTH)


def print_surroundings(console: Console, machine: Machine, settings: Mapping[str, str], pgbench: str) -> None:
    """Prints what the figures depend on."""
    console.print(
        f"machine     {machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, "
        f"{machine.kernel}, {machine.python} (where the bench runs)",
        soft_wrap=True,
    )
    told = dict(settings)
    console.print(
        f"server      PostgreSQL {told.pop('server_version')}; reference: {pgbench}", soft_wrap=True
    )
    durability = ", ".join(f"{name} = {value}" for name, value in told.items())
    console.print(f"durability  {durability}", soft_wrap=True)


def print_rows(console: Console, rows: Sequence[Row], *, judged: bool) -> None:
    """Prints the rows of one workload, and whether they reach their bars if they are judged at all."""
    table = Table(box=None, pad_edge=False)
    table.add_column("measured", overflow="fold")
    for heading in ("value", "unit", "reference", "ratio", "bar"):
        table.add_column(heading, justify="left" if heading == "unit" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            _figure(row.value),
            row.unit,
            _figure(row.reference),
            _figure(row.ratio),
            _bar(row, judged=judged),
        )
    console.print()
    console.print(table)


def print_notes(console: Console, scale: Scale) -> None:
    """Prints what the figures are figures of."""
    console.print()
    console.print(NOTES.format(scale=scale.reference_scale, rounds=scale.rounds), soft_wrap=True)


def _figure(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:,.2f}"


def _bar(row: Row, *, judged: bool) -> str:
    if row.bar is None:
        return ""
    asked = f"{row.bar:g} {AT_MOST}" if row.at_most else f"{row.bar:g}"
    if not judged:
        return asked
    return f"{asked} {'MISSED' if row.missed else 'ok'}"
