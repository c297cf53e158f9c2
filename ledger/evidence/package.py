"""A package as it lies on the disk: its manifest, once the signature over it is good, and the files that it names.

Trusts no file name, no link and no length. Shares nothing with the code that writes packages.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ledger.core.canonical import canonical_text
from ledger.core.errors import EvidenceBroken

MANIFEST_BYTES_MAX = 48 * 1024
FILES_MAX = 16

_PROGRAMME_NAME = re.compile(r"\A[a-z0-9][a-z0-9-]{1,62}\Z")
_PROGRAMME_ID = re.compile(r"\Aprg_[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Promise:
    """What a manifest says of a file."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says that it is."""

    programme_id: str
    programme_name: str
    created_at: str
    origin: str
    size: int
    root: bytes
    files: Mapping[str, Promise]

    @property
    def journal(self) -> str:
        """The name of the journal."""
        return f"{self.programme_name}.journal"


def list_files(directory: Path) -> set[str]:
    """The names in a directory, once all are seen to be plain files. Raises: EvidenceBroken."""
    names: set[str] = set()
    try:
        with os.scandir(directory) as found:
            for item in found:
                if not item.is_file(follow_symlinks=False):
                    raise EvidenceBroken(f"{item.name}: not a plain file")
                names.add(item.name)
                if len(names) > FILES_MAX:
                    raise EvidenceBroken(f"there are more than {FILES_MAX} files")
    except OSError as error:
        raise EvidenceBroken(f"the directory cannot be read: {error.strerror}") from error
    return names


def read_plain(directory: Path, name: str, *, bytes_max: int) -> bytes:
    """A plain file; of a larger one just the first byte too many. Follows no link, wherever it came from.

    Raises: EvidenceBroken.
    """
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise EvidenceBroken(f"{name}: not a plain file")
            return file.read(bytes_max + 1)
    except OSError as error:
        raise EvidenceBroken(f"{name}: cannot be read: {error.strerror}") from error


def read_manifest(directory: Path, public_key_pem: bytes) -> Manifest:
    """The manifest of a package, signed by this key. Raises: EvidenceBroken."""
    content = read_plain(directory, "manifest.json", bytes_max=MANIFEST_BYTES_MAX)
    signed = read_plain(directory, "manifest.sig", bytes_max=1024)
    if len(content) > MANIFEST_BYTES_MAX:
        raise EvidenceBroken("manifest.json: too large")
    try:
        signature = base64.b64decode(signed, validate=False)
        if base64.b64encode(signature) + b"\n" != signed:
            raise EvidenceBroken("manifest.sig: not one line of base64")
        public_key(public_key_pem).verify(signature, b"tallystick-export-v1\n" + content)
    except binascii.Error as error:
        raise EvidenceBroken("manifest.sig: not base64") from error
    except InvalidSignature as error:
        raise EvidenceBroken("manifest.json: the signature is not this key's") from error
    return _parse_manifest(content)


def public_key(pem: bytes) -> Ed25519PublicKey:
    """An Ed25519 key. Raises: EvidenceBroken."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceBroken("the public key cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceBroken("the public key is not an Ed25519 key")
    return key


def _parse_manifest(content: bytes) -> Manifest:
    try:
        parsed = json.loads(content)
        if canonical_text(parsed).encode() != content:
            refuse_manifest("not canonical")
        programme, checkpoint = parsed["programme"], parsed["checkpoint"]
        manifest = Manifest(
            programme_id=_text(programme["id"]),
            programme_name=_text(programme["name"]),
            created_at=_text(parsed["created_at"]),
            origin=_text(checkpoint["origin"]),
            size=_count(checkpoint["size"]),
            root=base64.b64decode(checkpoint["root"], validate=True),
            files={
                name: Promise(_text(said["sha256"]), _count(said["bytes"]))
                for name, said in parsed["files"].items()
            },
        )
        exact = _as_written(manifest) == parsed
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceBroken("manifest.json: not a manifest") from error
    if not exact:
        refuse_manifest("not a manifest of this format and version")
    if not _PROGRAMME_ID.match(manifest.programme_id) or not _PROGRAMME_NAME.match(manifest.programme_name):
        refuse_manifest("not a programme")
    return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is wanted")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a number from zero up is wanted")
    return value


def _as_written(manifest: Manifest) -> object:
    """The manifest as its one format and version would write it: nothing more, nothing less."""
    root = base64.b64encode(manifest.root).decode()
    return {
        "format": "tallystick-export",
        "version": 2,
        "programme": {"id": manifest.programme_id, "name": manifest.programme_name},
        "created_at": manifest.created_at,
        "checkpoint": {"origin": manifest.origin, "size": manifest.size, "root": root},
        "files": {name: {"sha256": said.sha256, "bytes": said.size} for name, said in manifest.files.items()},
    }


def refuse_manifest(detail: str) -> NoReturn:
    """Raises: EvidenceBroken, always."""
    raise EvidenceBroken(f"manifest.json: {detail}")


def check_present(present: set[str], manifest: Manifest) -> None:
    """Sees to it that a package has every file that belongs to it, and no other. Raises: EvidenceBroken."""
    tables = {"accounts.csv", "transfers.csv", "entries.csv", "units.csv", "trial_balance.csv"}
    wanted = tables | {manifest.journal, "checkpoint.txt", "checkpoint-key.pem"}
    if set(manifest.files) != wanted:
        odd = min(set(manifest.files) ^ wanted)
        refuse_manifest(f"{odd[:80]!r} belongs in every package and is not named, or the other way round")
    wanted |= {"manifest.json", "manifest.sig"}
    if present - wanted:
        raise EvidenceBroken(f"{min(present - wanted)}: not part of the package")
    if wanted - present:
        raise EvidenceBroken(f"{min(wanted - present)}: missing")


def read_promised(directory: Path, name: str, promised: Promise) -> bytes:
    """A file that is what the manifest says of it. Raises: EvidenceBroken."""
    content = read_plain(directory, name, bytes_max=promised.size)
    if len(content) != promised.size:
        raise EvidenceBroken(f"{name}: not the {promised.size} bytes that the manifest names")
    if hashlib.sha256(content).hexdigest() != promised.sha256:
        raise EvidenceBroken(f"{name}: not the content that the manifest names")
    return content
