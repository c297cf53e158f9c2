"""Signed notes: the text form in which a log's checkpoint is published, and how to check one.

Pure: takes a signature or a public key, never a private one, so that an auditor can use it alone.
Follows: C2SP signed-note (text, blank line, one line a signature: em dash, key name, base64 of a four-byte
key hash and the signature) and C2SP tlog-checkpoint (origin, size, root hash, one a line).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

ED25519_SIGNATURE_TYPE = b"\x01"
KEY_HASH_BYTES = 4
ROOT_BYTES = 32
NOTE_CHARS_MAX = 64 * 1024
SIGNATURES_MAX = 100

_SIGNATURE_PREFIX = "— "
_SIZE = re.compile(r"\A(0|[1-9][0-9]{0,18})\Z")


class NoteInvalid(ValueError):
    """The note is not what it must be, or its key did not sign it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many leaves a log has and the root of the tree over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed, with its final newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_off(checkpoint: Checkpoint, *, signature: bytes, public_key_pem: str) -> str:
    """The published note: the checkpoint's text and one signature line, its origin as the key's name."""
    key_hash = _key_hash(checkpoint.origin, _public_key(public_key_pem))
    signed = base64.b64encode(key_hash + signature).decode()
    return f"{checkpoint.text()}\n{_SIGNATURE_PREFIX}{checkpoint.origin} {signed}\n"


def verifier_key(name: str, public_key_pem: str) -> str:
    """The key as other signed-note tools want it: name+hash+key."""
    public_key = _public_key(public_key_pem)
    encoded = base64.b64encode(ED25519_SIGNATURE_TYPE + _raw(public_key)).decode()
    return f"{name}+{_key_hash(name, public_key).hex()}+{encoded}"


def verify_checkpoint(note: str, *, origin: str, public_key_pem: str) -> Checkpoint:
    """The checkpoint that a note holds, once this key's signature over it has been checked.

    Signatures of other keys (witnesses, say) may stand beside it and are not looked at.

    Raises:
        NoteInvalid: not a signed note, not a checkpoint of this origin, or not signed by this key.
    """
    text, signatures = _split(note)
    public_key = _public_key(public_key_pem)
    ours = f"{_SIGNATURE_PREFIX}{origin} "
    key_hash = _key_hash(origin, public_key)
    candidates = [_decoded(line.removeprefix(ours)) for line in signatures if line.startswith(ours)]
    signed = [raw[KEY_HASH_BYTES:] for raw in candidates if raw[:KEY_HASH_BYTES] == key_hash]
    if not signed:
        raise NoteInvalid("the note carries no signature of this key")
    for signature in signed:
        _check(public_key, signature, text)
    return _read_checkpoint(text, origin)


def key_of_note(note: str, origin: str, public_key_pems: Sequence[str]) -> str:
    """The one of these keys, versions of one purpose, that the note says it is signed by; the first, if none is.

    Which one a note names is no proof: `verify_checkpoint` asks for that.

    Raises:
        NoteInvalid: not a note, or one of the keys is not an Ed25519 key.
    """
    _, signatures = _split(note)
    named = {line.rpartition(" ")[2] for line in signatures}
    hashes = {_decoded(text)[:KEY_HASH_BYTES] for text in named}
    found = (pem for pem in public_key_pems if _key_hash(origin, _public_key(pem)) in hashes)
    return next(found, public_key_pems[0])


def _split(note: str) -> tuple[str, list[str]]:
    if len(note) > NOTE_CHARS_MAX:
        raise NoteInvalid("the note is too long")
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    # The last line ends in a newline, so splitting leaves an empty piece behind it.
    if not blank or lines.pop() != "" or not 0 < len(lines) <= SIGNATURES_MAX:
        raise NoteInvalid("the note is not text, a blank line and signature lines")
    if not all(line.startswith(_SIGNATURE_PREFIX) for line in lines):
        raise NoteInvalid("a signature line is malformed")
    return f"{text}\n", lines


def _check(public_key: Ed25519PublicKey, signature: bytes, text: str) -> None:
    try:
        public_key.verify(signature, text.encode("utf-8"))
    except (InvalidSignature, UnicodeError) as error:
        raise NoteInvalid("the signature is not this key's over this text") from error


def _read_checkpoint(text: str, origin: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != origin or not _SIZE.match(lines[1]):
        raise NoteInvalid("the text is not a checkpoint of this origin")
    root = _decoded(lines[2])
    if len(root) != ROOT_BYTES:
        raise NoteInvalid("the root is not a SHA-256 hash")
    return Checkpoint(origin=origin, size=int(lines[1]), root=root)


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise NoteInvalid("a line is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteInvalid("a line is not canonical base64")
    return raw


def _public_key(public_key_pem: str) -> Ed25519PublicKey:
    key = load_pem_public_key(public_key_pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise NoteInvalid("the key is not an Ed25519 key")
    return key


def _raw(public_key: Ed25519PublicKey) -> bytes:
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _key_hash(name: str, public_key: Ed25519PublicKey) -> bytes:
    named = f"{name}\n".encode() + ED25519_SIGNATURE_TYPE + _raw(public_key)
    return hashlib.sha256(named).digest()[:KEY_HASH_BYTES]
