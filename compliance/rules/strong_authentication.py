"""Has the payer of this checkout authenticated exactly this order?

Above the policy's amount a checkout needs an answered authentication whose challenge named this order's
digest: a changed amount, payee or line is another order and needs another authentication. It holds the
checkout, with no case, until the payer has answered. In a currency without an amount every checkout needs
authentication.

What is not counted here: article 16 also ends the exemption after five payments or a hundred euro in a row. A
programme that counts neither itself sets the amount to 0 and so authenticates every checkout.

Source: RTS (EU) 2018/389 article 5 (dynamic linking) and article 16 (low-value payments).
"""

import hashlib

from compliance.facts import AuthenticationFact, Facts
from compliance.opinion import Effect, Opinion, Verdict
from ledger.core.clearance import Finding
from ledger.core.orders import CheckoutOrder, Order, order_text

RULE = "strong_authentication"
SOURCE = "RTS (EU) 2018/389 articles 5 and 16"


def check(order: Order, facts: Facts) -> Opinion | None:
    """Holds a checkout above the exempt amount until its payer has authenticated this very order."""
    if not isinstance(order, CheckoutOrder):
        return None
    exempt_minor = facts.policy.sca_above_minor.get(order.currency)
    if exempt_minor is not None and order.amount_minor <= exempt_minor:
        return Opinion(RULE, (), {"exempt_up_to_minor": exempt_minor, "authentication_id": None})
    authentication = facts.authentications.get(order.checkout_id)
    inputs = {
        "exempt_up_to_minor": exempt_minor,
        "authentication_id": authentication.id if authentication else None,
    }
    if authentication is not None and _binds(authentication, order):
        return Opinion(RULE, (), inputs)
    detail = "The payer has not authenticated this order."
    finding = Finding(rule=RULE, source=SOURCE, version=facts.policy.version, detail=detail)
    return Opinion(RULE, (Verdict(Effect.HOLD, finding),), inputs)


def digest_hex(order: CheckoutOrder) -> str:
    """What a challenge calls the order that it is for."""
    return hashlib.sha256(order_text(order).encode("ascii")).hexdigest()


def _binds(authentication: AuthenticationFact, order: CheckoutOrder) -> bool:
    return (
        authentication.answered
        and authentication.programme_id == order.programme_id
        and authentication.party_id == order.payer_id
        and authentication.order_digest == digest_hex(order)
    )
