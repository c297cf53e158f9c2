"""The disk, waited for by a thread of its own, so that the token can work meanwhile.

The thread never comes near the token. Where the process may have no thread more, the disk is waited for first and the
token works afterwards: slower, and otherwise the same.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from enclave.log import SigningLog


class Disk:
    """Makes what was written to the log durable."""

    def __init__(self, log: SigningLog) -> None:
        self._log = log
        self._thread = _started()

    def begin(self) -> Callable[[], bool]:
        """Begin to wait; the answer tells, once it is known, whether what was written is on the disk."""
        if self._thread is None:
            durable = _succeeds(self._log.sync)
            return lambda: durable
        syncing: Future[None] = self._thread.submit(self._log.sync)
        return lambda: _succeeds(syncing.result)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown()


def _started() -> ThreadPoolExecutor | None:
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")
    try:
        # The pool starts its thread with its first work, and keeps it.
        thread.submit(int).result()
    except RuntimeError:
        return None
    return thread


def _succeeds(work: Callable[[], None]) -> bool:
    try:
        work()
    except Exception:  # noqa: BLE001  # fail closed: whatever failed, it is not known to be on the disk
        return False
    return True
