"""What is printed and written of a certification."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from partners.certify.findings import FAULTS_KEPT_MAX, Findings, Part
from partners.certify.page import as_html
from partners.certify.report import MEANS, Case, Level, Report, Verdict, as_json, cells_of

CASE = Case(16, "answer torn in the middle", Level.SILVER)
SOUND = Case(0, "recorded cases", Level.BRONZE)


def found(**faults: str) -> Findings:
    findings = Findings()
    findings.touch(Part.ORDER)
    for part, text in faults.items():
        findings.fault(Part(part), text)
    return findings


REPORT = Report(
    adapter="toy<bank>",
    version="1",
    payouts=3,
    seconds=1.25,
    cells=(*cells_of(SOUND, found()), *cells_of(CASE, found(answer="called <half> an answer accepted"))),
    remarks={CASE.title: "this bank says & does nothing"},
)


def test_part_that_was_not_touched_does_not_apply() -> None:
    verdicts = {cell.part: cell.verdict for cell in REPORT.of(CASE)}

    assert verdicts[Part.ORDER] is Verdict.PASSED
    assert verdicts[Part.ANSWER] is Verdict.FAILED
    assert verdicts[Part.STATEMENT] is Verdict.DOES_NOT_APPLY


def test_level_ends_below_the_first_that_failed() -> None:
    assert REPORT.level is Level.BRONZE
    assert replace(REPORT, cells=REPORT.of(CASE)).level is Level.NONE


def test_json_holds_every_part_of_every_case() -> None:
    read = json.loads(as_json(REPORT))

    assert (read["level"], read["level_means"]) == ("bronze", MEANS[Level.BRONZE])
    (_, case) = read["cases"]
    assert (case["fault"], case["level"], case["remark"]) == (16, "silver", "this bank says & does nothing")
    assert set(case["parts"]) == {part.value for part in Part}
    assert case["parts"]["answer"] == {
        "verdict": "failed",
        "tried": 1,
        "reasons": ["called <half> an answer accepted"],
    }


class Seen(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [tag for name, _ in attrs if name in {"src", "href", "action"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_stands_by_itself_and_says_what_failed_and_what_the_level_means() -> None:
    page, seen = as_html(REPORT), Seen()

    seen.feed(page)

    assert seen.open == []
    assert seen.fetched == []
    assert re.search(r"url\(|@import|<script", page) is None
    text = "".join(seen.texts)
    assert "Certification of the adapter toy<bank>" in text
    assert "answer: called <half> an answer accepted" in text
    assert "this bank says & does nothing" in text
    assert all(meaning in text for meaning in MEANS.values())


def test_the_same_fault_is_kept_once_and_others_up_to_a_limit() -> None:
    findings = Findings()
    for number in range(10):
        findings.fault(Part.MONEY, "paid twice")
        findings.fault(Part.MONEY, f"and {number}")

    assert findings.faults[Part.MONEY] == ["paid twice", "and 0", "and 1"][:FAULTS_KEPT_MAX]


def test_what_a_strangers_code_raises_is_a_finding() -> None:
    findings = Findings()

    assert findings.ask(Part.ORDER, lambda: 1 // 0, name="prepare") is None
    with pytest.raises(ZeroDivisionError):
        findings.ask(Part.ORDER, lambda: 1 // 0, name="prepare", allowed=(ZeroDivisionError,))

    assert findings.faults == {Part.ORDER: ["prepare raised ZeroDivisionError"]}
