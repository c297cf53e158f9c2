"""The bench measures what it says it measures. How fast anything is stands in no test: machines differ, figures lie."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from rich.console import Console

from api.bench.audit import CHECKOUT, SINGLE_LEG_POST, Tally, check_rows, count_rows
from api.bench.bench import Bench, Stage
from api.bench.failure import BarMissed, BenchRefused
from api.bench.reference import Reference, find_pgbench, read_rate
from api.bench.row import Row, best_has_the_bar
from api.bench.run import WORKLOADS, judge
from api.bench.scale import BATCH, QUICK
from api.bench.server import Database, Server, given
from api.bench.throughput import works_for
from api.bench.writers import Run
from api.cli import main
from api.embedded import EmbeddedPostgres

KEYS = ["name", "value", "unit", "reference", "ratio", "bar"]
# What is asked of each workload, and whether it is an upper bound.
BARS = {
    "bulk": [(8, False)],
    "hot": [(8, False)],
    "callers": [(2, False)],
    "checkouts": [(3, False)],
    "storage": [(450, True)],
    "history": [(0.8, False), (2, True)],
}
SMALL = replace(QUICK, wallets=40, sellers=6)


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended, what it said, and what it wrote."""

    code: int
    out: str
    err: str

    def rows(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(Path(f".tallystick/bench/{name}.json").read_text())
        return found


RunBench = Callable[..., Told]


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[RunBench]:
    """`tallystick bench`, in this process and in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["tallystick", "bench", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Told(code, said.out, said.err)

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> str:
    return postgres.url("postgres", "postgres")


@pytest.fixture
def server(url: str) -> Server:
    return given(url)


@pytest.fixture
def stage(server: Server) -> Iterator[Stage]:
    nothing = Reference(Path("no-pgbench-here"), Database(server, "none"))
    with Bench(server, nothing, SMALL, Console(stderr=True)).stage() as opened:
        yield opened


def left_over(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'tallystick_bench%'"
        ).fetchall()
    return [name for (name,) in found]


def one(engine: sa.Engine, query: str, **parameters: object) -> Any:
    with engine.connect() as connection:
        return connection.execute(sa.text(query), parameters).scalar_one()


# The command -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_writes_its_rows_and_shows_them(bench: RunBench, url: str, name: str) -> None:
    told = bench(name, "--quick", "--database", url)

    assert told.code == 0, told.err
    rows = told.rows(name)
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    asked = [(row["bar"], row["unit"].endswith("(at most)")) for row in rows if row["bar"] is not None]
    assert asked == BARS[name]
    for row in rows:
        assert row["value"] > 0
        assert row["name"].endswith("(quick)")
        if row["reference"] is not None:
            assert row["ratio"] == pytest.approx(row["value"] / row["reference"], rel=0.01)
        else:
            assert (row["ratio"], row["bar"]) == (None, None)
    assert "fsync = on, synchronous_commit = on, full_page_writes = " in told.out
    assert "PostgreSQL 18" in told.out
    assert "cores" in told.out
    assert rows[0]["name"].split(",")[0].split()[0] in told.out
    assert left_over(url) == []


@pytest.mark.slow
def test_without_a_url_it_has_a_server_of_its_own_which_is_gone_afterwards(
    bench: RunBench, tmp_path: Path
) -> None:
    told = bench("storage", "--quick")

    assert told.code == 0, told.err
    assert len(told.rows("storage")) == 2
    assert [each.name for each in (tmp_path / ".tallystick").iterdir()] == ["bench"]


def not_durable(url: str) -> str:
    return f"{url}&options=-csynchronous_commit%3Doff"


def test_a_server_that_answers_before_the_disk_is_refused(bench: RunBench, url: str) -> None:
    told = bench("bulk", "--quick", "--database", not_durable(url))

    assert (told.code, told.out) == (2, "")
    assert "synchronous_commit = off" in told.err
    assert not Path(".tallystick").exists()
    assert left_over(url) == []


@pytest.mark.slow
def test_figures_of_such_a_server_are_marked_in_every_row(bench: RunBench, url: str) -> None:
    told = bench("storage", "--quick", "--not-durable", "--database", not_durable(url))

    assert told.code == 0, told.err
    assert all("(not durable)" in row["name"] for row in told.rows("storage"))
    assert "synchronous_commit = off" in told.out


def test_a_role_that_may_not_make_databases_is_told_what_it_lacks(
    bench: RunBench, postgres: EmbeddedPostgres
) -> None:
    told = bench("bulk", "--quick", "--database", postgres.url("tallystick_app", "postgres"))

    assert (told.code, told.out) == (2, "")
    assert "ALTER ROLE tallystick_app CREATEDB CREATEROLE" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["blukk"], "no workload is called blukk"),
        (["--database", "mysql://localhost/x"], "takes a postgresql:// URL"),
        (["--database", "postgresql://nobody@127.0.0.1:1/x"], "cannot be reached"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_exit_code_2(
    bench: RunBench, arguments: list[str], words: str
) -> None:
    told = bench("--quick", *arguments)

    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert words in told.err


# What is measured --------------------------------------------------------------------------------------------


def test_every_post_that_is_counted_stands_in_the_tables(stage: Stage) -> None:
    before = count_rows(stage.engine)
    works = stage.workload.bulk(2)

    run = stage.carry(works, SINGLE_LEG_POST, writers=2)

    assert (run.works, run.units) == (2, 2 * BATCH)
    stage.check()
    assert count_rows(stage.engine) == before.plus(SINGLE_LEG_POST, 2 * BATCH)
    ids = [group[0].id.removeprefix("xfr_") for work in works for group in work.batches[0].groups]
    found = one(stage.engine, "SELECT count(*) FROM transfers WHERE id = ANY(CAST(:ids AS uuid[]))", ids=ids)
    assert found == len(ids) == len(set(ids))


def test_posts_are_effective_when_they_are_recorded(stage: Stage) -> None:
    stage.carry(stage.workload.bulk(2), SINGLE_LEG_POST)

    assert one(stage.engine, "SELECT count(*) FROM legs WHERE effective_at <> recorded_at") == 0


def test_posts_are_of_one_leg_between_any_wallets_with_a_reference_and_without_metadata(stage: Stage) -> None:
    (work,) = stage.workload.bulk(1)
    (batch,) = work.batches

    commands = [command for group in batch.groups for command in group]

    assert len(batch.groups) == len(commands) == BATCH
    assert {len(command.legs) for command in commands} == {1}
    assert {
        account for command in commands for leg in command.legs for account in (leg.debit, leg.credit)
    } == set(stage.market.wallets)
    assert {len(command.reference) for command in commands} == {12}
    assert not any(command.metadata for command in commands)
    assert {command.authority.notice_id for command in commands} == {batch.notice["id"]}


def test_half_of_all_legs_are_on_the_hot_account_and_it_gives_as_often_as_it_takes(stage: Stage) -> None:
    hot = stage.market.wallets[0]

    (work,) = stage.workload.hot(1)

    legs = [leg for group in work.batches[0].groups for leg in group[0].legs]
    gives, takes = (sum(getattr(leg, side) == hot for leg in legs) for side in ("debit", "credit"))
    assert gives + takes == pytest.approx(len(legs) / 2, abs=1)
    assert gives == pytest.approx(takes, abs=1)


def test_a_checkout_is_a_hold_a_capture_to_two_sellers_and_a_release_of_the_rest(stage: Stage) -> None:
    works = stage.workload.checkouts(2, 30)

    run = stage.carry(works, CHECKOUT, writers=2)

    assert run.units == 60
    stage.check()
    assert one(stage.engine, "SELECT count(*) FROM holds WHERE NOT is_open AND captured_minor = 90") == 60
    paid = (
        "SELECT sum(credits_minor) FROM accounts JOIN standings USING (number) WHERE code = 'seller_balance'"
    )
    assert one(stage.engine, paid) == 60 * 90
    for kind in ("hold", "capture", "release"):
        assert one(stage.engine, "SELECT count(*) FROM transfers WHERE kind = :kind", kind=kind) == 60
    two = "SELECT min(count) FROM (SELECT count(DISTINCT credit_number) FROM legs WHERE leg <= 2 GROUP BY transfer_id"
    assert one(stage.engine, f"{two} HAVING count(*) = 2)") == 2


def test_what_the_book_did_not_apply_is_not_counted(stage: Stage) -> None:
    works = stage.workload.bulk(1)
    stage.carry(works, SINGLE_LEG_POST)
    again = replace(works[0].batches[0], notice=stage.workload.bulk(1)[0].batches[0].notice)

    with pytest.raises(BenchRefused, match="was to be applied, and the book says Exists"):
        stage.carry([replace(works[0], batches=(again,))], SINGLE_LEG_POST)


def test_a_run_ends_when_its_seconds_are_over(stage: Stage) -> None:
    run = stage.carry(stage.workload.checkouts(50, 5), CHECKOUT, seconds=0.0)

    assert (run.works, run.units) == (0, 0)
    stage.check()


def test_a_row_too_many_is_found(stage: Stage) -> None:
    stage.carry(stage.workload.checkouts(1, 1), CHECKOUT)

    with pytest.raises(BenchRefused, match="was applied"):
        check_rows(stage.engine, stage.expected.plus(SINGLE_LEG_POST, -1))


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("UPDATE standings SET credits_minor = credits_minor + 1 WHERE number = {number}", "made or lost"),
        ("UPDATE standings SET version = version + 1 WHERE number = {number}", "versions"),
        ("UPDATE standings SET held_minor = held_minor + 1 WHERE number = {number}", "what the holds say"),
        ("DELETE FROM transfers WHERE credit_number = {number}", "made or lost"),
    ],
)
def test_a_book_that_was_bent_is_found(stage: Stage, tampering: str, words: str) -> None:
    number = one(stage.engine, "SELECT min(number) FROM accounts WHERE code = 'customer_wallet'")

    with stage.engine.begin() as connection:  # as the superuser that the URL of these tests names
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text(tampering.format(number=number)))

    with pytest.raises(BenchRefused, match=words):
        count_rows(stage.engine)


def test_entries_are_two_a_leg_and_one_a_step() -> None:
    assert Tally(transfers=3, legs=2, steps=3).entries == 7


# The reference ------------------------------------------------------------------------------------------------


def test_the_reference_is_what_pgbench_did(server: Server) -> None:
    with server.empty_database() as tables:
        reference = Reference(find_pgbench(), tables)
        reference.prepare(1)

        rate = reference.rate(1)

        with psycopg.connect(tables.owner_url) as connection:
            (done,) = connection.execute("SELECT count(*) FROM pgbench_history").fetchone() or (0,)
    assert done > 0
    assert rate == pytest.approx(done, rel=0.5)  # of about one second


def test_a_report_of_failed_transactions_is_no_reference() -> None:
    clean = "number of failed transactions: 0 (0.000%)\ntps = 3612.123456 (without initial connection time)\n"

    assert read_rate(clean) == 3612.123456
    for spoilt in (clean.replace(" 0 ", " 7 "), clean.partition("\n")[0], ""):
        with pytest.raises(BenchRefused):
            read_rate(spoilt)


def test_pgbench_that_fails_is_no_reference(server: Server) -> None:
    with server.empty_database() as tables, pytest.raises(BenchRefused, match="pgbench failed"):
        Reference(find_pgbench(), tables).rate(1)  # nobody has filled its tables


# What is asked -------------------------------------------------------------------------------------------------


def test_rows_that_miss_their_bar_are_named() -> None:
    fast = Row(name="fast", value=80, unit="posts/s", reference=10, bar=8)
    slow = Row(name="slow", value=79, unit="posts/s", reference=10, bar=8)
    small = Row(name="small", value=450, unit="bytes", reference=1, bar=450, at_most=True)
    large = Row(name="large", value=451, unit="bytes", reference=1, bar=450, at_most=True)
    beside = Row(name="beside", value=1, unit="ms")

    judge([fast, small, beside])
    with pytest.raises(BarMissed, match="slow; large") as missed:
        judge([fast, slow, small, large, beside])

    assert missed.value.names == ("slow", "large")


def test_the_bar_is_for_the_better_way() -> None:
    rows = [Row(name=name, value=value, unit="posts/s", reference=1) for name, value in (("a", 5), ("b", 7))]

    assert [row.bar for row in best_has_the_bar(rows, 6)] == [None, 6]


def test_as_much_is_prepared_as_the_fastest_run_would_use_and_no_more_than_the_scale_has() -> None:
    scale = replace(SMALL, run_s=10.0, works_max=48)

    assert works_for(scale, [Run(works=2, units=0, seconds=1.0)]) == 26
    assert works_for(scale, [Run(works=1, units=0, seconds=100.0)]) == 2
    assert works_for(scale, [Run(works=20, units=0, seconds=1.0), Run(works=1, units=0, seconds=1.0)]) == 48
