"""Drafts: resolutions on their way from custodian to custodian, each a file that gathers signatures.

The file is JSON: the document as it is signed, and the signatures so far in base64 by custodian. A custodian reads it,
signs the exact text with a tool of his own (or with `enclave endorse`), and hands it on; once enough have signed, it is
registered. A directory of such files, in the order of their names, is as good as the database's table: for an enclave
that has none at hand. Makes no keys and decides nothing: what counts, `enclave.resolutions` says.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from enclave.canonical import JsonUnreadable, parse_object
from enclave.keys import KeyIdentity, algorithm_of
from enclave.protocol import from_base64, to_base64
from enclave.resolutions import (
    AdmitKey,
    Item,
    Register,
    Resolution,
    ResolutionInvalid,
    ResolutionsUnavailable,
    SignedResolution,
    applied,
    instant_text,
    read_document,
    signed_text,
)
from enclave.roster import is_person_id


class DraftInvalid(Exception):
    """The file is no draft, or not one that can be written over."""


def admissions(
    identities: Iterable[KeyIdentity], register: Register, *, not_before: datetime
) -> tuple[AdmitKey, ...]:
    """What has to be resolved so that these keys may be used: those that were not admitted yet."""
    return tuple(
        AdmitKey(
            key_id=str(identity.address),
            algorithm=str(algorithm_of(identity.address.purpose)),
            sha256=identity.sha256,
            public_key_pem=identity.public_key_pem,
            not_before=instant_text(not_before),
        )
        for identity in identities
        if identity.address not in register.keys
    )


def drafted(items: Sequence[Item], register: Register, *, at: datetime) -> SignedResolution:
    """The next resolution after these, signed by nobody yet.

    Raises:
        ResolutionInvalid: it would not count, whoever signs it.
    """
    applied(register, items, endorsers=frozenset())
    resolution = Resolution(
        number=register.head.number + 1,
        previous=register.head.sha256,
        resolved_at=instant_text(at),
        items=tuple(items),
    )
    return SignedResolution(document=resolution.document(), signatures={})


def write_draft(path: Path, draft: SignedResolution, *, at_any_time: bool = False) -> None:
    """Writes a new draft, whole or not at all; one that resolves the same stays as it is, with its signatures.

    `at_any_time`: nobody has said when its keys begin, so one that lets them begin at another time resolves the same.

    Raises:
        DraftInvalid: another draft, or another file, is there; or it cannot be written.
    """
    if not os.path.lexists(path):
        _write(path, draft)
    elif not _resolves_the_same(read_draft(path), draft, at_any_time=at_any_time):
        raise DraftInvalid(f"{path} holds another draft: register it, or take it away")


def read_draft(path: Path) -> SignedResolution:
    """The draft that a file holds, whatever its signatures are worth.

    Raises:
        DraftInvalid: it cannot be read, or is no draft.
    """
    try:
        members = parse_object(path.read_bytes())
        document, signatures = members["document"], members["signatures"]
    except (OSError, JsonUnreadable, KeyError) as error:
        raise DraftInvalid(f"{path} is no draft ({type(error).__name__})") from error
    if not isinstance(document, str) or not document.isascii() or not isinstance(signatures, Mapping):
        raise DraftInvalid(f"{path} is no draft")
    try:
        given = {name: from_base64(text) for name, text in signatures.items()}
    except ValueError as error:
        raise DraftInvalid(f"a signature in {path} is not base64") from error
    if not all(is_person_id(name) for name in given):
        raise DraftInvalid(f"a signature in {path} is under a name that no custodian has")
    return SignedResolution(document, given)


def endorse(path: Path, custodian: str, signature: bytes) -> SignedResolution:
    """Puts a custodian's signature beside the others, in place of an earlier one of his.

    Raises:
        DraftInvalid: as `read_draft`, nobody can be called so, or the file cannot be written.
    """
    draft = read_draft(path)
    if not is_person_id(custodian):
        raise DraftInvalid("no custodian has that name")
    signed = SignedResolution(draft.document, {**draft.signatures, custodian: signature})
    _write(path, signed)
    return signed


def signature_of(draft: SignedResolution, private_key_pem: bytes, *, passphrase: bytes | None) -> bytes:
    """A person's signature over a draft, with a P-256 key from a file.

    Raises:
        DraftInvalid: no such key, or a wrong passphrase.
    """
    try:
        key = load_pem_private_key(private_key_pem, password=passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Not chained: the text may tell something about the key.
        raise DraftInvalid(f"the private key cannot be read ({type(error).__name__})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise DraftInvalid("the private key is not a P-256 key")
    return key.sign(signed_text(draft.document), ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class DraftedResolutions:
    """The resolutions in a directory, in the order of the files' names."""

    directory: Path

    def all(self) -> Iterable[SignedResolution]:
        """Every one of them.

        Raises:
            ResolutionsUnavailable: one of them cannot be read.
        """
        try:
            names = sorted(path for path in self.directory.iterdir() if path.suffix == ".json")
            return [read_draft(path) for path in names]
        except FileNotFoundError:
            return []
        except (OSError, DraftInvalid) as error:
            raise ResolutionsUnavailable(f"cannot read {self.directory} ({type(error).__name__})") from error


def _resolves_the_same(one: SignedResolution, other: SignedResolution, *, at_any_time: bool) -> bool:
    try:
        first, second = read_document(one.document), read_document(other.document)
    except ResolutionInvalid:
        return False
    if (first.number, first.previous) != (second.number, second.previous):
        # What has been resolved since: it can no longer be registered, whoever signs it.
        return False
    if not at_any_time:
        return first.items == second.items
    return [_timeless(item) for item in first.items] == [_timeless(item) for item in second.items]


def _timeless(item: Item) -> Item:
    return item.model_copy(update={"not_before": ""}) if isinstance(item, AdmitKey) else item


def _write(path: Path, draft: SignedResolution) -> None:
    signatures = {name: to_base64(signature) for name, signature in sorted(draft.signatures.items())}
    unfinished = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(
            json.dumps({"document": draft.document, "signatures": signatures}, indent=2) + "\n"
        )
        unfinished.replace(path)
    except OSError as error:
        raise DraftInvalid(f"cannot write {path}: {error.strerror}") from error
