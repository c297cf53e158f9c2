"""The command `tallystick`. An error is one line on standard error and exit code 2; a figure that differs is 1."""

import base64
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn
from sqlalchemy.exc import OperationalError

from api.app import build_app
from api.bench.failure import BarMissed, BenchRefused
from api.bench.partners import run_partners_bench
from api.bench.run import judge, run_bench
from api.bench.signing import run_signing_bench
from api.certifying import NotCertified, certify_adapter
from api.database import migrate as migrate_database
from api.demo import DemoFailed, play
from api.embedded import EmbeddedPostgresFailed
from api.entry import CUSTODIANS, PROGRAMS, become
from api.interpreter import calm_interpreter
from api.operations import (
    OperationFailed,
    audit_database,
    export_books,
    import_files,
    key_version_lines,
    loaded_key_lines,
    print_report,
    public_key_lines,
    verify_export,
)
from api.operator import make_operator
from api.parts import Parts, build_parts
from api.settings import SettingsInvalid, read_database_urls, read_settings
from api.stack import Stack, StackFailed, stop_leftovers
from api.trust import attest as attest_enclave
from api.trust import trusted_parts
from api.worker import run_worker
from enclave.client import EnclaveError
from enclave.softhsm import SoftHsmMissing
from ledger.core.errors import TallystickError
from partners.certify.kit import PAYOUTS, PAYOUTS_MAX
from partners.certify.loading import RehearsalMissing
from partners.host.adapters import AdapterUnusable

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
keys_app = typer.Typer(invoke_without_command=True)
app.add_typer(keys_app, name="keys")
HOME = Path(".tallystick")
EXIT_ERROR = 2
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
_EXPECTED = (
    SettingsInvalid,
    StackFailed,
    EmbeddedPostgresFailed,
    SoftHsmMissing,
    OperationFailed,
    BenchRefused,
    AdapterUnusable,
    RehearsalMissing,
    TallystickError,
    EnclaveError,
    OperationalError,  # the database cannot be reached
)


def main() -> None:
    """Runs one verb."""
    try:
        app(prog_name="tallystick", standalone_mode=False)
    except typer.Exit as asked:
        sys.exit(asked.exit_code)
    except typer.Abort:
        sys.exit(130)
    except (DemoFailed, BarMissed, NotCertified) as failed:
        print(f"tallystick: {failed}", file=sys.stderr)
        sys.exit(1)
    except _EXPECTED as error:
        print(f"tallystick: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except typer.TyperException as error:
        print(f"tallystick: {error.format_message()}", file=sys.stderr)
        sys.exit(EXIT_ERROR)


Home = Annotated[Path, typer.Option(help="where this installation keeps everything")]
Port = Annotated[int, typer.Option(min=1, max=65535)]
ProgrammeName = Annotated[str, typer.Option(help="the programme's name")]


@app.command()
def demo(home: Home = HOME / "demo") -> None:
    """Plays one Universal Cart order end to end, and compares every figure with the worked example."""
    play(home.resolve())


@app.command()
def serve(home: Home = HOME / "serve", port: Port = 8642, clock: str = "system") -> None:
    """Runs everything (database, enclave, sandbox bank, API, worker) until Ctrl-C."""
    if clock not in {"system", "test"}:
        raise OperationFailed("--clock is system or test.")
    stop = threading.Event()
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: stop.set())
    stack = Stack(
        home.resolve(),
        clock=clock,
        api_port=port,
        databases=read_database_urls(),
        say=lambda part: print(f"  starting {part}"),
    )
    stack.start()
    try:
        name, secret = stack.operator()
        print(f"API           {stack.api_url}   (described at {stack.api_url}/openapi.json)")
        print(f"sandbox bank  {stack.bank_url}")
        print(f"operator      {name} {secret}   (client id and secret)")
        print("Ctrl-C stops everything.", flush=True)
        while not stop.wait(1.0):
            if stack.dead():
                raise StackFailed(f"{', '.join(stack.dead())} stopped by itself; see {stack.home / 'logs'}")
    finally:
        stack.stop()
        print("stopped")


@app.command()
def stop(home: Annotated[Path | None, typer.Option()] = None) -> None:
    """Stops what an earlier `serve` or `demo` has left running."""
    for one in [home] if home else [HOME / "serve", HOME / "demo"]:
        if one.exists():
            stop_leftovers(one.resolve())


@app.command()
def migrate(owner_url: Annotated[str, typer.Option(help="postgresql:// URL of the owner role")]) -> None:
    """Brings the database's schema to the newest revision."""
    migrate_database(owner_url)


@app.command()
def api(port: Port = 8642, host: str = "127.0.0.1") -> None:
    """Serves the payments API. Settings come from the environment."""
    _log_to_stderr()
    calm_interpreter()
    uvicorn.run(
        build_app(trusted_parts(read_settings())), host=host, port=port, access_log=False, log_level="info"
    )


@app.command()
def work() -> None:
    """Keeps promises: sends payouts, follows the unknown, reads notices, fetches statements, seals, exports."""
    _log_to_stderr()
    calm_interpreter()
    run_worker(trusted_parts(read_settings()))


@app.command()
def operator() -> None:
    """Makes an operator client in the database of the settings; prints its id and secret, once."""
    with _parts() as parts:
        print(" ".join(make_operator(parts)))


@app.command()
def reconcile(
    files: Annotated[list[Path], typer.Argument(help="camt.053 documents: the pages of one statement")],
    programme: ProgrammeName,
) -> None:
    """Imports bank statements and matches them with the book; prints the breaks that are open."""
    with _parts() as parts:
        report = import_files(parts, programme, files)
    print(f"{report['matched']} matched, {len(report['open_breaks'])} open")
    for item in report["open_breaks"]:
        print(f"  {item['amount_minor']:>12}  {item['kind']}")


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="trial-balance, safeguarding or reconciliation")],
    programme: ProgrammeName,
    form: Annotated[str, typer.Option(help="table, csv or json")] = "table",
    at: Annotated[
        str | None,
        typer.Option(help="the trial balance as it was known at this time, e.g. 2026-11-16T09:00:00Z"),
    ] = None,
) -> None:
    """Prints a report."""
    with _parts() as parts:
        print_report(parts, programme, name, form, at=at)


@app.command()
def export(programme: ProgrammeName) -> None:
    """Seals a programme's books and writes its audit package; prints where."""
    with _parts() as parts:
        print(export_books(parts, programme))


@keys_app.callback()
def keys(context: typer.Context) -> None:
    """Prints the enclave's public keys: purpose, key id, and the SHA-256 of the key (SPKI)."""
    if context.invoked_subcommand is not None:
        return
    with _parts() as parts:
        for line in public_key_lines(parts):
            print(line)


@keys_app.command("list")
def list_keys() -> None:
    """Prints every version of every key whose signatures count, those included that will sign later."""
    with _parts() as parts:
        for line in key_version_lines(parts):
            print(line)


@keys_app.command()
def load() -> None:
    """Has the enclave take in what the custodians resolved; says what it found, and what it does not use."""
    with _parts() as parts:
        for line in loaded_key_lines(parts):
            print(line)


def _custodians_command(name: str, help_text: str) -> None:
    """One of the enclave's own commands: keys are made, and drafts signed, in its process and not in ours."""

    def hand_on(context: typer.Context) -> None:
        become(PROGRAMS["enclave"], [name, *context.args])

    keys_app.command(name, context_settings=PASSED_ON, help=help_text)(hand_on)


for _name, _help in CUSTODIANS.items():
    _custodians_command(_name, _help)


@keys_app.command()
def attest(
    write_pins: Annotated[
        Path | None, typer.Option(help="pin what it says: trust this enclave, and no other, from now on")
    ] = None,
) -> None:
    """Asks the enclave what it is, and compares that with what is pinned; exit code 1 if it differs."""
    lines, as_pinned = attest_enclave(read_settings(), write_pins)
    for line in lines:
        print(line)
    if not as_pinned:
        sys.exit(1)


@app.command(context_settings=PASSED_ON)
def enclave(context: typer.Context) -> None:
    """The signing process: serve, audit, and what custodians do (see `tallystick enclave serve --help`)."""
    become(PROGRAMS["enclave"], context.args)


@app.command(context_settings=PASSED_ON)
def bank(context: typer.Context) -> None:
    """The sandbox bank, a server of its own (see `tallystick bank --help`)."""
    become(PROGRAMS["bank"], context.args)


@app.command()
def verify(
    package: Annotated[Path | None, typer.Argument(help="the directory of an export")] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", "--public-key", help="the export public key, PEM, got by a way that you trust"),
    ] = None,
    checkpoint_key: Annotated[
        Path | None,
        typer.Option(help="the checkpoint public key, PEM; without it, the package's own is taken"),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(help="an older export, or a file with an older checkpoint, of the same log"),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql:// URL of a role that may read, in place of a package")
    ] = None,
    programme: Annotated[str | None, typer.Option(help="only this programme of the database")] = None,
) -> None:
    """Verifies an audit package without us, or a database: every balance, hold and leaf, the tree, its checkpoints."""
    if database is not None:
        if package or key or since:
            raise OperationFailed("Verify a package or a --database, one at a time.")
        _verify_database(database, programme, checkpoint_key)
    elif package is None or key is None or programme:
        raise OperationFailed("Give a package and its --key, or a --database (and, of that, a --programme).")
    else:
        _verify_package(package, key, checkpoint_key, since)


def _verify_package(package: Path, key: Path, checkpoint_key: Path | None, since: Path | None) -> None:
    found = verify_export(package, key, checkpoint_key=checkpoint_key, since=since)
    print(f"programme   {found.programme_name} ({found.programme_id})")
    print(f"made        {found.created_at}")
    print(f"checkpoint  {found.origin}, {found.size} leaves, root {base64.b64encode(found.root).decode()}")
    if found.since is not None:
        print(f"history     the first {found.since} of its leaves are those of {since}")
    print(f"verified: every sum, balance and leaf; {found.accounts} accounts, {found.entries} entries")


@contextmanager
def _progress_on_stderr() -> Iterator[Callable[[str, int], None]]:
    """Shows what is being read, and how much of it has been; nothing before anything is."""
    shown = Progress(
        TextColumn("reading {task.description}"),
        TextColumn("{task.completed:,}"),
        console=Console(stderr=True),
    )
    stages: dict[str, TaskID] = {}

    def progress(stage: str, rows: int) -> None:
        if stage not in stages:
            shown.start()
            stages[stage] = shown.add_task(stage, total=None)
        shown.update(stages[stage], completed=rows)

    try:
        yield progress
    finally:
        if stages:
            shown.stop()


def _verify_database(url: str, programme: str | None, checkpoint_key: Path | None) -> None:
    with _progress_on_stderr() as progress:
        found = audit_database(url, programme, checkpoint_key, progress)
    for one in found.found:
        print(one)
    if found.discrepancies > len(found.found):
        print(f"and {found.discrepancies - len(found.found)} more")
    print(
        f"read: {found.accounts} accounts, {found.transfers} transfers ({found.unsealed} not sealed yet),"
        f" {found.entries} entries, {found.holds} holds, {found.leaves} leaves, {found.checkpoints} checkpoints"
    )
    if checkpoint_key is None:
        print("not checked: who signed the checkpoints (give --checkpoint-key)")
    if found.restored:
        print(
            f"not checked: which transactions wrote {found.restored} transfers (restored from a dump, it seems)"
        )
    if found.discrepancies:
        print(f"does not verify: {found.discrepancies} discrepancies")
        sys.exit(1)
    print("verified: every balance, hold, status, limit and leaf follows from the facts")


@app.command()
def certify(
    adapter: Annotated[str, typer.Argument(help="the name of an installed adapter")],
    payouts: Annotated[
        int, typer.Option(min=1, max=PAYOUTS_MAX, help="how many payouts meet each fault")
    ] = PAYOUTS,
    json: Annotated[Path | None, typer.Option(help="writes the report to this file, for programs")] = None,
    html: Annotated[Path | None, typer.Option(help="writes the report to this file, as one page")] = None,
) -> None:
    """Plays the faults of banks against an adapter, offline; exit code 0 only if nothing failed."""
    certify_adapter(adapter, payouts=payouts, json_file=json, html_file=html)


@app.command("bench-enclave")
def bench_enclave(
    quick: Annotated[bool, typer.Option(help="see that it works; the figures mean nothing")] = False,
) -> None:
    """Measures how fast the enclave signs, against the token by itself."""
    rows = run_signing_bench(home=HOME / "bench-enclave", output=HOME / "bench", quick=quick)
    if not quick:
        judge(rows)


@app.command("bench-partners")
def bench_partners(
    quick: Annotated[bool, typer.Option(help="see that it works; the figures mean nothing")] = False,
) -> None:
    """Measures how fast bank messages are read and written, against bare lxml, and how fast payouts are sent."""
    rows = run_partners_bench(output=HOME / "bench", quick=quick)
    if not quick:
        judge(rows)


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="bulk, hot, callers, checkouts, storage, history; all without a name"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="postgresql:// URL of a role with CREATEDB and CREATEROLE, of any database"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="seconds instead of minutes, and no bar is asked")
    ] = False,
    not_durable: Annotated[
        bool,
        typer.Option("--not-durable", help="measure although commits are not durable; every row says so"),
    ] = False,
) -> None:
    """Measures how fast the book posts, against pgbench on the same server."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it made is dropped then, too
    calm_interpreter()  # as every process of ours does that posts
    run_bench(
        names or [],
        database=database,
        home=HOME / "bench-db",
        output=HOME / "bench",
        quick=quick,
        even_if_not_durable=not_durable,
    )


@contextmanager
def _parts() -> Iterator[Parts]:
    parts = build_parts(read_settings())
    try:
        yield parts
    finally:
        parts.close()


def _log_to_stderr() -> None:
    """One line a decision, event name first; the log of the queue's own machinery only from warnings up."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("procrastinate", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
