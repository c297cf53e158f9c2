"""Sealing cards anew after a rotation: page by page, each page committed before the next is read.

Stopped anywhere, it goes on where it was: what is under the current key already is not read again. Two of it at once
do no harm: a seal is put only in the place of the very seal that was opened. Which key is the current one is learnt
from the enclave's answers, so that a rotation meanwhile is noticed. The enclave is asked outside of any transaction.
"""

import logging
from datetime import UTC, datetime, timedelta

from api.card_vault import reseal_card
from api.transactions import Transactions
from enclave.client import EnclaveClient, EnclaveRefused
from enclave.protocol import KeysLoaded
from ledger.core.card import Card
from ledger.core.ids import CardId
from ledger.store.cards import cards_not_under, save_resealed
from ledger.store.jobs import promise
from ledger.store.rows import Page
from ledger.store.tx import Tx

CARDS_A_PAGE = 100
PASSES_MAX = 100
REFUSED_MAX = 1000
# The enclave's clock may be a little behind ours.
SETTLED = timedelta(seconds=5)
# Somebody changed this card, or lost its key; whatever else the enclave refuses, it refuses of all.
_ABOUT_ONE_CARD = {"card_context_mismatch", "card_key_unknown"}

_log = logging.getLogger("tallystick.cards")


def promise_resealing(tx: Tx, found: KeysLoaded, *, now: datetime) -> list[datetime]:
    """Promises that cards are sealed anew, as far as the keys that were loaded ask for it; says when.

    At once if there are cards under another key than the one that seals, and again when that key is to change. Whoever
    seals is the enclave: a promise too many does nothing.
    """
    has_others = found.sealing is not None and cards_not_under(tx, found.sealing, Page(None, 1))
    due = [now] if has_others else []
    if found.sealing_changes_at is not None and cards_not_under(tx, None, Page(None, 1)):
        due.append(datetime.fromtimestamp(found.sealing_changes_at, UTC) + SETTLED)
    for at in due:
        promise(tx, "reseal_cards", delay_s=max(0, int((at - now).total_seconds())))
    return due


class Resealing:
    """One run over all cards. `refused` are those that the enclave would not open: somebody changed them."""

    def __init__(
        self, enclave: EnclaveClient, transactions: Transactions, *, page: int = CARDS_A_PAGE
    ) -> None:
        self._enclave = enclave
        self._transactions = transactions
        self._page = page
        self._current: str | None = None
        self.refused: set[CardId] = set()

    def run(self) -> None:
        """Passes over the cards until one finds nothing to do. Raises: EnclaveError."""
        for _ in range(PASSES_MAX):
            # A card that was sealed before the rotation may be kept after a pass has gone by its place.
            if not self._pass():
                return

    def _pass(self) -> bool:
        """Whether any card was sealed anew."""
        after, changed = None, False
        while True:
            # Of the first card alone it is learnt which key is the current one.
            length = 1 if self._current is None else self._page
            with self._transactions() as tx:
                found = cards_not_under(tx, self._current, Page(after, length))
            if not found:
                return changed
            changed |= self._reseal(found)
            after = found[-1].id

    def _reseal(self, found: list[Card]) -> bool:
        anew = [(before, after) for before in found if (after := self._sealed_anew(before)) is not None]
        with self._transactions() as tx:
            saved = [save_resealed(tx, before, after) for before, after in anew if after != before]
        return any(saved)

    def _sealed_anew(self, card: Card) -> Card | None:
        if card.id in self.refused:
            return None
        try:
            anew = reseal_card(self._enclave, card)
        except EnclaveRefused as refused:
            if refused.code not in _ABOUT_ONE_CARD or len(self.refused) >= REFUSED_MAX:
                raise
            _log.warning("card.not_resealed id=%s code=%s", card.id, refused.code)
            self.refused.add(card.id)
            return None
        self._current = anew.key_id
        return anew
