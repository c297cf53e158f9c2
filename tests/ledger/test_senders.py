"""Who sends shows that it lives by a connection of its own; what it left when it died, another one takes over."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ledger.core.payout import PayoutState, PayoutTrigger
from ledger.flows import payout_sending, payouts
from ledger.flows.payout_sending import Conclusion
from ledger.store.payouts import Attempt, Payout, Signed, attempts_of, read_payouts
from ledger.store.senders import hold_sender_lock
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx
from tests.ledger.world import World, build_world, clear, fund, payout_order

ONE, OTHER = 11, 12
TUESDAY = MONDAY_MORNING + timedelta(days=1)


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "hotel", amount_minor=1_000)
        return world


@contextmanager
def living(database: Database, sender: int) -> Iterator[sa.Connection]:
    """A sender that lives as long as this lasts."""
    with database.app_engine.connect() as connection:
        hold_sender_lock(connection, sender)
        connection.commit()
        yield connection
        connection.invalidate()


def submitted_by(tx: Tx, world: World, sender: int, reference: str = "payout-1") -> tuple[Payout, Attempt]:
    order = payout_order(tx, world, "hotel", amount_minor=10, reference=reference)
    (payout,) = payouts.order(tx, [clear(tx, order)])
    assert isinstance(payout, Payout)
    [opened] = payout_sending.submit(tx, [payout], sender=sender)
    return opened


def keep_signed(tx: Tx, attempt: Attempt) -> bool:
    return bool(payout_sending.keep_signed(tx, [Signed(attempt.id, b"{}", "s")]))


def state_of(tx: Tx, payout: Payout) -> PayoutState:
    return read_payouts(tx, [payout.id])[payout.id].state


def test_what_a_living_sender_has_taken_up_is_nobody_elses(
    open_tx: OpenTx, world: World, database: Database
) -> None:
    with living(database, ONE):
        with open_tx() as tx:
            payout, attempt = submitted_by(tx, world, ONE)
            keep_signed(tx, attempt)
        with open_tx(TUESDAY) as tx:
            assert payout_sending.take_over(tx, sender=OTHER) == []
            assert state_of(tx, payout) is PayoutState.SUBMITTED


def test_what_a_dead_sender_had_not_signed_is_taken_over_and_sent_under_the_same_attempt(
    open_tx: OpenTx, world: World, database: Database
) -> None:
    with living(database, ONE), open_tx() as tx:
        payout, attempt = submitted_by(tx, world, ONE)
    with living(database, OTHER):
        with open_tx() as tx:
            [(found, taken)] = payout_sending.take_over(tx, sender=OTHER)
            assert (found.id, taken.id) == (payout.id, attempt.id)
            assert keep_signed(tx, taken)
        with open_tx() as tx:
            # It has an owner who lives now, and a third one finds nothing.
            assert payout_sending.take_over(tx, sender=13) == []
            assert len(attempts_of(tx, [payout.id])[payout.id]) == 1


def test_of_what_a_dead_sender_had_kept_signed_the_bank_may_have_everything(
    open_tx: OpenTx, world: World, database: Database
) -> None:
    with living(database, ONE), open_tx() as tx:
        payout, attempt = submitted_by(tx, world, ONE)
        keep_signed(tx, attempt)
    with open_tx() as tx:
        assert payout_sending.take_over(tx, sender=OTHER) == []
        assert state_of(tx, payout) is PayoutState.UNKNOWN
        assert payout_sending.submit(tx, [read_payouts(tx, [payout.id])[payout.id]], sender=OTHER) == []


def test_a_sender_that_was_only_slow_finds_its_attempt_taken(
    open_tx: OpenTx, world: World, database: Database
) -> None:
    """Its connection broke, and it went on: the one that took over has kept a request, or the outcome."""
    with living(database, ONE), open_tx() as tx:
        payout, attempt = submitted_by(tx, world, ONE)
        second, unsigned = submitted_by(tx, world, ONE, "payout-2")
        keep_signed(tx, attempt)
    with open_tx() as tx:
        [(_, taken)] = payout_sending.take_over(tx, sender=OTHER)
        assert keep_signed(tx, taken)
    with open_tx() as tx:
        assert not keep_signed(tx, unsigned)
        payout_sending.conclude(tx, [Conclusion(attempt, PayoutTrigger.NOT_SENT, "no connection")])
        assert state_of(tx, payout) is PayoutState.UNKNOWN
        assert state_of(tx, second) is PayoutState.SUBMITTED


def test_two_that_take_over_at_once_do_not_take_the_same(
    open_tx: OpenTx, world: World, database: Database
) -> None:
    with living(database, ONE), open_tx() as tx:
        submitted_by(tx, world, ONE)
    with open_tx() as here, open_tx() as there:
        assert len(payout_sending.take_over(here, sender=OTHER)) == 1
        assert payout_sending.take_over(there, sender=13) == []


def test_many_are_concluded_in_as_many_statements_as_one(
    open_tx: OpenTx, world: World, database: Database
) -> None:
    counts = []
    for many in (1, 20):
        with open_tx() as tx:
            opened = [submitted_by(tx, world, ONE, f"{many}-{place}") for place in range(many)]
        with open_tx() as tx, _counted(database) as statements:
            payout_sending.conclude(tx, [Conclusion(attempt, PayoutTrigger.ACCEPT) for _, attempt in opened])
        counts.append(len(statements))

    assert counts[0] == counts[1]


@contextmanager
def _counted(database: Database) -> Iterator[list[str]]:
    said: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        said.append(statement)

    sa.event.listen(database.app_engine, "before_cursor_execute", note)
    yield said
    sa.event.remove(database.app_engine, "before_cursor_execute", note)
