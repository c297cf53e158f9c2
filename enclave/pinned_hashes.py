"""Pinned hashes: what an enclave has to be for us to work with it, kept in a file beside our settings.

Pinned are the four hashes of its measurement and the key by which it says them. Written down by somebody who looked at
an enclave and found it right; whoever can write the file can pin another enclave, so it belongs to the operator.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from enclave import canonical

_SHA256_HEX = re.compile(r"\A[0-9a-f]{64}\Z")


class PinsUnreadable(Exception):
    """The file with the pinned hashes is missing or is not one; the text says which file and why."""


@dataclass(frozen=True, slots=True)
class Pins:
    """SHA-256, in hex, of each thing that may not change unnoticed; of the key, over its SubjectPublicKeyInfo."""

    code_sha256: str
    libraries_sha256: str
    configuration_sha256: str
    policy_sha256: str
    identity_sha256: str

    def differences(self, found: "Pins") -> tuple[str, ...]:
        """What is another than pinned, each as one phrase that says which, what was pinned and what was found."""
        return tuple(
            f"{name.removesuffix('_sha256')} (pinned {pinned[:16]}, found {getattr(found, name)[:16]})"
            for name, pinned in asdict(self).items()
            if getattr(found, name) != pinned
        )


def read_pins(path: Path) -> Pins:
    """The pins in a file.

    Raises:
        PinsUnreadable: no such file, or it does not hold exactly the five hashes.
    """
    try:
        members = canonical.parse_object(path.read_bytes())
        return Pins(**_hashes(members))
    except OSError as error:
        raise PinsUnreadable(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise PinsUnreadable(f"{path}: not a file of pinned hashes ({error})") from error


def write_pins(path: Path, pins: Pins) -> None:
    """Write pins for people to read and to compare: all of them or, when the machine stops, none.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(json.dumps(asdict(pins), indent=2) + "\n", encoding="ascii")
    unfinished.replace(path)


def _hashes(members: Mapping[str, canonical.JsonValue]) -> dict[str, str]:
    wanted = {field.name for field in fields(Pins)}
    if set(members) != wanted:
        raise ValueError(f"wanted are exactly {', '.join(sorted(wanted))}")
    hashes = {name: value for name, value in members.items() if isinstance(value, str)}
    if len(hashes) != len(wanted) or not all(map(_SHA256_HEX.match, hashes.values())):
        raise ValueError("a SHA-256 has 64 small hexadecimal digits")
    return hashes
