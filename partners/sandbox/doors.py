"""Being down: for a while the bank's port refuses every connection, as that of a dead host does.

The port stays taken by a bound socket that does not listen, so nobody else can get it in the meantime.
"""

import asyncio
import socket
import time
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
CONNECTIONS_WAITING_MAX = 256


class Doors:
    """The bank's listening socket, which can be shut for a while."""

    def __init__(self, orders: asyncio.Queue[float]) -> None:
        self._orders = orders
        self._placeholder: socket.socket | None = None
        self._port = 0
        self._open_at = 0.0

    async def turn(
        self,
        servers: list[asyncio.Server],
        connections: Callable[[], list[asyncio.Transport]],
        make_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        """Shut when told to, and open again when the time has come; `servers` is kept true."""
        if not self._orders.empty():
            self._shut(servers, connections(), self._orders.get_nowait())
        elif self._placeholder is not None and time.monotonic() >= self._open_at:
            listener, self._placeholder = self._placeholder, None
            loop = asyncio.get_running_loop()
            servers.append(
                await loop.create_server(make_protocol, sock=listener, backlog=CONNECTIONS_WAITING_MAX)
            )

    def leave(self) -> None:
        """Let go of the port."""
        if self._placeholder is not None:
            self._placeholder.close()

    def _shut(
        self, servers: list[asyncio.Server], connections: list[asyncio.Transport], seconds: float
    ) -> None:
        self._open_at = time.monotonic() + seconds
        for server in servers:
            self._port = server.sockets[0].getsockname()[1]
            server.close()
        servers.clear()
        for connection in connections:
            connection.abort()
        if self._placeholder is None:
            self._placeholder = _bind(self._port)


def _bind(port: int) -> socket.socket:
    placeholder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    placeholder.bind((LOOPBACK, port))
    return placeholder
