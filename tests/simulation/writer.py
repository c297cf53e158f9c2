"""A writer in a process of its own, made to be killed: posts batch after batch and says what was acknowledged.

Says `begun N` before it posts its batch N and `done N` once the commit is durable, each on a line of its own that is
out of the process at once. What becomes of a batch that was begun and not done, only the database knows.
"""

import secrets
import sys
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from api.database import engine
from ledger import book
from ledger.core.commands import Applied, Authority, Command, Leg
from ledger.core.ids import AccountId, NoticeId, ProgrammeId
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING
from tests.ledger.world import Asker

LOST = 3
BATCHES_MAX = 100_000


@dataclass(frozen=True)
class Orders:
    """Who writes, on whose behalf, and between which accounts."""

    programme_id: str
    notice_id: str
    bank: str
    wallets: tuple[str, str]

    def arguments(self) -> list[str]:
        """As they stand on a command line."""
        return [self.programme_id, self.notice_id, self.bank, *self.wallets]

    @staticmethod
    def read(arguments: list[str]) -> "Orders":
        """From a command line."""
        programme_id, notice_id, bank, here, there = arguments
        return Orders(programme_id, notice_id, bank, (here, there))

    def batch(self, name: str, number: int) -> list[list[Command]]:
        """Money in, a hold of it, part of it captured and the rest given back: groups of one transaction."""
        ask = Asker(ProgrammeId(self.programme_id), Authority(notice_id=NoticeId(self.notice_id)))
        bank, here, there = map(AccountId, (self.bank, *self.wallets))
        this = f"{name} {number}"
        return [
            [ask.post(f"{this} post", Leg(bank, here, 7), Leg(here, there, 2))],
            [
                ask.hold(f"{this} hold", here, amount_minor=5),
                ask.capture(f"{this} capture", f"{this} hold", Leg(here, there, 3)),
            ],
            [ask.release(f"{this} release", f"{this} hold")],
        ]


def main(url: str, name: str, *arguments: str) -> int:
    """Writes until it is killed, or until the database is gone."""
    orders, pool = Orders.read(list(arguments)), engine(url, pool_size=1)
    for number in range(BATCHES_MAX):
        _say(f"begun {number}")
        try:
            with pool.begin() as connection:
                now = MONDAY_MORNING + timedelta(seconds=number)
                results = book.post(Tx(connection, now, secrets.token_bytes), orders.batch(name, number))
                assert all(isinstance(result, Applied) for group in results for result in group), results
        except sa.exc.DBAPIError:
            return LOST
        _say(f"done {number}")
    return 0


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
