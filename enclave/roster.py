"""The custodians: who decides about keys and approvers, and how many of them it takes.

The roster comes to the enclave as a file that its operator names, not from the database: whoever can write the
database cannot make himself a custodian. A custodian signs with a P-256 key of his own, on a card or in a file, by
whatever tool he trusts; `openssl dgst -sha256 -sign` is enough. Reads no file and no clock.
Follows: FIPS 186-5 (ECDSA), signatures in DER as RFC 3279 spells them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from enclave.canonical import JsonUnreadable, encode, parse_object
from enclave.keys import fingerprint

# A person's id is read by people on a screen: nothing may stand in it that a screen shows otherwise.
PersonId: TypeAlias = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_.-]{0,63}\z")]
_PERSON_ID: TypeAdapter[str] = TypeAdapter(PersonId)


class RosterInvalid(Exception):
    """The roster cannot be relied on; the text says why."""


class _RosterFile(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    threshold: int = Field(ge=1, le=20)
    custodians: dict[PersonId, str] = Field(min_length=1, max_length=20)


@dataclass(frozen=True, slots=True)
class Roster:
    """Custodians by id, each with a public key in PEM, and how many of them have to agree."""

    threshold: int
    custodians: Mapping[str, str]

    def endorsers(self, message: bytes, signatures: Mapping[str, bytes]) -> frozenset[str]:
        """Those custodians whose signature over the message is theirs."""
        return frozenset(
            custodian
            for custodian, signature in signatures.items()
            if custodian in self.custodians
            and signed_by(self.custodians[custodian], message=message, signature=signature)
        )

    @property
    def sha256(self) -> str:
        """What tells this roster from every other, in hex."""
        fingerprints = {name: fingerprint(pem) for name, pem in self.custodians.items()}
        return hashlib.sha256(encode({"threshold": self.threshold, "custodians": fingerprints})).hexdigest()


def read_roster(data: bytes) -> Roster:
    """The roster that a JSON file holds: {"threshold": M, "custodians": {id: public key in PEM}}.

    Raises:
        RosterInvalid: not such a file, a key that is no P-256 key, one key for two custodians, or fewer custodians than
            have to agree.
    """
    try:
        parse_object(data)  # a member that is named twice must not hide a custodian
        file = _RosterFile.model_validate_json(data)
    except (JsonUnreadable, ValidationError) as error:
        raise RosterInvalid("the roster is not {threshold, custodians: {id: PEM}}") from error
    for name, pem in file.custodians.items():
        if p256_key(pem) is None:
            raise RosterInvalid(f"the key of custodian {name} is not a P-256 public key in PEM")
    if len({fingerprint(pem) for pem in file.custodians.values()}) < len(file.custodians):
        raise RosterInvalid("two custodians have the same key: they would count as one")
    if len(file.custodians) < file.threshold:
        raise RosterInvalid("fewer custodians than have to agree")
    return Roster(threshold=file.threshold, custodians=dict(file.custodians))


def is_person_id(text: str) -> bool:
    """Whether a custodian or an approver may be called so."""
    try:
        _PERSON_ID.validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


def signed_by(public_key_pem: str, *, message: bytes, signature: bytes) -> bool:
    """Whether a person signed the message: ECDSA over SHA-256 on P-256, in DER."""
    key = p256_key(public_key_pem)
    if key is None:
        return False
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=256)
def p256_key(public_key_pem: str) -> ec.EllipticCurvePublicKey | None:
    """The P-256 public key that a PEM text holds, if it holds one."""
    try:
        key = load_pem_public_key(public_key_pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    return key if is_p256 and isinstance(key, ec.EllipticCurvePublicKey) else None
