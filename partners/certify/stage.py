"""The stage on which one case is played: a bank with empty books, somebody who pays, and how they are judged."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ledger.core.payout import UNSETTLED, PayoutState
from partners.certify.bank import KitBank, Manner, takes
from partners.certify.findings import Findings, Part
from partners.certify.keys import Pair
from partners.certify.payer import Followed, Payer, news_of
from partners.certify.server import serving
from partners.contract import (
    Adapter,
    Instruction,
    KeptPayment,
    News,
    OrderRead,
    PaymentState,
    Rail,
    Rehearsal,
    SignedNotice,
)
from partners.host.transport import BankTransport

SENDS_MAX: Final = 3  # the host goes on for days; three are enough to see whether somebody is paid twice
_TRUE: Final = {
    PaymentState.PENDING: UNSETTLED,
    PaymentState.SETTLED: frozenset({PayoutState.SETTLED}),
    PaymentState.FAILED: frozenset({PayoutState.REJECTED}),
}
_NEVER_HAD: Final = frozenset({PayoutState.QUEUED, PayoutState.UNKNOWN, PayoutState.REJECTED})


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a play needs. `templates` are the golden orders, one for each rail."""

    adapter: Adapter
    words: Rehearsal
    bank: KitBank
    payer: Payer
    findings: Findings
    templates: tuple[Instruction, ...]
    payouts: int

    # --- what is played ----------------------------------------------------------------------------------------

    def instructions(self) -> Iterator[tuple[int, Instruction]]:
        """The payouts of a case with the number of their turn, in which every rail has one; no two of one amount."""
        for number in range(self.payouts):
            template = self.templates[number % len(self.templates)]
            facts = self.adapter.manifest().rail(template.rail)
            yield (
                number // len(self.templates),
                replace(
                    template,
                    payout_id=f"pay_{number:032x}",
                    end_to_end_id=f"CERTIFY-{number:06}",
                    amount_minor=facts.amount_min_minor + 1_000 + number,
                ),
            )

    def ordered(self, instruction: Instruction, manner: Manner = takes) -> Followed:
        """A payout that was sent to a bank of this manner."""
        followed = self.payer.order(instruction)
        self.bank.manner = manner
        self.payer.send(followed)
        return followed

    def send_until_heard(self, followed: Followed) -> None:
        """Tries again, as the host does, what was turned away."""
        for _ in range(SENDS_MAX):
            if followed.state is PayoutState.QUEUED:
                self.payer.send(followed)

    # --- what the bank says ------------------------------------------------------------------------------------

    @property
    def code(self) -> str:
        """A code that the bank gives for a failure."""
        return self.words.golden().reasons[0].code

    def end(self, followed: Followed, turn: int) -> None:
        """The bank pays two of three, and says so: by a notice, or when it is asked. The same in every run."""
        chance = Random(turn)
        for payment in self.bank.of(followed.instruction)[:1]:
            fails, asked_first = chance.randrange(3) == 0, chance.randrange(2) == 0
            ended = self.bank.fail(payment, self.code) if fails else self.bank.settle(payment)
            self.tell(followed, ended, asked_first=asked_first)

    def end_badly(self, followed: Followed, code: str) -> None:
        """The bank does not pay, and says why."""
        for payment in self.bank.of(followed.instruction)[:1]:
            self.tell(followed, self.bank.fail(payment, code), asked_first=False)

    def tell(self, followed: Followed, payment: KeptPayment, *, asked_first: bool) -> None:
        """One of the two ways is tried first, and the other if that does not end it."""
        if asked_first:
            self.payer.enquire(followed)
        if followed.state not in _TRUE[payment.state]:
            self.hear(news_of(self.adapter, payment), followed.instruction.rail)
        if followed.state not in _TRUE[payment.state]:
            self.payer.enquire(followed)

    def hear(self, news: News, rail: Rail) -> SignedNotice | None:
        """The bank's notice, heard; None if it has no words for this."""
        notice = self.payer.told(news, rail=rail)
        if notice is not None:
            self.payer.hear(notice)
        return notice

    # --- how it is judged --------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Every payout against the bank's own books, and both books against each other."""
        for followed in self.payer.payouts.values():
            self._judge_one(followed)
        for order in self.bank.orders_read:
            self._judge_order(order)
        self.findings.check(Part.MONEY, not self.bank.broke, "the rehearsal raised an error while it played")
        ours, banks = self.payer.paid_minor(), self.bank.paid_minor()
        for currency in ours.keys() | banks.keys():
            same = ours[currency] == banks[currency]
            self.findings.check(Part.MONEY, same, "the book and the bank's own books differ")

    def _judge_one(self, followed: Followed) -> None:
        payments = self.bank.of(followed.instruction)
        standing = [kept for kept in payments if kept.state is not PaymentState.FAILED]
        self.findings.check(Part.MONEY, len(standing) <= 1, "paid twice")
        true = truth_of(payments, self.bank.returned)
        said = f"called {followed.state} what is {' or '.join(sorted(true))}"
        self.findings.check(Part.MONEY, followed.state in true, said)

    def _judge_order(self, order: OrderRead) -> None:
        """What the bank has read against what was asked, field by field."""
        followed = self.payer.payouts.get(order.end_to_end_id)
        if not self.findings.check(Part.ORDER, followed is not None, "the bank read another reference"):
            return
        assert followed is not None  # checked just now
        for text in differences(order, followed.instruction):
            self.findings.fault(Part.ORDER, text)


def differences(order: OrderRead, asked: Instruction) -> Iterator[str]:
    """The fields in which the bank reads something else than was asked."""
    for name in (
        "rail",
        "amount_minor",
        "currency",
        "creditor_name",
        "creditor_iban",
        "debtor_name",
        "debtor_iban",
        "end_to_end_id",
        "remittance",
    ):
        if getattr(order, name) != getattr(asked, name):
            yield f"the bank read another {name} than was asked"


def truth_of(payments: list[KeptPayment], returned: set[str]) -> frozenset[PayoutState]:
    """The states of a payout that are true, given what the bank has in its books."""
    if not payments:
        return _NEVER_HAD
    if any(kept.payment_id in returned for kept in payments):
        return frozenset({PayoutState.RETURNED})
    return _TRUE[payments[-1].state]


@contextmanager
def set_up(
    adapter: Adapter, rehearsal: Rehearsal, *, pair: Pair, findings: Findings, payouts: int
) -> Iterator[Stage]:
    """A stage with a bank that can be reached, until the play is over."""
    bank = KitBank(rehearsal, on_duplicate=adapter.manifest().request_ids.on_duplicate)
    templates = {case.instruction.rail: case.instruction for case in rehearsal.golden().orders}
    nobody_trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no other machine is spoken to
    with serving(bank) as url, BankTransport(tls=nobody_trusted) as transport:
        payer = Payer(adapter, bank, transport, url=url, pair=pair, findings=findings)
        yield Stage(
            adapter,
            rehearsal,
            bank,
            payer=payer,
            findings=findings,
            templates=tuple(templates.values()),
            payouts=payouts,
        )
