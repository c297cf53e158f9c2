"""Callers of the enclave: so many connections, each with one request on its way, and the next when it was answered.

Requests are written before the clock starts, and answers looked at when it has stopped: what is measured is the
enclave, not the caller. One thread serves all connections.
"""

import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from api.bench.failure import BenchRefused

MESSAGE_BYTES_MAX = 256 * 1024
ANSWER_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a stretch of asking came to. Units: seconds; one latency for each answer, in the order of the requests."""

    answers: Sequence[bytes]
    latencies_s: Sequence[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.answers) / self.seconds

    @property
    def p99_ms(self) -> float:
        """The latency that one answer in a hundred exceeds. Units: milliseconds."""
        return quantiles(self.latencies_s, n=100)[98] * 1000

    def check(self) -> None:
        """Sees to it that every request was granted. Raises: BenchRefused."""
        for answer in self.answers:
            told = json.loads(answer)
            if not told["ok"]:
                raise BenchRefused(f"the enclave refused: {told['refusal']}")


@dataclass(slots=True)
class _Caller:
    connection: socket.socket
    asked_at_s: float = 0.0


def ask(socket_path: Path, requests: Sequence[bytes], *, callers: int, seconds: float) -> Asked:
    """Asks until the requests are used up or the time is over. Raises: BenchRefused when nobody answers."""
    waiting, answers, latencies = iter(requests), list[bytes](), list[float]()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        begun = time.perf_counter()
        deadline = begun + seconds
        for _ in range(callers):
            caller = _Caller(stack.enter_context(_connected(socket_path)))
            selector.register(caller.connection, selectors.EVENT_READ, caller)
            if not _ask_next(caller, waiting):
                selector.unregister(caller.connection)
        while selector.get_map():
            ready = selector.select(ANSWER_S_MAX)
            if not ready:
                raise BenchRefused(f"the enclave has not answered for {ANSWER_S_MAX:.0f} seconds")
            for key, _ in ready:
                caller = key.data
                answers.append(caller.connection.recv(MESSAGE_BYTES_MAX))
                now = time.perf_counter()
                latencies.append(now - caller.asked_at_s)
                if now >= deadline or not _ask_next(caller, waiting):
                    selector.unregister(caller.connection)
        return Asked(answers, latencies, time.perf_counter() - begun)


def _ask_next(caller: _Caller, requests: Iterator[bytes]) -> bool:
    request = next(requests, None)
    if request is not None:
        caller.asked_at_s = time.perf_counter()
        caller.connection.send(request)
    return request is not None


def _connected(socket_path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES_MAX)
    connection.connect(str(socket_path))
    return connection
