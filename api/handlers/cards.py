"""Cards: what the enclave sealed is kept under its token, or its refusal is told. Runs on a lane."""

from collections.abc import Sequence

from api import present
from api.lanes import Ask, Reply
from api.problems import Problem
from ledger.core.card import Card
from ledger.store.cards import insert_cards
from ledger.store.tx import Tx


def keep_card(outcome: Card | Problem, tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Keeps the one card that was sealed for the one request that it was sealed for.

    The enclave was asked before the lane was entered: nobody's payment waits for it. A refusal comes by here as well,
    so that a key under which a card was kept before is answered with that card, whatever the enclave says today.
    """
    assert len(asks) == 1, "the card was sealed for one request"
    if isinstance(outcome, Problem):
        return [Reply.declined(outcome)]
    insert_cards(tx, [outcome])
    return [Reply(201, present.card(outcome))]
