"""The command line: what cannot be done is one line on standard error and exit code 2, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api.cli import main
from tests.api.installation import Installation
from tests.api.promises import keep_promises
from tests.api.world import Shop, open_shop

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Tallystick = Callable[..., Told]


@pytest.fixture
def tallystick(
    other_days: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tallystick:
    """The command, in this process, with the settings of the installation."""
    for name, value in other_days.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> Told:
        monkeypatch.setattr(sys, "argv", ["tallystick", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Told(code, said.out, said.err)

    return run


def in_a_process(at: Installation, *arguments: str | Path) -> Told:
    """The command as people run it."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "api.cli", *map(str, arguments)],
        env=at.environment | {"PATH": os.environ["PATH"]},
        cwd=at.home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Told(done.returncode, done.stdout, done.stderr)


def failed(told: Told, *words: str) -> None:
    """One line on standard error, and exit code 2."""
    assert (told.code, told.out) == (2, ""), told
    assert told.err.startswith("tallystick: ")
    assert told.err.count("\n") == 1
    for word in words:
        assert word in told.err


def statement(at: Installation, day: date) -> bytes:
    """The bank's camt.053 document of a day."""
    bank, before = at.parts.banks["sandbox"], at.bank.written()
    starts_at, ends_at = (
        datetime.combine(each, time(), AMSTERDAM) for each in (day, day + timedelta(days=1))
    )
    bank.request_statements(starts_at=starts_at, ends_at=ends_at)
    ready = json.loads(at.bank.notice("Statements.ReadyForDownload", after=before))["Payload"]
    assert ready["TotalPages"] == 1
    return bank.fetch_statement_page(ready["MessageId"], 1)


@pytest.fixture(scope="module")
def shop(other_days: Installation) -> Shop:
    """A programme to which EUR 500.00 came, and from which the bank took a fee, on a day of its own."""
    other_days.next_morning()
    made = open_shop(other_days).fund(50_000)
    fee = {"iban": made.safeguarding.iban, "text": "Account fee"}
    other_days.bank.order("/sandbox/fees", fee, amount_minor=120)
    return made


@pytest.fixture(scope="module")
def document(shop: Shop) -> bytes:
    """The bank's statement of that day."""
    return statement(shop.at, shop.at.next_morning())


def test_reconcile_imports_a_statement_once(
    shop: Shop, document: bytes, tallystick: Tallystick, tmp_path: Path
) -> None:
    file = tmp_path / "statement.xml"
    file.write_bytes(document)

    with shop.at.only_changes("statements", "statement_lines", "matches", "breaks", "events"):
        first = tallystick("reconcile", file, "--programme", shop.name)
    with shop.at.nothing_changes():
        again = tallystick("reconcile", file, "--programme", shop.name)

    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines()[0] == "1 matched, 1 open"
    assert first.out.splitlines()[1].split(maxsplit=1) == ["-120", "bank entry the ledger does not know"]
    assert again == first


def spoilt(document: bytes, shop: Shop) -> dict[str, tuple[bytes, str]]:
    """What may be handed over instead of a statement, and what has to be said about it."""
    own = [shop.safeguarding.iban.encode(), shop.operating.iban.encode()]
    foreign = document.replace(own[0], b"DE89370400440532013000").replace(
        own[1], b"FR7630006000011234567890189"
    )
    return {
        "half": (document[: len(document) // 2], "cut short"),
        "all but the end": (document.rstrip()[:-1], "cut short"),
        "half of an amount": (document[: document.index(b"500.00") + 3], "cut short"),
        "empty": (b"", "empty"),
        "blanks": (b" \n ", "empty"),
        "another account's": (foreign, f"account of {shop.name}"),
        "not XML": (b"%PDF-1.7 statement", "line 1"),
        "another document": (b"<html><body>Sign in</body></html>", "no camt.053"),
        "another amount": (document.replace(b"500.00", b"500.01", 1), "closing balance"),
        "no amount": (document.replace(b">500.00<", b">NaN<"), "Amt"),
        "an entity": (b'<!DOCTYPE x [<!ENTITY a "1">]>' + document.partition(b"?>")[2], "DTD"),
        "twice": (document + document, "well-formed"),
    }


SPOILT = (
    "half", "all but the end", "half of an amount", "empty", "blanks", "another account's", "not XML",
    "another document", "another amount", "no amount", "an entity", "twice",
)  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_reconcile_refuses_what_is_no_statement_of_ours(
    shop: Shop, document: bytes, tallystick: Tallystick, tmp_path: Path, case: str
) -> None:
    content, word = spoilt(document, shop)[case]
    file = tmp_path / "statement.xml"
    file.write_bytes(content)

    with shop.at.nothing_changes():
        told = tallystick("reconcile", file, "--programme", shop.name)

    failed(told, str(file), word)


def test_statement_cut_in_half_is_refused_by_the_command_itself(
    shop: Shop, document: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "statement.xml"
    file.write_bytes(document[: len(document) // 2])

    with shop.at.nothing_changes():
        told = in_a_process(shop.at, "reconcile", file, "--programme", shop.name)

    failed(told, str(file), "cut short")


def test_reconcile_refuses_files_that_cannot_be_read(
    shop: Shop, document: bytes, tallystick: Tallystick, tmp_path: Path
) -> None:
    file = tmp_path / "statement.xml"
    file.write_bytes(document)

    with shop.at.nothing_changes():
        failed(tallystick("reconcile", tmp_path / "missing.xml", "--programme", shop.name), "missing.xml")
        failed(tallystick("reconcile", tmp_path, "--programme", shop.name), str(tmp_path))
        failed(tallystick("reconcile", file, tmp_path / "page-2.xml", "--programme", shop.name), "page-2.xml")
        failed(tallystick("reconcile", file, file, "--programme", shop.name), "page")
        failed(tallystick("reconcile", file, "--programme", "pay-nowhere"), "pay-nowhere")
        failed(tallystick("reconcile", file, "--programme", "a\x01b"), "no programme")
        failed(tallystick("reconcile", file), "programme")
        failed(tallystick("reconcile", "--programme", shop.name), "files")


def test_report_refuses_what_it_cannot_show(shop: Shop, tallystick: Tallystick) -> None:
    with shop.at.nothing_changes():
        failed(tallystick("report", "trial-balance", "--programme", "pay-nowhere"), "pay-nowhere")
        failed(tallystick("report", "balance-sheet", "--programme", shop.name), "trial-balance")
        failed(tallystick("report", "trial-balance", "--programme", shop.name, "--form", "pdf"), "csv")
        failed(tallystick("report", "trial-balance"), "programme")
        failed(tallystick("report"), "name")
        failed(tallystick("reports"), "reports")
        failed(tallystick("--nothing"), "--nothing")


@pytest.mark.parametrize("name", ["trial-balance", "safeguarding", "reconciliation"])
def test_report_is_shown_in_every_form_and_changes_nothing(
    shop: Shop, tallystick: Tallystick, name: str
) -> None:
    with shop.at.nothing_changes():
        told = {
            form: tallystick("report", name, "--programme", shop.name, "--form", form)
            for form in ("table", "csv", "json")
        }

    assert {(each.code, each.err) for each in told.values()} == {(0, "")}
    assert json.loads(told["json"].out)
    assert "," in told["csv"].out.splitlines()[0]


@pytest.fixture(scope="module")
def package(shop: Shop) -> Path:
    """An audit package, as the worker wrote it."""
    wish = shop.api.make("/v1/exports")
    keep_promises(shop.at.parts)
    return shop.at.settings.exports_directory / str(wish["id"])


def test_verify_needs_the_package_and_the_public_key_alone(shop: Shop, package: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "api.cli", "verify", str(package), "--key"]
    key = shop.at.token.public_keys / "report-v1.pem"

    done = subprocess.run(
        [*command, str(key)],
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert shop.name.encode() in done.stdout


def test_verify_refuses_what_does_not_verify(
    shop: Shop, package: Path, tallystick: Tallystick, tmp_path: Path
) -> None:
    keys = shop.at.token.public_keys
    spoilt_package = tmp_path / "spoilt"
    spoilt_package.mkdir()
    for path in package.iterdir():
        (spoilt_package / path.name).write_bytes(path.read_bytes())
    content = bytearray((spoilt_package / "entries.csv").read_bytes())
    content[len(content) // 2] ^= 1
    (spoilt_package / "entries.csv").write_bytes(content)
    no_key = tmp_path / "no-key.pem"
    no_key.write_text("-----BEGIN PUBLIC KEY-----\n")

    failed(tallystick("verify", spoilt_package, "--key", keys / "report-v1.pem"), "entries.csv")
    failed(tallystick("verify", package, "--key", keys / "checkpoint-v1.pem"), "signature")
    failed(tallystick("verify", package, "--key", keys / "bank-v1.pem"), "Ed25519")
    failed(tallystick("verify", package, "--key", no_key), "public key")
    failed(tallystick("verify", package, "--key", tmp_path / "missing.pem"), "missing.pem")
    failed(tallystick("verify", tmp_path / "missing", "--key", keys / "report-v1.pem"), "missing")
    failed(tallystick("verify", keys / "report-v1.pem", "--key", keys / "report-v1.pem"), "not a directory")
    failed(tallystick("verify", keys, "--key", keys / "report-v1.pem"), "manifest")
    failed(tallystick("verify", package), "--key")


def test_export_and_keys_are_for_the_command_line_too(shop: Shop, tallystick: Tallystick) -> None:
    made = tallystick("export", "--programme", shop.name)
    shown = tallystick("keys")

    verified = tallystick("verify", made.out.strip(), "--key", shop.at.token.public_keys / "report-v1.pem")
    assert (made.code, shown.code, verified.code) == (0, 0, 0)
    shown_purposes = {line.split()[0] for line in shown.out.splitlines()}
    assert shown_purposes >= {"payout", "bank", "access_token", "checkpoint", "report", "identity"}
    assert not shown_purposes & {"card_vault", "card_fingerprint"}, "a secret key has nothing to show"
    with shop.at.nothing_changes():
        failed(tallystick("export", "--programme", "pay-nowhere"), "pay-nowhere")


def test_settings_that_are_missing_or_wrong_are_named(
    shop: Shop, tallystick: Tallystick, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as changed:
        changed.delenv("TALLYSTICK_DATABASE_URL")
        failed(tallystick("report", "trial-balance", "--programme", shop.name), "TALLYSTICK_DATABASE_URL")
    for name, value in (
        ("TALLYSTICK_CLOCK", "broken"),
        ("TALLYSTICK_TOKEN_LIFETIME_S", "3601"),
        ("TALLYSTICK_TOKEN_LIFETIME_S", "-1"),
        ("TALLYSTICK_BANKS_FILE", str(tmp_path / "banks.json")),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            failed(tallystick("report", "trial-balance", "--programme", shop.name), name)


def test_database_or_enclave_that_is_not_there_is_one_line(
    shop: Shop, tallystick: Tallystick, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TALLYSTICK_DATABASE_URL", "postgresql://tallystick_app@127.0.0.1:1/nowhere")
        failed(tallystick("report", "trial-balance", "--programme", shop.name), "connection")
    with monkeypatch.context() as changed:
        changed.setenv("TALLYSTICK_ENCLAVE_SOCKET", str(tmp_path / "nobody.sock"))
        failed(tallystick("keys"), "enclave")
