"""What a certification says: a verdict for each part in each case, and the level that they come to.

A level never says more than was played: a case that does not apply to a bank counts for nothing, and is shown so.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from partners.certify.findings import Findings, Part


class Verdict(StrEnum):
    """What became of a part in a case."""

    PASSED = "passed"
    FAILED = "failed"
    DOES_NOT_APPLY = "does not apply"


class Level(IntEnum):
    """What an adapter can be relied on for; each level includes those below it."""

    NONE = 0
    BRONZE = 1
    SILVER = 2
    GOLD = 3


MEANS: Final[Mapping[Level, str]] = {
    Level.NONE: "nothing: a case of the lowest level failed, so neither its reading nor its sending is to be trusted",
    Level.BRONZE: (
        "reading: the manifest is sound, every recorded case reads as recorded, no mutilated answer is believed, forged"
        " notices are refused, repeated ones recognised, and statements add up or are refused"
    ),
    Level.SILVER: (
        "sending money: bronze, and in every fault of sending that was played no payout was paid twice, none was called"
        " refused while the bank had it, and the book agreed with the bank's own books to the cent"
    ),
    Level.GOLD: (
        "being left alone: silver, and every payout whose outcome was unknown came to its true state by the bank's own"
        " word, also when that came late, under a new id or after a crash; no refusal that lets another bank be asked"
        " was given while the first payment might stand"
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is played. `number` is the fault's number in the list, 0 for what is no fault."""

    number: int
    title: str
    level: Level

    @property
    def name(self) -> str:
        """How a report calls it."""
        return f"{self.number:2} {self.title}" if self.number else self.title


@dataclass(frozen=True, slots=True)
class Cell:
    """One part in one case."""

    case: Case
    part: Part
    verdict: Verdict
    tried: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The certification of one adapter. `remarks` say why a case does not apply."""

    adapter: str
    version: str
    payouts: int
    seconds: float
    cells: tuple[Cell, ...]
    remarks: Mapping[str, str]

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases in their order."""
        return tuple(dict.fromkeys(cell.case for cell in self.cells))

    def of(self, case: Case) -> tuple[Cell, ...]:
        """The cells of one case, by part."""
        return tuple(cell for cell in self.cells if cell.case == case)

    @property
    def failed(self) -> tuple[Cell, ...]:
        """Everything in which the adapter fell short."""
        return tuple(cell for cell in self.cells if cell.verdict is Verdict.FAILED)

    @property
    def level(self) -> Level:
        """The highest level of whose cases, and of those below, none failed and something was played."""
        reached = Level.NONE
        for level in (Level.BRONZE, Level.SILVER, Level.GOLD):
            cells = [cell for cell in self.cells if cell.case.level is level]
            if any(cell.verdict is Verdict.FAILED for cell in cells):
                break
            if not any(cell.verdict is Verdict.PASSED for cell in cells):
                break
            reached = level
        return reached


def cells_of(case: Case, findings: Findings) -> Iterator[Cell]:
    """What a case found, part by part."""
    for part in Part:
        reasons = tuple(findings.faults.get(part, ()))
        tried = findings.touched[part]
        unless_failed = Verdict.PASSED if tried else Verdict.DOES_NOT_APPLY
        verdict = Verdict.FAILED if reasons else unless_failed
        yield Cell(case, part, verdict, tried=tried, reasons=reasons)


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(
        {
            "adapter": report.adapter,
            "version": report.version,
            "level": report.level.name.lower(),
            "level_means": MEANS[report.level],
            "payouts_a_fault": report.payouts,
            "seconds": round(report.seconds, 1),
            "cases": [_case_as_json(report, case) for case in report.cases],
        },
        indent=2,
    )


def _case_as_json(report: Report, case: Case) -> Mapping[str, object]:
    parts = {
        cell.part.value: {"verdict": cell.verdict.value, "tried": cell.tried, "reasons": cell.reasons}
        for cell in report.of(case)
    }
    return {
        "fault": case.number or None,
        "title": case.title,
        "level": case.level.name.lower(),
        "remark": report.remarks.get(case.title),
        "parts": parts,
    }
