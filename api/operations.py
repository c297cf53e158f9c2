"""What people do at the command line with files: import a statement, look at a report, verify an export."""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import ProgrammingError

from api import present
from api.database import engine
from api.jobs import Jobs, covers, origin
from api.parts import Parts
from api.past import read_past
from api.resealing import promise_resealing
from api.transactions import SystemClock, snapshots
from enclave.client import EnclaveError
from enclave.notes import key_of_note, verify_checkpoint
from ledger.core.errors import EvidenceBroken
from ledger.evidence.audit import Audited, Progress, audit
from ledger.evidence.audit_log import note_text
from ledger.evidence.verify import Verified, verify_package
from ledger.flows.reconcile import import_statements, reconcile
from ledger.reports.reconciliation import reconciliation
from ledger.reports.safeguarding import safeguarding
from ledger.reports.trial_balance import trial_balance
from ledger.store.evidence import insert_export, read_export
from ledger.store.programmes import Programme, all_programmes
from ledger.store.tx import Tx
from partners.contract import Unreadable

PEM_END = "-----END PUBLIC KEY-----"


REPORTS = ("trial-balance", "safeguarding", "reconciliation")


class OperationFailed(Exception):
    """What was asked cannot be done; the text says why in one line."""


def import_files(parts: Parts, programme_name: str, files: Sequence[Path]) -> dict[str, Any]:
    """Imports camt.053 documents (the pages of one statement together) for a programme, and reconciles.

    All of them or nothing: a document that cannot be read leaves no row behind.
    Raises: OperationFailed.
    """
    try:
        documents = [path.read_bytes() for path in files]
    except OSError as error:
        raise OperationFailed(f"{error.filename}: {error.strerror}") from error
    with parts.transactions() as tx:
        programme = _programme(tx, programme_name)
        adapter = parts.banks[programme.bank_connection].adapter
        try:
            statements = adapter.parse_statement(documents[0], *documents[1:])
        except Unreadable as error:
            raise OperationFailed(f"{files[0]}: {error}") from error
        if not covers(programme, statements):
            raise OperationFailed(f"{files[0]}: no statement in it is for an account of {programme.name}")
        import_statements(tx, programme, statements, document=b"".join(documents))
        reconcile(tx, programme.id)
        return present.reconciliation(reconciliation(tx, programme.id))


def print_report(parts: Parts, programme_name: str, report: str, form: str, *, at: str | None = None) -> None:
    """Prints a report as a table for people, or as csv or json for programs; the trial balance of any past instant.

    Raises: OperationFailed; InvalidValue when the instant has not come yet.
    """
    if report not in REPORTS or form not in {"table", "csv", "json"}:
        raise OperationFailed(f"Reports are {', '.join(REPORTS)}; forms are table, csv, json.")
    instant = None if at is None else _instant(at)
    if instant is not None and report != "trial-balance":
        raise OperationFailed("--at is for the trial balance; the other reports are as of now.")
    with parts.snapshots() as tx:
        programme = _programme(tx, programme_name)
    found = read_past(
        parts, programme.id, instant, lambda tx: _report(tx, programme, report, instant), field="--at"
    )
    rows = found.get("rows") or found.get("open_breaks") or [_flat(found)]
    if form == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif form == "csv":
        sys.stdout.write(as_csv(rows))
    else:
        Console().print(as_table(report, rows))


def verify_export(
    package: Path, public_key: Path, *, checkpoint_key: Path | None = None, since: Path | None = None
) -> Verified:
    """Verifies an audit package with nothing but the export key; with more keys and older packages, against them.

    Raises: OperationFailed.
    """
    pem = _read_key(public_key)
    checkpoint_pem = None if checkpoint_key is None else _read_key(checkpoint_key)
    if not package.is_dir():
        raise OperationFailed(f"{package}: not a directory with an export in it")
    try:
        return verify_package(package, pem, _verified_note, checkpoint_key_pem=checkpoint_pem, since=since)
    except EvidenceBroken as error:
        raise OperationFailed(f"{package}: does not verify: {error.detail}") from error


def audit_database(
    url: str, programme_name: str | None, checkpoint_key: Path | None, progress: Progress
) -> Audited:
    """Checks a database by itself, all of it or one programme. Any role that may read the tables will do.

    Raises: OperationFailed.
    """
    pems = None if checkpoint_key is None else _checkpoint_pems(checkpoint_key)
    pool = engine(url, pool_size=1)
    try:
        with snapshots(pool, SystemClock())() as tx:
            programme = None if programme_name is None else _programme(tx, programme_name)
            return audit(tx, programme.id if programme else None, partial(_kept_note, pems), progress)
    except ProgrammingError as error:
        raise OperationFailed(f"the database cannot be read as one of ours: {error.orig}") from error
    finally:
        pool.dispose()


def export_books(parts: Parts, programme_name: str) -> Path:
    """Makes an audit package now, without the queue; says where it is. Raises: OperationFailed."""
    with parts.transactions() as tx:
        programme = _programme(tx, programme_name)
        wish = insert_export(tx, programme.id)
    Jobs(parts).make_export(programme.id, wish.id)
    with parts.transactions() as tx:
        made = read_export(tx, programme.id, wish.id)
    if made is None or made.directory is None:
        raise OperationFailed(f"no export: {made.detail if made else 'it is gone'}")
    return Path(made.directory)


def public_key_lines(parts: Parts) -> list[str]:
    """The enclave's public keys, for people to compare. Raises: OperationFailed."""
    try:
        keys = parts.enclave.public_keys()
    except EnclaveError as error:
        raise OperationFailed(f"the enclave does not answer: {error}") from error
    return [f"{purpose:<14} {key.key_id:<18} sha256:{_spki_digest(key.pem)}" for purpose, key in keys.items()]


def key_version_lines(parts: Parts) -> list[str]:
    """Every version of every public key that counts, for people to compare. Raises: OperationFailed."""
    try:
        versions = [
            key for purpose in parts.enclave.public_keys() for key in parts.enclave.key_versions(purpose)
        ]
    except EnclaveError as error:
        raise OperationFailed(f"the enclave does not answer: {error}") from error
    return [f"{key.key_id:<18} sha256:{_spki_digest(key.pem)}" for key in versions]


def loaded_key_lines(parts: Parts) -> list[str]:
    """Has the enclave load its keys, promises what follows, and says what it found. Raises: OperationFailed."""
    try:
        found = parts.enclave.load_keys()
    except EnclaveError as error:
        raise OperationFailed(f"no keys were loaded: {error}") from error
    with parts.transactions() as tx:
        due = promise_resealing(tx, found, now=parts.wall_clock())
    return [
        f"resolution {found.resolution} is in force, {found.ready} keys are ready",
        *(f"on the token, but not admitted: {name}" for name in found.unregistered),
        *(f"not usable: {reason}" for reason in found.unusable),
        *(f"left out: {reason}" for reason in found.left_out),
        *(f"cards will be sealed anew from {at.isoformat(timespec='seconds')}" for at in due),
    ]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV with a header."""
    written = io.StringIO()
    writer = csv.DictWriter(written, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def as_table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Rows as a table for people; amounts stay whole minor units."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name.removesuffix("_minor"), justify="right" if name.endswith("_minor") else "left")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperationFailed(f"{path}: {error.strerror}") from error


def _checkpoint_pems(path: Path) -> tuple[str, ...]:
    """The keys that sign checkpoints, one version after the other in a file, once they are seen to be keys at all."""
    try:
        blocks = _read_key(path).decode("ascii").split(PEM_END)
        pems = tuple(block + PEM_END for block in (blocks[:-1] or blocks))
        if all(isinstance(load_pem_public_key(pem.encode()), Ed25519PublicKey) for pem in pems):
            return pems
    except (ValueError, UnsupportedAlgorithm) as error:
        raise OperationFailed(f"{path}: not a public key") from error
    raise OperationFailed(f"{path}: not an Ed25519 key")


def _verified_note(note: str, public_key_pem: bytes) -> tuple[str, int, bytes]:
    """Origin, size and root of a note. Raises: ValueError when it is none, or not signed by this key."""
    origin = note.partition("\n")[0]
    checkpoint = verify_checkpoint(note, origin=origin, public_key_pem=public_key_pem.decode("ascii"))
    return checkpoint.origin, checkpoint.size, checkpoint.root


def _kept_note(public_key_pems: Sequence[str] | None, programme_name: str, note: str) -> tuple[int, bytes]:
    """Size and root of a note that the database keeps, by one of these keys; without, of whatever its text says."""
    name = origin(programme_name)
    if public_key_pems is not None:
        checkpoint = verify_checkpoint(
            note, origin=name, public_key_pem=key_of_note(note, name, public_key_pems)
        )
        return checkpoint.size, checkpoint.root
    said, size, root = note_text(note)
    if said != name:
        raise ValueError(f"it is of another log, {said}")
    return size, root


def _spki_digest(pem: str) -> str:
    key = load_pem_public_key(pem.encode("ascii"))
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _programme(tx: Tx, name: str) -> Programme:
    for programme in all_programmes(tx):
        if programme.name == name:
            return programme
    raise OperationFailed(f"There is no programme {name}.")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise OperationFailed(f"--at {text!r} is not a time as in ISO 8601: 2026-11-16T09:00:00Z.") from error
    if instant.tzinfo is None:
        raise OperationFailed(f"--at {text!r} does not say in which zone: add Z for UTC.")
    return instant.astimezone(UTC)


def _report(tx: Tx, programme: Programme, report: str, at: datetime | None) -> dict[str, Any]:
    match report:
        case "trial-balance":
            return present.trial_balance(trial_balance(tx, programme.id, at=at))
        case "safeguarding":
            return present.safeguarding(safeguarding(tx, programme.id))
        case _:
            return present.reconciliation(reconciliation(tx, programme.id))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not isinstance(value, dict | list)}
