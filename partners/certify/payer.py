"""Our side of a rehearsal: does with each payout what the host does, upon the book's own table of states.

It mirrors `partners.host.bank` without a database, an enclave and a clock: the order is the same (submit, prepare,
keep, send, conclude), and so is what is believed. Whatever an adapter makes it do wrongly, the bank's books show.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final, assert_never

from ledger.core.errors import InvalidValue
from ledger.core.payout import UNSETTLED, PayoutState, PayoutTrigger, advance
from partners.certify.bank import BANK_TIME, KitBank
from partners.certify.findings import Findings, Part
from partners.certify.keys import Pair
from partners.contract import (
    Accepted,
    Adapter,
    Answer,
    BadSignature,
    Elsewhere,
    Informational,
    Instruction,
    KeptPayment,
    MoneyArrived,
    News,
    Notice,
    NotSent,
    Outcome,
    PaymentState,
    PaymentStatus,
    PayoutAdvanced,
    PayoutReturned,
    Rail,
    Rejected,
    Request,
    RequestAdvanced,
    SignedNotice,
    StatementArrived,
    StatementReady,
    Unknown,
)
from partners.host.enquiries import enquiry_window
from partners.host.transport import BankTransport
from partners.host.triggers import TRIGGERS

ENQUIRY_PAGES_MAX: Final = 20
ACCOUNT_ID: Final = "c0ffee00-0000-4000-8000-00000000acc0"
_OUT, _BACK = 1, -1
_MOVES: Final = {PayoutTrigger.SETTLE: _OUT, PayoutTrigger.RETURN: _BACK}


class Crash(StrEnum):
    """Where our worker stops; it then starts again."""

    BEFORE_SIGNING = "before signing"
    BEFORE_SENDING = "after signing, before sending"
    BEFORE_KEEPING = "after the answer, before it was kept"


@dataclass(slots=True)
class Followed:
    """A payout and what our book says of it."""

    instruction: Instruction
    state: PayoutState = PayoutState.QUEUED
    kept: bool = False  # whether a signed request of the open attempt lies in the database
    paid_minor: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def step(self, trigger: PayoutTrigger) -> None:
        """Moves on, if this can happen from here; a return that overtakes the settlement brings it with it."""
        if trigger is PayoutTrigger.RETURN and advance(self.state, PayoutTrigger.SETTLE):
            self.step(PayoutTrigger.SETTLE)
        state = advance(self.state, trigger)
        if state is not None:
            self.state = state
            self.paid_minor += _MOVES.get(trigger, 0) * self.instruction.amount_minor


@dataclass(slots=True)
class Payer:
    """Sends and follows payouts at one bank through one adapter."""

    adapter: Adapter
    bank: KitBank
    transport: BankTransport
    url: str
    pair: Pair
    findings: Findings
    payouts: dict[str, Followed] = field(default_factory=dict)
    notices_heard: dict[str, Notice] = field(default_factory=dict)
    _nonces: int = 8_590_013_371  # above 32 bits, as banks send them
    _heard: threading.Lock = field(default_factory=threading.Lock)

    # --- money out -------------------------------------------------------------------------------------------

    def order(self, instruction: Instruction) -> Followed:
        """A payout that waits."""
        followed = Followed(instruction)
        self.payouts[instruction.end_to_end_id] = followed
        return followed

    def send(
        self,
        followed: Followed,
        *,
        url: str | None = None,
        transport: BankTransport | None = None,
        crash: Crash | None = None,
    ) -> Outcome | None:
        """Sends a payout that waits, as far as the crash lets it; None when nothing was learnt."""
        if not self._may_send(followed):
            return None
        try:
            request = self._prepare(followed.instruction)
        except InvalidValue as error:
            self.findings.fault(Part.ORDER, f"refused a sound order: {error.field or 'no field named'}")
            request = None
        if request is None:
            followed.step(PayoutTrigger.LOSE_SIGHT)
            return None
        if crash is Crash.BEFORE_SIGNING:
            return None
        followed.kept = True
        if crash is Crash.BEFORE_SENDING:
            return None
        said = self._exchange(request, followed.instruction, url=url, transport=transport)
        if crash is Crash.BEFORE_KEEPING:
            return None
        return self._hear(followed, said)

    def _may_send(self, followed: Followed) -> bool:
        """Opens an attempt. One that was open has a request, and then nobody knows; or none, and it is tried again."""
        if followed.state is PayoutState.SUBMITTED:
            if followed.kept:
                followed.step(PayoutTrigger.LOSE_SIGHT)
            return not followed.kept
        if advance(followed.state, PayoutTrigger.SUBMIT) is None:
            return False
        followed.kept = False
        followed.step(PayoutTrigger.SUBMIT)
        return True

    def _prepare(self, instruction: Instruction) -> Request | None:
        return self.findings.ask(
            Part.ORDER, lambda: self.adapter.prepare(instruction), name="prepare", allowed=(InvalidValue,)
        )

    def _exchange(
        self,
        request: Request,
        instruction: Instruction | None,
        *,
        url: str | None = None,
        transport: BankTransport | None = None,
    ) -> Answer | NotSent | Unknown:
        return (transport or self.transport).send(
            base_url=url or self.url,
            token="rehearsal",  # noqa: S106 - no bank takes it: ours does not look
            request=request,
            request_id=instruction.payout_id if instruction else f"req_{self.nonce():032x}",
            request_time=int(BANK_TIME.timestamp()),
            signed={},
        )

    def _hear(self, followed: Followed, said: Answer | NotSent | Unknown) -> Outcome:
        outcome: Outcome = said if isinstance(said, NotSent | Unknown) else self._interpret(followed, said)
        followed.outcomes.append(outcome)
        self._judge(followed, outcome)
        match outcome:
            case Accepted():
                followed.step(PayoutTrigger.ACCEPT)
            case Rejected():
                followed.step(PayoutTrigger.REJECT)
            case NotSent():
                followed.step(PayoutTrigger.NOT_SENT)
            case Unknown():
                followed.step(PayoutTrigger.LOSE_SIGHT)
            case _:
                assert_never(outcome)
        return outcome

    def _interpret(self, followed: Followed, answer: Answer) -> Outcome:
        outcome = self.findings.ask(
            Part.ANSWER, lambda: self.adapter.interpret(followed.instruction, answer), name="interpret"
        )
        return Unknown("interpret gave nothing") if outcome is None else outcome

    def _judge(self, followed: Followed, outcome: Outcome) -> None:
        """Only the bank's own word ends a payment, and only an ended one may be tried at another bank."""
        stands = any(kept.state is not PaymentState.FAILED for kept in self.bank.of(followed.instruction))
        if not stands:
            return
        if isinstance(outcome, Rejected):
            self.findings.fault(Part.ANSWER, "called rejected what the bank has taken and may pay")
            if outcome.reason.elsewhere is not Elsewhere.NO:
                self.findings.fault(Part.MONEY, "would have asked another bank while the first may pay")

    # --- what became of it -----------------------------------------------------------------------------------

    def enquire(self, followed: Followed) -> bool:
        """Asks what became of a payout; says whether the bank can be asked."""
        if followed.state not in UNSETTLED:
            return True
        for page in range(1, ENQUIRY_PAGES_MAX + 1):
            request = self._status_request(followed.instruction, page)
            if request is None:
                return False
            answer = self._exchange(request, None)
            if not isinstance(answer, Answer):
                self.findings.fault(Part.ENQUIRY, f"the enquiry did not get through: {answer.cause}")
                return True
            if self._learn(followed, answer) or not self._continues(answer):
                return True
        self.findings.fault(Part.ENQUIRY, f"asked for more than {ENQUIRY_PAGES_MAX} pages")
        return True

    def _status_request(self, instruction: Instruction, page: int) -> Request | None:
        since, until = enquiry_window(opened_at=BANK_TIME, now=BANK_TIME)
        ask = partial(
            self.adapter.status_request,
            instruction,
            account_id=ACCOUNT_ID,
            since=since,
            until=until,
            page=page,
        )
        return self.findings.ask(Part.ENQUIRY, ask, name="status_request", counts=False)

    def _learn(self, followed: Followed, answer: Answer) -> bool:
        """Believes a status only when amount, currency and creditor are the ones that were asked."""
        found = self.statuses(followed.instruction, answer)
        for status in found:
            if is_of(status, followed.instruction):
                followed.step(TRIGGERS[status.state])
                break
        return bool(found)

    def statuses(self, instruction: Instruction, answer: Answer) -> Sequence[PaymentStatus]:
        """What an enquiry's answer says of a payout."""
        found = self.findings.ask(
            Part.ENQUIRY,
            lambda: self.adapter.interpret_status(instruction, answer),
            name="interpret_status of a whole answer",
        )
        return found or ()

    def _continues(self, answer: Answer) -> bool:
        continues = self.findings.ask(
            Part.ENQUIRY, lambda: self.adapter.status_continues(answer), name="status_continues"
        )
        return bool(continues)

    # --- notices -----------------------------------------------------------------------------------------------

    def nonce(self) -> int:
        """A number that was not used before."""
        self._nonces += 1
        return self._nonces

    def told(self, news: News, *, rail: Rail) -> SignedNotice | None:
        """The bank's notice with this news; None if it has no words for it."""
        return self.bank.words.tells(
            news, rail=rail, at=BANK_TIME + self.bank.skew, nonce=self.nonce(), sign=self.pair.sign
        )

    def hear(self, notice: SignedNotice) -> Notice | None:
        """Verifies, reads, acknowledges and believes a notice; one that is known already changes nothing."""
        with self._heard:
            read = self._read(notice)
            if read is None or read.key in self.notices_heard:
                return read
            self.notices_heard[read.key] = read
            for meaning in read.meanings:
                match meaning:
                    case PayoutAdvanced(end_to_end_id=reference, state=state):
                        self._advance(reference, TRIGGERS[state])
                    case RequestAdvanced(request_id=request_id, state=state):
                        self._advance_request(request_id, TRIGGERS[state])
                    case PayoutReturned(end_to_end_id=reference):
                        self._advance(reference, PayoutTrigger.RETURN)
                    case MoneyArrived() | StatementReady() | StatementArrived() | Informational():
                        pass  # not about a payout
                    case _:
                        assert_never(meaning)
            return read

    def _read(self, notice: SignedNotice) -> Notice | None:
        try:
            self.adapter.verify_notice(
                headers=notice.headers, body=notice.body, public_key_pem=self.pair.public_pem
            )
        except BadSignature:
            self.findings.fault(Part.NOTICE, "refused a notice that the bank has signed")
            return None
        read = self.findings.ask(
            Part.NOTICE, lambda: self.adapter.parse_notice(notice.body), name="parse_notice of a whole notice"
        )
        self.findings.ask(Part.NOTICE, lambda: self.adapter.acknowledge(notice.body), name="acknowledge")
        return read

    def _advance_request(self, request_id: str, trigger: PayoutTrigger) -> None:
        for reference, followed in self.payouts.items():
            if followed.instruction.payout_id == request_id:
                self._advance(reference, trigger)

    def _advance(self, end_to_end_id: str, trigger: PayoutTrigger) -> None:
        followed = self.payouts.get(end_to_end_id)
        if followed is None:
            self.findings.fault(Part.NOTICE, "a notice was read as news of a payment that nobody ordered")
        else:
            followed.step(trigger)

    # --- the figures -------------------------------------------------------------------------------------------

    def paid_minor(self) -> Counter[str]:
        """What our book has paid out and not got back, by currency."""
        paid: Counter[str] = Counter()
        for followed in self.payouts.values():
            paid[followed.instruction.currency] += followed.paid_minor
        return paid


def is_of(status: PaymentStatus, instruction: Instruction) -> bool:
    """Whether a payment that was found is the one that was ordered, as the host compares it."""
    same = (status.amount_minor, status.currency) == (instruction.amount_minor, instruction.currency)
    return same and (status.creditor_iban or instruction.creditor_iban) == instruction.creditor_iban


def news_of(adapter: Adapter, payment: KeptPayment) -> PayoutAdvanced:
    """What a notice about a payment says, as it stands in the bank's books."""
    return PayoutAdvanced(
        end_to_end_id=payment.order.end_to_end_id,
        payment_id=payment.payment_id,
        state=payment.state,
        transaction_id=payment.transaction_id,
        reason=None if payment.code is None else adapter.explain(payment.code),
    )
