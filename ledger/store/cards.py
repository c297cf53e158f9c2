"""Cards under their tokens. Their numbers are sealed: nothing here, nor in the database, can open them."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from ledger.core.card import Card
from ledger.core.ids import CardId
from ledger.store.rows import Page, insert_rows, page_of
from ledger.store.schema import cards
from ledger.store.tx import Tx

_COLUMNS = tuple(cards.c[name] for name in Card.__slots__)


def insert_cards(tx: Tx, stored: Sequence[Card]) -> None:
    """Writes cards as the enclave sealed them."""
    insert_rows(tx, cards, [asdict(card) | {"stored_at": tx.now} for card in stored])


def read_cards(tx: Tx, ids: Collection[CardId]) -> dict[CardId, Card]:
    """Cards by id."""
    query = sa.select(*_COLUMNS).where(cards.c.id.in_(sorted(ids)))
    return {card.id: card for card in map(_card, tx.rows(query))}


def cards_not_under(tx: Tx, key_id: str | None, page: Page) -> list[Card]:
    """A page of the cards that are sealed under any other key than this one, oldest first; without a key, under any.

    Cards that were erased are under none.
    """
    query = sa.select(*_COLUMNS).where(cards.c.erased_at.is_(None))
    if key_id is not None:
        query = query.where(cards.c.key_id != key_id)
    return [_card(row) for row in tx.rows(page_of(query, cards, page))]


def save_resealed(tx: Tx, before: Card, after: Card) -> bool:
    """Puts a new seal in the place of the one that was opened; says whether that one was still there."""
    found = (cards.c.id == before.id) & (cards.c.key_id == before.key_id) & (cards.c.sealed == before.sealed)
    return tx.run(sa.update(cards).where(found).values(key_id=after.key_id, sealed=after.sealed)) == 1


def erase_numbers(tx: Tx, ids: Collection[CardId]) -> None:
    """Erases the numbers of cards for good; what may be shown of them stays. Again, it does nothing."""
    present = cards.c.id.in_(sorted(ids)) & cards.c.erased_at.is_(None)
    tx.run(sa.update(cards).where(present).values(sealed=None, erased_at=tx.now))


def _card(row: sa.RowMapping) -> Card:
    sealed = None if row["sealed"] is None else bytes(row["sealed"])
    return Card(**{**row, "fingerprint": bytes(row["fingerprint"]), "sealed": sealed})
