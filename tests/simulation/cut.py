"""A wire between us and PostgreSQL that is cut at one point: around the answer to a COMMIT.

The proxy lets everything through until it is told to cut. Then it waits for the next COMMIT and drops either that, or
the server's answer to it: by then the commit is done and durable, and only we do not know.
"""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit, urlunsplit

PIECE = 65_536
WAIT_S = 30
_COMMIT = b"COMMIT\0"


class Cut(Enum):
    """Where the wire is cut."""

    BEFORE_COMMIT = auto()
    """COMMIT never reaches the server, which rolls back."""
    BEFORE_ANSWER = auto()
    """The server has committed, and its answer never reaches us."""


class Wire:
    """A proxy on loopback in front of one server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, "a database has an address"
        assert parts.port is not None, "and a port"
        self._server = parts.hostname, parts.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._cut: Cut | None = None
        self._lock = threading.Lock()
        self.cuts = 0
        port = self._listener.getsockname()[1]
        user = f"{parts.username}@" if parts.username else ""
        self.url = urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))
        """Where to connect to go through the wire."""

    def cut_at_next(self, cut: Cut) -> None:
        """Cuts the connection that sends the next COMMIT, once."""
        self._cut = cut

    def accept(self) -> None:
        """Takes connections until the wire is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                thread = threading.Thread(target=self._carry, args=(client, server))
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Cuts everything for good."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
        for each in self._sockets:
            each.close()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                readable, _, _ = select.select([client, server], [], [], WAIT_S)
                for source in readable:
                    data = source.recv(PIECE)
                    target = server if source is client else client
                    if not data or (source is client and self._is_cut(data, server)):
                        raise ConnectionResetError
                    target.sendall(data)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, data: bytes, server: socket.socket) -> bool:
        """Whether this is the COMMIT at which to cut; the server has answered it if it was to."""
        with self._lock:
            cut = self._cut
            if cut is None or _COMMIT not in data:
                return False
            self._cut = None
            self.cuts += 1
        if cut is Cut.BEFORE_ANSWER:
            server.sendall(data)
            assert server.recv(PIECE).startswith(b"C"), "the server answers that the command is complete"
        return True


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    """A wire for as long as it is needed."""
    wire = Wire(url)
    accepting = threading.Thread(target=wire.accept)
    accepting.start()
    try:
        yield wire
    finally:
        wire.close()
        accepting.join(WAIT_S)
