"""Custodians in this process, and what they resolve: roster, documents and signatures, to be spoilt by tests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.keys import Purpose, algorithm_of, fingerprint
from enclave.resolutions import (
    EMPTY,
    AdmitApprover,
    AdmitKey,
    Head,
    Item,
    Resolution,
    RetireKey,
    SignedResolution,
    document_hash,
    instant_text,
    signed_text,
)
from enclave.roster import Roster

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@cache
def person(name: str) -> ec.EllipticCurvePrivateKey:
    """The key of somebody; the same name is the same person."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def roster_of(*names: str, threshold: int = 2) -> Roster:
    return Roster(threshold=threshold, custodians={name: pem_of(person(name)) for name in names})


def roster_file(roster: Roster) -> bytes:
    return json.dumps({"threshold": roster.threshold, "custodians": dict(roster.custodians)}).encode()


TRIO = roster_of("ada", "ben", "cleo")


def signature_by(name: str, document: str) -> bytes:
    return person(name).sign(signed_text(document), ec.ECDSA(hashes.SHA256()))


def signed(document: str, *names: str) -> SignedResolution:
    return SignedResolution(document, {name: signature_by(name, document) for name in names})


@dataclass(slots=True)
class Minutes:
    """A chain of resolutions that grows."""

    chain: list[SignedResolution] = field(default_factory=list)

    @property
    def head(self) -> Head:
        if not self.chain:
            return EMPTY.head
        return Head(len(self.chain), document_hash(self.chain[-1].document))

    def next(self, *items: Item, by: Sequence[str] = ("ada", "ben")) -> SignedResolution:
        """What would follow, without following."""
        return signed(document_after(self.head, *items), *by)

    def resolve(self, *items: Item, by: Sequence[str] = ("ada", "ben")) -> SignedResolution:
        self.chain.append(self.next(*items, by=by))
        return self.chain[-1]


def document_after(head: Head, *items: Item) -> str:
    return Resolution(
        number=head.number + 1, previous=head.sha256, resolved_at=instant_text(NOON), items=items
    ).document()


def admit(key_id: str, *, not_before: datetime = NOON, **changes: object) -> AdmitKey:
    """A key whose public half is of the right curve, if not of any token."""
    pem = pem_of(person(key_id))
    return AdmitKey(
        key_id=key_id,
        algorithm=str(algorithm_of(Purpose(key_id.partition("/")[0]))),
        sha256=fingerprint(pem),
        public_key_pem=pem,
        not_before=instant_text(not_before),
    ).model_copy(update=changes)


def retire(key_id: str, at: datetime, *, verify_until: datetime | None = None) -> RetireKey:
    until = None if verify_until is None else instant_text(verify_until)
    return RetireKey(key_id=key_id, sign_until=instant_text(at), verify_until=until)


def approver(name: str, *, key_of: str | None = None) -> AdmitApprover:
    return AdmitApprover(approver_id=name, public_key_pem=pem_of(person(key_of or name)))
