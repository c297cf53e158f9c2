"""A cart is authorised: one hold on the payer's wallet, whoever the sellers are. Sellers' accounts are not touched."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ledger import book
from ledger.core.cart import Checkout, CheckoutState, check_cart
from ledger.core.clearance import Cleared
from ledger.core.commands import Authority, Expire, Hold, Refused
from ledger.core.declined import Declined, declined_by_book
from ledger.core.ids import AccountId, CheckoutId, TransferId, derived
from ledger.core.orders import CheckoutOrder
from ledger.store.accounts import party_accounts
from ledger.store.checkouts import (
    expire_checkouts,
    expire_proposals,
    insert_checkouts,
    read_checkouts,
    references_taken,
    save_authorised,
)
from ledger.store.events import Event, record_events
from ledger.store.postings import expired_holds, read_holds
from ledger.store.tx import Tx

EXPIRED_MAX = 500


@dataclass(frozen=True, slots=True)
class Authorised:
    """The whole cart is reserved on the payer's wallet."""

    checkout_id: CheckoutId
    hold_id: TransferId


@dataclass(frozen=True, slots=True)
class Proposed:
    """The cart is kept, and nothing is reserved until the payer has authenticated."""

    checkout_id: CheckoutId


def propose(tx: Tx, orders: Sequence[CheckoutOrder]) -> tuple[Proposed | Declined, ...]:
    """Keeps carts that wait for the payer's authentication. No money moves."""
    answers = _check(tx, orders)
    kept = [order for order in orders if answers[order.checkout_id] is None]
    insert_checkouts(tx, kept, CheckoutState.REQUIRES_AUTHENTICATION, {})
    record_events(tx, [_event(order, "checkout.proposed") for order in kept])
    return tuple(answers[order.checkout_id] or Proposed(order.checkout_id) for order in orders)


def authorise(tx: Tx, cleared: Sequence[Cleared[CheckoutOrder]]) -> tuple[Authorised | Declined, ...]:
    """Reserves the whole cart on the payer's wallet, in one go."""
    orders = [item.order for item in cleared]
    waiting = read_checkouts(tx, [order.checkout_id for order in orders])
    answers = _check(tx, [order for order in orders if order.checkout_id not in waiting])
    answers |= {checkout.id: _check_waiting(tx, checkout) for checkout in waiting.values()}
    wallets = party_accounts(tx, [order.payer_id for order in orders])
    sound = [item for item in cleared if answers[item.order.checkout_id] is None]
    wanted = [[_hold(tx, item, wallets[item.order.payer_id])] for item in sound]
    results = book.post_once(tx, wanted, [item.clearance for item in sound])
    for item, (result,) in zip(sound, results, strict=True):
        if isinstance(result, Refused):
            answers[item.order.checkout_id] = declined_by_book(result)
    held = [item for item in sound if answers[item.order.checkout_id] is None]
    _save(tx, [item.order for item in held], waiting.keys())
    record_events(tx, [_event(item.order, "checkout.authorised") for item in held])
    return tuple(
        answers[order.checkout_id] or Authorised(order.checkout_id, _hold_id(order)) for order in orders
    )


def expire(tx: Tx) -> int:
    """Gives back what is left of holds whose time has passed; says how many there were, up to a batch.

    Carts that still waited for their payer's authentication end with them; they held nothing.
    """
    expired = expired_holds(tx, EXPIRED_MAX)
    holds = read_holds(tx, expired)
    ends = [
        Expire(
            id=TransferId(derived("xfr", hold.id, "expired")),
            programme_id=hold.programme_id,
            authority=None,
            effective_at=tx.now,
            reference="expired",
            hold_id=hold.id,
        )
        for hold in holds.values()
    ]
    gone = expire_checkouts(tx, expired) + expire_proposals(tx)
    book.post(tx, [[end] for end in ends])
    record_events(tx, [Event(item.programme_id, item.id, "checkout.expired", {}) for item in gone])
    return len(expired)


def _check(tx: Tx, orders: Sequence[CheckoutOrder]) -> dict[CheckoutId, Declined | None]:
    taken = references_taken(tx, [(order.programme_id, order.reference) for order in orders])
    answers: dict[CheckoutId, Declined | None] = {}
    for order in orders:
        key = (order.programme_id, order.reference)
        answer = check_cart(order)
        if answer is None and key in taken:
            answer = Declined("reference_taken", "A checkout of this reference exists.", "reference")
        if answer is None and order.expires_at <= tx.now:
            answer = Declined("expires_in_the_past", "A checkout must expire later than now.", "expires_at")
        if answer is None:
            taken.add(key)
        answers[order.checkout_id] = answer
    return answers


def _check_waiting(tx: Tx, checkout: Checkout) -> Declined | None:
    if checkout.state is not CheckoutState.REQUIRES_AUTHENTICATION:
        return Declined("checkout_not_waiting", f"The checkout is {checkout.state}.", "checkout_id")
    if checkout.expires_at <= tx.now:
        return Declined("expires_in_the_past", "The checkout has expired.", "expires_at")
    return None


def _hold_id(order: CheckoutOrder) -> TransferId:
    return TransferId(derived("xfr", order.checkout_id, "hold"))


def _hold(tx: Tx, item: Cleared[CheckoutOrder], wallet: AccountId) -> Hold:
    return Hold(
        id=_hold_id(item.order),
        programme_id=item.order.programme_id,
        authority=Authority(clearance_id=item.clearance.id),
        effective_at=tx.now,
        reference=item.order.reference,
        metadata={"checkout": item.order.checkout_id},
        account_id=wallet,
        amount_minor=item.order.amount_minor,
        expires_at=item.order.expires_at,
    )


def _save(tx: Tx, held: Sequence[CheckoutOrder], known: Collection[CheckoutId]) -> None:
    fresh = [order for order in held if order.checkout_id not in known]
    insert_checkouts(
        tx, fresh, CheckoutState.AUTHORISED, {order.checkout_id: _hold_id(order) for order in fresh}
    )
    save_authorised(tx, {order.checkout_id: _hold_id(order) for order in held if order.checkout_id in known})


def _event(order: CheckoutOrder, type_: str) -> Event:
    return Event(
        order.programme_id,
        order.checkout_id,
        type_,
        {"amount_minor": order.amount_minor, "currency": order.currency},
    )
