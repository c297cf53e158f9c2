"""Is a name of this order on a sanctions list? An alert holds the order for a person; a score never refuses.

Screened are the party that is taken in, who sent a deposit, and who receives a payout. An instant credit
transfer is not screened against lists of EU measures: there the law puts the screening of all customers, at
once when a list changes and every day, in the place of screening payments; lists with another legal basis
still run. A programme without any list, and a name that cannot be compared, are held: not screened is not
clean.

Source: Regulation (EU) 260/2012 article 5d, as amended by (EU) 2024/886.
"""

from typing import assert_never

from compliance.facts import Facts, SanctionsList
from compliance.names import tokens_of
from compliance.opinion import Effect, Opinion, Verdict
from compliance.watchlist import Match
from ledger.core.canonical import Canonical
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

RULE = "sanctions_name"
SOURCE = "Regulation (EU) 260/2012 article 5d; programme sanctions policy"
EU_MEASURES = "eu_tfs"
INSTANT_RAIL = "SCT_INST"
MATCHES_MAX = 5


def check(order: Order, facts: Facts) -> Opinion | None:
    """Holds an order when a name of it is like a listed one, or could not be compared."""
    names = screened_names(order)
    if not names:
        return None
    in_force = facts.lists.get(order.programme_id, ())
    lists = tuple(each for each in in_force if _may_run(each, order))
    found = [(name, each, match) for name in names for each in lists for match in _closest(each, name)]
    alerts = [alert for alert in found if alert[2].likeness.score >= facts.policy.name_alert_score]
    inputs: dict[str, Canonical] = {
        "lists": [_list_data(each) for each in lists],
        "alert_score": _text(facts.policy.name_alert_score),
        "closest": [_match_data(name, each, match) for name, each, match in (alerts or _highest(found))],
    }
    verdicts = [_verdict(_alert_detail(each, match), facts) for _, each, match in alerts]
    return Opinion(RULE, (*_unscreened(names, in_force, facts), *verdicts), inputs)


def screened_names(order: Order) -> tuple[str, ...]:
    """The names of an order that are compared with the lists; none for orders between parties taken in
    before.
    """
    match order:
        case OnboardOrder():
            return (order.name,) if order.payout_name is None else (order.name, order.payout_name)
        case DepositOrder():
            return (order.debtor_name,)
        case PayoutOrder():
            return (order.creditor_name,)
        case CheckoutOrder() | CaptureOrder() | RefundOrder() | SweepOrder() | TransferOrder():
            return ()
        case _:
            assert_never(order)


def _may_run(each: SanctionsList, order: Order) -> bool:
    instant = isinstance(order, PayoutOrder) and order.rail == INSTANT_RAIL
    return not (instant and each.head.legal_basis == EU_MEASURES)


def _closest(each: SanctionsList, name: str) -> tuple[Match, ...]:
    return each.watchlist.closest(name, MATCHES_MAX)


def _highest(found: list[tuple[str, SanctionsList, Match]]) -> list[tuple[str, SanctionsList, Match]]:
    return sorted(found, key=lambda each: -each[2].likeness.score)[:1]


def _unscreened(names: tuple[str, ...], in_force: tuple[SanctionsList, ...], facts: Facts) -> list[Verdict]:
    verdicts = []
    if not in_force:
        verdicts.append(_verdict("The programme has no sanctions list to screen against.", facts))
    if not all(tokens_of(name) for name in names):
        verdicts.append(_verdict("A name has no letters that could be compared.", facts))
    return verdicts


def _verdict(detail: str, facts: Facts) -> Verdict:
    return Verdict(
        Effect.HOLD, Finding(rule=RULE, source=SOURCE, version=facts.policy.version, detail=detail)
    )


def _alert_detail(each: SanctionsList, match: Match) -> str:
    return f"A name is {_text(match.likeness.score)} like entry {match.entry} of the list {each.head.name}."


def _list_data(each: SanctionsList) -> Canonical:
    return {"name": each.head.name, "legal_basis": each.head.legal_basis, "digest": each.head.digest}


def _match_data(name: str, each: SanctionsList, match: Match) -> Canonical:
    return {
        "name": name,
        "list": each.head.name,
        "entry": match.entry,
        "listed": match.listed,
        "score": _text(match.likeness.score),
        "pairs": [[ours, theirs, _text(alike)] for ours, theirs, alike in match.likeness.pairs],
    }


def _text(score: float) -> str:
    """Records hold no floats: a score is written to four places."""
    return f"{score:.4f}"
