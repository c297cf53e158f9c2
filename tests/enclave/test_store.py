"""The enclave's own look at a real PostgreSQL, in its own role; and a payout signed from end to end on it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import psycopg
import pytest

from api.jobs import origin
from enclave.client import EnclaveRefused
from enclave.facts import FactsUnavailable, PayoutRecord
from enclave.keys import Purpose, verifies
from enclave.log import LogHead, SigningLog
from enclave.mirror import HeadsUnavailable
from enclave.store import DatabaseFacts, DatabaseHeads, DatabaseLeaves
from enclave.tree import Tree
from tests.conftest import Database
from tests.enclave.council import NOON
from tests.enclave.logs import leaves_of, make_log, root_of
from tests.enclave.payouts import (
    ATTEMPT_ID,
    CREDIT_TRANSFER,
    PAYOUT_ID,
    STRICT,
    body_of,
    fit,
    good_record,
    order_text,
    record_of,
)
from tests.enclave.process import SoftHsmToken
from tests.enclave.stock import COLUMN_TYPES, store_row
from tests.enclave.test_policy import judge

OTHER_ID = "pay_" + "00" * 16


@pytest.fixture
def facts(database: Database) -> Iterator[DatabaseFacts]:
    with DatabaseFacts(database.url("tallystick_enclave")) as opened:
        yield opened


def change(database: Database, statement: str) -> None:
    with psycopg.connect(database.url("tallystick_owner")) as connection:
        connection.execute(statement.encode())


def test_the_real_view_has_the_columns_that_the_enclave_reads(
    database: Database, facts: DatabaseFacts
) -> None:
    with psycopg.connect(database.url("tallystick_enclave")) as connection:
        cursor = connection.execute("SELECT * FROM enclave_payouts")
        described = {column.name: column.type_display for column in cursor.description or []}

    read = {field.name: COLUMN_TYPES.get(field.name, "text") for field in fields(PayoutRecord)}
    assert described == read | {"id": "uuid"}
    assert facts.payouts([PAYOUT_ID]) == {}


def test_the_enclaves_role_sees_the_view_and_nothing_else(database: Database) -> None:
    with psycopg.connect(database.url("tallystick_enclave"), autocommit=True) as connection:
        for statement in ("SELECT 1 FROM payouts", "SELECT 1 FROM parties", "CREATE TABLE mine (id int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_records_that_exist_are_read_whole(stocked: Database, facts: DatabaseFacts) -> None:
    other = good_record(payout_id=OTHER_ID, cleared_digest=None, open_attempt_id=None, remittance=None)
    store_row(stocked, other)

    found = facts.payouts([PAYOUT_ID, OTHER_ID, "pay_" + "11" * 16])

    assert found == {PAYOUT_ID: good_record(), OTHER_ID: other}


def test_texts_as_long_as_the_longest_are_read_whole(stocked: Database, facts: DatabaseFacts) -> None:
    longest = good_record(
        payout_id=OTHER_ID, order_canonical="x" * 16_384, approvals="x" * 65_536, creditor_name="x" * 1024
    )
    store_row(stocked, longest)

    assert facts.payouts([OTHER_ID]) == {OTHER_ID: longest}


@pytest.mark.parametrize(
    ("long", "code"),
    [
        # Nothing is wrong with them but their length: whole, they would pass.
        (fit(record_of(order_text(note="x" * 1_000_000))), "order_digest_mismatch"),
        (replace(fit(good_record()), approvals=" " * 1_000_000 + fit(good_record()).approvals), "approvals_missing"),
        (fit(record_of(order_text(creditor_name="x" * 2000), creditor_name="x" * 2000)), "order_fields_differ"),
    ],
)  # fmt: skip
def test_what_is_longer_than_the_enclave_takes_is_neither_read_whole_nor_signed(
    stocked: Database, facts: DatabaseFacts, long: PayoutRecord, code: str
) -> None:
    change(stocked, "DELETE FROM enclave_payouts")
    store_row(stocked, long)

    record = facts.payouts([PAYOUT_ID])[PAYOUT_ID]

    assert judge(record=record, conditions=STRICT) == code
    assert judge(record=long, conditions=STRICT) != code
    assert len(repr(record)) < 100_000


def test_a_connection_that_broke_is_replaced(stocked: Database, facts: DatabaseFacts) -> None:
    facts.payouts([PAYOUT_ID])
    with psycopg.connect(stocked.url("postgres")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick enclave' AND datname = current_database()"
        )

    assert list(facts.payouts([PAYOUT_ID])) == [PAYOUT_ID]


def test_a_missing_view_is_no_knowledge_and_heals(stocked: Database, facts: DatabaseFacts) -> None:
    change(stocked, "ALTER TABLE enclave_payouts RENAME TO hidden")
    with pytest.raises(FactsUnavailable):
        facts.payouts([PAYOUT_ID])

    change(stocked, "ALTER TABLE hidden RENAME TO enclave_payouts")
    assert list(facts.payouts([PAYOUT_ID])) == [PAYOUT_ID]


def test_an_unreachable_database_is_no_knowledge() -> None:
    with (
        DatabaseFacts("postgresql://tallystick_enclave@127.0.0.1:1/x") as facts,
        pytest.raises(FactsUnavailable),
    ):
        facts.payouts([PAYOUT_ID])


def test_a_locked_view_is_no_knowledge_after_the_time_limit(stocked: Database, facts: DatabaseFacts) -> None:
    with psycopg.connect(stocked.url("tallystick_owner")) as connection:
        connection.execute("LOCK TABLE enclave_payouts IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(FactsUnavailable):
            facts.payouts([PAYOUT_ID])


def test_a_payout_is_signed_from_the_database_to_the_token(
    stocked: Database, token: SoftHsmToken, tmp_path: Path
) -> None:
    body = body_of(CREDIT_TRANSFER)

    with (
        token.serving(tmp_path, database_url=stocked.url("tallystick_enclave")) as enclave,
        enclave.client() as client,
    ):
        answer = client.payout(payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile="clearbank.sct", body=body)
        change(stocked, "UPDATE enclave_payouts SET amount_minor = amount_minor + 1")
        with pytest.raises(EnclaveRefused) as refused:
            client.payout(payout_id=PAYOUT_ID, attempt_id=ATTEMPT_ID, profile="clearbank.sct", body=body)

    assert verifies(Purpose.PAYOUT, token.pem("payout"), message=body, signature=answer.signature)
    assert refused.value.code == "order_fields_differ"


def sign_checkpoint(token: SoftHsmToken, directory: Path, database: Database, size: int) -> str:
    """What an enclave answers that is started for this one request and stopped again."""
    with (
        token.serving(directory, database_url=database.url("tallystick_enclave")) as enclave,
        enclave.client() as client,
    ):
        try:
            client.checkpoint(origin="tallystick.dev/pay-eu", size=size, root=root_of(size))
            told = "signed"
        except EnclaveRefused as refused:
            told = refused.code
        enclave.process.terminate()
        enclave.process.wait(timeout=30)
        return told


def audit_log(log: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "enclave", "audit", "--log", str(log)]
    command += ["--database-url", database_url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("side", ["log", "database"])
def test_putting_back_the_log_or_the_database_is_seen_by_the_other(
    token: SoftHsmToken, tmp_path: Path, database: Database, side: str
) -> None:
    log, first_day = tmp_path / "signing.log", tmp_path / "first day"
    make_log(database, 3)
    url = database.url("tallystick_enclave")
    assert sign_checkpoint(token, tmp_path, database, 1) == "signed"
    shutil.copy(log, first_day)
    assert sign_checkpoint(token, tmp_path, database, 2) == "signed"
    assert "the database has head" in audit_log(log, url).stdout

    if side == "log":
        shutil.copy(first_day, log)
    else:
        with psycopg.connect(database.url("postgres")) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("DELETE FROM enclave_heads WHERE id = (SELECT max(id) FROM enclave_heads)")

    told = audit_log(log, url)
    assert (told.returncode, told.stdout.count("the database has head")) == (1, 1)
    assert told.stderr.startswith("enclave: the ")
    assert sign_checkpoint(token, tmp_path, database, 3) == f"{side}_put_back"


@pytest.fixture
def leaves(database: Database) -> Iterator[DatabaseLeaves]:
    with DatabaseLeaves(database.url("tallystick_enclave")) as opened:
        yield opened


def keep_tree(database: Database, origin: str, size: int, peaks: bytes) -> None:
    """A checkpoint of a log, as the application keeps it; nobody has signed it."""
    with psycopg.connect(database.url("tallystick_app")) as connection:
        connection.execute(
            "INSERT INTO checkpoints SELECT id, %s, sha256(''), %s, '', now() FROM programmes WHERE name = %s",
            (size, peaks, origin.rpartition("/")[2]),
        )


def test_leaves_are_read_by_the_name_under_which_their_log_is_sealed(
    database: Database, leaves: DatabaseLeaves
) -> None:
    ours, theirs = make_log(database, 9), make_log(database, 2, "pay-uk")

    assert (ours, theirs) == (origin("pay-eu"), origin("pay-uk"))
    assert leaves.hashes(ours, start=2, end=5) == leaves_of(5)[2:]
    assert leaves.hashes(ours, start=7, end=2**63 - 1) == leaves_of(9)[7:]
    assert leaves.hashes(theirs, start=0, end=9) == leaves_of(2)
    assert leaves.hashes("tallystick.dev/nobody", start=0, end=9) == []


def test_the_largest_kept_trees_are_found_and_every_log_began_empty(
    database: Database, leaves: DatabaseLeaves
) -> None:
    ours = make_log(database, 9)
    trees = {size: Tree().with_leaves(leaves_of(size)) for size in (0, 3, 7)}
    for size, tree in trees.items():
        keep_tree(database, ours, size, b"".join(tree.peaks))

    found = [leaves.kept(ours, size_max=size) for size in (0, 2, 3, 6, 7, 2**63 - 1)]

    none, one, two = [trees[0]], [trees[3], trees[0]], [trees[7], trees[3], trees[0]]
    assert found == [none, none, one, one, two, two]
    assert leaves.kept("tallystick.dev/nobody", size_max=9) is None


def test_of_many_kept_trees_a_few_are_read(database: Database, leaves: DatabaseLeaves) -> None:
    ours = make_log(database, 9)
    for size in (1, 2, 4, 8):
        keep_tree(database, ours, size, bytes(32))

    found = leaves.kept(ours, size_max=9)

    assert [tree.size for tree in found or ()] == [8, 4, 2, 0]


@pytest.mark.parametrize("peaks", [b"", bytes(32), bytes(96), bytes(32 * 1024 * 1024)])
def test_peaks_of_no_tree_are_neither_kept_nor_taken_for_one(
    database: Database, leaves: DatabaseLeaves, peaks: bytes
) -> None:
    ours = make_log(database, 9)
    tree = Tree().with_leaves(leaves_of(2))
    keep_tree(database, ours, 2, b"".join(tree.peaks))
    with pytest.raises(psycopg.errors.CheckViolation):
        keep_tree(database, ours, 3, peaks)

    change(database, "ALTER TABLE checkpoints DROP CONSTRAINT checkpoints_have_peaks_of_their_size")
    keep_tree(database, ours, 3, peaks)

    assert leaves.kept(ours, size_max=9) == [tree, Tree()]


def test_a_connection_for_leaves_that_broke_is_replaced(database: Database, leaves: DatabaseLeaves) -> None:
    ours = make_log(database, 1)
    leaves.kept(ours, size_max=0)
    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick enclave leaves' AND datname = current_database()"
        )

    assert leaves.hashes(ours, start=0, end=1) == leaves_of(1)


def test_an_unreachable_database_has_no_leaves() -> None:
    with (
        DatabaseLeaves("postgresql://tallystick_enclave@127.0.0.1:1/x") as leaves,
        pytest.raises(FactsUnavailable),
    ):
        leaves.kept(origin("pay-eu"), size_max=0)


@pytest.mark.parametrize("size", [4, 5])
def test_a_kept_tree_of_other_leaves_keeps_no_restarted_enclave_from_signing_true_ones(
    token: SoftHsmToken, tmp_path: Path, database: Database, size: int
) -> None:
    ours = make_log(database, 9)
    assert sign_checkpoint(token, tmp_path, database, 5) == "signed"

    keep_tree(database, ours, size, b"".join(Tree().with_leaves(leaves_of(size, history=1)).peaks))

    assert sign_checkpoint(token, tmp_path, database, 7) == "signed"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("hidden", "cannot read the database URL: it is written postgresql://ROLE@HOST:PORT/DATABASE"),
        ("postgresql://x:hidden@127.0.0.1:1/x", "the database does not answer (OperationalError)"),
    ],
)
def test_an_audit_that_cannot_ask_the_database_says_why(tmp_path: Path, url: str, said: str) -> None:
    log = tmp_path / "signing.log"
    with SigningLog.open(log, now=NOON) as opened:
        head = opened.head

    told = audit_log(log, url)

    assert (told.returncode, told.stderr) == (2, f"enclave: {said}\n")
    assert told.stdout == f"{head.count} records, head {head.hash}\n"


def test_heads_are_added_by_the_enclave_and_changed_by_nobody(database: Database) -> None:
    with DatabaseHeads(database.url("tallystick_enclave"), name="one") as heads:
        assert heads.latest() is None
        for count in (3, 2):
            heads.keep(LogHead(count=count, hash=f"{count:064x}"))
        assert heads.latest() == LogHead(count=2, hash=f"{2:064x}")
        with DatabaseHeads(database.url("tallystick_enclave"), name="another") as others:
            assert others.latest() is None

    for role, statement in (
        ("tallystick_enclave", "UPDATE enclave_heads SET count = 9"),
        ("tallystick_enclave", "DELETE FROM enclave_heads"),
        ("tallystick_app", "INSERT INTO enclave_heads (enclave, count, hash) VALUES ('one', 1, sha256('x'))"),
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            psycopg.connect(database.url(role)) as connection,
        ):
            connection.execute(statement.encode())


def test_an_unreachable_database_keeps_no_heads() -> None:
    with DatabaseHeads("postgresql://tallystick_enclave@127.0.0.1:1/x", name="one") as heads:
        with pytest.raises(HeadsUnavailable):
            heads.latest()
        with pytest.raises(HeadsUnavailable):
            heads.keep(LogHead(count=1, hash="0" * 64))
