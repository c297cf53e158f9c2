"""The export: a programme's sealed facts as files that an auditor can check without us.

Facts stand as of the checkpoint, never newer. No names and no bank account numbers: parties are references.
Signs nothing: the caller has `signed_bytes(files["manifest.json"])` signed and hands the signature to
`write_package`. The key for that signature is not in the package: an auditor has it from elsewhere.
Follows: RFC 4180 (with bare line feeds), C2SP tlog-checkpoint.
"""

import base64
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from ledger.core.canonical import canonical_text
from ledger.core.chart import Side
from ledger.core.errors import Conflict, EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, TransferFact, UnitFact, canonical_fact, instant_text
from ledger.core.merkle import GrowingTree, leaf_hash
from ledger.evidence.journal import Journal
from ledger.evidence.log import TreeHead
from ledger.evidence.standing import STATUS_AFTER
from ledger.store.evidence import Sealed, account_facts, sealed_facts, unit_facts
from ledger.store.programmes import Programme
from ledger.store.tx import Tx

FORMAT = "tallystick-export"
VERSION = 2
SIGNED_PREFIX = b"tallystick-export-v1\n"

ACCOUNT_COLUMNS = (
    "account_id",
    "code",
    "path",
    "class",
    "side",
    "party_id",
    "party_reference",
    "currency",
    "pool",
    "tags",
    "min_available_minor",
    "max_balance_minor",
    "status",
    "debits_minor",
    "credits_minor",
    "held_minor",
    "version",
)
TRANSFER_COLUMNS = (
    "position",
    "transfer_id",
    "kind",
    "reference",
    "hold_id",
    "reverses_id",
    "clearance_id",
    "notice_id",
    "effective_at",
    "recorded_at",
    "asked",
    "metadata",
)
ENTRY_COLUMNS = (
    "transfer_id",
    "leg",
    "movement",
    "account_id",
    "version",
    "amount_minor",
    "debits_after_minor",
    "credits_after_minor",
    "held_after_minor",
    "effective_at",
    "recorded_at",
)
BALANCE_COLUMNS = (
    "account_id",
    "code",
    "class",
    "party_reference",
    "currency",
    "debits_minor",
    "credits_minor",
    "balance_minor",
    "held_minor",
    "net_minor",
)
UNIT_COLUMNS = UnitFact._fields

Cell = str | int | None
NEEDS_QUOTES = frozenset('",\r\n')


def build_package(
    tx: Tx,
    programme: Programme,
    head: TreeHead,
    note: str,
    *,
    created_at: datetime,
    checkpoint_key_pem: str,
) -> dict[str, bytes]:
    """The files of an export, by name, manifest included; the key is the one that the note is signed by.

    Raises:
        EvidenceBroken: a sealed row is not what it was when it was sealed, or the note is not of this head.
    """
    origin = _origin(head, note)
    sheets = _Sheets(programme.name, account_facts(tx, programme.id), unit_facts(tx, programme.id))
    tree = GrowingTree()
    for sealed in sealed_facts(tx, programme.id, end=head.size):
        _check_unchanged(sealed)
        tree.append(sealed.leaf_hash)
        sheets.add(sealed)
    if (tree.size, tree.root()) != (head.size, head.root):
        raise EvidenceBroken(f"the log of {programme.id} has not the root of the head {head.size}")
    files = sheets.files() | {
        "checkpoint.txt": note.encode(),
        "checkpoint-key.pem": checkpoint_key_pem.encode(),
    }
    return files | {"manifest.json": _manifest(programme, head, origin, created_at, files)}


def signed_bytes(manifest: bytes) -> bytes:
    """What the export key signs: the manifest, under a name that no other signed thing begins with."""
    return SIGNED_PREFIX + manifest


def write_package(directory: Path, files: Mapping[str, bytes], signature: bytes) -> None:
    """Puts a package in its place, whole or not at all, durably.

    Raises: Conflict when there is something of that name already.
    """
    if directory.exists():
        raise Conflict(f"there is an export at {directory.name} already")
    unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for name, content in files.items():
            _write_durably(unfinished / name, content)
        _write_durably(unfinished / "manifest.sig", base64.b64encode(signature) + b"\n")
        _sync_directory(unfinished)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # after the rename there is nothing left of it
    _sync_directory(directory.parent)


def _origin(head: TreeHead, note: str) -> str:
    """The name of the log in a checkpoint note, once size and root are seen to be this head's."""
    lines = note.split("\n")
    if lines[1:3] != [str(head.size), base64.b64encode(head.root).decode()]:
        raise EvidenceBroken(f"the note is not of the head {head.size}")
    return lines[0]


def _check_unchanged(sealed: Sealed) -> None:
    changed = f"{sealed.transfer.id}, sealed at {sealed.position}, has been changed since"
    try:
        leaf = leaf_hash(canonical_fact(sealed.transfer, sealed.entries))
    except TypeError as error:  # what has no canonical form was never sealed
        raise EvidenceBroken(changed) from error
    if leaf != sealed.leaf_hash:
        raise EvidenceBroken(changed)


class _Sheets:
    """The files that grow with the facts, and each account as its last sealed entry left it."""

    def __init__(
        self, programme_name: str, accounts: Sequence[AccountFact], units: Sequence[UnitFact]
    ) -> None:
        self._programme_name = programme_name
        self._accounts = accounts
        self._units = units
        self._journal = Journal(programme_name, accounts, units)
        self._paragraphs = io.StringIO()
        self._transfers = _Sheet(TRANSFER_COLUMNS)
        self._entries = _Sheet(ENTRY_COLUMNS)
        self._last: dict[str, EntryFact] = {}
        self._status: dict[str, str] = {}

    def add(self, sealed: Sealed) -> None:
        self._transfers.add(_transfer_cells(sealed.position, sealed.transfer))
        for entry in sorted(sealed.entries):
            self._entries.add(_entry_cells(entry))
            self._last[entry.account_id] = entry
            if entry.movement in STATUS_AFTER:
                self._status[entry.account_id] = STATUS_AFTER[entry.movement]
        self._paragraphs.write(self._journal.paragraph(sealed.position, sealed.transfer, sealed.entries))

    def files(self) -> dict[str, bytes]:
        accounts, balances, units = _Sheet(ACCOUNT_COLUMNS), _Sheet(BALANCE_COLUMNS), _Sheet(UNIT_COLUMNS)
        # What was opened after the head is not in the book as it was then.
        sealed = [account for account in self._accounts if account.id in self._last]
        for account in sealed:
            last = self._last[account.id]
            accounts.add(_account_cells(account, self._status.get(account.id, STATUS_AFTER["open"]), last))
            balances.add(_balance_cells(account, last))
        counted_in = {account.currency for account in sealed}
        for unit in self._units:
            if unit.code in counted_in:
                units.add(unit)
        heading = Journal(self._programme_name, sealed, self._units).heading()
        return {
            "accounts.csv": accounts.content(),
            "transfers.csv": self._transfers.content(),
            "entries.csv": self._entries.content(),
            "units.csv": units.content(),
            f"{self._programme_name}.journal": f"{heading}{self._paragraphs.getvalue()}".encode(),
            "trial_balance.csv": balances.content(),
        }


class _Sheet:
    """One CSV file in the making."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._text = io.StringIO()
        self.add(columns)

    def add(self, cells: Iterable[Cell]) -> None:
        self._text.write(f"{','.join(map(_field, cells))}\n")

    def content(self) -> bytes:
        return self._text.getvalue().encode()


def _field(cell: Cell) -> str:
    """A field, quoted where it must be. Not the csv module, which writes a bare carriage return unquoted."""
    text = "" if cell is None else str(cell)
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if NEEDS_QUOTES.intersection(text) else text


def _transfer_cells(position: int, transfer: TransferFact) -> tuple[Cell, ...]:
    return (
        position,
        transfer.id,
        transfer.kind,
        transfer.reference,
        transfer.hold_id,
        transfer.reverses_id,
        transfer.clearance_id,
        transfer.notice_id,
        instant_text(transfer.effective_at),
        instant_text(transfer.recorded_at),
        canonical_text(transfer.asked),
        canonical_text(transfer.metadata),
    )


def _entry_cells(entry: EntryFact) -> tuple[Cell, ...]:
    return (
        entry.transfer_id,
        entry.leg,
        entry.movement,
        entry.account_id,
        entry.version,
        entry.amount_minor,
        entry.debits_after_minor,
        entry.credits_after_minor,
        entry.held_after_minor,
        instant_text(entry.effective_at),
        instant_text(entry.recorded_at),
    )


def _account_cells(account: AccountFact, status: str, last: EntryFact) -> tuple[Cell, ...]:
    return (
        account.id,
        account.code,
        account.path,
        account.account_class,
        account.side,
        account.party_id,
        account.party_reference,
        account.currency,
        account.pool,
        canonical_text(account.tags),
        account.min_available_minor,
        account.max_balance_minor,
        status,
        last.debits_after_minor,
        last.credits_after_minor,
        last.held_after_minor,
        last.version,
    )


def _balance_cells(account: AccountFact, last: EntryFact) -> tuple[Cell, ...]:
    debits_minor, credits_minor = last.debits_after_minor, last.credits_after_minor
    net_minor = debits_minor - credits_minor
    return (
        account.id,
        account.code,
        account.account_class,
        account.party_reference,
        account.currency,
        debits_minor,
        credits_minor,
        Side(account.side).own(net_minor),
        last.held_after_minor,
        net_minor,
    )


def _manifest(
    programme: Programme, head: TreeHead, origin: str, created_at: datetime, files: Mapping[str, bytes]
) -> bytes:
    root = base64.b64encode(head.root).decode()
    manifest = canonical_text(
        {
            "format": FORMAT,
            "version": VERSION,
            "programme": {"id": programme.id, "name": programme.name},
            "created_at": instant_text(created_at),
            "checkpoint": {"origin": origin, "size": head.size, "root": root},
            "files": {
                name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for name, content in files.items()
            },
        }
    )
    return manifest.encode("ascii")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
