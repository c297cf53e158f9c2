"""The faults of sending: answers that are lost, torn, late or lies, and crashes of our own.

Each play ends with the judgement of the stage: nobody was paid twice, every payout is where the bank's books have it,
and the figures agree. What a play checks besides is named in it. Numbers are those of the list of faults.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ledger.core.payout import PayoutState
from partners.certify.bank import KitBank, Reply, Silence, Torn, takes
from partners.certify.findings import Part
from partners.certify.payer import Crash
from partners.certify.server import nobody
from partners.certify.stage import Stage
from partners.contract import Accepted, NotSent, OnDuplicate, OrderRead, Outcome, Rejected, Unknown
from partners.host.transport import BankTransport

WAIT_S: Final = 30
_HELD_OPEN: Final = (
    3  # of the lost answers, these run into the read time-out; the others find the connection closed
)
_IMPATIENT_S: Final = 0.05


def lost_answer(stage: Stage) -> str | None:
    """1: the bank takes the order, and its answer is lost. While it does not show it yet, nothing is known."""
    with BankTransport(read_timeout_s=_IMPATIENT_S) as impatient:
        for turn, instruction in stage.instructions():
            waits = turn < _HELD_OPEN
            stage.bank.manner = _takes_and_waits if waits else _takes_and_is_silent
            followed = stage.payer.order(instruction)
            stage.payer.send(followed, transport=impatient if waits else None)
            stage.bank.shows = False
            asked = stage.payer.enquire(followed)
            stage.bank.shows = True
            if asked:
                known = followed.state is not PayoutState.UNKNOWN
                stage.findings.check(Part.ENQUIRY, not known, f"called {followed.state} what it did not find")
            stage.end(followed, turn)
    return None


def _takes_and_is_silent(bank: KitBank, order: OrderRead) -> Reply:
    bank.take(order)
    return Silence()


def _takes_and_waits(bank: KitBank, order: OrderRead) -> Reply:
    bank.take(order)
    return Silence(hold_s=1.0)


def refused_connection(stage: Stage) -> str | None:
    """2: nobody listens; the same order goes out again, under the same id."""
    with nobody() as closed:
        for turn, instruction in stage.instructions():
            followed = stage.payer.order(instruction)
            stage.payer.send(followed, url=closed)
            stage.findings.check(
                Part.MONEY, followed.state is PayoutState.QUEUED, "did not wait to try again"
            )
            stage.send_until_heard(followed)
            stage.end(followed, turn)
    return None


def broken_bank(stage: Stage) -> str | None:
    """3: the bank breaks down, having taken the order or not, and works when it is asked again."""
    for turn, instruction in stage.instructions():
        followed = stage.ordered(instruction, _takes_and_breaks if turn % 2 else _breaks)
        _claims_nothing(stage, followed.outcomes, "a breakdown")
        stage.bank.manner = takes
        stage.send_until_heard(followed)
        stage.end(followed, turn)
    return None


def _breaks(bank: KitBank, order: OrderRead) -> Reply:  # noqa: ARG001 - a manner
    return bank.words.breaks_down()


def _takes_and_breaks(bank: KitBank, order: OrderRead) -> Reply:
    bank.take(order)
    return bank.words.breaks_down()


def _claims_nothing(stage: Stage, outcomes: Sequence[Outcome], what: str) -> None:
    for outcome in outcomes:
        claims = isinstance(outcome, Accepted | Rejected)
        stage.findings.check(Part.ANSWER, not claims, f"called {what} {_name(outcome)}")


def duplicate(stage: Stage) -> str | None:
    """4: the order reaches the bank twice on the way, and the answer is the one to the second."""
    if stage.adapter.manifest().request_ids.on_duplicate is OnDuplicate.IGNORED:
        return "this bank does not recognise a request id; it says so in its manifest"
    replays = stage.adapter.manifest().request_ids.on_duplicate is OnDuplicate.REPLAY
    for turn, instruction in stage.instructions():
        followed = stage.ordered(instruction, _hears_twice)
        for outcome in followed.outcomes:
            right = isinstance(outcome, Accepted if replays else Unknown)
            stage.findings.check(Part.ANSWER, right, f"called a duplicate {_name(outcome)}")
        stage.end(followed, turn)
    return None


def _hears_twice(bank: KitBank, order: OrderRead) -> Reply:
    bank.take(order)
    return bank.take(order)


def other_amount(stage: Stage) -> str | None:
    """13: the bank's answer, or what it lists, is about another amount than was asked."""
    repeats = False
    for _, instruction in stage.instructions():
        followed = stage.payer.order(instruction)
        stage.bank.manner = _takes_another_amount
        stage.payer.send(followed)
        for payment in stage.bank.of(instruction)[:1]:
            true = replace(payment.order, amount_minor=instruction.amount_minor)
            if stage.words.accepts(payment) != stage.words.accepts(replace(payment, order=true)):
                repeats = True
                believed = any(isinstance(outcome, Accepted) for outcome in followed.outcomes)
                wrong = "did not compare the amount in the answer with what was asked"
                stage.findings.check(Part.ANSWER, not believed, wrong)
            stage.bank.settle(payment)
        before = followed.state
        stage.payer.enquire(followed)
        stage.findings.check(Part.MONEY, followed.state is before, "believed a payment of another amount")
        # Such a payment is for a person to look into: it ends nowhere, and is not judged.
        stage.payer.payouts.pop(instruction.end_to_end_id)
        stage.bank.orders_read.clear()
    stage.bank.write_off()
    return None if repeats else "this bank's receipt repeats no amount; what it lists was compared"


def _takes_another_amount(bank: KitBank, order: OrderRead) -> Reply:
    return bank.take(replace(order, amount_minor=order.amount_minor + 1))


def turned_away(stage: Stage) -> str | None:
    """15: the bank is asked too much. It has taken nothing; or something before it says so, and it has."""
    if stage.words.turns_away(WAIT_S) is None:
        return "this bank turns nobody away"
    for turn, instruction in stage.instructions():
        lies = turn % 2 == 1
        followed = stage.ordered(instruction, _takes_and_turns_away if lies else _turns_away)
        _waits_as_told(stage, followed.outcomes)
        stage.bank.manner = takes
        stage.send_until_heard(followed)
        stage.end(followed, turn)
    return None


def _turns_away(bank: KitBank, order: OrderRead) -> Reply:  # noqa: ARG001 - a manner
    return bank.words.turns_away(WAIT_S) or bank.words.breaks_down()


def _takes_and_turns_away(bank: KitBank, order: OrderRead) -> Reply:
    bank.take(order)
    return _turns_away(bank, order)


def _waits_as_told(stage: Stage, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        safe = isinstance(outcome, NotSent | Unknown)
        stage.findings.check(Part.ANSWER, safe, f"called being turned away {_name(outcome)}")
        if isinstance(outcome, NotSent):
            told = outcome.retry_after_s == WAIT_S
            stage.findings.check(Part.ANSWER, told, "does not say how long the bank asked us to wait")


def torn_answer(stage: Stage) -> str | None:
    """16: the answer breaks off in the middle."""
    for turn, instruction in stage.instructions():
        followed = stage.ordered(instruction, _takes_and_tears)
        _claims_nothing(stage, followed.outcomes, "half an answer")
        stage.end(followed, turn)
    return None


def _takes_and_tears(bank: KitBank, order: OrderRead) -> Reply:
    return Torn(bank.take(order))


def crash(stage: Stage) -> str | None:
    """20: our worker is killed at each point between the order and its commit, and starts again."""
    for turn, instruction in stage.instructions():
        followed = stage.payer.order(instruction)
        stage.bank.manner = takes
        stage.payer.send(followed, crash=list(Crash)[turn % len(Crash)])
        stage.payer.send(followed)
        stage.payer.send(followed)  # and once more: whoever comes back twice must not send twice
        stage.end(followed, turn)
    return None


def rejected_unheard_of(stage: Stage) -> str | None:
    """11: the bank refuses, at once or later, with a code that nobody has heard of."""
    unheard = "ZZ99"
    reason = stage.findings.ask(Part.REASON, lambda: stage.adapter.explain(unheard), name="explain")
    if reason is not None:
        known = (reason.fault, reason.elsewhere.value) != ("unknown", "no")
        stage.findings.check(Part.REASON, not known, "claims to know what a code means that does not exist")
    refuses = False
    for turn, instruction in stage.instructions():
        if turn % 2:
            stage.end_badly(stage.ordered(instruction), unheard)
            continue
        followed = stage.ordered(instruction, lambda bank, order: _refuses(bank, order, unheard))
        for outcome in followed.outcomes if stage.bank.of(instruction) == [] else ():
            refuses = True
            right = isinstance(outcome, Rejected)
            stage.findings.check(Part.ANSWER, right, f"called a refusal {_name(outcome)}")
        if stage.bank.of(instruction):
            stage.end(followed, turn)
    return None if refuses else "this bank refuses nothing at once"


def _refuses(bank: KitBank, order: OrderRead, code: str) -> Reply:
    return bank.words.refuses(order, code) or bank.take(order)


def _name(outcome: Outcome) -> str:
    return type(outcome).__name__.lower()
