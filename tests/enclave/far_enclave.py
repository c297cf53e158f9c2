"""An enclave whose RSA and ECDSA keys are in another process: `-m tests.enclave.far_enclave DIR MODULE LABEL FD`.

Old versions of p11-kit have no word for Ed25519 in their protocol, so checkpoints and exports are signed by keys in
memory here. All else is the enclave as it runs, hardened and behind its filter.
"""

import signal
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from enclave.backends.pkcs11 import Pkcs11Keys, check_key, find_halves, find_token, log_in
from enclave.backends.software import SoftwareKeys
from enclave.hardening import confine, harden
from enclave.keys import KeyBackend, KeyBackendFailure, Purpose, current_key
from enclave.log import SigningLog
from enclave.pin import read_pin
from enclave.policy import Limits
from enclave.server import Server
from tests.enclave.broken import SilentDatabase

FAR = frozenset({Purpose.BANK, Purpose.ACCESS_TOKEN})


@dataclass(frozen=True, slots=True)
class SharedOut:
    """Some purposes' keys in one back end, the others' in another."""

    far: KeyBackend
    near: KeyBackend

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        return self._of(purpose).sign(purpose, message)

    def public_key_pem(self, purpose: Purpose) -> str:
        return self._of(purpose).public_key_pem(purpose)

    def close(self) -> None:
        self.far.close()
        self.near.close()

    def _of(self, purpose: Purpose) -> KeyBackend:
        return self.far if purpose in FAR else self.near


def _far_keys(module: Path, token_label: str, pin_fd: int) -> Pkcs11Keys:
    token = find_token(module, token_label)
    assert token is not None
    session = log_in(token, read_pin(pin_fd), may_write=False)
    addresses = {purpose: current_key(purpose) for purpose in FAR}
    return Pkcs11Keys(
        session,
        {key: check_key(address, find_halves(session, address)) for key, address in addresses.items()},
    )


def _serve(directory: Path, far: Pkcs11Keys) -> None:
    with (
        SigningLog.open(directory / "signing.log", now=datetime.now(UTC)) as log,
        closing(SharedOut(far, SoftwareKeys.generate())) as keys,
        Server(
            socket_path=directory / "enclave.sock",
            keys=keys,
            facts=SilentDatabase(),
            log=log,
            clock=lambda: datetime.now(UTC),
            limits=Limits(per_payment_minor=1, per_hour_minor=None, per_day_minor=None),
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
        _serve(Path(directory), _far_keys(Path(module), token_label, int(pin_fd)))
    except KeyBackendFailure as error:
        sys.stderr.write(f"enclave: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
