"""A client's webhook endpoint: takes what the bank sends, and acknowledges it as told."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.partners.sandbox.bank_process import NotInTimeError


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt of the bank to deliver."""

    body: bytes
    headers: dict[str, str]

    @property
    def message(self) -> dict[str, object]:
        return dict(json.loads(self.body))

    @property
    def type(self) -> str:
        return str(self.message["Type"])

    @property
    def payload(self) -> dict[str, object]:
        payload = self.message["Payload"]
        assert isinstance(payload, dict)
        return payload

    @property
    def end_to_end_id(self) -> object:
        return self.payload.get("EndToEndIdentification", self.payload.get("EndToEndId"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint answers to one delivery."""

    status: int
    body: bytes
    signature: str


class WebhookListener:
    """An HTTP endpoint on a free loopback port, for as long as its `with` block runs.

    It acknowledges everything properly, except that answers put into `next_answers` go out first.
    """

    def __init__(self, sign: Callable[[bytes], str]) -> None:
        self.sign = sign
        self.deliveries: list[Delivery] = []
        self.next_answers: list[Callable[[Delivery], Answer]] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/notices"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def acknowledge(self, delivery: Delivery) -> Answer:
        """The proper answer to a delivery."""
        body = json.dumps({"Nonce": delivery.message["Nonce"]}).encode()
        return Answer(200, body, self.sign(body))

    def about(self, end_to_end_id: str) -> list[Delivery]:
        """What has arrived about a payment so far."""
        with self._arrived:
            return [item for item in self.deliveries if item.end_to_end_id == end_to_end_id]

    def wait_for(
        self, kind: str, end_to_end_id: str, *, count: int = 1, within_s: float = 10.0
    ) -> list[Delivery]:
        """The deliveries of a type about a payment, once there are so many of them.

        Raises: NotInTimeError.
        """
        return self.wait_until(
            lambda item: item.type == kind and item.end_to_end_id == end_to_end_id,
            count=count,
            within_s=within_s,
        )

    def wait_until(
        self, fits: Callable[[Delivery], bool], *, count: int = 1, within_s: float = 10.0
    ) -> list[Delivery]:
        """The deliveries that fit, once there are so many of them.

        Raises: NotInTimeError.
        """
        deadline = time.monotonic() + within_s
        with self._arrived:
            while len(found := [item for item in self.deliveries if fits(item)]) < count:
                if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    raise NotInTimeError([item.type for item in self.deliveries])
            return found

    def _take(self, delivery: Delivery) -> Answer:
        with self._arrived:
            self.deliveries.append(delivery)
            answer = self.next_answers.pop(0) if self.next_answers else self.acknowledge
            self._arrived.notify_all()
        return answer(delivery)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = listener._take(Delivery(body, headers))
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("DigitalSignature", answer.signature)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
                """Keep quiet."""

        return Handler
