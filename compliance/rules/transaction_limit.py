"""Is the amount of this order within the programme's limit for one order of its kind?

An order above its limit is refused; a deposit is held instead, because the money is already here and
somebody has to decide about it. A currency without a limit is refused: silence in the policy is no
permission. A transfer order may hold many transfers: each is measured by itself, as if it came alone, in
every currency that it moves. What moves nothing has no limit.

Source: the programme's transaction policy (risk-based limits, Directive (EU) 2015/849 article 8).
"""

from typing import assert_never

from compliance import moves
from compliance.facts import Facts
from compliance.opinion import Effect, Opinion, Verdict
from compliance.policy import limit_for
from ledger.core.canonical import Canonical
from ledger.core.clearance import Finding
from ledger.core.orders import (
    CaptureOrder,
    CheckoutOrder,
    DepositOrder,
    OnboardOrder,
    Order,
    OrderKind,
    PayoutOrder,
    RefundOrder,
    SweepOrder,
    TransferOrder,
)

RULE = "transaction_limit"
SOURCE = "Directive (EU) 2015/849 article 8; programme transaction policy"


def check(order: Order, facts: Facts) -> Opinion | None:
    """Bars an order above its limit, or in a currency that has none; holds a deposit above its limit."""
    if isinstance(order, OnboardOrder):
        return None
    if isinstance(order, TransferOrder):
        return _on_transfers(order, facts)
    amount_minor, currency = _amount(order, facts)
    limit_minor = limit_for(facts.policy, order.kind, currency)
    inputs: dict[str, Canonical] = {
        "amount_minor": amount_minor,
        "currency": currency,
        "limit_minor": limit_minor,
    }
    return Opinion(RULE, _verdicts(order.kind, amount_minor, currency, limit_minor, facts), inputs)


def _on_transfers(order: TransferOrder, facts: Facts) -> Opinion | None:
    """Looks at the largest transfer of each currency: if that one is within the limit, all are."""
    largest: dict[str, int] = {}
    for command in order.commands:
        for currency, amount_minor in moves.amounts(command, facts).items():
            largest[currency] = max(amount_minor, largest.get(currency, 0))
    if not largest:
        return None
    limits = {currency: limit_for(facts.policy, order.kind, currency) for currency in sorted(largest)}
    inputs: dict[str, Canonical] = {
        currency: {"largest_minor": largest[currency], "limit_minor": limit_minor}
        for currency, limit_minor in limits.items()
    }
    verdicts = (
        _verdicts(order.kind, largest[currency], currency, limit_minor, facts)
        for currency, limit_minor in limits.items()
    )
    return Opinion(RULE, tuple(verdict for each in verdicts for verdict in each), inputs)


def _amount(
    order: DepositOrder | CheckoutOrder | CaptureOrder | RefundOrder | PayoutOrder | SweepOrder, facts: Facts
) -> tuple[int, str]:
    match order:
        case DepositOrder() | CheckoutOrder() | PayoutOrder() | SweepOrder():
            return order.amount_minor, order.currency
        case CaptureOrder() | RefundOrder():
            checkout = facts.checkouts.get(order.checkout_id)
            return sum(
                line.amount_minor for line in order.lines
            ), checkout.currency if checkout else "unknown"
        case _:
            assert_never(order)


def _verdicts(
    kind: OrderKind, amount_minor: int, currency: str, limit_minor: int | None, facts: Facts
) -> tuple[Verdict, ...]:
    if limit_minor is None:
        detail = f"There is no limit for a {kind.value} in the currency {currency}, so none is allowed."
        return (_verdict(Effect.BAR, detail, facts),)
    if amount_minor <= limit_minor:
        return ()
    detail = (
        f"{amount_minor} is above the limit of {limit_minor} minor units of {currency} for a {kind.value}."
    )
    return (_verdict(Effect.HOLD if kind is OrderKind.DEPOSIT else Effect.BAR, detail, facts),)


def _verdict(effect: Effect, detail: str, facts: Facts) -> Verdict:
    return Verdict(effect, Finding(rule=RULE, source=SOURCE, version=facts.policy.version, detail=detail))
