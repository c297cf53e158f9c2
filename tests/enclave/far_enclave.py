"""An enclave whose RSA and ECDSA keys are in another process: `-m tests.enclave.far_enclave DIR MODULE LABEL FD`.

Old versions of p11-kit have no word for Ed25519 in their protocol, so checkpoints and exports are signed by keys in
memory here. All else is the enclave as it runs, hardened and behind its filter.
"""

import signal
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from enclave.backends.pkcs11 import Pkcs11Keys
from enclave.backends.software import SoftwareKeys
from enclave.hardening import confine, harden
from enclave.keyring import Keyring, SelfMade
from enclave.keys import KeyAddress, KeyBackend, KeyBackendFailure, KeyIdentity, Purpose
from enclave.logbook import Logbook
from enclave.pin import read_pin
from enclave.policy import Conditions, Limits
from enclave.server import Server
from tests.enclave.broken import SilentDatabase
from tests.enclave.logs import ListedLogs

FAR = frozenset({Purpose.BANK, Purpose.ACCESS_TOKEN})


class SharedOut(SoftwareKeys):
    """The keys of some purposes on a token far away, all others in memory."""

    far: KeyBackend

    def open(self, address: KeyAddress) -> KeyIdentity:
        return self.far.open(address) if address.purpose in FAR else super().open(address)

    def sign(self, address: KeyAddress, message: bytes) -> bytes:
        if address.purpose in FAR:
            return self.far.sign(address, message)
        return super().sign(address, message)

    def close(self) -> None:
        self.far.close()


def _shared_out(far: KeyBackend) -> SharedOut:
    keys = SharedOut()
    keys.far = far
    for purpose in Purpose:
        keys.make(KeyAddress(purpose, version=1))
    return keys


def _serve(directory: Path, far: KeyBackend) -> None:
    with (
        Logbook.open(directory / "signing.log", now=datetime.now(UTC)) as logbook,
        closing(_shared_out(far)) as keys,
        Server(
            socket_path=directory / "enclave.sock",
            keyring=Keyring(keys, SelfMade(keys.identities())),
            facts=SilentDatabase(),
            leaves=ListedLogs(),
            logbook=logbook,
            clock=lambda: datetime.now(UTC),
            limits=Limits(per_payment_minor=1, per_hour_minor=None, per_day_minor=None),
            conditions=Conditions(),
            approvers=dict,
            mirror=None,
        ) as server,
    ):
        assert all(step.done for step in confine())
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        server.serve()


def main() -> int:
    """Serve until SIGTERM, or until the token is lost."""
    directory, module, token_label, pin_fd = sys.argv[1:]
    harden()
    try:
        pin = read_pin(int(pin_fd))
        _serve(Path(directory), Pkcs11Keys.log_in_to(Path(module), token_label=token_label, pin=pin))
    except KeyBackendFailure as error:
        sys.stderr.write(f"enclave: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
