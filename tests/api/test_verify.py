"""`tallystick verify`: of a database, by a role that only reads, and of packages that have to share a history.

Run as people run it, in a process of its own, with no settings at all: an auditor has none.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from api.jobs import Jobs
from ledger.core.ids import ProgrammeId
from ledger.store.programmes import read_programmes
from tests.api.test_cli import Told
from tests.api.world import Shop
from tests.conftest import Database, OpenTx
from tests.ledger.sealed import ORIGIN, Keys, package, pem, rewrite, seal, small_book, write
from tests.ledger.world import asker, done, open_account

pytestmark = pytest.mark.slow

NAME = "pay-eu"


@dataclass(frozen=True)
class Book:
    """A sealed book, and the keys that its checkpoints and exports are signed with, as files."""

    database: Database
    programme_id: ProgrammeId
    keys: Keys
    size: int
    home: Path

    @property
    def url(self) -> str:
        return self.database.url("tallystick_auditor")

    def key_file(self, name: str) -> Path:
        path = self.home / f"{name}.pem"
        path.write_bytes(pem(getattr(self.keys, name)))
        return path


@pytest.fixture
def book(database: Database, open_tx: OpenTx, home: Path) -> Book:
    keys = Keys.fresh()
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    seal(open_tx, programme_id, size=size, keys=keys, origin=f"tallystick.dev/{NAME}")
    return Book(database, programme_id, keys, size, home)


def verify(home: Path, *arguments: str | Path) -> Told:
    told = subprocess.run(
        [sys.executable, "-P", "-m", "api.cli", "verify", *map(str, arguments)],
        env={},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Told(told.returncode, told.stdout, told.stderr)


def test_database_that_holds_together_verifies(book: Book) -> None:
    told = verify(book.home, "--database", book.url, "--checkpoint-key", book.key_file("checkpoint"))

    assert told.code == 0, told
    assert f"{book.size} transfers (0 not sealed yet)" in told.out
    assert f"{book.size} leaves, 1 checkpoints" in told.out
    assert told.out.endswith("verified: every balance, hold, status, limit and leaf follows from the facts\n")
    assert "not checked" not in told.out
    assert "entries" in told.err


def test_without_the_checkpoint_key_it_says_what_it_did_not_check(book: Book) -> None:
    told = verify(book.home, "--database", book.url, "--programme", NAME)

    assert told.code == 0, told
    assert "not checked: who signed the checkpoints" in told.out


def test_changed_row_is_named_and_the_exit_code_says_so(book: Book) -> None:
    rewrite(book.database, "UPDATE transfers SET amount_minor = 12901 WHERE amount_minor = 12900")
    rewrite(book.database, "UPDATE standings SET held_minor = 12 WHERE held_minor = 11")

    told = verify(book.home, "--database", book.url)

    assert told.code == 1, told
    assert f"legs ({_transfer(book, 'sound')}, 1): " in told.out
    assert "held_minor is 12; the account's entries and its opening come to 11" in told.out
    assert "does not verify: " in told.out
    assert "verified:" not in told.out


def _transfer(book: Book, name: str) -> str:
    with book.database.owner_engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT replace(CAST(id AS text), '-', '') FROM transfers WHERE reference = %s", (name,)
        )
        return f"xfr_{found.scalar_one()}"


def test_no_more_is_listed_than_people_read(book: Book) -> None:
    with psycopg.connect(book.database.url("postgres")) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM transfers")

    told = verify(book.home, "--database", book.url)

    assert told.code == 1
    lines = told.out.splitlines()
    assert sum(line.startswith(("legs (", "account_steps (", "transfers (")) for line in lines) <= 100
    assert lines[100].startswith("and ")
    assert lines[100].endswith(" more")


@pytest.mark.parametrize("signer", ["export", "checkpoint of somebody else"])
def test_checkpoint_that_another_key_signed_is_named(book: Book, signer: str) -> None:
    other = book.home / "other.pem"
    other.write_bytes(pem(book.keys.export if signer == "export" else Keys.fresh().checkpoint))

    told = verify(book.home, "--database", book.url, "--checkpoint-key", other)

    assert told.code == 1
    assert f"checkpoints ({book.programme_id}, {book.size}): its note: " in told.out


def test_checkpoint_of_another_log_is_named(database: Database, open_tx: OpenTx, home: Path) -> None:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    seal(open_tx, programme_id, size=size)

    told = verify(home, "--database", database.url("tallystick_auditor"))

    assert told.code == 1
    assert f"its note: it is of another log, {ORIGIN}" in told.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Give a package and its --key"),
        (("--key", "report-v1.pem"), "Give a package and its --key"),
        (("somewhere",), "Give a package and its --key"),
        (("somewhere", "--key", "report-v1.pem", "--programme", NAME), "Give a package and its --key"),
        (("somewhere", "--database", "postgresql://nowhere"), "one at a time"),
        (("--database", "postgresql://nobody@127.0.0.1:1/nowhere"), "connection"),
        (("--database", "postgresql:///x", "--checkpoint-key", "missing.pem"), "missing.pem"),
    ],
)
def test_what_cannot_be_verified_is_one_line_and_exit_code_2(
    home: Path, arguments: tuple[str, ...], words: str
) -> None:
    told = verify(home, *arguments)

    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1), told
    assert told.err.startswith("tallystick: ")
    assert words in told.err


def test_database_without_our_tables_is_one_line_and_exit_code_2(book: Book) -> None:
    told = verify(book.home, "--database", book.database.server.url("postgres", "postgres"))

    assert (told.code, told.out) == (2, ""), told
    assert "cannot be read as one of ours" in told.err


def test_unknown_programme_is_one_line_and_exit_code_2(book: Book) -> None:
    told = verify(book.home, "--database", book.url, "--programme", "nobody")

    assert (told.code, told.out) == (2, ""), told
    assert "There is no programme nobody." in told.err


@pytest.mark.parametrize("key", ["", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "é"])
def test_what_is_no_key_is_one_line_and_exit_code_2(book: Book, key: str) -> None:
    no_key = book.home / "no-key.pem"
    no_key.write_text(key)

    told = verify(book.home, "--database", book.url, "--checkpoint-key", no_key)

    assert (told.code, told.out) == (2, ""), told
    assert "no-key.pem: not a public key" in told.err


@dataclass(frozen=True)
class Packages:
    """Two packages of one log, and what to check them with."""

    home: Path
    older: Path
    newer: Path
    size: int
    keys: Keys


@pytest.fixture
def packages(open_tx: OpenTx, home: Path) -> Packages:
    keys = Keys.fresh()
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    older = package(open_tx, programme_id, seal(open_tx, programme_id, size=size, keys=keys), keys)
    with open_tx() as tx:
        account_id = open_account(tx, programme_id, floor_minor=-9)
        done(tx, asker(tx, programme_id).hold("later", account_id, amount_minor=9))
    newer = package(open_tx, programme_id, seal(open_tx, programme_id, size=size + 2, keys=keys), keys)
    (home / "checkpoint-v1.pem").write_bytes(pem(keys.checkpoint))
    (home / "report-v1.pem").write_bytes(pem(keys.export))
    return Packages(home, write(home / "older", older, keys), write(home / "newer", newer, keys), size, keys)


def test_newer_package_is_shown_to_share_the_history_of_an_older_one(packages: Packages) -> None:
    for since in ("older", "older/checkpoint.txt"):
        told = verify(
            packages.home,
            "newer",
            "--key",
            "report-v1.pem",
            "--checkpoint-key",
            "checkpoint-v1.pem",
            "--since",
            since,
        )

        assert told.code == 0, told
        assert f"history     the first {packages.size} of its leaves are those of {since}" in told.out


def test_packages_that_share_no_history_are_told_apart(packages: Packages) -> None:
    told = verify(packages.home, "older", "--key", "report-v1.pem", "--since", "newer")

    assert (told.code, told.out) == (2, "")
    assert "which is later than" in told.err


def test_package_under_a_checkpoint_of_another_key_does_not_verify(packages: Packages) -> None:
    told = verify(packages.home, "newer", "--key", "report-v1.pem", "--checkpoint-key", "report-v1.pem")

    assert (told.code, told.out) == (2, "")
    assert "not the key that you have for checkpoints" in told.err


def test_programme_with_everything_that_happens_in_it_verifies(shop: Shop, tmp_path: Path) -> None:
    checkout = shop.captured(2_000)
    shop.api.make(f"/v1/checkouts/{checkout['id']}/refunds", {"lines": [{"id": "room", "amount_minor": 500}]})
    shop.api.make("/v1/payouts", shop.payout(100))
    shop.authorised(1_000)
    with shop.at.parts.transactions() as tx:
        (programme,) = read_programmes(tx, [ProgrammeId(shop.programme_id)]).values()
    Jobs(shop.at.parts).seal(programme)
    shop.authorised(1_000)

    url = shop.at.settings.database_url.replace("tallystick_app@", "tallystick_auditor@")
    key = shop.at.token.public_keys / "checkpoint-v1.pem"
    told = verify(tmp_path, "--database", url, "--programme", shop.name, "--checkpoint-key", key)

    assert told.code == 0, told
    assert "(1 not sealed yet)" in told.out
    assert " 0 holds" not in told.out
