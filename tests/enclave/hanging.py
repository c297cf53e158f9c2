"""Databases that hang, or crawl.

One takes every connection and says nothing, one is real and its processes stand still, and of one the answers are late.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

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


class SlowDatabase:
    """A real database behind a line of our own, on which every answer is late."""

    def __init__(self, listener: socket.socket, behind: int, late_s: float) -> None:
        self._listener = listener
        self._behind = behind
        self._late_s = late_s
        self._is_over = threading.Event()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.is_late = threading.Event()
        self.answers = 0

    def start(self) -> None:
        self._threads[0].start()

    def stop(self) -> None:
        self._is_over.set()
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._behind))
            self._ends += [caller, server]
            for source, target, is_answer in ((caller, server, False), (server, caller, True)):
                thread = threading.Thread(target=self._carry, args=(source, target, is_answer))
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_answer:
                    self.answers += 1
                    if self.is_late.is_set():
                        self._is_over.wait(self._late_s)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def slow_database(database: Database, late_s: float) -> Iterator[tuple[str, SlowDatabase]]:
    """The URL of a database whose answers are late as soon as a test says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = urlsplit(database.url("tallystick_enclave"))
        assert url.port is not None
        slow = SlowDatabase(listener, url.port, late_s)
        slow.start()
        try:
            address = f"tallystick_enclave@127.0.0.1:{listener.getsockname()[1]}"
            yield urlunsplit(url._replace(netloc=address)), slow
        finally:
            slow.stop()
