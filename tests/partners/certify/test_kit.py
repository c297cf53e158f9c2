"""The kit says gold of what is sound, and of each broken adapter it says what is broken."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from partners.certify.findings import Part
from partners.certify.kit import PLAYS, certify
from partners.certify.report import Case, Cell, Level, Report, Verdict
from partners.clearbank.adapter import ClearBank
from partners.clearbank.rehearsal import ClearBankRehearsal
from partners.contract import Adapter, Answer, Golden, KeptPayment, OnDuplicate, Rehearsal, Statement
from tests.partners.certify import broken
from toybank.adapter import Toybank
from toybank.rehearsal import ToybankRehearsal

pytestmark = pytest.mark.slow

PAYOUTS = 12  # as many as it takes for every rail, end and crash to meet
CLEARBANK, TOYBANK = ClearBankRehearsal(), ToybankRehearsal()


def report_on(adapter: Adapter, rehearsal: Rehearsal | None = None) -> Report:
    name = adapter.manifest().adapter
    known: dict[str, Rehearsal] = {"clearbank": CLEARBANK, "toybank": TOYBANK}
    words = rehearsal or known[name]
    return certify(adapter, words, name=name, payouts=PAYOUTS)


def cell(report: Report, number: int, part: Part) -> Cell:
    (found,) = [each for each in report.cells if (each.case.number, each.part) == (number, part)]
    return found


def reasons(report: Report, title: str, part: Part) -> str:
    (found,) = [each for each in report.cells if (each.case.title, each.part) == (title, part)]
    return "; ".join(found.reasons)


@pytest.mark.parametrize("adapter", [ClearBank(), Toybank()], ids=["clearbank", "toybank"])
def test_sound_adapter_is_certified_gold(adapter: Adapter) -> None:
    report = report_on(adapter)

    assert [(failed.case.title, failed.reasons) for failed in report.failed] == []
    assert report.level is Level.GOLD


BROKEN: Sequence[tuple[Adapter, str, Part, str, Level]] = [
    (
        broken.CallsSilenceARejection(),
        "answer lost after the bank took it",
        Part.ENQUIRY,
        "called rejected what it did not find",
        Level.SILVER,
    ),
    (
        broken.CallsABreakdownARejection(),
        "bank breaks down, then works",
        Part.MONEY,
        "would have asked another bank while the first may pay",
        Level.NONE,
    ),
    (
        broken.TakesADuplicateForAccepted(),
        "duplicate request",
        Part.ANSWER,
        "called a duplicate accepted",
        Level.NONE,
    ),
    (
        broken.BelievesTheStatus(),
        "mutilated bytes",
        Part.ANSWER,
        "called a truncated answer accepted",
        Level.NONE,
    ),
    (
        broken.RaisesOnJunk(),
        "mutilated bytes",
        Part.ANSWER,
        "interpret of a truncated answer raised JSONDecodeError",
        Level.NONE,
    ),
    (
        broken.WritesOtherBytes(),
        "mutilated bytes",
        Part.ORDER,
        "the same instruction gives other bytes the second time",
        Level.NONE,
    ),
    (
        broken.LosesACent(),
        "connection refused",
        Part.MONEY,
        "the book and the bank's own books differ",
        Level.NONE,
    ),
    (
        broken.CutsTexts(),
        "texts and amounts at their limits",
        Part.ORDER,
        "the bank read another remittance than was asked",
        Level.BRONZE,
    ),
    (
        broken.ForgetsToCompareWhatIsListed(),
        "another amount than asked",
        Part.MONEY,
        "believed a payment of another amount",
        Level.BRONZE,
    ),
    (
        broken.BelievesForgeries(),
        "forged notices, other keys",
        Part.NOTICE,
        "believed a changed body",
        Level.NONE,
    ),
    (
        broken.TakesARepetitionForNews(),
        "notice repeated with a new nonce",
        Part.NOTICE,
        "the same news twice has two keys",
        Level.NONE,
    ),
    (
        broken.TakesNewsForARepetition(),
        "notice repeated with a new nonce",
        Part.NOTICE,
        "two different notices have one key",
        Level.NONE,
    ),
    (
        broken.OverlooksReturns(),
        "settled, then returned",
        Part.MONEY,
        "called settled what is returned",
        Level.SILVER,
    ),
    (
        broken.TakesDelayedForSettled(),
        "refused with an unknown code",
        Part.MONEY,
        "called settled what is rejected",
        Level.NONE,
    ),
    (
        broken.KnowsEveryCode(),
        "refused with an unknown code",
        Part.REASON,
        "claims to know what a code means that does not exist",
        Level.NONE,
    ),
    (
        broken.ForgetsTheWait(),
        "asked too much, Retry-After",
        Part.ANSWER,
        "does not say how long the bank asked us to wait",
        Level.BRONZE,
    ),
    (broken.ResendsUnderANewId(), "asked too much, Retry-After", Part.MONEY, "paid twice", Level.NONE),
    (
        broken.ForgetsToCompare(),
        "another amount than asked",
        Part.ANSWER,
        "did not compare the amount in the answer with what was asked",
        Level.BRONZE,
    ),
    (
        broken.ReadsAnyNumber(),
        "mutilated bytes",
        Part.ANSWER,
        "interpret of a made-up Retry-After raised ValueError",
        Level.NONE,
    ),
    (
        broken.Declares(OnDuplicate.IGNORED),  # then being turned away must not be tried again
        "asked too much, Retry-After",
        Part.MONEY,
        "paid twice",
        Level.BRONZE,
    ),
    (
        broken.AddsNothingUp(),
        "statements: days, pages, repetitions",
        Part.STATEMENT,
        "believed a statement that does not add up",
        Level.NONE,
    ),
]


@pytest.mark.parametrize(
    ("adapter", "title", "part", "reason", "level"),
    BROKEN,
    ids=[f"{type(adapter).__name__}-{case}" for case, (adapter, *_) in enumerate(BROKEN)],
)
def test_broken_adapter_fails_for_the_right_reason(
    adapter: Adapter, title: str, part: Part, reason: str, level: Level
) -> None:
    report = report_on(adapter)

    assert reason in reasons(report, title, part)
    assert report.level is level


def test_trying_again_under_the_same_id_pays_nobody_twice() -> None:
    report = report_on(broken.TriesABreakdownAgain())

    assert cell(report, 3, Part.MONEY).verdict is Verdict.PASSED


def test_bank_that_gives_its_first_answer_again_may_be_believed() -> None:
    report = report_on(broken.Declares(OnDuplicate.REPLAY))

    assert report.failed == ()
    assert cell(report, 4, Part.ANSWER).verdict is Verdict.PASSED


def test_bank_that_recognises_nothing_is_safe_with_whoever_never_tries_again() -> None:
    report = report_on(broken.Declares(OnDuplicate.IGNORED, sends_again=False))

    assert {failed.case.title for failed in report.failed} == {"recorded cases"}  # of a bank that recognises
    assert "does not recognise a request id" in report.remarks["duplicate request"]


class Stumbling(ToybankRehearsal):
    """A rehearsal that does not know its part."""

    def breaks_down(self) -> Answer:
        raise LookupError("the part was not learnt")


def test_rehearsal_that_raises_certifies_no_sending(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_on(Toybank(), Stumbling())

    assert report.level is Level.BRONZE
    said = reasons(report, "bank breaks down, then works", Part.MONEY)
    assert said == "the rehearsal raised an error while it played"
    assert "the part was not learnt" in capsys.readouterr().err


def test_every_fault_of_the_list_is_played() -> None:
    assert [case.number for case in PLAYS if case.number] == list(range(1, 21))


# --- what a bank has no words for -----------------------------------------------------------------------------


class Unasked(ToybankRehearsal):
    """Toybank, if it answered no enquiries."""

    def lists(self, payments: Sequence[KeptPayment]) -> Answer | None:
        return None


class Silent(ToybankRehearsal):
    """Toybank, if it printed no statements and turned nobody away."""

    def golden(self) -> Golden:
        return replace(super().golden(), statements=())

    def prints(self, statement: Statement, *, lines_a_page: int) -> tuple[bytes, ...] | None:
        return None

    def turns_away(self, wait_s: int) -> Answer | None:
        return None


def test_bank_that_cannot_be_asked_has_passed_no_enquiry() -> None:
    report = report_on(broken.CannotBeAsked(), Unasked())

    verdicts = {each.verdict for each in report.cells if each.part is Part.ENQUIRY}
    assert verdicts == {Verdict.DOES_NOT_APPLY}
    assert report.failed == ()


def test_what_a_bank_has_no_words_for_is_never_shown_as_passed() -> None:
    report = report_on(Toybank(), Silent())

    for number in (12, 14, 15, 19):
        verdicts = {cell(report, number, part).verdict for part in Part}
        assert verdicts == {Verdict.DOES_NOT_APPLY}
    assert report.remarks["statements: days, pages, repetitions"] == "this bank prints no statements"
    assert report.remarks["asked too much, Retry-After"] == "this bank turns nobody away"


class Unrecorded(ToybankRehearsal):
    """No order was ever recorded."""

    def golden(self) -> Golden:
        return replace(super().golden(), orders=())


def test_without_recorded_orders_nothing_is_certified() -> None:
    report = report_on(Toybank(), Unrecorded())

    assert "no recorded order for SCT_INST" in reasons(report, "recorded cases", Part.ORDER)
    assert report.level is Level.NONE
    assert {case.title for case in report.cases} == {"manifest and methods", "recorded cases"}


def test_unsound_manifest_is_all_that_is_said() -> None:
    report = certify(Toybank(), TOYBANK, name="otherbank", payouts=1)

    assert report.level is Level.NONE
    assert [failed.reasons for failed in report.failed] == [("its manifest calls it 'toybank'",)]


def test_level_of_which_nothing_was_played_is_not_reached() -> None:
    report = report_on(Toybank())
    unplayed = tuple(
        replace(each, verdict=Verdict.DOES_NOT_APPLY) if each.case.level is Level.SILVER else each
        for each in report.cells
    )

    assert replace(report, cells=unplayed).level is Level.BRONZE
    assert isinstance(report.cases[0], Case)
