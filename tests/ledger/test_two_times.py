"""Two times: what the book knew at an instant, what holds by value date, and that an answer is never taken back.

The state of a random history is compared with a plain sum over all that was ever posted. Finality is tried with real
concurrent transactions: writers that start before an answer and commit after it.
"""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import present
from ledger.core.account import Movement
from ledger.core.commands import Applied, Result
from ledger.core.errors import InvalidValue, NotFound
from ledger.core.ids import AccountId, ProgrammeId, TransferId
from ledger.flows.periods import settle_past
from ledger.reports.balances import account_balance, account_balance_by_value_date
from ledger.reports.statements import DatedStatement, statement, statement_by_value_date
from ledger.reports.trial_balance import trial_balance
from ledger.store.history import StatementEntry
from ledger.store.periods import read_horizon, settle, share_calendars
from ledger.store.tx import Tx
from tests.conftest import Database, OpenTx
from tests.ledger.chronicle import Chronicle, analyse, ask, begin, done, minutes, plan_of
from tests.ledger.world import wait_until_blocked

WAIT_S = 30
LEAST = timedelta(microseconds=1)

# A random history, and the plain sum over it -------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """One leg as it was posted: its accounts by place, its amount, and its two times in minutes."""

    debit: int
    credit: int
    amount_minor: int
    effective: float
    recorded: float


facts = st.builds(
    Fact,
    debit=st.integers(0, 1),
    credit=st.integers(2, 3),
    amount_minor=st.integers(1, 1_000),
    # Half of all legs are effective when they are recorded; the others within some minutes of it, or far from it.
    effective=st.one_of(st.none(), st.integers(-3, 12), st.sampled_from([-10_000, 10_000])),
    recorded=st.integers(1, 9),
).map(
    lambda fact: (
        fact
        if fact.effective is not None
        else Fact(fact.debit, fact.credit, fact.amount_minor, fact.recorded, fact.recorded)
    )
)
histories = st.lists(facts, max_size=14).map(lambda history: sorted(history, key=lambda fact: fact.recorded))


def played(tx_at: OpenTx, history: list[Fact]) -> Chronicle:
    """A programme of its own in which this has happened."""
    with tx_at(minutes(0)) as tx:
        ours = begin(tx, name=f"pay-{tx.new_id('prg')[-16:]}")
    for recorded, together in groupby(history, key=lambda fact: fact.recorded):
        with tx_at(minutes(recorded)) as tx:
            done(
                tx,
                *(
                    ours.transfer(
                        tx, (fact.debit, fact.credit, fact.amount_minor), effective_at=minutes(fact.effective)
                    )
                    for fact in together
                ),
            )
    return ours


def net_of(history: list[Fact], place: int, *, effective: float = 1e9, recorded: float = 1e9) -> int:
    """Debits less credits of one account, by looking at everything."""
    return sum(
        fact.amount_minor * ((fact.debit == place) - (fact.credit == place))
        for fact in history
        if fact.effective <= effective and fact.recorded <= recorded
    )


@pytest.fixture
def tx_at(open_tx: OpenTx) -> OpenTx:
    return open_tx


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, place=st.integers(0, 3), at=st.integers(0, 11))
def test_balance_as_known_at_an_instant_is_the_sum_of_what_was_recorded_by_then(
    tx_at: OpenTx, history: list[Fact], place: int, at: int
) -> None:
    ours = played(tx_at, history)

    with tx_at(minutes(20)) as tx:
        found = account_balance(tx, ours.programme_id, ours.accounts[place], recorded_at=minutes(at))

    assert found.net_minor == net_of(history, place, recorded=at)


value_dates = st.one_of(st.integers(-4, 13), st.sampled_from([-20_000, 20_000]))
questions = st.lists(
    st.tuples(st.integers(0, 3), value_dates, st.one_of(st.none(), st.integers(-1, 11))),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, asked=questions)
def test_balance_by_value_date_is_the_sum_of_what_was_effective_and_known(
    tx_at: OpenTx, history: list[Fact], asked: list[tuple[int, int, int | None]]
) -> None:
    ours = played(tx_at, history)

    with tx_at(minutes(20)) as tx:
        for place, effective, known in asked:
            found = account_balance_by_value_date(
                tx,
                ours.programme_id,
                ours.accounts[place],
                effective_at=minutes(effective),
                recorded_at=None if known is None else minutes(known),
            )

            recorded = 1e9 if known is None else known
            net_minor = found.debits_minor - found.credits_minor
            assert net_minor == net_of(history, place, effective=effective, recorded=recorded)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, at=st.integers(0, 11))
def test_trial_balance_of_any_past_instant_sums_to_zero(tx_at: OpenTx, history: list[Fact], at: int) -> None:
    ours = played(tx_at, history)

    with tx_at(minutes(20)) as tx:
        report = trial_balance(tx, ours.programme_id, at=minutes(at))

    assert report.sums_minor == {"EUR": 0}
    assert {row.account_id: row.net_minor for row in report.rows} == {
        account_id: net_of(history, place, recorded=at) for place, account_id in enumerate(ours.accounts)
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, place=st.integers(0, 3), data=st.data())
def test_statement_by_value_date_shows_each_movement_once_and_leads_from_opening_to_closing(
    tx_at: OpenTx, history: list[Fact], place: int, data: st.DataObject
) -> None:
    ours = played(tx_at, history)
    start = data.draw(st.integers(-4, 12), "start")
    end = start + data.draw(st.integers(1, 8), "length")
    known = data.draw(st.integers(0, 11), "known")
    limit = data.draw(st.integers(1, 4), "limit")

    with tx_at(minutes(20)) as tx:
        pages = list(dated_pages(tx, ours, place, start=start, end=end, known=known, limit=limit))

    lines = [line for page in pages for line in page.entries]
    opening, closing = pages[0].opening_minor, pages[0].closing_minor
    assert {(page.opening_minor, page.closing_minor) for page in pages} == {(opening, closing)}
    assert [(line.effective_at, line.version) for line in lines] == sorted(
        {(line.effective_at, line.version) for line in lines}
    )
    wanted = sorted(
        (minutes(fact.effective), fact.amount_minor)
        for fact in history
        if start <= fact.effective < end and fact.recorded <= known and place in {fact.debit, fact.credit}
    )
    assert sorted((line.effective_at, line.amount_minor) for line in lines) == wanted
    grows_on = Movement.DEBIT if ours.accounts[place] in debit_accounts(tx_at, ours) else Movement.CREDIT
    moved = sum(line.amount_minor if line.movement is grows_on else -line.amount_minor for line in lines)
    assert opening + moved == closing


def dated_pages(
    tx: Tx, ours: Chronicle, place: int, *, start: float, end: float, known: float, limit: int
) -> Iterator[DatedStatement]:
    after = 0
    while True:
        page = statement_by_value_date(
            tx,
            ours.programme_id,
            ours.accounts[place],
            starts_at=minutes(start),
            ends_at=minutes(end),
            recorded_at=minutes(known),
            after=after,
            limit=limit,
        )
        yield page
        if len(page.entries) < limit:
            return
        after = page.entries[-1].version


def debit_accounts(tx_at: OpenTx, ours: Chronicle) -> set[AccountId]:
    with tx_at() as tx:
        rows = trial_balance(tx, ours.programme_id).rows
    return {row.account_id for row in rows if row.account_class in {"asset", "expense"}}


# Instants and their edges ----------------------------------------------------------------------------------------


def test_an_entry_is_known_from_its_own_instant_on(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    with open_tx(minutes(5)) as tx:
        ours.move(tx, (0, 1, 100))

    with open_tx(minutes(9)) as tx:
        before, on = (
            account_balance(tx, ours.programme_id, ours.accounts[1], recorded_at=instant)
            for instant in (minutes(5) - LEAST, minutes(5))
        )

    assert (before.posted_minor, on.posted_minor) == (0, 100)
    assert (before.version, on.version) == (1, 2)


def test_an_account_had_nothing_before_it_was_opened(open_tx: OpenTx) -> None:
    with open_tx(minutes(1)) as tx:
        ours = begin(tx)

    with open_tx(minutes(2)) as tx:
        found = account_balance(tx, ours.programme_id, ours.accounts[0], recorded_at=minutes(1) - LEAST)
        report = trial_balance(tx, ours.programme_id, at=minutes(1) - LEAST)

    assert (found.version, found.net_minor, found.held_minor) == (0, 0, 0)
    assert report.rows == ()


def test_what_was_held_has_a_history(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
        ours.move(tx, (0, 1, 100))
    with open_tx(minutes(5)) as tx:
        done(tx, ours.hold(tx, 1, 30))

    with open_tx(minutes(9)) as tx:
        before, after = (
            account_balance(tx, ours.programme_id, ours.accounts[1], recorded_at=instant)
            for instant in (minutes(4), minutes(5))
        )

    assert (before.posted_minor, before.held_minor, before.available_minor) == (100, 0, 100)
    assert (after.posted_minor, after.held_minor, after.available_minor) == (100, 30, 70)


def test_backdating_changes_the_value_date_and_not_what_was_known(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    with open_tx(minutes(10)) as tx:
        ours.move(tx, (0, 1, 100), effective_at=minutes(5))

    def by_value_date(tx: Tx, *, known: float | None) -> int:
        return account_balance_by_value_date(
            tx,
            ours.programme_id,
            ours.accounts[1],
            effective_at=minutes(5),
            recorded_at=None if known is None else minutes(known),
        ).posted_minor

    with open_tx(minutes(20)) as tx:
        known_then = account_balance(tx, ours.programme_id, ours.accounts[1], recorded_at=minutes(5))
        assert known_then.posted_minor == 0
        assert by_value_date(tx, known=None) == 100
        assert by_value_date(tx, known=10) == 100
        assert by_value_date(tx, known=9) == 0


@pytest.mark.parametrize(("recorded", "effective"), [(3, 5), (5, 5), (8, 5)])
def test_a_movement_is_effective_from_its_own_value_date_on(
    open_tx: OpenTx, recorded: int, effective: int
) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    with open_tx(minutes(recorded)) as tx:
        ours.move(tx, (0, 1, 100), effective_at=minutes(effective))

    with open_tx(minutes(20)) as tx:
        before, on = (
            account_balance_by_value_date(
                tx, ours.programme_id, ours.accounts[1], effective_at=date, recorded_at=minutes(9)
            ).posted_minor
            for date in (minutes(effective) - LEAST, minutes(effective))
        )
        unknown, known = (
            account_balance_by_value_date(
                tx, ours.programme_id, ours.accounts[1], effective_at=minutes(10), recorded_at=instant
            ).posted_minor
            for instant in (minutes(recorded) - LEAST, minutes(recorded))
        )

    assert (before, on) == (0, 100)
    assert (unknown, known) == (0, 100)


def test_what_is_to_come_is_refused_by_its_field(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
        settle_past(tx, ours.programme_id, minutes(0), field="recorded_at")

        with pytest.raises(InvalidValue) as refused:
            settle_past(tx, ours.programme_id, minutes(0) + LEAST, field="recorded_at")

        assert refused.value.field == "recorded_at"
        assert read_horizon(tx, ours.programme_id) == minutes(0)


def test_the_horizon_only_rises(open_tx: OpenTx) -> None:
    with open_tx(minutes(30)) as tx:
        ours = begin(tx)
        settle(tx, ours.programme_id, minutes(20))
        settle(tx, ours.programme_id, minutes(10))

        assert read_horizon(tx, ours.programme_id) == minutes(20)


def test_statement_pages_go_by_version_and_end_where_the_instant_ends(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    for minute in range(1, 8):
        with open_tx(minutes(minute)) as tx:
            ours.move(tx, (0, 1, minute))

    with open_tx(minutes(9)) as tx:
        pages: list[list[StatementEntry]] = []
        after = 0
        while not pages or pages[-1]:
            page = statement(
                tx, ours.programme_id, ours.accounts[1], after=after, limit=3, recorded_at=minutes(5)
            )
            pages.append(page)
            after = page[-1].version if page else after

    assert [[entry.version for entry in page] for page in pages] == [[1, 2, 3], [4, 5, 6], []]
    assert [entry.amount_minor for page in pages for entry in page] == [0, 1, 2, 3, 4, 5]


def test_a_statement_takes_no_cursor_of_another_account(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)

        with pytest.raises(InvalidValue) as refused:
            statement_by_value_date(
                tx, ours.programme_id, ours.accounts[0],
                starts_at=minutes(0), ends_at=minutes(1), recorded_at=minutes(0), after=99, limit=1,
            )  # fmt: skip

    assert refused.value.field == "after"


def test_a_range_that_ends_before_it_starts_is_refused(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)

        with pytest.raises(InvalidValue) as refused:
            statement_by_value_date(
                tx, ours.programme_id, ours.accounts[0],
                starts_at=minutes(1), ends_at=minutes(1), recorded_at=minutes(0), after=0, limit=1,
            )  # fmt: skip

    assert refused.value.field == "effective_until"


def test_accounts_of_another_programme_have_no_past_for_us(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours, theirs = begin(tx), begin(tx, name="pay-uk")
        account_id = theirs.accounts[0]

        asked: list[Callable[[], object]] = [
            lambda: account_balance(tx, ours.programme_id, account_id, recorded_at=None),
            lambda: account_balance(tx, ours.programme_id, account_id, recorded_at=minutes(0)),
            lambda: account_balance_by_value_date(
                tx, ours.programme_id, account_id, effective_at=minutes(0), recorded_at=None
            ),
            lambda: statement(tx, ours.programme_id, account_id, after=0, limit=1),
            lambda: statement_by_value_date(
                tx, ours.programme_id, account_id,
                starts_at=minutes(0), ends_at=minutes(1), recorded_at=minutes(0), after=0, limit=1,
            ),
        ]  # fmt: skip
        for question in asked:
            with pytest.raises(NotFound):
                question()
        assert not {row.account_id for row in trial_balance(tx, ours.programme_id).rows} & set(
            theirs.accounts
        )


# Finality, with transactions that run at once ------------------------------------------------------------------


@dataclass
class Asked:
    """Questions about the past and the answers they got, as the bytes that a caller would have been sent."""

    open_tx: OpenTx
    ours: Chronicle
    answers: dict[datetime, bytes] = field(default_factory=dict)

    def ask(self, at: datetime, *, now: datetime) -> bytes:
        """Settles an instant and then looks, as the API does."""
        with self.open_tx(now) as tx:
            settle_past(tx, self.ours.programme_id, at, field="at")
        with self.open_tx(now) as tx:
            return answer(tx, self.ours.programme_id, at)

    def keep(self, at: datetime, *, now: datetime) -> None:
        self.answers[at] = self.ask(at, now=now)

    def check(self, *, now: datetime) -> None:
        """Every answer is given again, to the byte."""
        for at, first in self.answers.items():
            assert self.ask(at, now=now) == first, at


def answer(tx: Tx, programme_id: ProgrammeId, at: datetime) -> bytes:
    report = trial_balance(tx, programme_id, at=at)
    entries = [
        present.entry(line)
        for row in report.rows
        for line in statement(tx, programme_id, row.account_id, after=0, limit=1_000, recorded_at=at)
    ]
    dated = [
        present.dated_balance(
            account_balance_by_value_date(tx, programme_id, row.account_id, effective_at=at, recorded_at=at),
            effective_at=at,
            recorded_at=at,
        )
        for row in report.rows
    ]
    return json.dumps([present.trial_balance(report), entries, dated]).encode()


@contextmanager
def at_once() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


def test_a_writer_that_began_first_and_commits_last_is_waited_for(
    open_tx: OpenTx, database: Database
) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    asked = Asked(open_tx, ours)
    at = minutes(5)

    with at_once() as pool:
        with open_tx(minutes(4)) as writer:  # began before the instant, and has posted
            ours.move(writer, (0, 1, 100))
            question: Future[bytes] = pool.submit(asked.ask, at, now=minutes(6))
            wait_until_blocked(database.app_engine)
            assert not question.done()
        first = question.result(WAIT_S)

    assert json.loads(first)[0]["sum_minor"] == {"EUR": 0}
    assert {row["net_minor"] for row in json.loads(first)[0]["rows"]} == {100, -100, 0}
    assert asked.ask(at, now=minutes(9)) == first


def test_a_writer_that_began_before_an_answer_and_posts_after_it_is_recorded_behind_it(
    open_tx: OpenTx,
) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    asked = Asked(open_tx, ours)
    at = minutes(5)

    with open_tx(minutes(4)) as writer:  # its clock says 4, and it has done nothing yet
        writer.row(sa.text("SELECT 1 AS begun"))
        first = asked.ask(at, now=minutes(6))
        result = ask(writer, ours.transfer(writer, (0, 1, 100)))

    assert isinstance(result, Applied), result
    assert result.recorded_at > at
    assert asked.ask(at, now=minutes(9)) == first
    with open_tx(minutes(9)) as tx:
        later = account_balance(tx, ours.programme_id, ours.accounts[1], recorded_at=result.recorded_at)
        assert later.posted_minor == 100


def test_inverted_start_and_commit_order_changes_no_answer(open_tx: OpenTx, database: Database) -> None:
    """The writer that is first by the clock commits last, after another on the same account and after the answer."""
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    asked = Asked(open_tx, ours)

    with at_once() as pool:
        with open_tx(minutes(3)) as slow:
            slow.row(sa.text("SELECT 1 AS begun"))
            with open_tx(minutes(4)) as quick:
                ours.move(quick, (0, 1, 40))
            asked.keep(minutes(4), now=minutes(6))
            late = ask(slow, ours.transfer(slow, (0, 1, 3)))
            # Asked while the late writer has posted and not committed: the answer about its instant waits for it.
            question = pool.submit(asked.keep, minutes(6), now=minutes(7))
            wait_until_blocked(database.app_engine)
        question.result(WAIT_S)

    assert isinstance(late, Applied)
    assert late.recorded_at > minutes(4)
    asked.check(now=minutes(9))
    four, six = (json.loads(asked.answers[minutes(minute)])[0]["rows"] for minute in (4, 6))
    assert ({row["net_minor"] for row in four}, {row["net_minor"] for row in six}) == (
        {40, -40, 0},
        {43, -43, 0},
    )


def test_asking_again_takes_no_lock(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    asked = Asked(open_tx, ours)
    asked.keep(minutes(5), now=minutes(6))

    with open_tx(minutes(7)) as writer:
        ours.move(writer, (0, 1, 100))  # holds the calendar's lock until it commits
        asked.check(now=minutes(8))  # would wait for ever
        with open_tx(minutes(8)) as tx:
            settle(tx, ours.programme_id, minutes(2))


def test_another_programme_is_not_waited_for(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours, theirs = begin(tx), begin(tx, name="pay-uk")
    asked = Asked(open_tx, ours)

    with open_tx(minutes(4)) as writer:
        theirs.move(writer, (0, 1, 100))
        asked.keep(minutes(5), now=minutes(6))  # would wait for ever

    asked.check(now=minutes(7))


def test_answers_given_while_writers_run_in_any_order_stay_to_the_byte(open_tx: OpenTx) -> None:
    """Six writers whose clocks are up to a minute apart, and two who ask: no answer is ever taken back."""
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    asked = [Asked(open_tx, ours), Asked(open_tx, ours)]
    barrier = threading.Barrier(8)
    applied: list[TransferId] = []

    def write(writer: int) -> None:
        barrier.wait(WAIT_S)
        for turn in range(12):
            # The clocks disagree, and now and then one stands still.
            now = minutes(1 + turn + (writer * 7 + turn * 3) % 10 / 10)
            with open_tx(now) as tx:
                backdated = now - timedelta(minutes=turn % 4)
                leg = (writer % 2, 2 + writer % 2, 1 + turn)
                transfer = ours.transfer(tx, leg, effective_at=backdated)
                assert isinstance(ask(tx, transfer), Applied)
                applied.append(transfer.id)

    def question(asker: Asked, shift: float) -> None:
        barrier.wait(WAIT_S)
        for turn in range(10):
            at = minutes(1 + turn + shift)
            asker.keep(at, now=at)

    with at_once() as pool:
        running = [pool.submit(write, writer) for writer in range(6)]
        running += [
            pool.submit(question, asker, shift) for asker, shift in zip(asked, (0.3, 0.7), strict=True)
        ]
        for each in running:
            each.result(WAIT_S)

    assert len(applied) == 72
    for asker in asked:
        assert len(asker.answers) == 10
        asker.check(now=minutes(60))
        for given_ in asker.answers.values():
            assert json.loads(given_)[0]["sum_minor"] == {"EUR": 0}


def test_the_calendar_is_read_after_the_lock_was_waited_for(open_tx: OpenTx, database: Database) -> None:
    """A writer that waits for one who answers reads the horizon that was raised meanwhile, not the one before."""
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)

    with at_once() as pool:

        def post() -> Applied:
            with open_tx(minutes(4)) as writer:
                result = ask(writer, ours.transfer(writer, (0, 1, 100)))
                assert isinstance(result, Applied)
                return result

        with open_tx(minutes(6)) as asker:
            settle(asker, ours.programme_id, minutes(5))
            posting = pool.submit(post)
            wait_until_blocked(database.app_engine)
        assert posting.result(WAIT_S).recorded_at > minutes(5)


def test_who_holds_what_a_writer_needs_is_let_past_a_waiting_asker(
    open_tx: OpenTx, database: Database
) -> None:
    """An asker waits for a writer, who waits for another, who comes to the calendar behind the asker: nobody fails."""
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    asked = Asked(open_tx, ours)
    some_row = sa.text("SELECT pg_advisory_xact_lock(4711)")  # stands for a row that a flow locks

    def post_holding_the_row(holding: threading.Event, go: threading.Event) -> Result:
        with open_tx(minutes(4)) as writer:
            writer.row(some_row)
            holding.set()
            assert go.wait(WAIT_S)
            return ask(writer, ours.transfer(writer, (2, 3, 3)))

    with at_once() as pool:
        holding, go = threading.Event(), threading.Event()
        with open_tx(minutes(3)) as writer:
            ours.move(writer, (0, 1, 40))
            other = pool.submit(post_holding_the_row, holding, go)
            assert holding.wait(WAIT_S)
            question = pool.submit(asked.keep, minutes(5), now=minutes(6))
            wait_until_blocked(database.app_engine)
            go.set()
            writer.row(some_row)
        assert isinstance(other.result(WAIT_S), Applied)
        question.result(WAIT_S)

    asked.check(now=minutes(9))


def test_calendars_cost_the_same_for_many_programmes(open_tx: OpenTx, database: Database) -> None:
    with open_tx(minutes(0)) as tx:
        programmes = [begin(tx, name=f"pay-{number}").programme_id for number in range(5)]
        settle(tx, programmes[3], minutes(0))

    with open_tx(minutes(1)) as tx:
        found = share_calendars(tx, programmes)
        locks = tx.row(
            sa.text(
                "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            )
        )

    assert set(found) == set(programmes)
    assert found[programmes[3]].answered_until == minutes(0)
    assert found[programmes[0]].answered_until is None
    assert locks is not None
    assert locks["n"] == 5


# Cost ------------------------------------------------------------------------------------------------------------


def test_the_past_of_an_account_costs_its_odd_legs_and_not_its_history(
    open_tx: OpenTx, database: Database
) -> None:
    with open_tx(minutes(0)) as tx:
        ours = begin(tx)
    for minute in range(1, 7):
        with open_tx(minutes(minute)) as tx:
            done(tx, *[ours.transfer(tx, (0, 1, 1)) for _ in range(2_000)])
    with open_tx(minutes(7)) as tx:
        ours.move(tx, (0, 1, 7), effective_at=minutes(2))
    analyse(database, "transfers", "further_legs", "accounts")
    pages = {}

    with open_tx(minutes(10)) as tx:
        asked: dict[str, Callable[[], object]] = {
            "recorded": lambda: account_balance(
                tx, ours.programme_id, ours.accounts[1], recorded_at=minutes(3)
            ),
            "by value date": lambda: account_balance_by_value_date(
                tx, ours.programme_id, ours.accounts[1], effective_at=minutes(3), recorded_at=None
            ),
            "statement page": lambda: statement(
                tx, ours.programme_id, ours.accounts[1], after=6_000, limit=10, recorded_at=minutes(5)
            ),
            "statement of no day": lambda: statement_by_value_date(
                tx,
                ours.programme_id,
                ours.accounts[1],
                starts_at=minutes(2) + LEAST,
                ends_at=minutes(3),
                recorded_at=minutes(9),
                after=0,
                limit=10,
            ),
        }
        for name, question in asked.items():
            plan = plan_of(tx, question)
            pages[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        whole = tx.connection.execute(
            sa.text("SELECT relpages FROM pg_class WHERE relname = 'transfers'")
        ).scalar_one()

    assert whole > 200
    # Halving 12,000 versions asks the views of both sides and of the steps fourteen times, a few pages each.
    assert max(pages.values()) < 200, pages
