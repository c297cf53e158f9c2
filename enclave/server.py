"""The socket: one thread, many callers, one datagram a request and one an answer.

Reads at most one request from each caller a round and hands the round to the signer, so that requests which
arrive while others are being signed share the next write to the disk. Who is calling is asked of the kernel
(SO_PEERCRED), not of the caller. Decides nothing about what is signed.
Follows: unix(7), SOCK_SEQPACKET and SO_PEERCRED.
"""

import os
import selectors
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from enclave.approvals import Approver
from enclave.card_vault import Recipient
from enclave.facts import PayoutFacts
from enclave.keyring import Keyring, Sweep
from enclave.leaves import Leaves
from enclave.logbook import Logbook
from enclave.measurement import Measurement
from enclave.mirror import Mirror
from enclave.patience import Patience
from enclave.policy import Conditions, Limits
from enclave.protocol import MESSAGE_BYTES_MAX, write_answer
from enclave.refusals import RefusalCode, refusal
from enclave.signer import Clock, Letter, Peer, Signer

CALLERS_MAX = 64
BACKLOG = 128
SOCKET_BUFFER_BYTES = 256 * 1024

_PEER_CREDENTIALS = struct.Struct("iII")
_ROOT = 0


class SocketUnavailable(Exception):
    """The socket cannot be made, or another enclave answers on it."""


@dataclass(frozen=True, slots=True)
class _Caller:
    connection: socket.socket
    peer: Peer


class Server:
    """The enclave, answering on a socket until it is told to stop."""

    def __init__(
        self,
        *,
        socket_path: Path,
        keyring: Keyring,
        facts: PayoutFacts,
        leaves: Leaves,
        logbook: Logbook,
        clock: Clock,
        limits: Limits,
        conditions: Conditions,
        approvers: Callable[[], Mapping[str, Approver]],
        mirror: Mirror | None,
        measurement: Measurement | None = None,
        recipients: Mapping[str, Recipient] | None = None,
        patience: Patience | None = None,
        allowed_uids: Iterable[int] | None = None,
    ) -> None:
        """Make the socket and record the start; `allowed_uids` is the own user and root unless given.

        Without a mirror nobody would see that the log was put back: it can be left out, but not by forgetting it.

        Raises:
            SocketUnavailable: the path cannot be bound, or an enclave already answers there.
            LogUnavailable: the start cannot be recorded.
        """
        own = {os.geteuid(), _ROOT}
        self._allowed_uids = frozenset(own if allowed_uids is None else allowed_uids)
        self._signer = Signer(
            keyring=keyring,
            facts=facts,
            leaves=leaves,
            logbook=logbook,
            clock=clock,
            limits=limits,
            conditions=conditions,
            approvers=approvers,
            mirror=mirror,
            measurement=measurement,
            recipients=recipients,
            patience=patience,
        )
        self.sweep: Sweep = self._signer.record_start()
        self._socket_path = socket_path
        self._listener = _listen(socket_path, open_to_others=not self._allowed_uids <= own)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._callers: dict[int, _Caller] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def serve(self) -> None:
        """Answer rounds of requests until `stop`.

        Raises:
            TokenLost: nothing can be signed any more. Who asked has been refused; whoever started us has to again.
        """
        while self._serve_round():
            pass

    def stop(self) -> None:
        """Let `serve` return after its round; may be called from a signal handler or another thread."""
        try:
            self._wake_writer.send(b"\0")
        except BlockingIOError:
            # The pipe is full of calls to stop: one of them will be heard.
            return

    def close(self) -> None:
        """Close the socket, every caller's connection and the socket's name."""
        self._signer.close()
        for caller in list(self._callers.values()):
            self._drop(caller)
        self._selector.close()
        for end in (self._listener, self._wake_reader, self._wake_writer):
            end.close()
        self._socket_path.unlink(missing_ok=True)

    def _serve_round(self) -> bool:
        ready = {key.fd for key, _ in self._selector.select(self._wait())}
        if self._wake_reader.fileno() in ready:
            return False
        if self._listener.fileno() in ready:
            self._accept_all()
        self._answer([self._callers[number] for number in ready if number in self._callers])
        self._signer.refuse_to_go_on()
        return True

    def _wait(self) -> float | None:
        """Has done what is due between rounds; says for how many seconds nothing will be, None: until somebody asks."""
        waits = (self._signer.tell_sums(), self._signer.keep_mirror())
        return min((wait for wait in waits if wait is not None), default=None)

    def _accept_all(self) -> None:
        for _ in range(BACKLOG):
            try:
                connection, _address = self._listener.accept()
            except OSError:
                # Nobody is left, or we are out of descriptors: those who are in come first.
                return
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        if len(self._callers) >= CALLERS_MAX:
            # Whoever has been silent longest: nobody locks the others out by holding connections.
            self._drop(next(iter(self._callers.values())))
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        self._callers[connection.fileno()] = _Caller(connection=connection, peer=_peer_of(connection))
        self._selector.register(connection, selectors.EVENT_READ)

    def _answer(self, callers: Sequence[_Caller]) -> None:
        received = [(caller, self._receive(caller)) for caller in callers]
        for caller in callers:
            number = caller.connection.fileno()
            if number in self._callers:
                self._callers[number] = self._callers.pop(number)
        round_ = [(caller, data) for caller, data in received if data is not None]
        letters = [Letter(peer=caller.peer, data=data) for caller, data in round_]
        answers = self._signer.answer(letters) if letters else []
        for (caller, _), answer in zip(round_, answers, strict=True):
            self._send(caller, answer)

    def _receive(self, caller: _Caller) -> bytes | None:
        try:
            # One byte more than allowed shows that a datagram was longer; the kernel drops its rest.
            data = caller.connection.recv(MESSAGE_BYTES_MAX + 1)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self._drop(caller)
            return None
        if caller.peer.uid not in self._allowed_uids:
            self._send(caller, write_answer(refusal(RefusalCode.PEER_REFUSED)))
            self._drop(caller)
            return None
        return data

    def _send(self, caller: _Caller, answer: bytes) -> None:
        try:
            caller.connection.send(answer)
        except OSError:
            # Gone, or not reading its answers: one thread waits for nobody.
            self._drop(caller)

    def _drop(self, caller: _Caller) -> None:
        if self._callers.pop(caller.connection.fileno(), None) is not None:
            self._selector.unregister(caller.connection)
            caller.connection.close()


def _peer_of(connection: socket.socket) -> Peer:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    pid, uid, _ = _PEER_CREDENTIALS.unpack(credentials)
    return Peer(pid=pid, uid=uid)


def _listen(path: Path, *, open_to_others: bool) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _remove_if_dead(path)
        listener.bind(str(path))
        # Nobody can connect before listen(), so there is no moment with the wrong mode.
        path.chmod(0o666 if open_to_others else 0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SocketUnavailable(f"cannot make the socket: {error.strerror or error}") from error
    except SocketUnavailable:
        listener.close()
        raise
    return listener


def _remove_if_dead(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SocketUnavailable("another enclave answers on the socket")
