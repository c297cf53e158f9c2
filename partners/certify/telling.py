"""The faults of what a bank tells: notices early, twice, out of order, forged, late under a new id; and returns.

Each play ends with the judgement of the stage. Numbers are those of the list of faults.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from ledger.core.payout import PayoutState
from partners.certify.bank import KitBank, Reply
from partners.certify.findings import Part
from partners.certify.keys import Pair, make_pair
from partners.certify.payer import Followed, news_of
from partners.certify.stage import Stage
from partners.contract import (
    BadSignature,
    Finality,
    Instruction,
    KeptPayment,
    MoneyArrived,
    Notice,
    NoticeAnswer,
    NoticeKey,
    OrderRead,
    PaymentState,
    PayoutReturned,
    SignedNotice,
)

NO_NOTICES: Final = "this bank says nothing of its own accord about a payment"
SKEW: Final = timedelta(minutes=10)


def early_notice(stage: Stage) -> str | None:
    """5: the notice that a payment has settled overtakes the answer to its order."""
    told = False

    def tells_first(bank: KitBank, order: OrderRead) -> Reply:
        nonlocal told
        payment = bank.settle(bank.book(order))
        told = stage.hear(news_of(stage.adapter, payment), order.rail) is not None or told
        return bank.words.accepts(payment)

    for _, instruction in stage.instructions():
        followed = stage.ordered(instruction, tells_first)
        for payment in stage.bank.of(instruction)[:1]:
            stage.tell(followed, payment, asked_first=False)
    return None if told else NO_NOTICES


def repeated_notice(stage: Stage) -> str | None:
    """6: a notice comes twice, the second time with another nonce; other news is never taken for it."""
    told, keys = 0, set()
    for followed, payment in _settled(stage):
        news = news_of(stage.adapter, payment)
        first, second = (stage.payer.told(news, rail=payment.order.rail) for _ in range(2))
        if first is None or second is None:
            stage.tell(followed, payment, asked_first=True)
            continue
        told += 1
        read, again = stage.payer.hear(first), stage.payer.hear(second)
        if read is None or again is None:
            continue
        stage.findings.check(Part.NOTICE, read.key == again.key, "the same news twice has two keys")
        keys.add(read.key)
        _is_acknowledged(stage, first, second)
    if told == 0:
        return NO_NOTICES
    stage.findings.check(Part.NOTICE, len(keys) == told, "two different notices have one key")
    return None


def arrivals(stage: Stage) -> str | None:
    """Money arrives, twice the same amount from the same payer: it is read to the cent, and as two."""
    keys: dict[str, Notice] = {}
    told = 0
    for number, (_, instruction) in enumerate(stage.instructions()):
        said = _arrival(instruction, number)
        notice = stage.payer.told(said, rail=instruction.rail)
        if notice is None:
            continue
        told += 1
        read = stage.payer.hear(notice)
        if read is not None:
            keys[read.key] = read
            stage.findings.check(Part.NOTICE, read.meanings == (said,), "read other money than has arrived")
    if told == 0:
        return "this bank says nothing of its own accord of money that arrives"
    stage.findings.check(Part.NOTICE, len(keys) == told, "took money that arrived for a repetition")
    return None


def _arrival(instruction: Instruction, number: int) -> MoneyArrived:
    return MoneyArrived(
        transaction_id=f"c0ffee00-0000-4000-8000-{number:012}",
        end_to_end_id="INVOICE-7",  # chosen by whoever pays, and not unique
        amount_minor=1_010,
        currency=instruction.currency,
        creditor_iban=instruction.debtor_iban,
        debtor_name=instruction.creditor_name,
        debtor_iban=instruction.creditor_iban,
        remittance=instruction.remittance,
    )


def _settled(stage: Stage) -> Iterator[tuple[Followed, KeptPayment]]:
    for _, instruction in stage.instructions():
        followed = stage.ordered(instruction)
        for payment in stage.bank.of(instruction)[:1]:
            yield followed, stage.bank.settle(payment)


def _is_acknowledged(stage: Stage, *notices: SignedNotice) -> None:
    """Every delivery is answered, also of news that is known."""
    owed = stage.adapter.manifest().notices.answer
    answers = [stage.adapter.acknowledge(notice.body) for notice in notices]
    match owed:
        case NoticeAnswer.SIGNED:
            right = all(answer is not None and answer.body for answer in answers)
            stage.findings.check(Part.NOTICE, right, "owes a signed answer to a notice, and gives none")
        case NoticeAnswer.PLAIN | NoticeAnswer.NONE:
            wrong = any(answer is not None and answer.body for answer in answers)
            stage.findings.check(Part.NOTICE, not wrong, "answers a notice in words that nobody waits for")


def disordered_notices(stage: Stage) -> str | None:
    """7: the newest news comes first, and then what was true before."""
    if stage.adapter.manifest().notices.ordered:
        return "this bank keeps the order; it says so in its manifest"
    told = False
    for followed, payment in _settled(stage):
        pending = replace(payment, state=PaymentState.PENDING)
        for each in (payment, pending):
            news = news_of(stage.adapter, each)
            told = stage.hear(news, payment.order.rail) is not None or told
        stage.tell(followed, payment, asked_first=True)
    return None if told else NO_NOTICES


def forged_notice(stage: Stage) -> str | None:
    """8: a notice is forged, unsigned, signed twice or by another key; then the bank changes its key."""
    kind = stage.words.notice_key()
    if kind is NoticeKey.NONE:
        return "this bank signs no notices: the channel vouches for them"
    other, told = make_pair(kind), False
    for _, payment in _settled(stage):
        notice = stage.payer.told(news_of(stage.adapter, payment), rail=payment.order.rail)
        if notice is None:
            continue
        told = True
        _verify(stage, notice, other)
    stage.bank.write_off()
    stage.payer.payouts.clear()
    stage.bank.orders_read.clear()
    return None if told else NO_NOTICES


def _verify(stage: Stage, notice: SignedNotice, other: Pair) -> None:
    ours = stage.payer.pair
    by_place = [notice.body[:at] + bytes([notice.body[at] ^ 1]) + notice.body[at + 1 :] for at in (0, -2)]
    changed = by_place[0], notice.body + b" ", b"", notice.body[:-1]
    for body in changed:
        _expect(stage, replace(notice, body=body), ours, genuine=False, what="a changed body")
    _expect(stage, replace(notice, headers=()), ours, genuine=False, what="a notice without a signature")
    _expect(stage, notice, other, genuine=False, what="a notice signed by another key")
    _expect(stage, notice, Pair(ours.sign, b"no key"), genuine=False, what="a notice under an unreadable key")
    _expect(stage, notice, ours, genuine=True, what="a genuine notice")


def _expect(stage: Stage, notice: SignedNotice, pair: Pair, *, genuine: bool, what: str) -> None:
    def verify() -> bool:
        try:
            stage.adapter.verify_notice(
                headers=notice.headers, body=notice.body, public_key_pem=pair.public_pem
            )
        except BadSignature:
            return False
        return True

    believed = stage.findings.ask(Part.NOTICE, verify, name=f"verify_notice of {what}")
    if believed is not None:
        verb = "refused" if genuine else "believed"
        stage.findings.check(Part.NOTICE, believed is genuine, f"{verb} {what}")


def late_settlement(stage: Stage) -> str | None:
    """9: an instant payment is delayed, and settles later under a new id of the bank."""
    played = False
    for _, instruction in stage.instructions():
        if stage.adapter.manifest().rail(instruction.rail).finality is not Finality.INSTANT:
            continue
        played = True
        followed = stage.ordered(instruction)
        for payment in stage.bank.of(instruction)[:1]:
            stage.hear(news_of(stage.adapter, payment), instruction.rail)
            # Some banks list the first posting as cancelled meanwhile: that is not the end of the payment.
            stage.payer.enquire(followed)
            late = stage.bank.settle(payment, under_new_id=True)
            stage.tell(followed, late, asked_first=False)
    return None if played else "this bank has no instant rail"


def returned(stage: Stage) -> str | None:
    """10: settled money comes back days later; for every other one, the return overtakes the settlement."""
    played = False
    for followed, payment in _settled(stage):
        news = PayoutReturned(
            end_to_end_id=payment.order.end_to_end_id,
            payment_id=payment.payment_id,
            transaction_id=payment.transaction_id[:-1] + "f",
            reason=stage.adapter.explain(stage.code),
            amount_minor=None,
        )
        back = stage.payer.told(news, rail=payment.order.rail)
        if back is None:
            stage.tell(followed, payment, asked_first=False)
            continue
        stage.bank.give_back(payment)
        overtakes = len(stage.bank.payments) % 4 < 2
        if not overtakes:
            stage.hear(news_of(stage.adapter, payment), payment.order.rail)
        stage.payer.hear(back)
        if overtakes:
            stage.hear(news_of(stage.adapter, payment), payment.order.rail)
        _is_returned(stage, followed)
        played = True
    return None if played else "no notice of this bank says that a payment came back"


def _is_returned(stage: Stage, followed: Followed) -> None:
    right = followed.state is PayoutState.RETURNED and followed.paid_minor == 0
    stage.findings.check(Part.MONEY, right, "did not give back what the bank has given back")


def skewed_clock(stage: Stage) -> str | None:
    """17: the bank's clock is ten minutes wrong, and back again."""
    for turn, instruction in stage.instructions():
        stage.bank.skew = SKEW if turn % 2 else -SKEW
        followed = stage.ordered(instruction)
        for payment in stage.bank.of(instruction)[:1]:
            settled = stage.bank.settle(payment)
            if turn % 4 < 2 and stage.payer.enquire(followed):
                found = followed.state is PayoutState.SETTLED
                stage.findings.check(
                    Part.ENQUIRY, found, "did not find what the bank's clock dates otherwise"
                )
            stage.tell(followed, settled, asked_first=False)
    return None
