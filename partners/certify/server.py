"""The kit's bank on a free port of this machine, spoken to over HTTP as any bank is."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import parse_headers
from typing import Final, cast

from partners.certify.bank import KitBank, Silence, Torn
from partners.contract import Answer

_IDLE_MAX_S: Final = 10.0


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True

    def __init__(self, bank: KitBank) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.bank = bank
        self.stopping = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A rehearsal that raises is shown as it raised, and its bank is not believed any more."""
        self.bank.broke = True
        super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on as it came


class _Conversation(socketserver.StreamRequestHandler):
    """One connection: requests are answered until either side closes it."""

    timeout = _IDLE_MAX_S
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while self._one_request():
                pass
        except (ConnectionError, TimeoutError):
            return  # the other side has gone

    def _one_request(self) -> bool:
        line = self.rfile.readline(65_536).decode("latin-1").split()
        if len(line) != 3:
            return False
        fields = parse_headers(self.rfile)
        body = self.rfile.read(int(fields.get("Content-Length", "0")))
        return self._reply(method=line[0], path=line[1], body=body, fields=fields)

    def _reply(self, *, method: str, path: str, body: bytes, fields: Message) -> bool:
        server = cast("_Server", self.server)  # it was made with this class alone
        reply = server.bank.answer(
            method=method, path=path, body=body, request_id=fields.get("X-Request-Id", "")
        )
        match reply:
            case Answer():
                self.wfile.write(_written(reply))
                return True
            case Torn(answer):
                whole = _written(answer)
                self.wfile.write(whole[: len(whole) - max(1, len(answer.body) // 2)])
                return False
            case Silence(hold_s):
                server.stopping.wait(hold_s)
                return False


def _written(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Said", f"Content-Length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + answer.body


@contextmanager
def serving(bank: KitBank) -> Iterator[str]:
    """The address of the bank while it is open."""
    with _Server(bank) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """The address of a bank that refuses every connection: the port is taken, and nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
