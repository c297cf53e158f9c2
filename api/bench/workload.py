"""The commands of the workloads, made before the clock starts: making them is the callers' work, not the book's.

Accounts are drawn from a seeded generator, so that every run posts the same pattern.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from random import Random

from api.bench.batches import Head, Make, make_batch
from api.bench.market import Market
from api.bench.mint import Mint
from api.bench.scale import BATCH
from api.bench.writers import Batch, Work
from ledger.core.commands import Authority, Capture, Hold, Leg, Post, Release
from ledger.core.ids import AccountId, NoticeId, TransferId

AMOUNT_MINOR_MAX = 1_000
HELD_MINOR = 100
SOLD_MINOR = (60, 30)  # to the two sellers; what is left of the hold is released


class Workload:
    """Makes commands for one market."""

    def __init__(self, market: Market, mint: Mint, random: Random) -> None:
        self.market = market
        self._mint = mint
        self._random = random

    def bulk(self, works: int) -> list[Work]:
        """Batches of single-leg posts from any wallet to any other, all equally likely."""
        legs = self._uniform(self.market.wallets)
        return [self._posts(legs) for _ in range(works)]

    def hot(self, works: int) -> list[Work]:
        """The same with one wallet on every other leg, giving and taking in turn."""
        legs = self._half_on(self.market.wallets[0], self.market.wallets[1:])
        return [self._posts(legs) for _ in range(works)]

    def checkouts(self, works: int, checkouts: int) -> list[Work]:
        """Lots of carts: a batch of holds, a batch of captures to two sellers each, a batch of releases of the rest."""
        return [self._lot(checkouts) for _ in range(works)]

    def singles(self, number: int, notice_id: NoticeId) -> list[Post]:
        """Posts for callers who come one by one, all under one notice; effective when they were made."""
        head = Head(
            self._mint, self.market.programme_id, Authority(notice_id=notice_id), self._mint.instant()
        )
        return [_post(head, leg) for leg in islice(self._uniform(self.market.wallets), number)]

    def _posts(self, legs: Iterator[Leg]) -> Work:
        batch = self._batch(lambda head: (_post(head, leg) for leg in islice(legs, BATCH)))
        return Work((batch,), BATCH)

    def _lot(self, checkouts: int) -> Work:
        payers = [self._one_of(self.market.wallets) for _ in range(checkouts)]
        holds = self._batch(lambda head: (_hold(head, payer) for payer in payers))
        held = [(group[0].id, payer) for group, payer in zip(holds.groups, payers, strict=True)]
        captures = self._batch(lambda head: (self._capture(head, hold_id, payer) for hold_id, payer in held))
        releases = self._batch(lambda head: (_release(head, hold_id) for hold_id, _ in held))
        return Work((holds, captures, releases), checkouts)

    def _batch(self, make: Make) -> Batch:
        return make_batch(self._mint, self.market.programme_id, make)

    def _capture(self, head: Head, hold_id: TransferId, payer: AccountId) -> Capture:
        first, second = self._two_of(self.market.sellers)
        legs = (Leg(payer, first, SOLD_MINOR[0]), Leg(payer, second, SOLD_MINOR[1]))
        return Capture(**head.common(), hold_id=hold_id, legs=legs, final=False)

    def _uniform(self, accounts: Sequence[AccountId]) -> Iterator[Leg]:
        while True:
            debit, credit = self._two_of(accounts)
            yield Leg(debit, credit, self._amount_minor())

    def _half_on(self, hot: AccountId, others: Sequence[AccountId]) -> Iterator[Leg]:
        uniform = self._uniform(others)
        for turn in count():
            leg = next(uniform)
            match turn % 4:
                case 0:
                    yield Leg(hot, leg.credit, leg.amount_minor)
                case 2:
                    yield Leg(leg.debit, hot, leg.amount_minor)
                case _:
                    yield leg

    def _amount_minor(self) -> int:
        return 1 + int(self._random.random() * AMOUNT_MINOR_MAX)

    def _one_of(self, accounts: Sequence[AccountId]) -> AccountId:
        return accounts[int(self._random.random() * len(accounts))]

    def _two_of(self, accounts: Sequence[AccountId]) -> tuple[AccountId, AccountId]:
        first = int(self._random.random() * len(accounts))
        further = 1 + int(self._random.random() * (len(accounts) - 1))
        return accounts[first], accounts[(first + further) % len(accounts)]


def _post(head: Head, leg: Leg) -> Post:
    return Post(**head.common(), legs=(leg,))


def _hold(head: Head, payer: AccountId) -> Hold:
    return Hold(**head.common(), account_id=payer, amount_minor=HELD_MINOR, expires_at=None)


def _release(head: Head, hold_id: TransferId) -> Release:
    return Release(**head.common(under_authority=False), hold_id=hold_id, amount_minor=None)
