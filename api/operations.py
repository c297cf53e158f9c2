"""What people do at the command line with files: import a statement, look at a report, verify an export."""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from rich.console import Console
from rich.table import Table

from api import present
from api.jobs import Jobs, covers
from api.parts import Parts
from enclave.client import EnclaveError
from enclave.notes import NoteInvalid, verify_checkpoint
from ledger.core.errors import EvidenceBroken
from ledger.evidence.verify import Verified, verify_package
from ledger.flows.reconcile import import_statements, reconcile
from ledger.reports.reconciliation import reconciliation
from ledger.reports.safeguarding import safeguarding
from ledger.reports.trial_balance import trial_balance
from ledger.store.evidence import insert_export, read_export
from ledger.store.programmes import Programme, all_programmes
from ledger.store.tx import Tx
from partners.contract import Unreadable

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


def print_report(parts: Parts, programme_name: str, report: str, form: str) -> None:
    """Prints a report as a table for people, or as csv or json for programs. Raises: OperationFailed."""
    if report not in REPORTS or form not in {"table", "csv", "json"}:
        raise OperationFailed(f"Reports are {', '.join(REPORTS)}; forms are table, csv, json.")
    with parts.snapshots() as tx:
        found = _report(tx, _programme(tx, programme_name), report)
    rows = found.get("rows") or found.get("open_breaks") or [_flat(found)]
    if form == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif form == "csv":
        sys.stdout.write(as_csv(rows))
    else:
        Console().print(as_table(report, rows))


def verify_export(package: Path, public_key: Path) -> Verified:
    """Verifies an audit package with nothing but the export key. Raises: OperationFailed."""
    try:
        pem = public_key.read_bytes()
    except OSError as error:
        raise OperationFailed(f"{public_key}: {error.strerror}") from error
    if not package.is_dir():
        raise OperationFailed(f"{package}: not a directory with an export in it")
    try:
        return verify_package(package, pem, _verified_note)
    except EvidenceBroken as error:
        raise OperationFailed(f"{package}: does not verify: {error.detail}") from error


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


def _verified_note(note: str, public_key_pem: bytes) -> tuple[str, int, bytes]:
    try:
        origin = note.partition("\n")[0]
        checkpoint = verify_checkpoint(note, origin=origin, public_key_pem=public_key_pem.decode("ascii"))
    except (NoteInvalid, UnicodeDecodeError) as error:
        raise EvidenceBroken(f"checkpoint.txt: {error}") from error
    return checkpoint.origin, checkpoint.size, checkpoint.root


def _spki_digest(pem: str) -> str:
    key = load_pem_public_key(pem.encode("ascii"))
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _programme(tx: Tx, name: str) -> Programme:
    for programme in all_programmes(tx):
        if programme.name == name:
            return programme
    raise OperationFailed(f"There is no programme {name}.")


def _report(tx: Tx, programme: Programme, report: str) -> dict[str, Any]:
    match report:
        case "trial-balance":
            return present.trial_balance(trial_balance(tx, programme.id))
        case "safeguarding":
            return present.safeguarding(safeguarding(tx, programme.id))
        case _:
            return present.reconciliation(reconciliation(tx, programme.id))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not isinstance(value, dict | list)}
