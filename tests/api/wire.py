"""A wire to the database that a test can cut, just before or just after the database has heard COMMIT."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Cut(Enum):
    """When the wire is cut: COMMIT never arrives, or it is obeyed and nobody hears of it."""

    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()


class Wire:
    """Forwards every byte between clients and the database, until a COMMIT comes for which a cut is planned."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, name="wire")
        self._pumping: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self._planned: list[Cut | None] = []
        self.commits = 0

    @property
    def url(self) -> str:
        """The same database, through the wire."""
        port = self._listener.getsockname()[1]
        return re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", self._url)

    def plan(self, *cuts: Cut | None) -> None:
        """What happens to the next COMMITs, one after another; None lets one through."""
        with self._lock:
            self._planned.extend(cuts)

    @property
    def planned(self) -> int:
        """How many cuts are still to come."""
        return len(self._planned)

    def close(self) -> None:
        """Cuts everything, and takes no connection any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._accepting.is_alive():
            self._accepting.join()
        for end in self._ends:
            _hang_up(end)
        for thread in self._pumping:
            thread.join()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        port = re.search(r"127\.0\.0\.1:(\d+)", self._url)
        assert port is not None
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", int(port.group(1))))
            told = threading.Event()
            self._ends += [client, server]
            for pump in (self._to_server(client, server, told), self._to_client(server, client, told)):
                thread = threading.Thread(target=pump)
                self._pumping.append(thread)
                thread.start()

    def _to_server(
        self, client: socket.socket, server: socket.socket, told: threading.Event
    ) -> Callable[[], None]:
        def pump() -> None:
            while chunk := _read(client):
                cut = self._cut(chunk)
                if cut is Cut.BEFORE_COMMIT:
                    break
                if cut is Cut.AFTER_COMMIT:
                    told.set()
                if not _write(server, chunk):
                    break
            if not told.is_set():
                _hang_up(client)
                _hang_up(server)

        return pump

    def _to_client(
        self, server: socket.socket, client: socket.socket, told: threading.Event
    ) -> Callable[[], None]:
        def pump() -> None:
            while chunk := _read(server):
                if told.is_set():
                    break  # this was the word that it is committed
                if not _write(client, chunk):
                    break
            _hang_up(client)
            _hang_up(server)

        return pump

    def _cut(self, chunk: bytes) -> Cut | None:
        if b"COMMIT" not in chunk:
            return None
        with self._lock:
            self.commits += 1
            return self._planned.pop(0) if self._planned else None


def _read(end: socket.socket) -> bytes:
    try:
        return end.recv(CHUNK_BYTES)
    except OSError:
        return b""


def _write(end: socket.socket, chunk: bytes) -> bool:
    try:
        end.sendall(chunk)
    except OSError:
        return False
    return True


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
