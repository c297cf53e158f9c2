"""Money out: a payout is ordered, and moves on by what the bank says until everybody knows what became of it.

How it is sent stands in `payout_sending`, what people do with one that waits in `payout_desk`, and what each step means
for the book in `payout_steps`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ledger import book
from ledger.core.clearance import Cleared
from ledger.core.commands import Authority, Command, Hold, Leg, Post, Refused
from ledger.core.declined import Declined, declined_by_book
from ledger.core.errors import InvalidValue
from ledger.core.ids import (
    NoticeId,
    PayoutId,
    ProgrammeId,
    TransferId,
    derived,
)
from ledger.core.orders import PayoutOrder, SweepOrder
from ledger.core.payout import (
    PayoutState,
    PayoutTrigger,
)
from ledger.flows.payout_steps import Places, Step, Word, come_back, event_of, places_of, take
from ledger.store.accounts import lock_accounts, programme_accounts
from ledger.store.events import record_events
from ledger.store.notices import connections_of
from ledger.store.payouts import (
    Payout,
    insert_payouts,
    lock_payouts_by_reference,
    read_payouts,
    references_taken,
)
from ledger.store.programmes import Programme, read_programmes
from ledger.store.tx import Tx


@dataclass(frozen=True, slots=True)
class News:
    """What became of a payout, by the bank's own word. `transaction_id` is the bank's id of its posting.

    `amount_minor` is how much came back, in a return; None: all that had not come back before. Units: minor units.
    """

    end_to_end_id: str
    trigger: PayoutTrigger
    notice_id: NoticeId
    transaction_id: str | None
    reason: str
    amount_minor: int | None = None


def order(tx: Tx, cleared: Sequence[Cleared[PayoutOrder | SweepOrder]]) -> tuple[Payout | Declined, ...]:
    """Takes the money out of its balance; that it is queued or scheduled is the promise that it will be sent."""
    orders = [item.order for item in cleared]
    answers = _check(tx, orders)
    programmes = read_programmes(tx, {item.programme_id for item in orders})
    places = places_of(tx, programmes.keys())
    sound = [item for item in cleared if item.order.payout_id not in answers]
    leaves = [[_leave(tx, item, places)] for item in sound]
    results = book.post_once(tx, leaves, [item.clearance for item in sound])
    for item, (result,) in zip(sound, results, strict=True):
        if isinstance(result, Refused):
            answers[item.order.payout_id] = declined_by_book(result)
    done = [item for item in sound if item.order.payout_id not in answers]
    ordered = {item.order.payout_id: _payout(tx, item, programmes[item.order.programme_id]) for item in done}
    insert_payouts(tx, list(ordered.values()))
    record_events(tx, [event_of(payout, f"payout.{payout.state}") for payout in ordered.values()])
    return tuple(answers.get(item.payout_id) or ordered[item.payout_id] for item in orders)


def find(tx: Tx, payout_id: PayoutId) -> Payout | None:
    """A payout as it stands."""
    return read_payouts(tx, [payout_id]).get(payout_id)


def learn(tx: Tx, news: Sequence[News]) -> tuple[bool, ...]:
    """Moves payouts on by what the bank says; says which news was ours. Old news changes nothing.

    A bank is believed about the payouts that went through it, and about no others.
    """
    known = lock_payouts_by_reference(tx, {item.end_to_end_id for item in news})
    sayers = connections_of(tx, {item.notice_id for item in news})
    programmes = read_programmes(tx, {payout.programme_id for payout in known.values()})
    are_ours = []
    for item in news:
        payout = known.get(item.end_to_end_id)
        is_ours = payout is not None and (
            programmes[payout.programme_id].bank_connection == sayers[item.notice_id]
        )
        if payout is not None and is_ours:
            known[item.end_to_end_id] = _learn_one(tx, payout, item)
        are_ours.append(is_ours)
    return tuple(are_ours)


def _learn_one(tx: Tx, payout: Payout, news: News) -> Payout:
    word = Word(news.notice_id, news.transaction_id, news.reason, news.amount_minor)
    if news.trigger is PayoutTrigger.RETURN:
        return come_back(tx, payout, word)
    (moved,) = take(tx, [Step(payout, news.trigger, replace(word, amount_minor=None))])
    return moved


def _check(tx: Tx, orders: Sequence[PayoutOrder | SweepOrder]) -> dict[PayoutId, Declined]:
    taken = references_taken(tx, [(item.programme_id, item.reference) for item in orders])
    answers: dict[PayoutId, Declined] = {}
    swept_minor: dict[ProgrammeId, int] = defaultdict(int)  # by the sweeps earlier in this batch
    for item in orders:
        if (item.programme_id, item.reference) in taken:
            answers[item.payout_id] = Declined(
                "reference_taken", "A payout of this reference exists.", "reference"
            )
            continue
        if isinstance(item, SweepOrder):
            own_minor = _own_money(tx, item) - swept_minor[item.programme_id]
            if item.amount_minor > own_minor:
                detail = f"Only {max(own_minor, 0)} in the safeguarding account is the programme's own."
                answers[item.payout_id] = Declined("exceeds_own_money", detail, "amount_minor")
                continue
            swept_minor[item.programme_id] += item.amount_minor
        taken.add((item.programme_id, item.reference))
    return answers


def _own_money(tx: Tx, item: SweepOrder) -> int:
    """What the safeguarding account holds beyond customers' money, each customer's balance counted from zero up."""
    safeguarding = lock_accounts(tx, [item.account_id])[item.account_id]
    owed = sum(
        max(place.account.posted_minor, 0)
        for place in programme_accounts(tx, item.programme_id)
        if place.pool is not None and place.account.currency == item.currency
    )
    return safeguarding.available_minor - owed


def _leave(tx: Tx, item: Cleared[PayoutOrder | SweepOrder], places: Places) -> Command:
    ordered = item.order
    transfer_id = TransferId(derived("xfr", ordered.payout_id, "ordered"))
    authority = Authority(clearance_id=item.clearance.id)
    if isinstance(ordered, SweepOrder):
        return Hold(
            id=transfer_id,
            programme_id=ordered.programme_id,
            authority=authority,
            effective_at=tx.now,
            reference=ordered.payout_id,
            account_id=ordered.account_id,
            amount_minor=ordered.amount_minor,
            expires_at=None,
        )
    return Post(
        id=transfer_id,
        programme_id=ordered.programme_id,
        authority=authority,
        effective_at=tx.now,
        reference=ordered.payout_id,
        legs=(Leg(ordered.account_id, places.in_flight[ordered.programme_id], ordered.amount_minor),),
    )


def _payout(tx: Tx, item: Cleared[PayoutOrder | SweepOrder], programme: Programme) -> Payout:
    ordered = item.order
    if (ordered.debtor_name, ordered.debtor_iban) != (programme.legal_name, programme.safeguarding_iban):
        raise InvalidValue("A payout is paid from its programme's safeguarding account.", field="debtor_iban")
    return Payout(
        id=ordered.payout_id,
        programme_id=ordered.programme_id,
        kind=ordered.kind.value,
        reference=ordered.reference,
        party_id=ordered.party_id if isinstance(ordered, PayoutOrder) else None,
        account_id=ordered.account_id,
        rail=ordered.rail,
        amount_minor=ordered.amount_minor,
        currency=ordered.currency,
        creditor_name=ordered.creditor_name,
        creditor_iban=ordered.creditor_iban,
        debtor_name=ordered.debtor_name,
        debtor_iban=ordered.debtor_iban,
        end_to_end_id=ordered.end_to_end_id,
        remittance=ordered.remittance,
        initiator=ordered.initiator,
        order_digest=item.clearance.order_digest,
        clearance_id=item.clearance.id,
        transfer_id=TransferId(derived("xfr", ordered.payout_id, "ordered")),
        state=PayoutState.QUEUED
        if ordered.send_at is None or ordered.send_at <= tx.now
        else PayoutState.SCHEDULED,
        send_at=ordered.send_at,
        due_at=ordered.send_at,
        created_at=tx.now,
    )
