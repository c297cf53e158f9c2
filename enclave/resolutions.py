"""Resolutions: what the custodians decided about keys and approvers, one signed document after the other.

A document is canonical JSON: its number, the SHA-256 of the one before it, and what it resolves: keys that are
admitted or retired, approvers that are admitted or dismissed. It counts once enough custodians have signed it
(`enclave.roster`). Documents are kept in the database, but the database is not believed: a document that is not signed,
does not follow the one before it, or contradicts what was resolved earlier is left out and said to be. Who can delete
rows can cut off the end; the signing log remembers how many there were. Pure: reads no clock and no database.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from enclave import canonical
from enclave.approvals import Approver
from enclave.keys import Algorithm, KeyAddress, algorithm_of, fingerprint
from enclave.roster import PersonId, Roster, p256_key

FORMAT: Literal["tallystick-resolution-v1"] = "tallystick-resolution-v1"
SIGNED_PREFIX = f"{FORMAT}\n".encode()
"""Stands before a document when it is signed: the signature cannot be taken for one over anything else."""
BEFORE_THE_FIRST = "0" * 64
DOCUMENT_BYTES_MAX = 1024 * 1024

_INSTANT = re.compile(r"\A\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z\Z", re.ASCII)


class ResolutionInvalid(Exception):
    """The document does not count; the text says why."""


class ResolutionsUnavailable(Exception):
    """The resolutions could not be read: which keys may be used is not known."""


def instant(text: str) -> datetime:
    """The instant that a text such as 2026-11-22T20:00:00Z names.

    Raises:
        ValueError: it names none.
    """
    if not _INSTANT.match(text):
        raise ValueError("an instant is spelt 2026-11-22T20:00:00Z")
    return datetime.fromisoformat(text)


def instant_text(at: datetime) -> str:
    """An instant in whole seconds, as documents spell it."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _spelt_instant(text: str) -> str:
    instant(text)
    return text


def _spelt_key_id(text: str) -> str:
    if str(KeyAddress.parse(text)) != text:
        raise ValueError("a key id is spelt purpose/v1")
    return text


KeyId: TypeAlias = Annotated[str, AfterValidator(_spelt_key_id)]
Instant: TypeAlias = Annotated[str, AfterValidator(_spelt_instant)]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
# People read these on a screen before they sign: nothing may stand in them that a screen shows otherwise.
ProgrammeId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_.-]{1,64}\z")]


def _known_algorithm(text: str) -> str:
    return str(Algorithm(text))


AlgorithmName: TypeAlias = Annotated[str, AfterValidator(_known_algorithm)]


class _Exact(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AdmitKey(_Exact):
    """A key may be used: it signs from `not_before` until `sign_until`, and is believed until `verify_until`.

    `sha256` is the key's identity (`enclave.keys.KeyIdentity`).
    """

    kind: Literal["admit_key"] = "admit_key"
    key_id: KeyId
    algorithm: AlgorithmName
    sha256: Sha256
    public_key_pem: str | None
    not_before: Instant
    sign_until: Instant | None = None
    verify_until: Instant | None = None


class RetireKey(_Exact):
    """A key signs no more from `sign_until`, and is not believed from `verify_until`."""

    kind: Literal["retire_key"] = "retire_key"
    key_id: KeyId
    sign_until: Instant
    verify_until: Instant | None = None


class AdmitApprover(_Exact):
    """A person may approve payouts, of these programmes or (None) of all."""

    kind: Literal["admit_approver"] = "admit_approver"
    approver_id: PersonId
    public_key_pem: str
    programme_ids: tuple[ProgrammeId, ...] | None = None


class DismissApprover(_Exact):
    """A person may approve no more; what was approved before no longer counts either."""

    kind: Literal["dismiss_approver"] = "dismiss_approver"
    approver_id: PersonId


Item: TypeAlias = Annotated[
    AdmitKey | RetireKey | AdmitApprover | DismissApprover, Field(discriminator="kind")
]


class Resolution(_Exact):
    """One decision of the custodians."""

    format: Literal["tallystick-resolution-v1"] = FORMAT
    number: Annotated[int, Field(ge=1)]
    previous: Sha256
    resolved_at: Instant
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=2000)]

    def document(self) -> str:
        """The canonical text that custodians sign."""
        return canonical.encode(self.model_dump(mode="json")).decode("ascii")


@dataclass(frozen=True, slots=True)
class SignedResolution:
    """A document as it is kept, with the signatures of custodians by their ids."""

    document: str
    signatures: Mapping[str, bytes]


class Resolutions(Protocol):
    """Where resolutions are kept: the database, or a file."""

    def all(self) -> Iterable[SignedResolution]:
        """Every document, in the order in which they were put there.

        Raises:
            ResolutionsUnavailable: they could not be read.
        """


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What has been resolved about a key."""

    address: KeyAddress
    sha256: str
    public_key_pem: str | None
    not_before: datetime
    sign_until: datetime | None
    verify_until: datetime | None
    endorsers: frozenset[str]

    def signs(self, now: datetime) -> bool:
        """Whether the key may be used to sign: never when nobody would believe what it signed."""
        has_time = self.not_before <= now and (self.sign_until is None or now < self.sign_until)
        return has_time and self.is_believed(now)

    def is_believed(self, now: datetime) -> bool:
        """Whether what the key signed counts; a key that will sign later is believed before."""
        return self.verify_until is None or now < self.verify_until


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain of resolutions ends: the number of the last, and the SHA-256 of its document."""

    number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Register:
    """What holds after all resolutions so far. `heads` are their ends one after the other, from the empty one."""

    heads: tuple[Head, ...]
    keys: Mapping[KeyAddress, KeyRecord]
    approvers: Mapping[str, Approver]
    left_out: tuple[str, ...] = ()

    @property
    def head(self) -> Head:
        """Where the chain ends."""
        return self.heads[-1]

    def holds(self, head: Head) -> bool:
        """Whether the chain once ended there."""
        return head.number < len(self.heads) and self.heads[head.number] == head


EMPTY = Register(heads=(Head(0, BEFORE_THE_FIRST),), keys={}, approvers={})


def register_of(resolutions: Iterable[SignedResolution], roster: Roster) -> Register:
    """What holds after these resolutions; those that do not count are named in `left_out`."""
    register, left_out = EMPTY, []
    for place, signed in enumerate(resolutions, start=1):
        try:
            register = resolved(register, signed, roster)
        except ResolutionInvalid as error:
            left_out.append(f"document {place}: {error}")
    return replace(register, left_out=tuple(left_out))


def resolved(register: Register, signed: SignedResolution, roster: Roster) -> Register:
    """What holds after one more resolution.

    Raises:
        ResolutionInvalid: it is no document, does not follow the last, contradicts what holds, or too few signed it.
    """
    resolution = read_document(signed.document)
    last = register.head
    if (resolution.number, resolution.previous) != (last.number + 1, last.sha256):
        raise ResolutionInvalid(f"it does not follow resolution {last.number}")
    message = signed_text(signed.document)
    endorsers = roster.endorsers(message, signed.signatures)
    if len(endorsers) < roster.threshold:
        raise ResolutionInvalid(f"{len(endorsers)} of {roster.threshold} custodians have signed it")
    after = applied(register, resolution.items, endorsers=endorsers)
    return replace(after, heads=(*register.heads, Head(resolution.number, document_hash(signed.document))))


def applied(register: Register, items: Iterable[Item], *, endorsers: frozenset[str]) -> Register:
    """What would hold after these items, whoever has signed them.

    Raises:
        ResolutionInvalid: they contradict what holds.
    """
    state = _State(keys=dict(register.keys), approvers=dict(register.approvers), endorsers=endorsers)
    for item in items:
        state.apply(item)
    return replace(register, keys=state.keys, approvers=state.approvers)


def read_document(document: str) -> Resolution:
    """The resolution that a text spells.

    Raises:
        ResolutionInvalid: it spells none, or not in its one spelling.
    """
    if len(document) > DOCUMENT_BYTES_MAX:
        raise ResolutionInvalid("it is too long")
    try:
        resolution = Resolution.model_validate_json(document)
    except ValidationError as error:
        places = {".".join(str(step) for step in fault["loc"]) for fault in error.errors(include_input=False)}
        # Names of members are the document's own words, and not for a screen as they are.
        named = ", ".join(sorted(places))[:200].encode("ascii", "backslashreplace").decode()
        shown = "".join(letter if letter.isprintable() else "?" for letter in named)
        raise ResolutionInvalid(f"it is no resolution: {shown}") from None
    if resolution.document() != document:
        raise ResolutionInvalid("it is not canonical JSON")
    return resolution


def signed_text(document: str) -> bytes:
    """What custodians sign."""
    return SIGNED_PREFIX + document.encode("utf-8")


def document_hash(document: str) -> str:
    """What the next document names as its predecessor."""
    return hashlib.sha256(document.encode("utf-8")).hexdigest()


@dataclass(slots=True)
class _State:
    """A register in the making."""

    keys: dict[KeyAddress, KeyRecord]
    approvers: dict[str, Approver]
    endorsers: frozenset[str]
    admitted: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.admitted = {record.sha256 for record in self.keys.values()}

    def apply(self, item: AdmitKey | RetireKey | AdmitApprover | DismissApprover) -> None:
        match item:
            case AdmitKey():
                self._admit_key(item)
            case RetireKey():
                self._retire_key(item)
            case AdmitApprover():
                self._admit_approver(item)
            case DismissApprover():
                if self.approvers.pop(item.approver_id, None) is None:
                    raise ResolutionInvalid(f"{item.approver_id} is no approver")

    def _admit_key(self, item: AdmitKey) -> None:
        address = KeyAddress.parse(item.key_id)
        if address in self.keys:
            raise ResolutionInvalid(f"{address} was admitted before")
        algorithm = algorithm_of(address.purpose)
        if item.algorithm != algorithm or (item.public_key_pem is None) is not algorithm.is_secret:
            raise ResolutionInvalid(f"{address} is of another kind than its purpose wants")
        if item.public_key_pem is not None and _fingerprint(item.public_key_pem) != item.sha256:
            raise ResolutionInvalid(f"the public key of {address} does not have the SHA-256 beside it")
        if item.sha256 in self.admitted:
            raise ResolutionInvalid(f"the key {address} was admitted before, as another")
        self.admitted.add(item.sha256)
        self.keys[address] = KeyRecord(
            address=address,
            sha256=item.sha256,
            public_key_pem=item.public_key_pem,
            not_before=instant(item.not_before),
            sign_until=None if item.sign_until is None else instant(item.sign_until),
            verify_until=None if item.verify_until is None else instant(item.verify_until),
            endorsers=self.endorsers,
        )

    def _retire_key(self, item: RetireKey) -> None:
        address = KeyAddress.parse(item.key_id)
        record = self.keys.get(address)
        if record is None:
            raise ResolutionInvalid(f"{address} was never admitted")
        until = instant(item.sign_until)
        if record.sign_until is not None and until > record.sign_until:
            raise ResolutionInvalid(f"{address} is retired earlier than that already")
        believed_until = record.verify_until if item.verify_until is None else instant(item.verify_until)
        if _is_longer(believed_until, record.verify_until):
            raise ResolutionInvalid(f"{address} is not believed for as long as that any more")
        self.keys[address] = replace(record, sign_until=until, verify_until=believed_until)

    def _admit_approver(self, item: AdmitApprover) -> None:
        if item.approver_id in self.approvers:
            raise ResolutionInvalid(f"{item.approver_id} is an approver already")
        if p256_key(item.public_key_pem) is None:
            raise ResolutionInvalid(f"the key of approver {item.approver_id} is not a P-256 public key")
        if fingerprint(item.public_key_pem) in {
            fingerprint(each.public_key_pem) for each in self.approvers.values()
        }:
            raise ResolutionInvalid(f"the key of approver {item.approver_id} is another approver's")
        programmes = None if item.programme_ids is None else frozenset(item.programme_ids)
        self.approvers[item.approver_id] = Approver(item.approver_id, item.public_key_pem, programmes)


def _is_longer(until: datetime | None, before: datetime | None) -> bool:
    return before is not None and (until is None or until > before)


def _fingerprint(public_key_pem: str) -> str:
    try:
        return fingerprint(public_key_pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ResolutionInvalid("a public key is not one") from error
