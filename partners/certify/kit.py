"""Certifies an adapter: plays every case against it, offline, and says what it can be relied on for.

Nothing outside this machine is reached, and no key or database of ours is touched.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from partners.certify import limits, reading, sending, statements, telling
from partners.certify.findings import Findings, Part
from partners.certify.keys import Pair, make_pair
from partners.certify.report import Case, Cell, Level, Report, cells_of
from partners.certify.stage import Stage, set_up
from partners.contract import Adapter, Operation, Rehearsal
from partners.host.adapters import faults_of

PAYOUTS: Final = 200
PAYOUTS_MAX: Final = 10_000
Play = Callable[[Stage], str | None]

_MANIFEST: Final = Case(0, "manifest and methods", Level.BRONZE)
_GOLDEN: Final = Case(0, "recorded cases", Level.BRONZE)
_PURITY: Final = Case(0, "mutilated bytes", Level.BRONZE)


def _recall_too_late(stage: Stage) -> str:
    """14: nothing is played here: the contract's recalls have no words in a rehearsal yet."""
    if Operation.RECALL in stage.adapter.manifest().operations:
        return "this adapter sends recalls, and the kit does not play them yet: nothing is said of them"
    return "this adapter sends no recalls"


PLAYS: Final[Mapping[Case, Play]] = {
    Case(0, "money that arrives", Level.BRONZE): telling.arrivals,
    Case(1, "answer lost after the bank took it", Level.GOLD): sending.lost_answer,
    Case(2, "connection refused", Level.SILVER): sending.refused_connection,
    Case(3, "bank breaks down, then works", Level.SILVER): sending.broken_bank,
    Case(4, "duplicate request", Level.SILVER): sending.duplicate,
    Case(5, "notice before the answer", Level.SILVER): telling.early_notice,
    Case(6, "notice repeated with a new nonce", Level.BRONZE): telling.repeated_notice,
    Case(7, "notices out of order", Level.SILVER): telling.disordered_notices,
    Case(8, "forged notices, other keys", Level.BRONZE): telling.forged_notice,
    Case(9, "delayed, settles under a new id", Level.GOLD): telling.late_settlement,
    Case(10, "settled, then returned", Level.GOLD): telling.returned,
    Case(11, "refused with an unknown code", Level.SILVER): sending.rejected_unheard_of,
    Case(12, "statements: days, pages, repetitions", Level.BRONZE): statements.statements,
    Case(13, "another amount than asked", Level.SILVER): sending.other_amount,
    Case(14, "recall answered too late", Level.GOLD): _recall_too_late,
    Case(15, "asked too much, Retry-After", Level.SILVER): sending.turned_away,
    Case(16, "answer torn in the middle", Level.SILVER): sending.torn_answer,
    Case(17, "bank's clock ten minutes wrong", Level.GOLD): telling.skewed_clock,
    Case(18, "texts and amounts at their limits", Level.SILVER): limits.edge_texts,
    Case(19, "the minute before and after cut-off", Level.SILVER): limits.cut_off,
    Case(20, "killed between sending and keeping", Level.GOLD): sending.crash,
}


def certify(adapter: Adapter, rehearsal: Rehearsal, *, name: str, payouts: int = PAYOUTS) -> Report:
    """Plays every case, `payouts` payouts a fault. An adapter whose manifest is unsound plays nothing else."""
    started = time.monotonic()
    cells: list[Cell] = []
    remarks: dict[str, str] = {}
    findings = Findings()
    for fault in faults_of(adapter, name=name):
        findings.fault(Part.MANIFEST, fault)
    findings.touch(Part.MANIFEST)
    cells += cells_of(_MANIFEST, findings)
    if not findings.faults:
        cells += _read(adapter, rehearsal, _GOLDEN, reading.golden)
    if not findings.faults and _can_be_played(rehearsal):
        cells += _read(adapter, rehearsal, _PURITY, reading.purity)
        pair = make_pair(rehearsal.notice_key())
        for case, play in PLAYS.items():
            found, remark = _played(adapter, rehearsal, play, pair=pair, payouts=payouts)
            cells += cells_of(case, found)
            if remark is not None:
                remarks[case.title] = remark
    return Report(
        adapter=name,
        version=adapter.manifest().version if not findings.faults else "",
        payouts=payouts,
        seconds=time.monotonic() - started,
        cells=tuple(cells),
        remarks=remarks,
    )


def _can_be_played(rehearsal: Rehearsal) -> bool:
    """Whether there is an order to begin with, and a code to end with; what is missing is among what failed."""
    return rehearsal.golden().orders != () and rehearsal.golden().reasons != ()


def _read(
    adapter: Adapter, rehearsal: Rehearsal, case: Case, read: Callable[[Adapter, Rehearsal, Findings], None]
) -> list[Cell]:
    findings = Findings()
    read(adapter, rehearsal, findings)
    return list(cells_of(case, findings))


def _played(
    adapter: Adapter, rehearsal: Rehearsal, play: Play, *, pair: Pair, payouts: int
) -> tuple[Findings, str | None]:
    findings = Findings()
    with set_up(adapter, rehearsal, pair=pair, findings=findings, payouts=payouts) as stage:
        remark = play(stage)
        if stage.payer.payouts:
            stage.judge()
    return findings, remark
