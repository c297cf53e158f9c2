"""The enclave as it runs: a process of its own, on a SoftHSM2 token of its own."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from api.custodians import NAMES, make_custodians
from enclave.client import EnclaveClient
from enclave.drafts import (
    DraftedResolutions,
    drafted,
    endorse,
    read_draft,
    signature_of,
    write_draft,
)
from enclave.log import EntryKind, LogRecord, read_log
from enclave.resolutions import Item, register_of
from enclave.roster import read_roster
from enclave.softhsm import CONFIGURATION_VARIABLE

TOKEN_LABEL = "tallystick-test"
PIN = "user-pin-9f2c41d8e7b6a503"
SO_PIN = "officer-pin-1b7d90c2f4e8a6"
PATIENCE_S = 30
NO_DATABASE = "postgresql://tallystick_enclave@127.0.0.1:1/nowhere"


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes true before long."""
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end_s:
            return False
        threading.Event().wait(0.02)
    return True


@contextmanager
def secret_on_a_descriptor(secret: str) -> Iterator[int]:
    """A pipe that holds a secret, to be inherited; the writing end is closed."""
    reader, writer = os.pipe()
    try:
        os.write(writer, secret.encode())
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


@dataclass(frozen=True, slots=True)
class SoftHsmToken:
    """A SoftHSM2 directory with one token."""

    module: Path
    configuration: Path
    directory: Path

    @property
    def public_keys(self) -> Path:
        return self.directory / "public"

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], CONFIGURATION_VARIABLE: str(self.configuration)}

    @property
    def custodians(self) -> Path:
        return make_custodians(self.custodians_home)

    @property
    def custodians_home(self) -> Path:
        """Not beside the token: people keep their keys to themselves."""
        return Path(f"{self.directory}-custodians")

    @property
    def resolutions(self) -> Path:
        """Where what the custodians have endorsed stands, for enclaves without a database."""
        return self.directory / "resolutions"

    def pem(self, name: str) -> str:
        return (self.public_keys / f"{name}-v1.pem").read_text()

    def endorse(self, draft: Path) -> None:
        for name in NAMES:
            key = (self.custodians_home / f"{name}.pem").read_bytes()
            endorse(draft, name, signature_of(read_draft(draft), key, passphrase=None))

    def resolved(self, directory: Path, *items: Item) -> Path:
        """The resolutions so far and one more, in a directory of their own."""
        shutil.copytree(self.resolutions, directory)
        register = register_of(DraftedResolutions(directory).all(), read_roster(self.custodians.read_bytes()))
        draft = directory / f"{register.head.number + 1:04}.json"
        write_draft(draft, drafted(items, register, at=datetime.now(UTC)))
        self.endorse(draft)
        return directory

    def hold_ceremony(self, *, pin: str = PIN, so_pin: str = SO_PIN) -> subprocess.CompletedProcess[str]:
        with secret_on_a_descriptor(pin) as pin_fd, secret_on_a_descriptor(so_pin) as so_pin_fd:
            command = [sys.executable, "-m", "enclave", "ceremony"]
            command += ["--module", str(self.module), "--token-label", TOKEN_LABEL]
            command += ["--pin-fd", str(pin_fd), "--so-pin-fd", str(so_pin_fd)]
            command += ["--public-keys", str(self.public_keys)]
            command += ["--custodians", str(self.custodians), "--resolutions", str(self.resolutions)]
            first = self.resolutions / "0001.json"
            command += ["--draft", str(first)]
            done = self._run(command, pass_fds=(pin_fd, so_pin_fd))
        if first.exists():
            self.endorse(first)
        return done

    def command(self, name: str, *said: str, logs_in: bool = False) -> subprocess.CompletedProcess[str]:
        """One of the enclave's commands, in a process of its own; some log in to the token."""
        command = [sys.executable, "-m", "enclave", name, *said]
        if not logs_in:
            return self._run(command)
        with secret_on_a_descriptor(PIN) as pin_fd:
            command += ["--module", str(self.module), "--token-label", TOKEN_LABEL, "--pin-fd", str(pin_fd)]
            return self._run(command, pass_fds=(pin_fd,))

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code in a process of its own: this one must not load the module."""
        return self._run([sys.executable, "-c", code])

    def serve_and_fail(
        self, enclave_directory: Path, **options: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Start an enclave that is expected to end by itself."""
        with secret_on_a_descriptor(options.pop("pin", None) or PIN) as pin_fd:
            command = self.serve_command(enclave_directory, **{"pin_fd": str(pin_fd), **options})
            return self._run(command, pass_fds=(pin_fd,))

    def serve_command(self, enclave_directory: Path, **options: str | None) -> list[str]:
        """The command line, options changed as asked: "" makes a flag, None leaves the option out."""
        defaults: dict[str, str | None] = {
            "socket": str(enclave_directory / "enclave.sock"),
            "module": str(self.module),
            "token_label": TOKEN_LABEL,
            "log": str(enclave_directory / "signing.log"),
            "custodians": str(self.custodians),
            "resolutions": str(self.resolutions),
            "database_url": NO_DATABASE,
        }
        command = [sys.executable, "-m", "enclave", "serve"]
        for name, value in (defaults | options).items():
            if value is not None:
                command += [f"--{name.replace('_', '-')}", *([value] if value else [])]
        return command

    @contextmanager
    def serving(
        self, enclave_directory: Path, *, more: Sequence[str] = (), **options: str | None
    ) -> Iterator["RunningEnclave"]:
        """A running enclave; `more` is for options that are given several times."""
        with secret_on_a_descriptor(PIN) as pin_fd:
            command = self.serve_command(enclave_directory, **{"pin_fd": str(pin_fd), **options})
            process = subprocess.Popen(
                [*command, *more],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=(pin_fd,),
                env=self.environment,
            )
        with process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            try:
                yield RunningEnclave(process=process, directory=enclave_directory, ready_line=ready)
            finally:
                process.kill()

    def _run(
        self, command: Sequence[str], pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment,
            pass_fds=pass_fds,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@dataclass(frozen=True, slots=True)
class RunningEnclave:
    """An enclave process that said it was ready."""

    process: subprocess.Popen[str]
    directory: Path
    ready_line: str

    @property
    def socket_path(self) -> Path:
        return self.directory / "enclave.sock"

    @property
    def log_path(self) -> Path:
        return self.directory / "signing.log"

    def client(self) -> EnclaveClient:
        return EnclaveClient(self.socket_path)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=30)

    def records(self) -> list[LogRecord]:
        return list(read_log(self.log_path))

    def kinds(self) -> list[EntryKind]:
        return [record.entry.kind for record in self.records()]

    def complaint(self) -> str:
        """What it said last, having ended by itself."""
        assert self.process.wait(timeout=30) == 2
        told = self.errors().splitlines()
        return [line for line in told if not line.endswith((" done", " NOT DONE"))][-1]

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()
