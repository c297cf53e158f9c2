"""An enclave with keys for cards, in a thread of the test's own: the real signer, desk and log, keys in memory."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from enclave import canonical
from enclave.card_desk import CardDesk
from enclave.log import EntryKind, LogEntry, SigningLog
from enclave.policy import Conditions, Limits
from enclave.protocol import (
    MESSAGE_BYTES_MAX,
    CardForwardRequest,
    CardRequest,
    CardResealRequest,
    CardSealRequest,
    PublicKeysRequest,
    read_request,
    write_answer,
)
from enclave.refusals import Refusal
from enclave.signer import Letter, Peer, Signer
from tests.enclave.cards import MemoryVaultKeys, vault_of
from tests.enclave.payouts import MemoryFacts
from tests.enclave.rings import software_keyring

KEYRING = software_keyring()
Decide = CardSealRequest | CardResealRequest | CardForwardRequest


@dataclass(slots=True)
class CardEnclave:
    """Answers on a socket. `version` is the vault's key that seals: to raise it is to rotate."""

    socket_path: Path
    log: SigningLog
    keys: MemoryVaultKeys = field(default_factory=MemoryVaultKeys)
    version: int = 1
    now: datetime | None = None
    resealed: int = 0
    pause_after: int | None = None
    rotate_after: int | None = None
    hung_up: bool = False
    paused: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    _signer: Signer = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._signer = Signer(
            keyring=KEYRING,
            facts=MemoryFacts({}),
            log=self.log,
            clock=self._clock,
            limits=Limits(),
            conditions=Conditions(),
            approvers=dict,
            mirror=None,
        )

    def hang_up(self) -> None:
        """From now on nobody is answered."""
        self.hung_up = True

    def answer(self, data: bytes) -> bytes:
        request = read_request(data)
        with self._lock:
            if isinstance(request, Decide):
                return self._answer_card(request)
            answer = self._signer.answer([Letter(Peer(os.getpid(), os.getuid()), data)])[0]
        return self._with_intake(answer) if isinstance(request, PublicKeysRequest) else answer

    def _answer_card(self, request: CardRequest) -> bytes:
        decision = CardDesk(vault_of(self.keys, vault=self.version)).decide(request, now=self._clock())
        refused = isinstance(decision.outcome, Refusal)
        kind = EntryKind.REFUSED if refused else EntryKind.GRANTED
        entry = LogEntry(kind=kind, purpose=request.purpose, facts=decision.facts)
        self.log.append([entry], at=datetime.now(UTC))
        if isinstance(request, CardResealRequest):
            self._count_resealed()
        return write_answer(decision.outcome)

    def _count_resealed(self) -> None:
        self.resealed += 1
        if self.resealed == self.rotate_after:
            self.version += 1
        if self.resealed == self.pause_after:
            self.paused.set()
            assert self.go_on.wait(60)

    def _with_intake(self, answer: bytes) -> bytes:
        intake = self.keys.intake()
        told = json.loads(answer)
        told["keys"]["card_intake"] = {"key_id": intake.key_id, "pem": intake.pem}
        return canonical.encode(told)

    def _clock(self) -> datetime:
        return self.now or datetime.now(UTC)


@contextmanager
def card_enclave(directory: Path) -> Iterator[CardEnclave]:
    """An enclave that answers for as long as the block runs."""
    path = directory / "enclave.sock"
    with (
        SigningLog.open(directory / "signing.log", now=datetime.now(UTC)) as log,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        listener.bind(str(path))
        listener.listen(16)
        made = CardEnclave(path, log)
        connections: list[socket.socket] = []
        threads = [threading.Thread(target=_take_calls, args=(made, listener, connections))]
        threads[0].start()
        try:
            yield made
        finally:
            made.go_on.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            threads[0].join(timeout=10)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _take_calls(enclave: CardEnclave, listener: socket.socket, connections: list[socket.socket]) -> None:
    threads = []
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connections.append(connection)
            threads.append(threading.Thread(target=_talk, args=(enclave, connection), daemon=True))
            threads[-1].start()


def _talk(enclave: CardEnclave, connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while (data := connection.recv(MESSAGE_BYTES_MAX + 1)) and not enclave.hung_up:
            connection.send(enclave.answer(data))
