"""A batch decided while the one before it is written: right if that one comes to stay, and decided again if not."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest
import sqlalchemy as sa

from api.posting import PostGroups
from ledger import book
from ledger.ahead import Ahead
from ledger.core.chart import Code
from ledger.core.commands import Command, Leg, Refusal
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, TransferId
from ledger.store.accounts import lock_accounts
from ledger.store.periods import settle
from ledger.store.schema import transfers
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database
from tests.ledger.model import Answer, answer_of
from tests.ledger.world import breaches, wait_until_blocked
from tests.simulation.crowd import FUNDS_MINOR, Purses, opened

WAIT_S = 30


class TakenBack(Exception):
    """What a transaction was to do is not to stay."""


@dataclass
class Counter:
    """A book with four purses, and a door at which one batch is decided ahead of another."""

    engine: sa.Engine
    purses: Purses
    ahead: Ahead = field(default_factory=lambda: Ahead(rest=0))

    def ask(self, *commands: Command, post: PostGroups | None = None) -> list[Answer]:
        """A batch in a transaction of its own."""
        with opened(self.engine) as tx:
            return self.answers(tx, *commands, post=post)

    def answers(self, tx: Tx, *commands: Command, post: PostGroups | None = None) -> list[Answer]:
        """A batch in a transaction that may have others."""
        results = (post or self.ahead.post)(tx, [[command] for command in commands])
        return [answer_of(result) for (result,) in results]

    @contextmanager
    def under_way(self, *commands: Command, stays: bool = True) -> Iterator[list[Answer]]:
        """A batch whose transaction ends when the block does."""
        with nullcontext() if stays else pytest.raises(TakenBack), opened(self.engine) as tx:
            yield self.answers(tx, *commands)
            if not stays:
                raise TakenBack

    def behind(self, first: Command, *then: Command, stays: bool = True) -> list[Answer]:
        """The answers to a batch that was decided while another was under way."""
        with ThreadPoolExecutor(1) as thread:
            with self.under_way(first, stays=stays) as answers:
                assert answers == ["applied"]
                later = thread.submit(self.ask, *then)
                self.wait_until_decided()
            return later.result(WAIT_S)

    def available(self) -> list[int]:
        """What the purses have, and that the book is whole."""
        with opened(self.engine) as tx:
            assert breaches(tx, [self.purses.ask.programme_id]) == []
            found = lock_accounts(tx, self.purses.places)
        return [found[place].available_minor for place in self.purses.places]

    def answer_about(self, instant: datetime) -> None:
        """What was recorded until then is final."""
        with opened(self.engine) as tx:
            settle(tx, self.purses.ask.programme_id, instant)

    def recorded_at(self, transfer_id: TransferId) -> datetime:
        with opened(self.engine) as tx:
            row = tx.row(sa.select(transfers.c.recorded_at).where(transfers.c.id == transfer_id))
        assert row is not None
        return row["recorded_at"]

    def wait_until_decided(self) -> None:
        """Whoever has read all, and then asks for nothing, has decided."""
        query = sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle in transaction' AND query LIKE '%FROM transfers WHERE id = ANY%'"
        )
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with self.engine.connect() as connection:
                if connection.execute(query).scalar_one():
                    return
        raise AssertionError("nobody has decided ahead")


@pytest.fixture
def counter(database: Database) -> Counter:
    with opened(database.app_engine) as tx:
        return Counter(database.app_engine, Purses(tx))


def test_a_batch_is_decided_upon_what_the_one_under_way_will_leave(counter: Counter) -> None:
    ask, (one, two, three, _) = counter.purses.ask, counter.purses.places
    rich = ask.post("rich", Leg(two, one, FUNDS_MINOR))

    answers = counter.behind(
        rich,
        ask.post("spend", Leg(one, three, 2 * FUNDS_MINOR)),
        ask.post("too much", Leg(one, three, 1)),
        ask.post("of nothing", Leg(two, three, 1)),
    )

    assert answers == ["applied", Refusal.INSUFFICIENT_FUNDS, Refusal.INSUFFICIENT_FUNDS]
    assert counter.available()[:3] == [0, 0, 3 * FUNDS_MINOR]
    assert counter.ahead.decided_again == 0


def test_what_was_decided_upon_a_batch_that_did_not_stay_is_decided_again(counter: Counter) -> None:
    ask, (one, two, three, _) = counter.purses.ask, counter.purses.places
    rich = ask.post("rich", Leg(two, one, FUNDS_MINOR))

    answers = counter.behind(
        rich,
        ask.post("spend", Leg(one, three, 2 * FUNDS_MINOR)),
        ask.post("after all", Leg(two, three, 1)),
        stays=False,
    )

    assert answers == [Refusal.INSUFFICIENT_FUNDS, "applied"]
    assert counter.available()[:3] == [FUNDS_MINOR, FUNDS_MINOR - 1, FUNDS_MINOR + 1]
    assert counter.ahead.decided_again == 1


def test_a_stranger_in_the_place_of_a_batch_that_did_not_stay_is_noticed(counter: Counter) -> None:
    """Every account is at the version that was foreseen, and none of them is as it was foreseen."""
    ask, (one, two, three, _) = counter.purses.ask, counter.purses.places

    with ThreadPoolExecutor(2) as threads:
        with counter.under_way(ask.post("rich", Leg(two, one, FUNDS_MINOR)), stays=False):
            later = threads.submit(counter.ask, ask.post("spend", Leg(one, three, 1)))
            counter.wait_until_decided()
            takes_all = ask.post("stranger", Leg(one, two, FUNDS_MINOR))
            stranger = threads.submit(counter.ask, takes_all, post=book.post)
            wait_until_blocked(counter.engine)

        assert stranger.result(WAIT_S) == ["applied"]
        assert later.result(WAIT_S) == [Refusal.INSUFFICIENT_FUNDS]
    assert counter.available()[:3] == [0, 2 * FUNDS_MINOR, FUNDS_MINOR]
    assert counter.ahead.decided_again == 1


def test_a_stranger_who_moves_an_account_meanwhile_is_noticed(counter: Counter) -> None:
    ask, (one, two, three, four) = counter.purses.ask, counter.purses.places

    with ThreadPoolExecutor(1) as thread:
        with counter.under_way(ask.post("elsewhere", Leg(one, two, 1))):
            later = thread.submit(counter.ask, ask.post("spend", Leg(three, one, 1)))
            counter.wait_until_decided()
            stranger = ask.post("stranger", Leg(three, four, 20))
            assert counter.ask(stranger, post=book.post) == ["applied"]
        assert later.result(WAIT_S) == ["applied"]

    assert counter.available() == [FUNDS_MINOR, FUNDS_MINOR + 1, FUNDS_MINOR - 21, FUNDS_MINOR + 20]
    assert counter.ahead.decided_again == 1


def test_a_hold_under_way_can_be_captured(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places

    answers = counter.behind(
        ask.hold("hold", one, amount_minor=30),
        ask.capture("capture", "hold", Leg(one, two, 20)),
        ask.release("release", "hold"),
        ask.release("again", "hold"),
    )

    assert answers == ["applied", "applied", Refusal.HOLD_CLOSED]
    assert counter.available()[:2] == [FUNDS_MINOR - 20, FUNDS_MINOR + 20]
    assert counter.ahead.decided_again == 0


def test_a_hold_that_did_not_stay_cannot_be_captured(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places

    answers = counter.behind(
        ask.hold("hold", one, amount_minor=30),
        ask.capture("capture", "hold", Leg(one, two, 20)),
        stays=False,
    )

    assert answers == [Refusal.HOLD_UNKNOWN]


def test_a_hold_of_before_is_captured_while_another_is_captured(counter: Counter) -> None:
    ask, (one, two, three, _) = counter.purses.ask, counter.purses.places
    both = (ask.hold("mine", one, amount_minor=30), ask.hold("yours", three, amount_minor=30))
    assert counter.ask(*both, post=book.post) == ["applied", "applied"]

    answers = counter.behind(
        ask.capture("capture mine", "mine", Leg(one, two, 30)),
        ask.capture("capture yours", "yours", Leg(three, two, 20)),
        ask.release("nothing of mine", "mine"),
        ask.release("rest of yours", "yours"),
    )

    assert answers == ["applied", Refusal.HOLD_CLOSED, "applied"]
    assert counter.available()[:3] == [FUNDS_MINOR - 30, FUNDS_MINOR + 50, FUNDS_MINOR - 20]


@pytest.mark.parametrize(("stays", "answer"), [(True, "exists"), (False, "applied")])
def test_the_same_command_behind_itself_is_one_effect(
    counter: Counter, *, stays: bool, answer: Answer
) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places
    pay = ask.post("pay", Leg(one, two, 5))

    answers = counter.behind(pay, pay, ask.post("pay", Leg(one, two, 6)), stays=stays)

    assert answers == [answer, Refusal.ID_REUSED]
    assert counter.available()[:2] == [FUNDS_MINOR - 5, FUNDS_MINOR + 5]


def test_batches_that_came_to_stay_are_remembered_until_somebody_else_moves_their_accounts(
    counter: Counter,
) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places

    for number in range(10):
        assert counter.ask(ask.post(f"pay {number}", Leg(one, two, 1))) == ["applied"]
    assert counter.ahead.decided_again == 0

    assert counter.ask(ask.post("stranger", Leg(one, two, 1)), post=book.post) == ["applied"]
    assert counter.ask(ask.post("pay", Leg(one, two, 1))) == ["applied"]
    assert counter.ahead.decided_again == 1
    assert counter.available()[:2] == [FUNDS_MINOR - 12, FUNDS_MINOR + 12]


def test_after_a_mistake_it_looks_ahead_no_more_for_a_while(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places
    counter.ahead = Ahead(rest=2)
    mistakes = []

    for number in range(6):
        assert counter.ask(ask.post(f"pay {number}", Leg(one, two, 1))) == ["applied"]
        mistakes.append(counter.ahead.decided_again)
        assert counter.ask(ask.post(f"stranger {number}", Leg(one, two, 1)), post=book.post) == ["applied"]

    # Decided ahead, wrong the second time; two at rest; right, because it remembers nothing; wrong again.
    assert mistakes == [0, 1, 1, 1, 1, 2]


def test_what_looks_at_more_than_accounts_and_holds_is_decided_under_its_locks(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places
    new = AccountId("acct_" + "5" * 32)
    opening = ask.open("open", new, code=Code.SELLER, subdivision=("5",))

    assert counter.ask(ask.post("pay", Leg(one, two, 5))) == ["applied"]
    answers = counter.ask(
        ask.reverse("undo", "pay"), opening, ask.post("first", Leg(one, new, 1)), ask.freeze("freeze", two)
    )

    assert answers == ["applied"] * 4
    assert counter.ask(ask.post("frozen", Leg(two, one, 1))) == [Refusal.ACCOUNT_FROZEN]
    assert counter.available()[:2] == [FUNDS_MINOR - 1, FUNDS_MINOR]


def test_two_batches_in_one_transaction_do_not_wait_for_each_other(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places

    with counter.under_way(ask.post("pay", Leg(one, two, FUNDS_MINOR))) as answers:
        pass
    with opened(counter.engine) as tx:
        answers = counter.answers(tx, ask.post("back", Leg(two, one, FUNDS_MINOR)))
        answers += counter.answers(tx, ask.post("again", Leg(one, two, FUNDS_MINOR)))

    assert answers == ["applied", "applied"]
    assert counter.ask(ask.post("once more", Leg(one, two, 1))) == [Refusal.INSUFFICIENT_FUNDS]


def test_a_transaction_that_does_not_tell_how_it_ended_is_no_ground_for_anybody(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places

    with counter.engine.begin() as connection:
        tx = Tx(connection, MONDAY_MORNING, secrets.token_bytes)
        assert counter.answers(tx, ask.post("pay", Leg(one, two, 5))) == ["applied"]
        with ThreadPoolExecutor(1) as thread:
            elsewhere = ask.post("elsewhere", Leg(counter.purses.places[2], counter.purses.places[3], 5))
            assert thread.submit(counter.ask, elsewhere).result(WAIT_S) == ["applied"]


def test_a_batch_that_is_taken_back_to_a_savepoint_is_no_ground_for_anybody(counter: Counter) -> None:
    ask, (one, two, three, _) = counter.purses.ask, counter.purses.places

    with opened(counter.engine) as tx:
        savepoint = tx.connection.begin_nested()
        assert counter.answers(tx, ask.post("rich", Leg(two, one, FUNDS_MINOR))) == ["applied"]
        savepoint.rollback()
    stranger = ask.post("stranger", Leg(one, two, FUNDS_MINOR))
    assert counter.ask(stranger, post=book.post) == ["applied"]

    assert counter.ask(ask.post("spend", Leg(one, three, 1))) == [Refusal.INSUFFICIENT_FUNDS]
    assert counter.available()[:3] == [0, 2 * FUNDS_MINOR, FUNDS_MINOR]


def test_who_waits_in_vain_goes_on_under_the_locks(counter: Counter) -> None:
    """The one before may be waiting for something that this one has, where only the database sees it."""
    ask, (one, two, three, four) = counter.purses.ask, counter.purses.places
    counter.ahead = Ahead(rest=0, patience_s=0.05)

    with (
        counter.under_way(ask.post("slow", Leg(one, two, 5))),
        ThreadPoolExecutor(1) as thread,
    ):
        later = thread.submit(counter.ask, ask.post("elsewhere", Leg(three, four, 5)))
        assert later.result(WAIT_S) == ["applied"]

    assert counter.available() == [FUNDS_MINOR - 5, FUNDS_MINOR + 5, FUNDS_MINOR - 5, FUNDS_MINOR + 5]


def test_a_batch_that_cannot_be_kept_holds_up_nobody_behind_it(counter: Counter) -> None:
    ask, (one, two, _, _) = counter.purses.ask, counter.purses.places
    bad = replace(ask.post("bad", Leg(one, two, 1)), reference="\0")

    with pytest.raises(InvalidValue):
        counter.ask(bad)

    assert counter.ask(ask.post("good", Leg(one, two, 1))) == ["applied"]
    assert counter.available()[:2] == [FUNDS_MINOR - 1, FUNDS_MINOR + 1]


def test_who_closes_a_period_waits_for_those_who_have_decided_by_the_old_calendar(counter: Counter) -> None:
    ask, (one, two, three, _) = counter.purses.ask, counter.purses.places

    with ThreadPoolExecutor(2) as threads:
        with counter.under_way(ask.post("pay", Leg(one, two, 1))):
            later = threads.submit(counter.ask, ask.post("behind", Leg(two, three, 1)))
            counter.wait_until_decided()
            closing = threads.submit(counter.answer_about, MONDAY_MORNING)
            wait_until_blocked(counter.engine)
        assert later.result(WAIT_S) == ["applied"]
        closing.result(WAIT_S)

    assert counter.ask(ask.post("later", Leg(two, three, 1))) == ["applied"]
    assert counter.recorded_at(ask.xfr("behind")) == MONDAY_MORNING
    assert counter.recorded_at(ask.xfr("later")) > MONDAY_MORNING
