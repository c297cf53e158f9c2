"""Running the bank as a process: one loopback socket, a clean stop, and a way to lose an answer."""

import asyncio
import json
import os
import socket
import sys
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from partners.sandbox.app import make_app
from partners.sandbox.bank import Bank, open_bank
from partners.sandbox.doors import CONNECTIONS_WAITING_MAX, LOOPBACK, Doors
from partners.sandbox.settings import BankSettings
from partners.sandbox.store.database import only_process

STOP_S_MAX = 3


class _Protocol(H11Protocol):
    """HTTP/1.1 whose requests carry a way to cut their own connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the parent has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "hang_up": transport.abort, "close": transport.close}


class _Server(uvicorn.Server):
    """Announces itself once it listens, is down when told to, and ends with exit code 0 when told to stop."""

    def __init__(self, config: uvicorn.Config, bank: Bank) -> None:
        super().__init__(config)
        self._settings = bank.settings
        self._doors = Doors(bank.downtimes)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        _announce(self._settings, f"http://{LOOPBACK}:{sockets[0].getsockname()[1]}")

    async def on_tick(self, counter: int) -> bool:
        await self._doors.turn(self.servers, self._connections, self._make_protocol)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._doors.leave()
        await super().shutdown(sockets)

    def _connections(self) -> list[asyncio.Transport]:
        found = (connection.transport for connection in self.server_state.connections)
        return [transport for transport in found if isinstance(transport, asyncio.Transport)]

    def _make_protocol(self) -> _Protocol:
        return _Protocol(self.config, self.server_state, self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is uvicorn's
        self.should_exit = True


def run(settings: BankSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises: HomeInUseError when another process serves the same home directory.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with only_process(settings.home):
        bank = open_bank(settings)
        config = uvicorn.Config(
            make_app(bank),
            http=_Protocol,
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=STOP_S_MAX,
        )
        try:
            with socket.create_server((LOOPBACK, settings.port), backlog=CONNECTIONS_WAITING_MAX) as listener:
                _Server(config, bank).run(sockets=[listener])
        finally:
            bank.books.close()
            settings.notice_path.unlink(missing_ok=True)


def _announce(settings: BankSettings, url: str) -> None:
    draft = settings.notice_path.with_suffix(".draft")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    draft.replace(settings.notice_path)
    sys.stdout.write(f"sandbox bank listening on {url}\n")
    sys.stdout.flush()
