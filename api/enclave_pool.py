"""A client of the enclave for each thread that has something signed: the enclave signs together what comes together."""

import threading
from collections.abc import Callable

from enclave.client import EnclaveClient


class EnclavePool:
    """Clients by thread, made when a thread first asks; as many as there are threads."""

    def __init__(self, make: Callable[[], EnclaveClient]) -> None:
        self._make = make
        self._own = threading.local()
        self._all: list[EnclaveClient] = []
        self._lock = threading.Lock()

    def client(self) -> EnclaveClient:
        """This thread's client."""
        found: EnclaveClient | None = getattr(self._own, "client", None)
        if found is None:
            found = self._own.client = self._make()
            with self._lock:
                self._all.append(found)
        return found

    def close(self) -> None:
        """Hangs up everywhere."""
        with self._lock:
            for client in self._all:
                client.close()
