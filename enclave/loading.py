"""When the keyring is loaded: at the start, when somebody says that there is something new, and again after a while
when it could not be.

Every loading is in the log, with the resolution that was in force and the keys that sign from now on. So a register
that ends earlier than the log has seen it, or otherwise, was put back, and is not taken. Knows no sockets and signs
nothing.
"""

import time
from datetime import datetime

from enclave.keyring import Keyring, KeyringRefused, Sweep
from enclave.keys import KeyBackendFailure
from enclave.log import EntryKind, LogEntry, LogFacts, LogUnavailable, SigningLog
from enclave.memory import Memory
from enclave.pause import Pause
from enclave.refusals import RefusalCode
from enclave.resolutions import ResolutionsUnavailable


class Loading:
    """A keyring, and why it cannot be relied on if it cannot."""

    def __init__(self, keyring: Keyring, log: SigningLog) -> None:
        self._keyring = keyring
        self._log = log
        self._why: RefusalCode | None = RefusalCode.REGISTER_UNAVAILABLE
        self._pause = Pause()
        self._sweep = Sweep()

    @property
    def sweep(self) -> Sweep:
        """What the last loading found."""
        return self._sweep

    def refuse(self, memory: Memory, *, now: datetime) -> RefusalCode | None:
        """Why no key may be used, or None if the keyring is loaded; tries to load it when it is time to."""
        if self._why is not None and self._pause.is_over:
            self.load(memory, now=now)
        return self._why

    def load(self, memory: Memory, *, now: datetime) -> RefusalCode | None:
        """Take in what is new; says why that was not to be done, and then what was loaded before stays in force."""
        begun_s = time.monotonic()
        why = self._tried(memory, now)
        if why is None:
            self._why = None
        elif self._why is not None or why is RefusalCode.LOG_UNAVAILABLE:
            # The keyring has taken it in, and the log does not say so: until it does, nothing is signed.
            self._why = why
            self._pause.begin(begun_s)
        return why

    def _tried(self, memory: Memory, now: datetime) -> RefusalCode | None:
        try:
            sweep = self._keyring.load(seen=memory.resolved)
            self._record(memory, sweep, now)
        except ResolutionsUnavailable:
            return RefusalCode.REGISTER_UNAVAILABLE
        except KeyBackendFailure:
            return RefusalCode.KEY_UNAVAILABLE
        except LogUnavailable:
            return RefusalCode.LOG_UNAVAILABLE
        except KeyringRefused:
            return self._put_back(now)
        self._sweep = sweep
        return None

    def _record(self, memory: Memory, sweep: Sweep, now: datetime) -> None:
        head = self._keyring.register.head
        facts: LogFacts = {
            "number": head.number,
            "sha256": head.sha256,
            "ready": len(sweep.ready),
            "unregistered": len(sweep.unregistered),
            "unusable": len(sweep.unusable),
            "left_out": len(sweep.left_out),
            **{str(key.address): key.sha256 for key in self._keyring.all_current(now).values()},
        }
        entry = LogEntry(kind=EntryKind.KEYS_LOADED, purpose="keys", facts=facts)
        self._log.append([entry], at=now)
        memory.remember(entry, at=now)

    def _put_back(self, now: datetime) -> RefusalCode:
        code = RefusalCode.REGISTER_PUT_BACK
        if self._why is not code:
            entry = LogEntry(kind=EntryKind.PUT_BACK, purpose="keys", facts={"code": str(code)})
            try:
                self._log.append([entry], at=now)
            except LogUnavailable:
                # Nothing is signed either way.
                return code
        return code
