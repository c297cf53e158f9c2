"""The report as one page that stands by itself: no script, nothing fetched, readable on paper and on a small screen."""

from collections.abc import Iterator
from html import escape
from typing import Final

from partners.certify.findings import Part
from partners.certify.report import MEANS, Case, Cell, Level, Report, Verdict

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --mute: #6b7280; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.level { border-left: .5rem solid var(--mute); padding: .2rem 1rem; margin: 1.2rem 0; }
.level b { font-size: 1.3rem; text-transform: capitalize; }
.gold { border-color: #d4a017; } .silver { border-color: #9aa4ad; } .bronze { border-color: #b0713a; }
.none { border-color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.passed { color: var(--good); } .failed { color: var(--bad); font-weight: 700; } .not { color: var(--mute); }
small { color: var(--mute); display: block; }
dt { font-weight: 700; text-transform: capitalize; } dd { margin: 0 0 .6rem; }
"""
_CLASSES: Final = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "failed",
    Verdict.DOES_NOT_APPLY: "not",
}


def as_html(report: Report) -> str:
    """The whole page."""
    level = report.level.name.lower()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.adapter)}: certified {level}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Certification of the adapter {escape(report.adapter)}</h1>\n"
        f"<p>Version {escape(report.version or 'unknown')}, {report.payouts} payouts a fault,"
        f" {report.seconds:.1f} seconds, offline.</p>\n"
        f'<div class="level {level}"><b>{level}</b><br>{escape(MEANS[report.level])}.</div>\n'
        f"{_failures(report)}<h2>Part by case</h2>\n{_table(report)}{_levels()}</body></html>\n"
    )


def _failures(report: Report) -> str:
    rows = [
        f"<li><b>{escape(cell.case.name.strip())}</b>, {cell.part}: {escape('; '.join(cell.reasons))}</li>"
        for cell in report.failed
    ]
    return f'<h2 class="failed">What failed</h2>\n<ul>{"".join(rows)}</ul>\n' if rows else ""


def _table(report: Report) -> str:
    head = "".join(f"<th>{part}</th>" for part in Part)
    rows = "\n".join(_row(report, case) for case in report.cases)
    return (
        f'<div class="wide"><table><thead><tr><th>fault</th><th>case</th><th>level</th>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>\n"
        '<p class="not">A dash: this part does not apply to this case, or this bank has no words for it. It counts'
        " for nothing.</p>\n"
    )


def _row(report: Report, case: Case) -> str:
    remark = report.remarks.get(case.title)
    said = f"<small>does not apply, or not in full: {escape(remark)}</small>" if remark else ""
    cells = "".join(map(_cell, report.of(case)))
    return (
        f'<tr><td class="n">{case.number or ""}</td><td>{escape(case.title)}{said}</td>'
        f"<td>{case.level.name.lower()}</td>{cells}</tr>"
    )


def _cell(cell: Cell) -> str:
    shown = "–" if cell.verdict is Verdict.DOES_NOT_APPLY else cell.verdict.value
    told = f"{cell.tried} checks" if cell.tried else "does not apply"
    return f'<td class="{_CLASSES[cell.verdict]}" title="{told}">{shown}</td>'


def _levels() -> str:
    return f"<h2>What a level means</h2>\n<dl>{''.join(_meanings())}</dl>\n"


def _meanings() -> Iterator[str]:
    for level in reversed(Level):
        yield f"<dt>{level.name.lower()}</dt><dd>{escape(MEANS[level])}.</dd>"
