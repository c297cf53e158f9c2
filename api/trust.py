"""Whether the enclave is the one that was pinned: asked at the start of a process, and by people at any time.

A client with pins verifies every connection by itself. What is here says it in words: a start that is refused names
what differs and how to look at it, and `tallystick keys attest` shows all that the enclave says of itself.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from api.operations import OperationFailed
from api.parts import Parts, build_parts, read_enclave_pins, system_time
from api.settings import Settings
from enclave.attestation import AttestationRefused, Statement, pins_of, read_attestation
from enclave.client import EnclaveClient, EnclaveError, EnclaveUntrusted
from enclave.pinned_hashes import Pins, write_pins
from enclave.protocol import NONCE_BYTES


@dataclass(frozen=True, slots=True)
class Attested:
    """What an enclave says of itself, whole and fresh, and what would have to be pinned to trust it."""

    statement: Statement
    pins: Pins


def trusted_parts(settings: Settings) -> Parts:
    """The parts of a process that goes on working only with the enclave that was pinned.

    An enclave that is not there yet is no reason not to start: it is looked at before it is asked for anything.
    Raises: SettingsInvalid, EnclaveUntrusted.
    """
    parts = build_parts(settings)
    try:
        parts.enclave.ping()
    except EnclaveUntrusted:
        parts.close()
        raise
    except EnclaveError:
        return parts
    return parts


def attested(socket_path: Path) -> Attested:
    """Asks whoever answers on the socket what he is. Raises: OperationFailed."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    try:
        with EnclaveClient(socket_path) as enclave:
            attestation = enclave.attest(nonce)
        statement = read_attestation(attestation, nonce=nonce, now=system_time())
    except (EnclaveError, AttestationRefused) as error:
        raise OperationFailed(f"no attestation: {error}") from error
    return Attested(statement=statement, pins=pins_of(attestation, statement))


def pin_enclave(socket_path: Path, file: Path) -> None:
    """Pins whoever answers on the socket: from now on he is the one to trust. Raises: OperationFailed."""
    _write(file, attested(socket_path).pins)


def attest(settings: Settings, write_to: Path | None) -> tuple[list[str], bool]:
    """What the enclave says of itself, for people, and whether it is the one that was pinned; pins it if asked to.

    Raises: SettingsInvalid, OperationFailed.
    """
    found = attested(settings.enclave_socket)
    lines = _lines(found)
    if write_to is not None:
        _write(write_to, found.pins)
        return [*lines, f"pinned in {write_to}"], True
    pinned = read_enclave_pins(settings)
    if pinned is None:
        return [*lines, "nothing is pinned: whoever answers is taken for the enclave"], True
    differing = pinned.differences(found.pins)
    if differing:
        return [*lines, *(f"another than pinned: {each}" for each in differing)], False
    return [*lines, f"as pinned in {settings.enclave_pins_file}"], True


def _write(file: Path, pins: Pins) -> None:
    try:
        write_pins(file, pins)
    except OSError as error:
        raise OperationFailed(f"{file}: {error.strerror}") from error


def _lines(found: Attested) -> Sequence[str]:
    statement = found.statement
    hashes = {name.removesuffix("_sha256"): value for name, value in asdict(found.pins).items()}
    return [
        *(f"{name:<14} sha256:{value}" for name, value in hashes.items()),
        *(f"key            {key.key_id:<18} sha256:{key.sha256}" for key in statement.keys),
        f"log            {statement.log.count} records, head {statement.log.hash}",
        f"started        {statement.boot} times on this log",
        f"said at        {statement.at.isoformat(timespec='seconds')}",
    ]
