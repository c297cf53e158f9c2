"""What the enclave is made of, in four hashes: its code, its libraries, its configuration, and what decides.

Made once, at the start, of what `inventory` has read. Pure: the same parts have the same hashes on every machine, and
one byte in one part changes the hashes that it belongs to and no other. Nothing secret goes in.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from enclave import canonical
from enclave.policy import Conditions, Limits

# What a request meets on its way to a yes or a no, by the name of its source file.
POLICY_MODULES = (
    "allowance.py",
    "approvals.py",
    "bodies.py",
    "canonical.py",
    "card_desk.py",
    "card_number.py",
    "card_recipients.py",
    "card_vault.py",
    "database.py",
    "detached_jws.py",
    "facts.py",
    "growth.py",
    "http_signatures.py",
    "jwe.py",
    "key_desk.py",
    "keyring.py",
    "keys.py",
    "leaves.py",
    "loading.py",
    "log.py",
    "logbook.py",
    "memory.py",
    "mirror.py",
    "notes.py",
    "order_files.py",
    "patience.py",
    "pause.py",
    "pen.py",
    "policy.py",
    "protocol.py",
    "refusal_tally.py",
    "refusals.py",
    "resolutions.py",
    "roster.py",
    "schemes.py",
    "seal_count.py",
    "seen_heads.py",
    "signer.py",
    "spending.py",
    "store.py",
    "subjects.py",
    "targets.py",
    "tokens.py",
    "tree.py",
    "webhook_desk.py",
    "webhook_signatures.py",
)

# A file's name, relative to where it belongs, and the SHA-256 of its bytes in hex.
FileHashes: TypeAlias = Mapping[str, str]


class MeasurementFailed(Exception):
    """Something that has to be measured is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The options that decide what is signed, and for whom. Where the log and the socket are is not among them.

    `custodians` is the SHA-256 of their roster, in hex; `card_recipients` are processors by name, each with the SHA-256
    of its public key.
    """

    backend: str
    module: str | None
    token_label: str | None
    name: str
    user: str | None
    production: bool
    allowed_uids: tuple[int, ...] | None
    custodians: str | None
    limits: Limits
    conditions: Conditions
    card_recipients: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Libraries:
    """What the enclave runs on and does not bring itself. `distributions` are names with versions."""

    interpreter: str
    distributions: tuple[str, ...]
    files: FileHashes


@dataclass(frozen=True, slots=True)
class Measurement:
    """The four hashes, SHA-256 in hex."""

    code_sha256: str
    libraries_sha256: str
    configuration_sha256: str
    policy_sha256: str


def measure(code: FileHashes, libraries: Libraries, configuration: Configuration) -> Measurement:
    """Measure the parts of an enclave.

    Raises:
        MeasurementFailed: a module that decides is not among the code.
    """
    return Measurement(
        code_sha256=_sha256(code),
        libraries_sha256=_sha256(
            {
                "interpreter": libraries.interpreter,
                "distributions": sorted(libraries.distributions),
                "files": libraries.files,
            }
        ),
        configuration_sha256=_sha256(_configuration_members(configuration)),
        policy_sha256=_sha256(
            {
                "modules": _deciding(code),
                "limits": _limits_members(configuration.limits),
                "conditions": _conditions_members(configuration.conditions),
            },
        ),
    )


def hashes_of(files: Iterable[tuple[str, bytes]]) -> FileHashes:
    """Names and contents as names and hashes."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files}


def _deciding(code: FileHashes) -> FileHashes:
    missing = [name for name in POLICY_MODULES if name not in code]
    if missing:
        raise MeasurementFailed(f"the code lacks {', '.join(missing)}")
    return {name: code[name] for name in POLICY_MODULES}


def _configuration_members(configuration: Configuration) -> canonical.JsonValue:
    uids = configuration.allowed_uids
    return {
        "backend": configuration.backend,
        "module": configuration.module,
        "token_label": configuration.token_label,
        "name": configuration.name,
        "user": configuration.user,
        "production": configuration.production,
        "allowed_uids": None if uids is None else sorted(set(uids)),
        "custodians": configuration.custodians,
        "limits": _limits_members(configuration.limits),
        "conditions": _conditions_members(configuration.conditions),
        "card_recipients": configuration.card_recipients,
    }


def _limits_members(limits: Limits) -> canonical.JsonValue:
    return {
        "per_payment_minor": limits.per_payment_minor,
        "per_hour_minor": limits.per_hour_minor,
        "per_day_minor": limits.per_day_minor,
        "cards_per_hour": limits.cards_per_hour,
    }


def _conditions_members(conditions: Conditions) -> canonical.JsonValue:
    return {
        "approvals_above_minor": conditions.approvals_above_minor,
        "approvals_needed": conditions.approvals_needed,
        "cooling_s": _whole_seconds(conditions.cooling),
        "screening_age_max_s": _whole_seconds(conditions.screening_age_max),
    }


def _whole_seconds(length: timedelta | None) -> int | None:
    return None if length is None else int(length.total_seconds())


def _sha256(value: canonical.JsonValue) -> str:
    return hashlib.sha256(canonical.encode(value)).hexdigest()
