"""Adapters that each fall short in one way, as adapters do."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from partners.clearbank.adapter import ClearBank
from partners.contract import (
    Accepted,
    Answer,
    Elsewhere,
    Informational,
    Instruction,
    Manifest,
    Notice,
    NotSent,
    OnDuplicate,
    Outcome,
    PaymentState,
    PaymentStatus,
    PayoutAdvanced,
    PayoutReturned,
    Reason,
    Rejected,
    Request,
    Statement,
    Unknown,
    Unreadable,
)
from toybank.adapter import Toybank

OURS = Reason("made.up", "NONE", "It was not there.", "unknown")


class CallsSilenceARejection(ClearBank):
    """What the bank does not list has failed, it thinks."""

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
        found = super().interpret_status(instruction, answer)
        missing = PaymentStatus(
            instruction.end_to_end_id,
            PaymentState.FAILED,
            instruction.amount_minor,
            instruction.currency,
            creditor_iban=None,
            transaction_id="none",
            reason=OURS,
        )
        return found or (missing,)


class CallsABreakdownARejection(ClearBank):
    """Whatever is not accepted is rejected, and goes to another bank."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        if answer.status >= 500:
            return Rejected(replace(OURS, elsewhere=Elsewhere.OTHER_BANK))
        return super().interpret(instruction, answer)


class TakesADuplicateForAccepted(ClearBank):
    """The bank has it already, so all is well."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        return Accepted(()) if answer.status == 409 else super().interpret(instruction, answer)


class TriesABreakdownAgain(ClearBank):
    """Says that a breakdown reached nobody; harmless where the request id is recognised."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        return NotSent("try again") if answer.status >= 500 else super().interpret(instruction, answer)


class BelievesTheStatus(ClearBank):
    """Does not read what was answered."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        return Accepted(()) if answer.status == 202 else super().interpret(instruction, answer)


class RaisesOnJunk(ClearBank):
    """Expects JSON."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        json.loads(answer.body)
        return super().interpret(instruction, answer)


class WritesOtherBytes(ClearBank):
    """Counts its orders."""

    def __init__(self) -> None:
        self._orders = itertools.count(1)

    def prepare(self, instruction: Instruction) -> Request:
        request = super().prepare(instruction)
        return replace(request, body=(request.body or b"") + b" " * next(self._orders))


class LosesACent(ClearBank):
    """Computes with floats."""

    def prepare(self, instruction: Instruction) -> Request:
        return super().prepare(replace(instruction, amount_minor=max(1, instruction.amount_minor - 1)))


class CutsTexts(ClearBank):
    """Sends what fits, and says nothing."""

    def prepare(self, instruction: Instruction) -> Request:
        return super().prepare(replace(instruction, remittance=instruction.remittance[:35]))


class ForgetsToCompareWhatIsListed(ClearBank):
    """Takes the amount from the order."""

    def interpret_status(self, instruction: Instruction, answer: Answer) -> tuple[PaymentStatus, ...]:
        found = super().interpret_status(instruction, answer)
        return tuple(replace(status, amount_minor=instruction.amount_minor) for status in found)


class BelievesForgeries(ClearBank):
    """Verifies nothing."""

    def verify_notice(
        self, *, headers: Sequence[tuple[str, str]], body: bytes, public_key_pem: bytes
    ) -> None:
        return None


class TakesARepetitionForNews(ClearBank):
    """Makes its key of the whole body, the nonce included."""

    def parse_notice(self, body: bytes) -> Notice:
        return replace(super().parse_notice(body), key=body.hex())


class TakesNewsForARepetition(ClearBank):
    """Makes its key of the type alone."""

    def parse_notice(self, body: bytes) -> Notice:
        notice = super().parse_notice(body)
        return replace(notice, key=notice.type)


class OverlooksReturns(ClearBank):
    """Believes that settled is the end."""

    def parse_notice(self, body: bytes) -> Notice:
        notice = super().parse_notice(body)
        if isinstance(notice.meanings[0], PayoutReturned):
            return replace(notice, meanings=(Informational("a return"),))
        return notice


class TakesDelayedForSettled(ClearBank):
    """Reads every notice of an instant payment as the good one."""

    def parse_notice(self, body: bytes) -> Notice:
        notice = super().parse_notice(body)
        (meaning,) = notice.meanings
        if isinstance(meaning, PayoutAdvanced) and meaning.state is PaymentState.FAILED:
            return replace(notice, meanings=(replace(meaning, state=PaymentState.SETTLED),))
        return notice


class KnowsEveryCode(ClearBank):
    """A code that it does not know is the payee's doing, and another bank may try."""

    def explain(self, code: str) -> Reason:
        reason = super().explain(code)
        return replace(reason, fault="payee", elsewhere=Elsewhere.OTHER_BANK) if code == "ZZ99" else reason


class ForgetsTheWait(ClearBank):
    """Does not say how long the bank asked us to wait."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        outcome = super().interpret(instruction, answer)
        return NotSent(outcome.cause) if isinstance(outcome, NotSent) else outcome


class ResendsUnderANewId(Toybank):
    """Gives every try an id of its own, by which the bank would have known it again."""

    def __init__(self) -> None:
        self._tries = itertools.count(1)

    def prepare(self, instruction: Instruction) -> Request:
        return super().prepare(replace(instruction, payout_id=f"try-{next(self._tries)}"))

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        said = answer.body.replace(b'"try-', b'"').split(b'"')
        known = replace(instruction, payout_id=f"try-{said[3].decode()}") if len(said) > 3 else instruction
        return super().interpret(known, answer)


class ForgetsToCompare(Toybank):
    """Believes any receipt."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        try:
            amount_minor = json.loads(answer.body)["cents"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return super().interpret(instruction, answer)
        return super().interpret(replace(instruction, amount_minor=amount_minor), answer)


class AddsNothingUp(Toybank):
    """Believes every closing balance."""

    def parse_statement(self, document: bytes, *further_pages: bytes) -> tuple[Statement, ...]:
        try:
            said = json.loads(document)
            true = said["opening"] + sum(line["cents"] for line in said["bookings"])
            (statement,) = super().parse_statement(json.dumps({**said, "closing": true}).encode())
            return (replace(statement, closing_minor=said["closing"]),)
        except (ValueError, LookupError, TypeError, RecursionError):
            raise Unreadable("not a statement") from None


class ReadsAnyNumber(Toybank):
    """Expects the bank's numbers to be numbers."""

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        if answer.status == 429:
            return NotSent("try again", retry_after_s=int(dict(answer.headers)["Retry-After"]))
        return super().interpret(instruction, answer)


class Declares(Toybank):
    """Toybank, if it treated a request id that it has had before in another way."""

    def __init__(self, on_duplicate: OnDuplicate, *, sends_again: bool = True) -> None:
        request_ids = replace(super().manifest().request_ids, on_duplicate=on_duplicate)
        self._manifest = replace(super().manifest(), request_ids=request_ids)
        self._sends_again = sends_again

    def manifest(self) -> Manifest:
        return self._manifest

    def interpret(self, instruction: Instruction, answer: Answer) -> Outcome:
        outcome = super().interpret(instruction, answer)
        return outcome if self._sends_again or not isinstance(outcome, NotSent) else Unknown(outcome.cause)


class CannotBeAsked(Toybank):
    """A bank that answers no enquiries; nothing is wrong with that."""

    def status_request(
        self, instruction: Instruction, *, account_id: str, since: datetime, until: datetime, page: int
    ) -> Request | None:
        return None
