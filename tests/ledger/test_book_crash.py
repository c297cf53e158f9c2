"""What was acknowledged stands, whatever breaks: a writer, the server, or the wire between them.

In short here; `make simulate` breaks them for as long as it is let.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.database import engine, migrate
from api.embedded import EmbeddedPostgres
from api.posting import PostingLane
from api.tries import Unreachable, in_tx
from ledger import book
from ledger.core.commands import Applied, Command, Exists, Leg, Result
from ledger.store.accounts import lock_accounts
from ledger.store.tx import Tx
from tests.conftest import Database
from tests.ledger.world import breaches
from tests.simulation import crash
from tests.simulation.crowd import FUNDS_MINOR, Purses, opened, transactions_of
from tests.simulation.cut import Cut, Wire, wire_to

KILLS = 2
STOPS = 2


# Writers ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_acknowledged_batch_of_a_killed_writer_is_lost_or_doubled_and_none_is_there_by_half(
    database: Database,
) -> None:
    orders = crash.scene(database.app_engine)
    crew: list[crash.Writer] = []

    for _ in range(KILLS):
        crew += crash.kill_writers(
            database.url("tallystick_app"), orders, after=lambda: 1 + secrets.randbelow(6)
        )
        crash.check(database.app_engine, orders, crew)

    assert sum(len(writer.done) for writer in crew) >= KILLS * crash.WRITERS
    assert crash.seal_all(database.app_engine, orders) > len(crew)


# The server -------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own: the others must not notice when it is stopped."""
    own = EmbeddedPostgres(tmp_path / "postgres")
    own.start()
    own.create_database("tallystick")
    migrate(own.url("tallystick_owner"))
    yield own
    own.stop(mode="immediate")


@pytest.mark.slow
def test_no_acknowledged_batch_is_lost_when_the_server_stops_at_once(server: EmbeddedPostgres) -> None:
    orders, crew = None, []

    for _ in range(STOPS):
        app = engine(server.url("tallystick_app"))
        orders = orders or crash.scene(app)
        app.dispose()
        crew += crash.lose_server(
            server.url("tallystick_app"), orders, after=3, lose=lambda: server.stop(mode="immediate")
        )
        server.start()
        again = engine(server.url("tallystick_app"))
        crash.check(again, orders, crew)
        crash.seal_all(again, orders)
        again.dispose()

    assert sum(len(writer.done) for writer in crew) >= 3 * STOPS * crash.WRITERS


# The wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def purses(database: Database) -> Purses:
    with opened(database.app_engine) as tx:
        return Purses(tx)


@pytest.fixture
def wire(database: Database) -> Iterator[Wire]:
    with wire_to(database.url("tallystick_app")) as wire:
        yield wire


@pytest.fixture
def distant(wire: Wire) -> Iterator[sa.Engine]:
    """Connections that go through the wire."""
    pool = engine(wire.url, pool_size=2)
    yield pool
    pool.dispose()


def commands(purses: Purses) -> list[list[Command]]:
    ask, (one, two, *_) = purses.ask, purses.places
    return [
        [ask.post("pay", Leg(one, two, 10))],
        [
            ask.hold("hold", two, amount_minor=20),
            ask.capture("take", "hold", Leg(two, one, 5)),
            ask.increase("more", "hold", amount_minor=1),
        ],
        [ask.post("rest", Leg(one, two, 10_000, up_to=True))],
    ]


def check_done_once(database: Database, purses: Purses) -> None:
    with opened(database.app_engine) as tx:
        assert breaches(tx, [purses.ask.programme_id]) == []
        one, two, *_ = (lock_accounts(tx, [place])[place] for place in purses.places)
    assert (one.posted_minor, two.posted_minor, two.held_minor) == (0, 2 * FUNDS_MINOR, 16)


@pytest.mark.parametrize(
    ("cut", "kind"), [(Cut.BEFORE_COMMIT, Applied), (Cut.BEFORE_ANSWER, Exists)], ids=str
)
def test_a_connection_cut_around_the_commit_is_resolved_by_posting_again(
    database: Database, purses: Purses, wire: Wire, distant: sa.Engine, cut: Cut, kind: type[Result]
) -> None:
    groups, tries = commands(purses), Counter[str]()

    def post(tx: Tx) -> tuple[tuple[Result, ...], ...]:
        tries["post"] += 1
        if tries["post"] == 1:
            wire.cut_at_next(cut)
        return book.post(tx, groups)

    results = in_tx(transactions_of(distant), post)

    assert (wire.cuts, tries["post"]) == (1, 2)
    assert {type(result) for group in results for result in group} == {kind}
    assert [result.moved_minor for group in results for result in group] == [10, 20, 5, 1, 295]  # type: ignore[union-attr]
    check_done_once(database, purses)


def test_the_posting_lane_resolves_a_lost_answer_by_itself(
    database: Database, purses: Purses, wire: Wire, distant: sa.Engine
) -> None:
    with PostingLane(transactions_of(distant), book.post) as lane:
        lane.submit([]).result(30)
        wire.cut_at_next(Cut.BEFORE_ANSWER)
        results = lane.submit(commands(purses)).result(30)

    assert wire.cuts == 1
    assert {type(result) for group in results for result in group} == {Exists}
    check_done_once(database, purses)


def test_a_caller_who_never_hears_an_answer_asks_again_and_it_is_done_once(
    database: Database, purses: Purses, wire: Wire, distant: sa.Engine
) -> None:
    """Without anybody who tries again: the first caller gets an error, and does not know."""
    wire_cut, groups = wire.cut_at_next, commands(purses)

    def once() -> None:
        with opened(distant) as tx:
            book.post(tx, groups)
            wire_cut(Cut.BEFORE_ANSWER)

    with pytest.raises(sa.exc.OperationalError):
        once()
    with opened(database.app_engine) as tx:
        results = book.post(tx, groups)

    assert {type(result) for group in results for result in group} == {Exists}
    check_done_once(database, purses)


def test_a_session_that_is_terminated_before_its_commit_has_done_nothing_and_is_tried_again(
    database: Database, purses: Purses
) -> None:
    groups, tries = commands(purses), Counter[str]()

    def post(tx: Tx) -> tuple[tuple[Result, ...], ...]:
        tries["post"] += 1
        results = book.post(tx, groups)
        if tries["post"] == 1:
            terminate(tx)
        return results

    results = in_tx(transactions_of(database.app_engine), post)

    assert tries["post"] == 2
    assert {type(result) for group in results for result in group} == {Applied}
    check_done_once(database, purses)


def terminate(tx: Tx) -> None:
    """Ends the session of a transaction from another one."""
    pid = tx.connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    with opened(tx.connection.engine) as other:
        assert other.rows(sa.text("SELECT pg_terminate_backend(:pid, 10000) AS gone"), {"pid": pid})


def test_a_database_that_stays_away_is_said_to_be_out_of_reach(
    database: Database, purses: Purses, wire: Wire, distant: sa.Engine
) -> None:
    def post(tx: Tx) -> tuple[tuple[Result, ...], ...]:
        wire.cut_at_next(Cut.BEFORE_COMMIT)
        return book.post(tx, commands(purses))

    with pytest.raises(Unreachable):
        in_tx(transactions_of(distant), post)

    with opened(database.app_engine) as tx:
        assert lock_accounts(tx, purses.places)[purses.places[0]].posted_minor == FUNDS_MINOR
