"""Two custodians on one machine: for development, where nobody else is there to agree. In production they are people.

Makes their keys and the roster once, and puts drafts into force with both signatures.
"""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from enclave.drafts import endorse, read_draft, signature_of
from enclave.registration import put_in_force
from enclave.roster import read_roster
from enclave.store import DatabaseResolutions

NAMES = ("first", "second")


def make_custodians(directory: Path) -> Path:
    """Makes the custodians' keys and their roster as far as they are missing; answers where the roster is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    roster = directory / "roster.json"
    if not roster.exists():
        public_keys = {name: _made_key(directory / f"{name}.pem") for name in NAMES}
        unfinished = roster.with_suffix(".new")
        unfinished.write_text(json.dumps({"threshold": len(NAMES), "custodians": public_keys}, indent=2))
        unfinished.replace(roster)
    return roster


def agree(draft: Path, directory: Path, database_url: str) -> None:
    """Has both sign a draft, registers it and takes it away; what was registered before stays so."""
    for name in NAMES:
        key = (directory / f"{name}.pem").read_bytes()
        endorse(draft, name, signature_of(read_draft(draft), key, passphrase=None))
    with DatabaseResolutions(database_url) as resolutions:
        put_in_force(resolutions, read_draft(draft), read_roster((directory / "roster.json").read_bytes()))
    draft.unlink()


def _made_key(path: Path) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
