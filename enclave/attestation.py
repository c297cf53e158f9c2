"""An attestation: what the enclave says of itself, signed with its identity key, as an answer to a fresh nonce.

Says which code, libraries, configuration and policy this process measured at its start, which keys it holds, how often
it was started, and where its log ends. Proves no more than that the holder of the identity key said so; there is no
hardware behind it (docs/decisions/0019-what-an-attestation-proves.md). Signed are the prefix and the statement's
canonical bytes, so that the signature can be taken for one over nothing else. Pure; knows no socket and no file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import TypeAdapter, ValidationError

from enclave import canonical
from enclave.canonical import JsonUnreadable, JsonValue
from enclave.keys import KeyIdentity, Purpose, algorithm_of, fingerprint, verifies
from enclave.log import LogHead
from enclave.measurement import Measurement
from enclave.pinned_hashes import Pins
from enclave.protocol import Attestation, Base64Bytes, to_base64

FORMAT = "tallystick-attestation-v1"
PREFIX = f"{FORMAT}\n".encode()
# The asker's clock and the enclave's are one machine's; a statement that is older answers somebody else's question.
AGE_MAX = timedelta(seconds=120)


class AttestationRefused(Exception):
    """The attestation is not what was asked for, or not of the enclave that was pinned; the text says in what."""


@dataclass(frozen=True, slots=True)
class AttestedKey:
    """A key that the enclave uses now; `sha256` tells it from every other (`enclave.keys.KeyIdentity`)."""

    key_id: str
    algorithm: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What the enclave says. `boot` counts its starts in this log; `log` is the log's end when it was said."""

    nonce: Base64Bytes
    measurement: Measurement
    keys: tuple[AttestedKey, ...]
    boot: int
    log: LogHead
    at: datetime

    def text(self) -> bytes:
        """The one spelling of the statement."""
        members: dict[str, JsonValue] = {
            "format": FORMAT,
            "nonce": to_base64(self.nonce),
            "measurement": asdict(self.measurement),
            "keys": [asdict(key) for key in self.keys],
            "boot": self.boot,
            "log": asdict(self.log),
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
        }
        return canonical.encode(members)

    def signed_bytes(self) -> bytes:
        """What the identity key signs."""
        return PREFIX + self.text()


_STATEMENT: TypeAdapter[Statement] = TypeAdapter(Statement)


def attested_keys(keys: Iterable[KeyIdentity]) -> tuple[AttestedKey, ...]:
    """The keys as a statement lists them, by their ids."""
    listed = [
        AttestedKey(str(key.address), algorithm=str(algorithm_of(key.address.purpose)), sha256=key.sha256)
        for key in keys
    ]
    return tuple(sorted(listed, key=lambda key: key.key_id))


def read_attestation(attestation: Attestation, *, nonce: bytes, now: datetime) -> Statement:
    """The statement, if it answers this nonce, now, and is signed by the key that came with it.

    Whose key that is, is the asker's to find out: `verify_attestation` does it by pins.

    Raises:
        AttestationRefused: it is not.
    """
    message = PREFIX + attestation.statement
    if not _is_signed(attestation, message):
        raise AttestationRefused("the attestation is not signed by the key that came with it")
    statement = _read_statement(attestation.statement)
    if statement.nonce != nonce:
        raise AttestationRefused("the attestation answers another nonce")
    if abs(statement.at - now) > AGE_MAX:
        raise AttestationRefused("the attestation is not of now")
    if _identity(attestation) not in _identities(statement.keys):
        raise AttestationRefused(
            "the attestation is signed by a key that the enclave does not list as its identity"
        )
    return statement


def verify_attestation(attestation: Attestation, *, pins: Pins, nonce: bytes, now: datetime) -> Statement:
    """The statement, if besides all that it is of the enclave that was pinned.

    Raises:
        AttestationRefused: it is not; the text names every hash that differs.
    """
    statement = read_attestation(attestation, nonce=nonce, now=now)
    differing = pins.differences(pins_of(attestation, statement))
    if differing:
        raise AttestationRefused(f"another than pinned: {', '.join(differing)}")
    return statement


def pins_of(attestation: Attestation, statement: Statement) -> Pins:
    """The pins that this attestation, once it was read, would pass."""
    return Pins(**asdict(statement.measurement), identity_sha256=_identity(attestation))


def _is_signed(attestation: Attestation, message: bytes) -> bool:
    try:
        return verifies(
            Purpose.IDENTITY, attestation.identity_pem, message=message, signature=attestation.signature
        )
    except UnsupportedAlgorithm:
        return False


def _identity(attestation: Attestation) -> str:
    return fingerprint(attestation.identity_pem)


def _identities(keys: Sequence[AttestedKey]) -> set[str]:
    return {key.sha256 for key in keys if key.key_id.partition("/")[0] == Purpose.IDENTITY}


def _read_statement(text: bytes) -> Statement:
    try:
        members = dict(canonical.parse_object(text))
        if members.pop("format", None) != FORMAT:
            raise AttestationRefused(f"the statement is not a {FORMAT}")
        statement = _STATEMENT.validate_python(members)
        spelling = statement.text()
    except (JsonUnreadable, ValidationError, ValueError, OverflowError) as error:
        raise AttestationRefused("the statement cannot be read") from error
    # One spelling and no more: another member, another order or another number would be somebody else's text.
    if spelling != text:
        raise AttestationRefused("the statement is spelt in another way than the enclave writes it")
    return statement
