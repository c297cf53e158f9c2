"""The kit's bank: its own books, and what it does with an order. The words are the rehearsal's.

The books are the truth that a case is judged by: they are written by what reached the bank, never by what we believe.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from partners.contract import (
    Answer,
    Instruction,
    KeptPayment,
    OnDuplicate,
    OrderRead,
    PaymentState,
    Rehearsal,
    Unreadable,
)

BANK_TIME: Final = datetime(2026, 11, 16, 10, tzinfo=UTC)
LISTED_MAX: Final = 5  # an enquiry finds the last payments, so that ours is among strangers'
NOT_FOUND: Final = Answer(404, (), b"")


@dataclass(frozen=True, slots=True)
class Silence:
    """The bank closes the connection without a word, at once or after having held it open."""

    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Torn:
    """An answer whose connection breaks in the middle of its body."""

    answer: Answer


Reply = Answer | Silence | Torn
Manner = Callable[["KitBank", OrderRead], Reply]


def takes(bank: "KitBank", order: OrderRead) -> Reply:
    """The manner of a bank that works."""
    return bank.take(order)


class KitBank:
    """A bank with books of its own. `manner` is what it does with the next orders."""

    def __init__(self, rehearsal: Rehearsal, *, on_duplicate: OnDuplicate) -> None:
        self.words = rehearsal
        self.manner: Manner = takes
        self.skew = timedelta(0)
        self.shows = True  # whether an enquiry finds what has just been booked
        self.payments: list[KeptPayment] = []
        self.returned: set[str] = set()  # payment ids
        self.broke = False  # whether its part could not be played
        self.orders_read: list[OrderRead] = []
        self._on_duplicate = on_duplicate
        self._had: dict[str, int] = {}

    def answer(self, *, method: str, path: str, body: bytes, request_id: str) -> Reply:
        """What the bank does with one request."""
        try:
            order = self.words.read_order(method=method, path=path, body=body, request_id=request_id)
        except Unreadable:
            return self.words.lists(self._listed(path=path, body=body)) or NOT_FOUND
        self.orders_read.append(order)
        return self.manner(self, order)

    def take(self, order: OrderRead) -> Answer:
        """Books an order and says so; an order that it has had, it treats as the manifest declares."""
        had = self._had.get(order.known_by)
        if had is not None and self._on_duplicate is not OnDuplicate.IGNORED:
            known = self.payments[had]
            if self._on_duplicate is OnDuplicate.REPLAY:
                return self.words.accepts(known)
            return self.words.has_it_already(known) or self.words.breaks_down()
        return self.words.accepts(self.book(order))

    def book(self, order: OrderRead) -> KeptPayment:
        """Writes an order into the books."""
        number = len(self.payments) + 1
        payment = KeptPayment(
            order=order,
            payment_id=_id(number, kind=1),
            transaction_id=_id(number, kind=2),
            state=PaymentState.PENDING,
            code=None,
            booked_at=BANK_TIME + timedelta(milliseconds=number) + self.skew,
        )
        self._had.setdefault(order.known_by, len(self.payments))
        self.payments.append(payment)
        return payment

    def of(self, instruction: Instruction) -> list[KeptPayment]:
        """Every payment that carries the reference of an instruction."""
        return [kept for kept in self.payments if kept.order.end_to_end_id == instruction.end_to_end_id]

    def settle(self, payment: KeptPayment, *, under_new_id: bool = False) -> KeptPayment:
        """The money has moved."""
        number = int(UUID(payment.payment_id)) & 0xFFFFFFFF
        moved_as = _id(number, kind=3) if under_new_id else payment.transaction_id
        return self._change(payment, replace(payment, state=PaymentState.SETTLED, transaction_id=moved_as))

    def fail(self, payment: KeptPayment, code: str) -> KeptPayment:
        """The money will never move."""
        return self._change(payment, replace(payment, state=PaymentState.FAILED, code=code))

    def give_back(self, payment: KeptPayment) -> KeptPayment:
        """A settled payment has come back."""
        self.returned.add(payment.payment_id)
        return payment

    def paid_minor(self) -> Counter[str]:
        """What the bank has paid out and not got back, by currency."""
        paid: Counter[str] = Counter()
        for kept in self.payments:
            if kept.state is PaymentState.SETTLED and kept.payment_id not in self.returned:
                paid[kept.order.currency] += kept.order.amount_minor
        return paid

    def write_off(self) -> None:
        """Takes everything out of the books; what was had is still known."""
        self.payments = [replace(kept, state=PaymentState.FAILED) for kept in self.payments]

    def _change(self, payment: KeptPayment, changed: KeptPayment) -> KeptPayment:
        place = next(at for at, kept in enumerate(self.payments) if kept.payment_id == payment.payment_id)
        self.payments[place] = changed
        return changed

    def _listed(self, *, path: str, body: bytes) -> list[KeptPayment]:
        """The last payments of the window that is asked for."""
        shown = self.payments if self.shows else self.payments[:-1]
        window = self.words.read_window(path=path, body=body)
        if window is None:
            return shown[-LISTED_MAX:]
        start, end = window
        return [kept for kept in shown[-LISTED_MAX:] if start <= kept.booked_at <= end]


def _id(number: int, *, kind: int) -> str:
    return str(UUID(int=(kind << 96) | (0x4000_8000_0000 << 32) | number, version=4))
