"""Databases that hang: one that takes every connection and says nothing, and a real one whose processes stand still."""

import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg

from tests.conftest import Database


@contextmanager
def silent_database() -> Iterator[str]:
    """The URL of a server that the kernel answers for, and nobody behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://tallystick_enclave@127.0.0.1:{listener.getsockname()[1]}/nowhere"


@contextmanager
def held(pids: Iterable[int]) -> Iterator[None]:
    """These processes stand still meanwhile."""
    stopped = list(pids)
    assert stopped
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def postmaster(database: Database) -> int:
    """The process that takes new connections."""
    return int((database.server.data / "postmaster.pid").read_text().splitlines()[0])


def backends(database: Database, application_name: str) -> list[int]:
    """The processes that serve this test's connections of that name."""
    with psycopg.connect(database.url("postgres")) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            [application_name],
        ).fetchall()
    return [pid for (pid,) in found]
