"""An attestation that passes, to be spoilt by tests, and an enclave in this process that gives some."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from enclave.attestation import AttestedKey, Statement, attested_keys, pins_of
from enclave.client import EnclaveClient
from enclave.keyring import Keyring
from enclave.keys import Purpose
from enclave.log import LogHead
from enclave.logbook import Logbook
from enclave.measurement import Measurement
from enclave.pinned_hashes import Pins
from enclave.policy import Conditions, Limits
from enclave.protocol import Attestation
from enclave.server import Server
from tests.enclave.logs import ListedLogs
from tests.enclave.payouts import MemoryFacts
from tests.enclave.rings import first, public_pem, software_keyring

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
NONCE = bytes(range(32))
KEYRING = software_keyring()
OTHER_KEYRING = software_keyring()
MEASUREMENT = Measurement(
    code_sha256="c0" * 32,
    libraries_sha256="1b" * 32,
    configuration_sha256="cf" * 32,
    policy_sha256="b0" * 32,
)


def keys_of(keyring: Keyring) -> tuple[AttestedKey, ...]:
    return attested_keys(keyring.identity(first(purpose)) for purpose in Purpose)


STATEMENT = Statement(
    nonce=NONCE,
    measurement=MEASUREMENT,
    keys=keys_of(KEYRING),
    boot=3,
    log=LogHead(count=17, hash="ab" * 32),
    at=NOW,
)


def signed(text: bytes, *, prefix: bytes, keyring: Keyring = KEYRING) -> Attestation:
    """The text, signed as it is, whatever it says."""
    return Attestation(
        statement=text,
        signature=keyring.backend.sign(first(Purpose.IDENTITY), prefix + text),
        identity_pem=public_pem(keyring, Purpose.IDENTITY),
    )


def attestation_of(statement: Statement = STATEMENT, *, keyring: Keyring = KEYRING) -> Attestation:
    return signed(
        statement.text(), prefix=statement.signed_bytes().removesuffix(statement.text()), keyring=keyring
    )


PINS = pins_of(attestation_of(), STATEMENT)


def pins(**changes: str) -> Pins:
    return replace(PINS, **changes)


@contextmanager
def attesting_enclave(
    directory: Path, *, keyring: Keyring = KEYRING, measurement: Measurement | None = MEASUREMENT
) -> Iterator[Path]:
    """An enclave that answers on the socket in a directory; its log stays there."""
    socket_path = directory / "enclave.sock"
    with (
        Logbook.open(directory / "signing.log", now=NOW) as logbook,
        Server(
            socket_path=socket_path,
            keyring=keyring,
            facts=MemoryFacts({}),
            leaves=ListedLogs(),
            logbook=logbook,
            clock=lambda: NOW,
            limits=Limits(),
            conditions=Conditions(),
            approvers=dict,
            mirror=None,
            measurement=measurement,
        ) as server,
    ):
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield socket_path
        finally:
            server.stop()
            thread.join(timeout=10)
            assert not thread.is_alive()


def pinned_client(socket_path: Path, pins: Pins | None = PINS) -> EnclaveClient:
    return EnclaveClient(socket_path, pins=pins, timeout_s=10, clock=lambda: NOW)
