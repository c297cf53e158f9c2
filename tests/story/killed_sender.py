"""A sender in a process of its own, made to be killed: at a labelled point, the so-manieth time that it comes there.

`python -m tests.story.killed_sender POINT TIMES SETTINGS` sends what is due by the worker's own methods, and kills
itself there as a crash would. It ends with 0 when nothing was left to send. Only what stands at the ports is wrapped.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from api.jobs import Jobs
from api.parts import Parts, build_parts
from api.settings import read_settings
from enclave.client import EnclaveClient
from ledger.store.tx import Tx
from partners.contract import Answer, NotSent, Unknown
from partners.host.sending import PayoutSending
from partners.host.transport import BankTransport

POINTS: Final = (
    "before the signature",
    "after the signature",
    "before the request is sent",
    "after the answer came",
    "before a commit",
    "after a commit",
)
LOOKS_MAX = 200


class Fuse:
    """Kills this process the so-manieth time that a point is passed."""

    def __init__(self, point: str, times: int) -> None:
        self._point, self._left = point, times

    def passes(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class FusedEnclave:
    """An enclave's client that signs payouts, and nothing else."""

    def __init__(self, client: EnclaveClient, fuse: Fuse) -> None:
        self._client, self._fuse = client, fuse

    def payout(self, **said: Any) -> object:
        self._fuse.passes("before the signature")
        signed = self._client.payout(**said)
        self._fuse.passes("after the signature")
        return signed


class FusedTransport(BankTransport):
    """The transport, between two points."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def send(self, **said: Any) -> Answer | NotSent | Unknown:
        is_order = said["request"].signing.value == "payout"
        if is_order:
            self._fuse.passes("before the request is sent")
        heard = super().send(**said)
        if is_order:
            self._fuse.passes("after the answer came")
        return heard


def fused(parts: Parts, fuse: Fuse) -> Parts:
    """The same parts, with the fuse at their ports."""
    transport = FusedTransport(fuse)
    transactions = _fused_transactions(parts.transactions, fuse)
    banks = {
        name: replace(bank, transport=transport, transactions=transactions)
        for name, bank in parts.banks.items()
    }
    sendings = {
        name: PayoutSending(bank, lambda: FusedEnclave(parts.enclaves.client(), fuse), parts.pool)  # type: ignore[arg-type,return-value]  # a stand-in at the port
        for name, bank in banks.items()
    }
    return replace(parts, transactions=transactions, banks=banks, sendings=sendings, transport=transport)


def _fused_transactions(
    opened: Callable[[], AbstractContextManager[Tx]], fuse: Fuse
) -> Callable[[], AbstractContextManager[Tx]]:
    @contextmanager
    def transactions() -> Iterator[Tx]:
        with opened() as tx:
            yield tx
            fuse.passes("before a commit")
        fuse.passes("after a commit")

    return transactions


def main(point: str, times: int, environment: Mapping[str, str]) -> None:
    """Sends what is due, and what was left behind, until there is nothing more."""
    parts = fused(build_parts(read_settings(environment)), Fuse(point, times))
    jobs = Jobs(parts)
    for _ in range(LOOKS_MAX):
        jobs.take_over()
        if not jobs.dispatch():
            break
    parts.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text()))
