"""What an adapter reads and writes by itself: recorded cases, and whatever is cut, changed or made up.

A mutilated answer says nothing about money: it must be left unknown, and anything else that is broken be refused.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Final

from partners.certify.bank import KitBank
from partners.certify.findings import Findings, Part
from partners.contract import (
    Accepted,
    Adapter,
    Answer,
    AnswerCase,
    Instruction,
    NotSent,
    OnDuplicate,
    OrderRead,
    Outcome,
    Rehearsal,
    Rejected,
    Unknown,
    Unreadable,
)

STATUSES: Final = (
    100,
    204,
    301,
    302,
    304,
    400,
    401,
    403,
    404,
    405,
    408,
    410,
    418,
    425,
    451,
    500,
    502,
    504,
    599,
)
BROKEN_FROM: Final = 500
CUTS_MAX: Final = 400  # of one body; a longer one is cut at this many places, evenly
_JUNK: Final = (b"", b"null", b"[]", b"{}", b'"text"', b"\xff\xfe", b"<html>", b"0", b"[" * 5_000)
_WAITS: Final = ("", "soon", "-1", "٣", "9" * 5_000, "Wed, 21 Oct 2026 07:28:00 GMT")
_WRONG: Final[tuple[object, ...]] = (None, 0, -1, True, "", "x" * 300, [], {}, [{}])
_CODES: Final = ("", "ZZ99", "\x00", "ß" * 40, "AC04 ", "x" * 10_000)


# --- recorded cases -------------------------------------------------------------------------------------------


def golden(adapter: Adapter, words: Rehearsal, findings: Findings) -> None:
    """Every recorded case reads and writes as it was recorded."""
    cases = words.golden()
    written = {case.instruction.rail for case in cases.orders}
    for facts in adapter.manifest().rails:
        findings.check(Part.ORDER, facts.rail in written, f"no recorded order for {facts.rail}")
    findings.check(Part.REASON, cases.reasons != (), "no recorded reason")
    for order in cases.orders:
        request = findings.ask(Part.ORDER, partial(adapter.prepare, order.instruction), name="prepare")
        findings.check(Part.ORDER, request == order.request, f"{order.name}: another request than recorded")
    for answer in cases.answers:
        _golden_answer(adapter, answer, findings)
    _golden_news(adapter, words, findings)
    for case in cases.reasons:
        said = findings.ask(Part.REASON, partial(adapter.explain, case.code), name="explain")
        same = said and (said.code, said.fault, said.elsewhere) == (case.code, case.fault, case.elsewhere)
        findings.check(Part.REASON, bool(same), f"{case.code}: another reason than recorded")


def _golden_answer(adapter: Adapter, case: AnswerCase, findings: Findings) -> None:
    ask = partial(adapter.interpret, case.instruction, case.answer)
    outcome = findings.ask(Part.ANSWER, ask, name="interpret")
    alike = type(outcome) is type(case.outcome)
    same = alike if isinstance(case.outcome, Unknown | NotSent) else outcome == case.outcome
    wrong = f"{case.name}: called {_name(outcome)}, recorded {_name(case.outcome)}"
    findings.check(Part.ANSWER, same, wrong if not alike else f"{case.name}: other details than recorded")


def _golden_news(adapter: Adapter, words: Rehearsal, findings: Findings) -> None:
    for notice in words.golden().notices:
        read = findings.ask(Part.NOTICE, partial(adapter.parse_notice, notice.body), name="parse_notice")
        same = read is not None and read.meanings == notice.meanings
        findings.check(Part.NOTICE, same, f"{notice.name}: other meanings than recorded")
    for case in words.golden().statements:
        parse = partial(adapter.parse_statement, *case.pages)
        found = findings.ask(Part.STATEMENT, parse, name="parse_statement")
        findings.check(Part.STATEMENT, found == case.statements, f"{case.name}: other than recorded")


# --- purity -----------------------------------------------------------------------------------------------------


def purity(adapter: Adapter, words: Rehearsal, findings: Findings) -> None:
    """The same question has the same answer, and no bytes make an adapter raise or believe what they do not say."""
    instructions = [case.instruction for case in words.golden().orders]
    for instruction in instructions * 2:
        again = deepcopy(instruction)
        first = findings.ask(Part.ORDER, partial(adapter.prepare, instruction), name="prepare")
        second = findings.ask(Part.ORDER, partial(adapter.prepare, again), name="prepare")
        findings.check(Part.ORDER, first == second, "the same instruction gives other bytes the second time")
    for instruction in instructions:
        _mutilated(adapter, words, instruction, findings)
    for code in _CODES:
        findings.ask(Part.REASON, partial(adapter.explain, code), name="explain of a made-up code")
    _mutilated_news(adapter, words, findings)


def _mutilated(adapter: Adapter, words: Rehearsal, instruction: Instruction, findings: Findings) -> None:
    order = _read(instruction)
    payment = KitBank(words, on_duplicate=OnDuplicate.CONFLICT).book(order)
    accepts, refuses = words.accepts(payment), words.refuses(order, words.golden().reasons[0].code)
    for whole in (accepts, refuses):
        if whole is None:
            continue
        for what, broken in _broken(whole):
            outcome = _interpreted(adapter, instruction, broken, findings, what=what)
            believed = isinstance(outcome, Accepted | Rejected)
            findings.check(Part.ANSWER, not believed, f"called {what} {_name(outcome)}")
        for odd in _with_wrong_values(whole):
            _interpreted(adapter, instruction, odd, findings, what="an answer with a wrong value")
    for status in STATUSES:
        odd = Answer(status, accepts.headers, accepts.body)
        outcome = _interpreted(adapter, instruction, odd, findings, what=f"status {status}")
        believed = isinstance(outcome, Accepted) or (
            isinstance(outcome, Rejected) and not BROKEN_FROM > status >= 400
        )
        findings.check(Part.ANSWER, not believed, f"called status {status} {_name(outcome)}")
    for wait in _WAITS:
        odd = Answer(429, (("Retry-After", wait), ("Retry-After", "1")), b"")
        for answer in (odd, Answer(429, odd.headers[:1], b"")):
            _interpreted(adapter, instruction, answer, findings, what="a made-up Retry-After")
    _mutilated_enquiry(adapter, instruction, words.lists([payment]), findings)


def _interpreted(
    adapter: Adapter, instruction: Instruction, answer: Answer, findings: Findings, *, what: str
) -> Outcome | None:
    return findings.ask(
        Part.ANSWER, partial(adapter.interpret, instruction, answer), name=f"interpret of {what}"
    )


def _broken(whole: Answer) -> Iterator[tuple[str, Answer]]:
    for cut in _cuts(whole.body):
        yield "a truncated answer", Answer(whole.status, whole.headers, cut)
    for junk in _JUNK:
        if junk != whole.body:
            yield "junk", Answer(whole.status, whole.headers, junk)
    yield "a breakdown", Answer(BROKEN_FROM, whole.headers, whole.body)


def _cuts(body: bytes) -> Iterator[bytes]:
    """Every beginning of a body that lacks something of it; white space at the end is nothing."""
    whole = len(body.rstrip())
    for length in range(0, whole, max(1, whole // CUTS_MAX)):
        yield body[:length]


def _with_wrong_values(whole: Answer) -> Iterator[Answer]:
    """The answer with each of its values changed for one of another type, if it is a JSON object."""
    try:
        said = json.loads(whole.body)
    except ValueError:
        return
    for name in said if isinstance(said, dict) else ():
        for wrong in _WRONG:
            yield Answer(whole.status, whole.headers, json.dumps({**said, name: wrong}).encode())


def _mutilated_enquiry(
    adapter: Adapter, instruction: Instruction, whole: Answer | None, findings: Findings
) -> None:
    if whole is None:
        return
    cut = [Answer(whole.status, whole.headers, body) for body in _cuts(whole.body)]
    other = [Answer(status, whole.headers, whole.body) for status in STATUSES if status >= BROKEN_FROM]
    for answer in cut + other:
        try:
            found = findings.ask(
                Part.ENQUIRY,
                partial(adapter.interpret_status, instruction, answer),
                name="interpret_status of a broken answer",
                allowed=(Unreadable,),
            )
        except Unreadable:
            continue
        findings.check(Part.ENQUIRY, not found, "found a payment in a broken answer")


def _mutilated_news(adapter: Adapter, words: Rehearsal, findings: Findings) -> None:
    for notice in words.golden().notices:
        for body in (*_cuts(notice.body), *_JUNK):
            _is_refused(findings, Part.NOTICE, partial(adapter.parse_notice, body), what="a broken notice")
            try:
                findings.ask(
                    Part.NOTICE,
                    partial(adapter.acknowledge, body),
                    name="acknowledge of a broken notice",
                    allowed=(Unreadable,),
                )
            except Unreadable:
                continue
    for case in words.golden().statements:
        last = case.pages[-1]
        for body in (*list(_cuts(last))[:: max(1, len(last) // 60)], *_JUNK):
            parse = partial(adapter.parse_statement, *case.pages[:-1], body)
            _is_refused(findings, Part.STATEMENT, parse, what="a broken statement")


def _is_refused(findings: Findings, part: Part, read: Callable[[], object], *, what: str) -> None:
    try:
        if findings.ask(part, read, name=f"reading of {what}", allowed=(Unreadable,)) is not None:
            findings.fault(part, f"read {what} as if it were whole")
    except Unreadable:
        return


def _read(asked: Instruction) -> OrderRead:
    """The order of an instruction as a bank that understands everything would read it."""
    return OrderRead(
        known_by=asked.payout_id,
        rail=asked.rail,
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        creditor_name=asked.creditor_name,
        creditor_iban=asked.creditor_iban,
        debtor_name=asked.debtor_name,
        debtor_iban=asked.debtor_iban,
        end_to_end_id=asked.end_to_end_id,
        remittance=asked.remittance,
    )


def _name(outcome: Outcome | None) -> str:
    return "nothing" if outcome is None else type(outcome).__name__.lower()
