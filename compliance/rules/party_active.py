"""Is everyone who pays or is paid by this order a party of the programme, and active?

A party that does not exist in the programme bars the order: no other programme's money is ever reached. A
party that is held holds its orders until a person has decided about it; refunds too, because giving money
to a frozen party is what freezing forbids. Creators who share in a line are asked for at checkout; a
capture or refund asks for the payer and the sellers of its lines, a transfer for the owners of the accounts
that give, take or reserve. What gives reserved money back, freezes or closes asks for nobody.

Source: Directive (EU) 2015/849 articles 13 and 14 (no business before due diligence is done).
"""

from typing import assert_never

from compliance import moves
from compliance.facts import Facts
from compliance.opinion import Effect, Opinion, Verdict
from ledger.core.clearance import Finding
from ledger.core.orders import (
    CaptureOrder,
    CheckoutOrder,
    DepositOrder,
    OnboardOrder,
    Order,
    PayoutOrder,
    RefundOrder,
    SweepOrder,
    TransferOrder,
)

RULE = "party_active"
SOURCE = "Directive (EU) 2015/849 articles 13 and 14"


def check(order: Order, facts: Facts) -> Opinion | None:
    """Bars an order of a party that the programme does not have; holds an order of a party that is held."""
    if isinstance(order, OnboardOrder | SweepOrder):
        return None
    party_ids = _party_ids(order, facts)
    if party_ids is None:
        detail = "The account or checkout of this order is not the programme's."
        return Opinion(RULE, (_verdict(Effect.BAR, detail, facts),), {})
    verdicts = [_judged(party_id, order, facts) for party_id in party_ids]
    return Opinion(RULE, tuple(verdict for verdict in verdicts if verdict), {"parties": party_ids})


def named_parties(order: Order) -> set[str]:
    """The parties that an order names itself, to be looked up."""
    match order:
        case CheckoutOrder():
            sharing = {split.party_id for line in order.lines for split in line.splits if split.party_id}
            return {order.payer_id, *(line.seller_id for line in order.lines), *sharing}
        case PayoutOrder():
            return {order.party_id}
        case TransferOrder():
            return set(moves.named_openings(order))
        case OnboardOrder() | DepositOrder() | CaptureOrder() | RefundOrder() | SweepOrder():
            return set()
        case _:
            assert_never(order)


def _party_ids(
    order: CheckoutOrder | CaptureOrder | RefundOrder | DepositOrder | PayoutOrder | TransferOrder,
    facts: Facts,
) -> list[str] | None:
    """Everyone concerned, in the order of their ids; None when what the order is about is not the
    programme's.
    """
    match order:
        case CheckoutOrder() | PayoutOrder():
            return sorted(named_parties(order))
        case TransferOrder():
            return moves.concerned(order, facts)
        case DepositOrder():
            owner = facts.owners.get(order.account_id)
            if owner is None or owner.programme_id != order.programme_id:
                return None
            return [] if owner.party_id is None else [owner.party_id]
        case CaptureOrder() | RefundOrder():
            checkout = facts.checkouts.get(order.checkout_id)
            if checkout is None or checkout.programme_id != order.programme_id:
                return None
            # A line that the checkout lacks has no seller; that the flow refuses, which knows the lines.
            sellers = {checkout.sellers[line.line] for line in order.lines if line.line in checkout.sellers}
            return sorted({checkout.payer_id, *sellers})
        case _:
            assert_never(order)


def _judged(party_id: str, order: Order, facts: Facts) -> Verdict | None:
    party = facts.parties.get(party_id)
    if party is None or party.programme_id != order.programme_id:
        return _verdict(Effect.BAR, f"The programme has no party {party_id}.", facts)
    return None if party.active else _verdict(Effect.HOLD, f"The party {party_id} is held.", facts)


def _verdict(effect: Effect, detail: str, facts: Facts) -> Verdict:
    return Verdict(effect, Finding(rule=RULE, source=SOURCE, version=facts.policy.version, detail=detail))
