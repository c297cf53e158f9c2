"""The whole of Tallystick on one machine, for development: database, enclave, sandbox bank, API and worker.

Each part is a process of its own, as in production; this file only starts them in order, tells them where the others
are, and stops them. Everything they write lies under one home directory.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from api.custodians import agree, make_custodians
from api.database import migrate
from api.embedded import EmbeddedPostgres, free_port
from api.operator import make_operator
from api.parts import build_parts
from api.settings import FILE, DatabaseUrls, read_settings
from api.trust import pin_enclave
from enclave.softhsm import CONFIGURATION_VARIABLE, find_module, write_configuration

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0
TOKEN_LABEL = "tallystick"  # noqa: S105 - a PKCS#11 token's name, no secret
DATABASE = "tallystick"
BANK = "sandbox"


class StackFailed(Exception):
    """A part did not come up; the message names it and its log."""


@dataclass(slots=True)
class Stack:
    """One running installation under `home`. `clock` is "system" or "test"; without `databases`, it brings its own.

    `enclave_options` are more of the enclave's own: on what conditions it signs.
    """

    home: Path
    clock: str = "system"
    api_port: int = 0
    databases: DatabaseUrls | None = None
    enclave_options: tuple[str, ...] = ()
    say: Callable[[str], None] = print
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _lock: IO[bytes] | None = None

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The database server."""
        return EmbeddedPostgres(self.home / "postgres")

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def bank_url(self) -> str:
        """Where the sandbox bank answers."""
        url: str = json.loads((self.home / "bank" / "bank.json").read_text())["url"]
        return url

    @property
    def public_keys(self) -> Path:
        """Where the ceremony wrote the enclave's public keys."""
        return self.home / "enclave" / "public-keys"

    def start(self) -> None:
        """Starts every part, in the order in which they need each other. Raises: StackFailed."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._lock = lock_home(self.home)
        stop_leftovers(self.home)
        self.api_port = self.api_port or free_port()
        try:
            self._start_database()
            self._start_enclave()
            self._start_bank()
            self._start_api()
            self.start_worker()
        except BaseException:
            self.stop()
            raise

    def start_signing(self) -> None:
        """Starts the database and the enclave alone. Raises: StackFailed."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._lock = lock_home(self.home)
        stop_leftovers(self.home)
        try:
            self._start_database()
            self._start_enclave()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops every part, the last one first."""
        for name in list(reversed(self._processes)):
            self._end(name, signal.SIGTERM)
        if self.databases is None:
            self.postgres.stop()
        (self.home / "pids.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def start_worker(self) -> None:
        """Starts a worker."""
        self.say("worker")
        self._spawn("worker", [*_python("api.cli"), "work"])
        self._await_line("worker", "worker ready")

    def start_bank(self, port: int = 0) -> None:
        """Starts the sandbox bank over its own books; a port that it had before is where we look for it."""
        command = [*_python("partners.sandbox"), "--home", str(self.home / "bank"), "--port", str(port)]
        self._spawn("bank", command)
        self._await_line("bank", "listening on")

    def kill(self, name: str) -> None:
        """Kills a part as a crash would."""
        self._end(name, signal.SIGKILL)

    def dead(self) -> list[str]:
        """The parts that were started and run no more."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def environment(self) -> dict[str, str]:
        """The settings of our own processes. No secret is among them."""
        return {
            "TALLYSTICK_DATABASE_URL": self._urls.app,
            "TALLYSTICK_ENCLAVE_SOCKET": "enclave.sock",  # relative to `home`: socket paths are short
            "TALLYSTICK_ENCLAVE_PINS_FILE": str(self.home / "enclave-pins.json"),
            "TALLYSTICK_PUBLIC_URL": self.api_url,
            "TALLYSTICK_BANKS_FILE": str(self.home / "banks.json"),
            "TALLYSTICK_EXPORTS_DIRECTORY": str(self.home / "exports"),
            "TALLYSTICK_CLOCK": self.clock,
            "TALLYSTICK_WORKER_STALL_S": "3",
        }

    @property
    def _urls(self) -> DatabaseUrls:
        roles = ("tallystick_owner", "tallystick_app", "tallystick_enclave", "tallystick_custodian")
        return self.databases or DatabaseUrls(*(self.postgres.url(role, DATABASE) for role in roles))

    def operator(self) -> tuple[str, str]:
        """The operator's client id and secret, made the first time and kept in the home for development."""
        kept = self.home / "operator"
        if not kept.exists():
            parts = build_parts(read_settings(self.environment()))
            try:
                words = make_operator(parts)
            finally:
                parts.close()
            kept.touch(mode=0o600)
            kept.write_text(" ".join(words))
        name, secret = kept.read_text().split()
        return name, secret

    def _start_database(self) -> None:
        self.say("database")
        if self.databases is None:
            self.postgres.start()
            if not self.postgres.has_database(DATABASE):
                self.postgres.create_database(DATABASE)
        migrate(self._urls.owner)

    def _start_enclave(self) -> None:
        self.say("enclave: key ceremony on the PKCS#11 token")
        directory = self.home / "enclave"
        directory.mkdir(mode=0o700, exist_ok=True)
        roster = make_custodians(directory / "custodians")
        draft = directory / "resolution.json"
        pins = {name: _secret_file(directory / name) for name in ("user-pin", "so-pin")}
        softhsm = {CONFIGURATION_VARIABLE: str(write_configuration(directory / "softhsm"))}
        module = ["--module", str(find_module()), "--token-label", TOKEN_LABEL]
        with pins["user-pin"].open("rb") as pin, pins["so-pin"].open("rb") as so_pin:
            command = [
                *_python("enclave"), "ceremony", *module, "--pin-fd", str(pin.fileno()),
                "--so-pin-fd", str(so_pin.fileno()), "--public-keys", str(self.public_keys),
                "--draft", str(draft), "--custodians", str(roster), "--database-url", self._urls.custodian,
            ]  # fmt: skip
            self._run("ceremony", command, softhsm, [pin.fileno(), so_pin.fileno()])
        if draft.exists():
            agree(draft, directory / "custodians", self._urls.custodian)
        self.say("enclave")
        with pins["user-pin"].open("rb") as pin:
            command = [
                *_python("enclave"), "serve", "--socket", "enclave.sock", *module, "--pin-fd", str(pin.fileno()),
                "--log", str(directory / "signing.log"), "--custodians", str(roster),
                "--database-url", self._urls.enclave, *self.enclave_options,
            ]  # fmt: skip
            self._spawn("enclave", command, softhsm, [pin.fileno()])
            self._await_line("enclave", "enclave ready")
        # We have just started it ourselves, from this source; in production somebody looks first.
        pin_enclave(Path(os.path.relpath(self.home / "enclave.sock")), self.home / "enclave-pins.json")

    def _start_bank(self) -> None:
        self.say("sandbox bank")
        self.start_bank()
        tokens = {purpose: _secret_file(self.home / f"{purpose}-token") for purpose in ("bank", "payout")}
        with httpx.Client(base_url=self.bank_url, trust_env=False) as bank:
            for purpose, token in tokens.items():
                public_key = (self.public_keys / f"{purpose}-v1.pem").read_text()
                ours = {"token": token.read_text(), "publicKeyPem": public_key}
                bank.post("/sandbox/clients", json=ours).raise_for_status()
            bank.post(
                "/sandbox/webhooks", json={"url": f"{self.api_url}/webhooks/banks/{BANK}"}
            ).raise_for_status()
            key = bank.get("/sandbox/public-key").raise_for_status()
        key_file = self.home / "bank-public-key.pem"
        key_file.write_bytes(key.content)
        reached = {
            "adapter": "clearbank",
            "base_url": self.bank_url,
            "token_file": str(tokens["bank"]),
            "payout_token_file": str(tokens["payout"]),
            "webhook_key_file": str(key_file),
        }
        (self.home / "banks.json").write_text(json.dumps({BANK: reached}, indent=2))

    def _start_api(self) -> None:
        self.say("API")
        (self.home / FILE).write_text(json.dumps(self.environment(), indent=2))
        self._spawn("api", [*_python("api.cli"), "api", "--port", str(self.api_port)])
        self._await_line("api", "Application startup complete")

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        if self._log(name).exists():
            self._log(name).replace(self._log(name).with_suffix(".log.before"))
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.home,
                env=self._environment_of(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=list(descriptors),
                start_new_session=True,  # a Ctrl-C is for the launcher, which stops its parts in order
            )
        pids = {part: process.pid for part, process in self._processes.items()}
        (self.home / "pids.json").write_text(json.dumps(pids))

    def _run(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> None:
        with self._log(name).open("wb") as log:
            done = subprocess.run(
                command,
                check=False,
                cwd=self.home,
                env=self._environment_of(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=list(descriptors),
            )
        if done.returncode != 0:
            raise StackFailed(f"{name} failed:\n{self._log(name).read_text()[-2000:]}")

    def _environment_of(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {**_inherited(), **(self.environment() if more is None else more)}

    def _log(self, name: str) -> Path:
        logs = self.home / "logs"
        logs.mkdir(exist_ok=True)
        return logs / f"{name}.log"

    def _await_line(self, name: str, line: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            text = self._log(name).read_text(errors="replace")
            if line in text:
                return
            if self._processes[name].poll() is not None:
                raise StackFailed(f"{name} stopped before it was ready:\n{text[-2000:]}")
            time.sleep(0.02)
        raise StackFailed(f"{name} was not ready within {READY_WITHIN_S:.0f} s; see {self._log(name)}")

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name)
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


def lock_home(home: Path) -> IO[bytes]:
    """Makes sure that one launcher works in a home; the lock goes with its process. Raises: StackFailed."""
    lock = (home / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StackFailed(f"an installation is already running in {home}") from None
    return lock


def stop_leftovers(home: Path) -> None:
    """Stops what an earlier run under this home has left running, and nothing else."""
    pids = home / "pids.json"
    if pids.exists():
        for pid in json.loads(pids.read_text()).values():
            if _is_ours(pid, home):
                os.kill(pid, signal.SIGKILL)
        pids.unlink()
    server = EmbeddedPostgres(home / "postgres")
    if server.data.exists():
        server.stop()


def wipe(home: Path) -> None:
    """Stops what an earlier run left under a home and removes it. Raises: StackFailed while one is running."""
    if home.exists():
        with lock_home(home):
            stop_leftovers(home)
            shutil.rmtree(home, ignore_errors=True)


def _is_ours(pid: int, home: Path) -> bool:
    """Whether a process works in this home: a number may long belong to somebody else."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == home.resolve()
    except OSError:
        return False


def _python(module: str) -> list[str]:
    # -P: the home is the working directory, and what lies there must never be taken for a module of ours.
    return [sys.executable, "-P", "-m", module]


def _inherited() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TZ"}
    }


def _secret_file(path: Path) -> Path:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path
