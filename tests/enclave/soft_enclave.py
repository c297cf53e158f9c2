"""An enclave in this process, with software keys and no database: the server, its socket and its log are real."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from enclave.client import EnclaveClient
from enclave.keyring import Keyring
from enclave.logbook import Logbook
from enclave.policy import Conditions, Limits
from enclave.server import Server
from enclave.signer import Clock
from tests.enclave.logs import ListedLogs
from tests.enclave.payouts import MemoryFacts


@contextmanager
def soft_enclave(
    directory: Path, keyring: Keyring, *, clock: Clock = lambda: datetime.now(UTC)
) -> Iterator[EnclaveClient]:
    """A client of an enclave that serves as long as it is asked; its log is `signing.log`."""
    with (
        Logbook.open(directory / "signing.log", now=clock()) as logbook,
        Server(
            socket_path=directory / "enclave.sock",
            keyring=keyring,
            facts=MemoryFacts({}),
            leaves=ListedLogs(),
            logbook=logbook,
            clock=clock,
            limits=Limits(),
            conditions=Conditions(),
            approvers=dict,
            mirror=None,
        ) as server,
    ):
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            with EnclaveClient(directory / "enclave.sock") as client:
                yield client
        finally:
            server.stop()
            thread.join(timeout=10)
            assert not thread.is_alive()
