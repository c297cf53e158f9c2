"""What lies at the edge: texts and amounts at their limits, and the minute before and after the cut-off."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from ledger.core.errors import InvalidValue
from ledger.core.payout import PayoutState
from partners.certify.bank import BANK_TIME, takes
from partners.certify.findings import Part
from partners.certify.payer import Followed
from partners.certify.stage import Stage, differences
from partners.contract import Instruction, RailFacts, Unreadable
from partners.host.calendar import is_open, next_opening

_SEPA: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-?:().,'+ /Z"
_MINUTE: Final = timedelta(minutes=1)
_AMOUNT_TRIED_MAX: Final = 10**15


def edge_texts(stage: Stage) -> str | None:
    """18: texts of every length up to the limit and of every sign that is carried; one too long, and a foreign one."""
    for _, instruction in stage.instructions():
        facts = stage.adapter.manifest().rail(instruction.rail)
        for edge in _sayable(instruction, facts):
            _is_carried(stage, edge, must=True)
        for edge in _doubtful(instruction, facts):
            _is_carried(stage, edge, must=False)
    return None


def _sayable(asked: Instruction, facts: RailFacts) -> Iterator[Instruction]:
    number = asked.amount_minor
    yield replace(asked, creditor_name=_text(facts.name_max), remittance=_text(facts.remittance_max))
    yield replace(asked, creditor_name=_text(3 + number % (facts.name_max - 2)))
    yield replace(asked, remittance=_text(3 + number % (facts.remittance_max - 2)))
    yield replace(asked, remittance=_SEPA[: facts.remittance_max])
    yield replace(asked, amount_minor=facts.amount_min_minor)
    yield replace(asked, amount_minor=facts.amount_max_minor or _AMOUNT_TRIED_MAX)


def _doubtful(asked: Instruction, facts: RailFacts) -> Iterator[Instruction]:
    """What a bank need not carry; then it is refused, and never changed."""
    yield replace(asked, creditor_name=_text(facts.name_max + 1))
    yield replace(asked, remittance=_text(facts.remittance_max + 1))
    yield replace(asked, creditor_name="Łódź Bäckerei €uro")
    yield replace(asked, remittance='quote " backslash \\ <tag> & line\nbreak')
    yield replace(asked, amount_minor=facts.amount_min_minor - 1)
    yield replace(asked, currency="XTS")


def _text(length: int) -> str:
    return (_SEPA.replace("/", "-").replace(" ", "-") * (length // len(_SEPA) + 1))[:length]


def _is_carried(stage: Stage, asked: Instruction, *, must: bool) -> None:
    """Read back by the bank as it was asked, or refused before it is sent."""
    try:
        request = stage.findings.ask(
            Part.ORDER, lambda: stage.adapter.prepare(asked), name="prepare", allowed=(InvalidValue,)
        )
    except InvalidValue as error:
        field = error.field or "no field named"
        stage.findings.check(Part.ORDER, not must, f"refused what its manifest allows: {field}")
        return
    if request is None:
        return
    try:
        order = stage.words.read_order(
            method=request.method,
            path=request.path,
            body=request.body or b"",
            request_id=asked.payout_id,
        )
    except Unreadable:
        stage.findings.fault(Part.ORDER, "wrote an order that the bank cannot read")
        return
    for text in differences(order, asked):
        stage.findings.fault(Part.ORDER, text)


def cut_off(stage: Stage) -> str | None:
    """19: an order of the minute before the cut-off goes out; one of the minute after waits for the next opening."""
    played = False
    for turn, instruction in stage.instructions():
        hours = stage.adapter.manifest().rail(instruction.rail).hours
        if hours is None:
            continue
        played = True
        zone = ZoneInfo(hours.zone)
        first_day = next_opening(hours, BANK_TIME + timedelta(days=turn)).astimezone(zone).date()
        closing = datetime.combine(first_day, hours.closes, tzinfo=zone).astimezone(UTC)
        followed = stage.payer.order(instruction)
        stage.bank.manner = takes
        late = turn % 2 == 1
        _send_at(stage, followed, closing + _MINUTE if late else closing - _MINUTE)
        waits = followed.state is PayoutState.QUEUED
        wrong = "sent an order after the cut-off" if late else "kept back an order before the cut-off"
        stage.findings.check(Part.MANIFEST, waits is late, wrong)
        _send_at(stage, followed, next_opening(hours, closing + _MINUTE))
        stage.end(followed, turn)
    return None if played else "every rail of this bank takes orders day and night"


def _send_at(stage: Stage, followed: Followed, now: datetime) -> None:
    """As the host does: a closed rail is not tried."""
    hours = stage.adapter.manifest().rail(followed.instruction.rail).hours
    if is_open(hours, now):
        stage.payer.send(followed)
