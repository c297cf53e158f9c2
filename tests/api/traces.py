"""What processes leave behind, and whether a secret is in it, however it is spelt."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Database
from tests.enclave.process import eventually


def spellings(secret: str) -> list[bytes]:
    """What a secret may look like in a dump, in a log or in a traceback."""
    raw = secret.encode()
    return [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), secret.encode("utf-16-le")]


def holds(data: bytes, secret: str) -> bool:
    return any(spelt in data for spelt in spellings(secret))


def found_in(traces: Mapping[str, bytes], secrets: Iterable[str]) -> set[tuple[str, str]]:
    """Which secrets are where."""
    return {(place, secret) for secret in secrets for place, data in traces.items() if holds(data, secret)}


def dump(database: Database) -> bytes:
    """Every row of every table, as text."""
    with database.owner_engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [
            str(row)
            for (name,) in names.all()
            for row in connection.exec_driver_sql(f'SELECT t::text FROM "{name}" t').all()
        ]
    return "\n".join(rows).encode()


def files_under(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


def seen_from_outside(pid: int) -> bytes:
    """What everybody on the machine, or its owner, sees of a process."""
    return b"\n".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


@dataclass(frozen=True, slots=True)
class Program:
    """A process that was started, and the file that has all that it says."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> bytes:
        return self.output.read_bytes()


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], *, output: Path, ready: bytes
) -> Iterator[Program]:
    """A program, from its having said that it is ready to the end of the block."""
    with (
        output.open("wb") as told,
        subprocess.Popen(
            [sys.executable, *command],
            env={"PATH": os.environ["PATH"], **environment},
            stdout=told,
            stderr=told,
            stdin=subprocess.DEVNULL,
        ) as process,
    ):
        program = Program(process, output)
        try:
            assert eventually(lambda: ready in program.said() or process.poll() is not None)
            assert process.poll() is None, program.said()
            yield program
        finally:
            process.kill()
