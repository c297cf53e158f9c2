"""The gate: every order is screened here, and here alone clearances are made.

`screen` gathers the facts for all orders at once, asks every rule about each, and gives each order its own
result; one order's refusal never touches its neighbours. Refusals and holds are data: their cases are
written in the caller's transaction and commit with it. May not move money, call a network, or decide by
anything that is not in the facts. A clearance is not written here: the flow that redeems it records it with
the money it moves.

A checkout that only waits for its payer's authentication opens no case, for nobody but the payer has to
decide: its `case_id` is an id that was minted for the answer and stands in no table. A transfer order that is asked for
again under the ids of its caller, and found the same of, is the case that it was: nobody decides about it twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from compliance import moves, store
from compliance.facts import Facts, HoldFact, ListHead, MovedFact, OwnerFact, SanctionsList
from compliance.opinion import Effect, Opinion, Rule
from compliance.policy import Policies, Policy
from compliance.rules import party_active, sanctions_name, strong_authentication, transaction_limit
from compliance.watchlist import Watchlist
from ledger.core.canonical import Canonical, canonical_text
from ledger.core.clearance import Barred, Clearance, Cleared, Finding, Held, Screened
from ledger.core.ids import ClearanceId
from ledger.core.orders import (
    CaptureOrder,
    CheckoutOrder,
    DepositOrder,
    Order,
    RefundOrder,
    TransferOrder,
    order_text,
)
from ledger.store.postings import read_holds, read_posted
from ledger.store.tx import Tx

O = TypeVar("O", bound=Order)  # noqa: E741 - the letter that orders have in ledger.core

RULES: tuple[Rule, ...] = (
    party_active.check,
    transaction_limit.check,
    sanctions_name.check,
    strong_authentication.check,
)
WATCHLISTS_MAX = 64


class Gate:
    """Screens orders by the policy of the day. One gate may serve many threads."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        # A list's names never change under its id, so what was made of them is kept.
        self._watchlists: dict[str, Watchlist] = {}

    def screen(self, tx: Tx, orders: Sequence[O]) -> tuple[Screened[O], ...]:
        """One result for each order, in the order given: cleared, held or barred.

        The number of statements does not grow with the number of orders. A cleared order says that no rule
        had anything against it at this moment and under this policy; it is good for exactly that order,
        once.

        Raises: InvalidValue when no policy is valid on the transaction's day.
        """
        if not orders:
            return ()
        facts = self._gather(tx, self._policies.policy_now(tx.now), orders)
        decided = [(order, _decide(order, facts)) for order in orders]
        known = _known_cases(tx, decided)
        results = tuple(_result(tx, order, decision, known) for order, decision in decided)
        opened = {
            result.case_id: _case(tx, result, decision)
            for result, (_, decision) in zip(results, decided, strict=True)
            if not isinstance(result, Cleared) and decision.opens_case
        }
        store.insert_cases(tx, [row for case_id, row in opened.items() if case_id not in known.standing])
        return results

    def _gather(self, tx: Tx, policy: Policy, orders: Sequence[Order]) -> Facts:
        transfers = [order for order in orders if isinstance(order, TransferOrder)]
        opened, holds, moved = _touched(tx, transfers)
        account_ids = {order.account_id for order in orders if isinstance(order, DepositOrder)}
        account_ids |= moves.named_accounts(transfers, holds=holds, moved=moved)
        checkout_ids = {
            order.checkout_id for order in orders if isinstance(order, CaptureOrder | RefundOrder)
        }
        new_checkout_ids = {order.checkout_id for order in orders if isinstance(order, CheckoutOrder)}
        owners = {**opened, **(store.owners_by_account(tx, account_ids) if account_ids else {})}
        checkouts = store.checkouts_by_id(tx, checkout_ids) if checkout_ids else {}
        party_ids = {party_id for order in orders for party_id in party_active.named_parties(order)}
        party_ids |= {owner.party_id for owner in owners.values() if owner.party_id is not None}
        party_ids |= {
            party_id for each in checkouts.values() for party_id in (each.payer_id, *each.sellers.values())
        }
        return Facts(
            policy=policy,
            parties=store.parties_by_id(tx, party_ids) if party_ids else {},
            owners=owners,
            holds=holds,
            moved=moved,
            checkouts=checkouts,
            authentications=store.authentications_by_subject(tx, new_checkout_ids)
            if new_checkout_ids
            else {},
            lists=self._lists(tx, orders),
        )

    def _lists(self, tx: Tx, orders: Sequence[Order]) -> Mapping[str, tuple[SanctionsList, ...]]:
        programme_ids = {order.programme_id for order in orders if sanctions_name.screened_names(order)}
        if not programme_ids:
            return {}
        heads = store.lists_in_force(tx, programme_ids)
        watchlists = self._watchlists_of(tx, heads)
        return {
            programme_id: tuple(
                SanctionsList(head, watchlists[head.id])
                for head in heads
                if head.programme_id == programme_id
            )
            for programme_id in programme_ids
        }

    def _watchlists_of(self, tx: Tx, heads: Sequence[ListHead]) -> Mapping[str, Watchlist]:
        known = {head.id: made for head in heads if (made := self._watchlists.get(head.id)) is not None}
        missing = {head.id for head in heads} - known.keys()
        if missing:
            names = store.listed_names(tx, missing)
            made_now = {list_id: Watchlist.of(names[list_id]) for list_id in missing}
            self._keep(made_now)
            known |= made_now
        return known

    def _keep(self, made: Mapping[str, Watchlist]) -> None:
        if len(self._watchlists) + len(made) > WATCHLISTS_MAX:
            self._watchlists.clear()
        self._watchlists.update(made)


def _touched(
    tx: Tx, orders: Sequence[TransferOrder]
) -> tuple[Mapping[str, OwnerFact], Mapping[str, HoldFact], Mapping[str, MovedFact]]:
    """What transfer orders refer to: what stands in the book, and what the orders themselves would bring into it."""
    opened, holds, moved = moves.made_here(orders)
    held = read_holds(tx, moves.named_holds(orders))
    posted = read_posted(tx, moves.named_transfers(orders))
    return (
        opened,
        {**holds, **{key: HoldFact(hold.programme_id, hold.account_id) for key, hold in held.items()}},
        {**moved, **{key: MovedFact(item.programme_id, item.legs) for key, item in posted.items()}},
    )


@dataclass(frozen=True, slots=True)
class _Decision:
    """What all rules together say about one order."""

    effect: Effect | None
    findings: tuple[Finding, ...]
    record: Mapping[str, Canonical]

    @property
    def opens_case(self) -> bool:
        """Whether anybody but the payer has something to decide."""
        return any(finding.rule != strong_authentication.RULE for finding in self.findings)


def _decide(order: Order, facts: Facts) -> _Decision:
    opinions = [opinion for rule in RULES if (opinion := rule(order, facts)) is not None]
    verdicts = [verdict for opinion in opinions for verdict in opinion.verdicts]
    effects = {verdict.effect for verdict in verdicts}
    effect = Effect.BAR if Effect.BAR in effects else Effect.HOLD if effects else None
    return _Decision(effect, tuple(verdict.finding for verdict in verdicts), _record(opinions, facts))


def _record(opinions: Sequence[Opinion], facts: Facts) -> Mapping[str, Canonical]:
    return {
        "rules": [opinion.rule for opinion in opinions],
        "policy": facts.policy.version,
        "inputs": {opinion.rule: opinion.inputs for opinion in opinions},
    }


CaseKey = tuple[str, str, str]
"""The canonical texts of an order and of what was found, and what came of it."""


class _KnownCases:
    """The cases of orders that keep their ids when they are asked for again; the others are always new."""

    def __init__(self, standing: Mapping[CaseKey, str]) -> None:
        self.standing = frozenset(standing.values())
        self._by_key = dict(standing)

    def case_id(self, tx: Tx, order: Order, decision: _Decision) -> str:
        """The case that this order has been before, in the database or in this batch; or a new one."""
        case_id = tx.new_id("case")
        return self._by_key.setdefault(_key(order, decision), case_id) if _keeps_ids(order) else case_id


def _known_cases(tx: Tx, decided: Sequence[tuple[Order, _Decision]]) -> _KnownCases:
    again = [order for order, decision in decided if _keeps_ids(order) and decision.effect is not None]
    if not again:
        return _KnownCases({})
    programme_ids = {order.programme_id for order in again}
    rows = store.cases_of_orders(tx, programme_ids, [order_text(order) for order in again])
    return _KnownCases(
        {(row["order_canonical"], row["outcome"], canonical_text(row["findings"])): row["id"] for row in rows}
    )


def _keeps_ids(order: Order) -> bool:
    return isinstance(order, TransferOrder)


def _key(order: Order, decision: _Decision) -> CaseKey:
    findings = canonical_text([finding.as_data() for finding in decision.findings])
    return order_text(order), _outcome(decision), findings


def _outcome(decision: _Decision) -> str:
    return "held" if decision.effect is Effect.HOLD else "refused"


def _result(tx: Tx, order: O, decision: _Decision, known: _KnownCases) -> Screened[O]:
    match decision.effect:
        case None:
            return Cleared(order, _clearance(tx, order, decision))
        case Effect.HOLD:
            return Held(order, known.case_id(tx, order, decision), decision.findings)
        case Effect.BAR:
            return Barred(order, known.case_id(tx, order, decision), decision.findings)


def _clearance(tx: Tx, order: Order, decision: _Decision) -> Clearance:
    return Clearance(
        id=ClearanceId(tx.new_id("clr")),
        programme_id=order.programme_id,
        order_kind=order.kind.value,
        order_canonical=order_text(order),
        decision=decision.record,
    )


def _case(tx: Tx, result: Held[O] | Barred[O], decision: _Decision) -> dict[str, Any]:
    return {
        "id": result.case_id,
        "programme_id": result.order.programme_id,
        "order_kind": result.order.kind.value,
        "order_canonical": order_text(result.order),
        "outcome": _outcome(decision),
        "findings": [finding.as_data() for finding in result.findings],
        "inputs": decision.record,
        "opened_at": tx.now,
    }
