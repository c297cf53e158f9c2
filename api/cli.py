"""The command `tallystick`. An error is one line on standard error and exit code 2; a figure that differs is 1."""

import base64
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from sqlalchemy.exc import OperationalError

from api.app import build_app
from api.database import migrate as migrate_database
from api.demo import DemoFailed, play
from api.embedded import EmbeddedPostgresFailed
from api.operations import (
    OperationFailed,
    export_books,
    import_files,
    print_report,
    public_key_lines,
    verify_export,
)
from api.operator import make_operator
from api.parts import Parts, build_parts
from api.settings import SettingsInvalid, read_database_urls, read_settings
from api.stack import Stack, StackFailed, stop_leftovers
from api.worker import run_worker
from enclave.client import EnclaveError
from enclave.softhsm import SoftHsmMissing
from ledger.core.errors import TallystickError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
HOME = Path(".tallystick")
EXIT_ERROR = 2
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
_EXPECTED = (
    SettingsInvalid,
    StackFailed,
    EmbeddedPostgresFailed,
    SoftHsmMissing,
    OperationFailed,
    TallystickError,
    EnclaveError,
    OperationalError,  # the database cannot be reached
)


def main() -> None:
    """Runs one verb."""
    try:
        app(standalone_mode=False)
    except typer.Exit as asked:
        sys.exit(asked.exit_code)
    except typer.Abort:
        sys.exit(130)
    except DemoFailed as failed:
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
    uvicorn.run(
        build_app(build_parts(read_settings())), host=host, port=port, access_log=False, log_level="info"
    )


@app.command()
def work() -> None:
    """Keeps promises: sends payouts, follows the unknown, reads notices, fetches statements, seals, exports."""
    _log_to_stderr()
    run_worker(build_parts(read_settings()))


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
) -> None:
    """Prints a report."""
    with _parts() as parts:
        print_report(parts, programme, name, form)


@app.command()
def export(programme: ProgrammeName) -> None:
    """Seals a programme's books and writes its audit package; prints where."""
    with _parts() as parts:
        print(export_books(parts, programme))


@app.command()
def keys() -> None:
    """Prints the enclave's public keys: purpose, key id, and the SHA-256 of the key (SPKI)."""
    with _parts() as parts:
        for line in public_key_lines(parts):
            print(line)


@app.command(context_settings=PASSED_ON)
def enclave(context: typer.Context) -> None:
    """The signing process: serve, ceremony, audit (see `tallystick enclave serve --help`)."""
    _become("enclave", context.args)


@app.command(context_settings=PASSED_ON)
def bank(context: typer.Context) -> None:
    """The sandbox bank, a server of its own (see `tallystick bank --help`)."""
    _become("partners.sandbox", context.args)


@app.command()
def verify(
    package: Annotated[Path, typer.Argument(help="the directory of an export")],
    key: Annotated[
        Path,
        typer.Option("--key", "--public-key", help="the export public key, PEM, got by a way that you trust"),
    ],
) -> None:
    """Verifies an audit package without us: signature, sums, every balance, the tree and its checkpoint."""
    found = verify_export(package, key)
    print(f"programme   {found.programme_name} ({found.programme_id})")
    print(f"made        {found.created_at}")
    print(f"checkpoint  {found.origin}, {found.size} leaves, root {base64.b64encode(found.root).decode()}")
    print(f"verified: every sum, balance and leaf; {found.accounts} accounts, {found.entries} entries")


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


def _become(module: str, arguments: list[str]) -> None:
    """Goes on as another of our programs: what it inherits, such as a descriptor with a PIN, is its own."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


if __name__ == "__main__":
    main()
