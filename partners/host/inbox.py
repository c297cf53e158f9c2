"""Taking in the files that a bank leaves: each kept raw before it is read, heeded once, and put away when it is kept.

A file is whole when it was as long at the last look; and where the bank signs, when its signature lies beside it. It is
put away only after what it says is promised, so that a process that dies in between finds it again, and the notice that
was kept then is the same one: what a file holds is its key, whatever it is called. A file that cannot be read keeps no
other back.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ledger.core.ids import NoticeId
from ledger.store.jobs import promise
from ledger.store.notices import keep_notice, mark_processed
from ledger.store.tx import Tx
from partners.contract import Adapter, BadSignature, Files, Unreadable
from partners.host.files import FILE_BYTES_MAX, SIGNATURE, FileDrop

SOURCE = "file"
_log = logging.getLogger("tallystick.inbox")


@dataclass(slots=True)
class Inbox:
    """The inbox of one connection. Without the bank's key, whatever lies in the directory is believed to be its own."""

    connection: str
    adapter: Adapter
    drop: FileDrop
    key_pem: bytes | None
    transactions: Callable[[], AbstractContextManager[Tx]]
    _seen: dict[str, int] = field(default_factory=dict)

    def collect(self) -> int:
        """Takes in every file that is whole; says how many were. Raises: OSError when the drop cannot be looked at."""
        waiting = self.drop.waiting()
        whole = [
            name for name, size in waiting.items() if self._seen.get(name) == size and self._is_ours(name)
        ]
        self._seen = dict(waiting)
        taken = 0
        for name in whole:
            if self.key_pem is not None and f"{name}{SIGNATURE}" not in waiting:
                _log.warning("inbox.unsigned connection=%s", self.connection)
                continue
            try:
                taken += self._take_in(name)
            except OSError as failure:
                _log.warning("inbox.failed connection=%s error=%s", self.connection, type(failure).__name__)
        return taken

    def _is_ours(self, name: str) -> bool:
        return isinstance(self.adapter, Files) and self.adapter.is_notice(name)

    def _take_in(self, name: str) -> bool:
        body = self.drop.get(name)
        if body is None:
            return False  # another worker was faster
        if len(body) > FILE_BYTES_MAX:
            self._set_aside(name, body, why="The file is larger than any that is taken.")
            return False
        try:
            self._check(name, body)
        except BadSignature as forged:
            self._set_aside(name, body, why=str(forged))
            return False
        return self._keep_and_promise(name, body)

    def _check(self, name: str, body: bytes) -> None:
        """Raises: BadSignature."""
        if self.key_pem is None:
            return
        signature = (self.drop.get(f"{name}{SIGNATURE}") or b"").decode("ascii", errors="replace").strip()
        self.adapter.verify_notice(
            headers=(("signature", signature),), body=body, public_key_pem=self.key_pem
        )

    def _keep_and_promise(self, name: str, body: bytes) -> bool:
        notice_id = self._keep(body)
        try:
            self.adapter.parse_notice(body)
        except Unreadable as unreadable:
            with self.transactions() as tx:
                mark_processed(tx, notice_id)
            self._set_aside(name, body, why=str(unreadable))
            return False
        with self.transactions() as tx:
            promise(tx, "process_notice", notice_id=notice_id)
        self.drop.done(name, body)
        return True

    def _keep(self, body: bytes) -> NoticeId:
        with self.transactions() as tx:
            notice_id, _ = keep_notice(
                tx,
                bank_connection=self.connection,
                source=SOURCE,
                key=hashlib.sha256(body).hexdigest(),
                type_=SOURCE,
                body=body,
            )
        return notice_id

    def _set_aside(self, name: str, body: bytes, *, why: str) -> None:
        """Nobody's name is in what is wrong with a file; one may be in what it is called."""
        self.drop.set_aside(name, body, why=why)
        digest = hashlib.sha256(body).hexdigest()
        _log.warning("inbox.quarantined connection=%s digest=%s", self.connection, digest[:16])
