"""Cards: what the enclave sealed is kept under its token, or its refusal is told; and numbers are erased. On a lane."""

from collections.abc import Sequence

from api import present
from api.lanes import Ask, Reply
from api.problems import Problem, not_found
from ledger.core.card import Card
from ledger.core.ids import CardId, is_id
from ledger.store.cards import erase_numbers, insert_cards, read_cards
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


def erase_cards(tx: Tx, asks: Sequence[Ask]) -> list[Reply]:
    """Erases the numbers of cards; of one whose number is gone already it says when that was."""
    asked = [CardId(ask.payload[1]) for ask in asks]
    known = read_cards(tx, [card_id for card_id in asked if is_id("crd", card_id)])
    own = [
        card_id
        for card_id, ask in zip(asked, asks, strict=True)
        if card_id in known and known[card_id].programme_id == ask.programme
    ]
    erase_numbers(tx, own)
    left = read_cards(tx, own)
    return [
        Reply(200, present.card(left[card_id]))
        if card_id in left and left[card_id].programme_id == ask.programme
        else Reply.declined(not_found("card"))
        for card_id, ask in zip(asked, asks, strict=True)
    ]
