"""The auditor's check of an export: from a directory and a public key to a yes, or to the first thing wrong.

Reads no database and trusts nobody: the manifest is checked against its signature, the files against the
manifest, the facts against one another by doing the book again, and all of them against the checkpoint.
Shares with the writer only what an auditor would have to write by the same rules: the canonical bytes of a
fact, the tree over them and the form of the journal.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ledger.core.canonical import canonical_text
from ledger.core.errors import EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, TransferFact, canonical_fact
from ledger.core.merkle import GrowingTree, leaf_hash
from ledger.evidence.journal import Journal
from ledger.evidence.replay import KINDS, MOVEMENTS, Counters, Replay
from ledger.evidence.table import Line, read_table

VerifyNote = Callable[[str, bytes], tuple[str, int, bytes]]

MANIFEST_BYTES_MAX = 48 * 1024
FILES_MAX = 16

_PROGRAMME_NAME = re.compile(r"\A[a-z0-9][a-z0-9-]{1,62}\Z")
_PROGRAMME_ID = re.compile(r"\Aprg_[0-9a-f]{32}\Z")
_ACCOUNTS = (
    "account_id,code,class,side,party_reference,currency,pool,min_available_minor"
    ",debits_minor,credits_minor,held_minor,version"
)
_TRANSFERS = (
    "position,transfer_id,kind,content_digest,reference,hold_id,reverses_id,clearance_id,notice_id"
    ",effective_at,recorded_at,metadata"
)
_ENTRIES = (
    "transfer_id,leg,movement,account_id,version,amount_minor,debits_after_minor,credits_after_minor"
    ",held_after_minor,effective_at,recorded_at"
)
_BALANCES = (
    "account_id,code,class,party_reference,currency"
    ",debits_minor,credits_minor,balance_minor,held_minor,net_minor"
)
_DEBIT_CLASSES = ("asset", "expense")
_CLASSES = (*_DEBIT_CLASSES, "liability", "income", "equity")


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export that holds together is of. `size` counts transfers; `root` is the log's over them."""

    programme_id: str
    programme_name: str
    created_at: str
    origin: str
    size: int
    root: bytes
    accounts: int
    entries: int


def verify_package(directory: Path, public_key_pem: bytes, verify_note: VerifyNote) -> Verified:
    """Checks an export from its signature down to its last entry.

    `public_key_pem` is the Ed25519 key of exports, which the auditor has from elsewhere than this directory.
    `verify_note` gives the origin, size and root of a checkpoint note that this key (PEM) has signed, and
    raises ValueError when it has not.

    Raises: EvidenceBroken with the first thing wrong, naming file and row.
    """
    present = _list(directory)
    manifest = _read_manifest(directory, public_key_pem)
    _check_present(present, manifest)
    files = {name: _read_file(directory, name, promised) for name, promised in manifest.files.items()}
    _check_note(files, manifest, verify_note)
    accounts = _read_accounts(files["accounts.csv"])
    entries = _replay(files, manifest, accounts)
    _check_balances(files["trial_balance.csv"], accounts)
    return Verified(
        programme_id=manifest.programme_id,
        programme_name=manifest.programme_name,
        created_at=manifest.created_at,
        origin=manifest.origin,
        size=manifest.size,
        root=manifest.root,
        accounts=len(accounts),
        entries=entries,
    )


@dataclass(frozen=True, slots=True)
class _Promise:
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class _Manifest:
    programme_id: str
    programme_name: str
    created_at: str
    origin: str
    size: int
    root: bytes
    files: Mapping[str, _Promise]

    @property
    def journal(self) -> str:
        return f"{self.programme_name}.journal"


@dataclass(frozen=True, slots=True)
class _Account:
    """A row of accounts.csv: what the account is, and the counters that it is said to have."""

    line: Line
    fact: AccountFact
    said: tuple[int, int, int, int]


def _list(directory: Path) -> set[str]:
    """The names in a directory, once all are seen to be plain files."""
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


def _read(directory: Path, name: str, *, bytes_max: int) -> bytes:
    """A plain file; of a larger one just the first byte too many. Follows no link, wherever it came from."""
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise EvidenceBroken(f"{name}: not a plain file")
            return file.read(bytes_max + 1)
    except OSError as error:
        raise EvidenceBroken(f"{name}: cannot be read: {error.strerror}") from error


def _read_manifest(directory: Path, public_key_pem: bytes) -> _Manifest:
    content = _read(directory, "manifest.json", bytes_max=MANIFEST_BYTES_MAX)
    signed = _read(directory, "manifest.sig", bytes_max=1024)
    if len(content) > MANIFEST_BYTES_MAX:
        raise EvidenceBroken("manifest.json: too large")
    try:
        signature = base64.b64decode(signed, validate=False)
        if base64.b64encode(signature) + b"\n" != signed:
            raise EvidenceBroken("manifest.sig: not one line of base64")
        _public_key(public_key_pem).verify(signature, b"tallystick-export-v1\n" + content)
    except binascii.Error as error:
        raise EvidenceBroken("manifest.sig: not base64") from error
    except InvalidSignature as error:
        raise EvidenceBroken("manifest.json: the signature is not this key's") from error
    return _parse_manifest(content)


def _public_key(pem: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceBroken("the public key cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceBroken("the public key is not an Ed25519 key")
    return key


def _parse_manifest(content: bytes) -> _Manifest:
    try:
        parsed = json.loads(content)
        if canonical_text(parsed).encode() != content:
            _refuse_manifest("not canonical")
        programme, checkpoint = parsed["programme"], parsed["checkpoint"]
        manifest = _Manifest(
            programme_id=_text(programme["id"]),
            programme_name=_text(programme["name"]),
            created_at=_text(parsed["created_at"]),
            origin=_text(checkpoint["origin"]),
            size=_count(checkpoint["size"]),
            root=base64.b64decode(checkpoint["root"], validate=True),
            files={
                name: _Promise(_text(said["sha256"]), _count(said["bytes"]))
                for name, said in parsed["files"].items()
            },
        )
        exact = _as_written(manifest) == parsed
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceBroken("manifest.json: not a manifest") from error
    if not exact:
        _refuse_manifest("not a manifest of this format and version")
    if not _PROGRAMME_ID.match(manifest.programme_id) or not _PROGRAMME_NAME.match(manifest.programme_name):
        _refuse_manifest("not a programme")
    return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is wanted")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a number from zero up is wanted")
    return value


def _as_written(manifest: _Manifest) -> object:
    """The manifest as its one format and version would write it: nothing more, nothing less."""
    root = base64.b64encode(manifest.root).decode()
    return {
        "format": "tallystick-export",
        "version": 1,
        "programme": {"id": manifest.programme_id, "name": manifest.programme_name},
        "created_at": manifest.created_at,
        "checkpoint": {"origin": manifest.origin, "size": manifest.size, "root": root},
        "files": {name: {"sha256": said.sha256, "bytes": said.size} for name, said in manifest.files.items()},
    }


def _refuse_manifest(detail: str) -> NoReturn:
    raise EvidenceBroken(f"manifest.json: {detail}")


def _check_present(present: set[str], manifest: _Manifest) -> None:
    tables = {"accounts.csv", "transfers.csv", "entries.csv", "trial_balance.csv"}
    wanted = tables | {manifest.journal, "checkpoint.txt", "checkpoint-key.pem"}
    if set(manifest.files) != wanted:
        odd = min(set(manifest.files) ^ wanted)
        _refuse_manifest(f"{odd[:80]!r} belongs in every package and is not named, or the other way round")
    wanted |= {"manifest.json", "manifest.sig"}
    if present - wanted:
        raise EvidenceBroken(f"{min(present - wanted)}: not part of the package")
    if wanted - present:
        raise EvidenceBroken(f"{min(wanted - present)}: missing")


def _read_file(directory: Path, name: str, promised: _Promise) -> bytes:
    content = _read(directory, name, bytes_max=promised.size)
    if len(content) != promised.size:
        raise EvidenceBroken(f"{name}: not the {promised.size} bytes that the manifest names")
    if hashlib.sha256(content).hexdigest() != promised.sha256:
        raise EvidenceBroken(f"{name}: not the content that the manifest names")
    return content


def _check_note(files: Mapping[str, bytes], manifest: _Manifest, verify_note: VerifyNote) -> None:
    try:
        said = verify_note(files["checkpoint.txt"].decode(), files["checkpoint-key.pem"])
    except ValueError as error:
        raise EvidenceBroken(f"checkpoint.txt: {error}") from error
    if said != (manifest.origin, manifest.size, manifest.root):
        raise EvidenceBroken("checkpoint.txt: not the checkpoint that the manifest names")


def _read_accounts(content: bytes) -> dict[str, _Account]:
    accounts: dict[str, _Account] = {}
    last = ""
    for line in read_table("accounts.csv", content, _ACCOUNTS):
        account = _account(line)
        if account.fact.id <= last:
            line.broken("accounts stand once each, in the order of their ids")
        last = account.fact.id
        accounts[last] = account
    return accounts


def _account(line: Line) -> _Account:
    account_class = line.word("class", _CLASSES)
    fact = AccountFact(
        id=line.id("account_id", "acct"),
        code=line.text("code"),
        account_class=account_class,
        side=line.word("side", ["debit" if account_class in _DEBIT_CLASSES else "credit"]),
        party_reference=line.optional_text("party_reference"),
        currency=line.currency("currency"),
        pool=line.optional_text("pool"),
        min_available_minor=line.optional_integer("min_available_minor"),
    )
    columns = ("debits_minor", "credits_minor", "held_minor", "version")
    debits_minor, credits_minor, held_minor, version = (line.integer(column) for column in columns)
    return _Account(line, fact, (debits_minor, credits_minor, held_minor, version))


def _replay(files: Mapping[str, bytes], manifest: _Manifest, accounts: Mapping[str, _Account]) -> int:
    """Does the book again, and with it the tree and the journal; says how many entries it took."""
    facts = [account.fact for account in accounts.values()]
    replay, tree = Replay({fact.id: fact for fact in facts}), GrowingTree()
    journal = Journal(manifest.programme_name, facts)
    pieces, entries_count = [journal.heading()], 0
    for line, transfer, entries in _read_facts(files, manifest.programme_id):
        if line.integer("position") != tree.size:
            line.broken(f"position {tree.size} comes here")
        try:
            replay.apply(transfer, entries)
        except EvidenceBroken as error:
            raise EvidenceBroken(f"transfers.csv row {line.row}: {error.detail}") from error
        tree.append(leaf_hash(canonical_fact(transfer, entries)))
        pieces.append(journal.paragraph(tree.size - 1, transfer, entries))
        entries_count += len(entries)
    _check_counters(accounts, replay.counters)
    if (tree.size, tree.root()) != (manifest.size, manifest.root):
        raise EvidenceBroken("transfers.csv: transfers and entries do not give the root of the checkpoint")
    _check_journal(manifest.journal, files[manifest.journal], "".join(pieces).encode())
    return entries_count


def _read_facts(
    files: Mapping[str, bytes], programme_id: str
) -> Iterator[tuple[Line, TransferFact, Sequence[EntryFact]]]:
    """Each transfer with its entries; the two files follow one another in step."""
    lines = read_table("entries.csv", files["entries.csv"], _ENTRIES)
    groups = groupby(lines, key=lambda line: line.cells["transfer_id"])
    for line in read_table("transfers.csv", files["transfers.csv"], _TRANSFERS):
        transfer = _transfer(line, programme_id)
        transfer_id, own = next(groups, (None, iter(())))
        if transfer_id != transfer.id:
            line.broken("its entries do not stand in its place in entries.csv")
        yield line, transfer, _entries(own)
    for _, left in groups:
        next(left).broken("belongs to no transfer")


def _entries(lines: Iterator[Line]) -> list[EntryFact]:
    entries: list[EntryFact] = []
    for line in lines:
        entry = _entry(line)
        if entries and (entry.account_id, entry.version) <= (entries[-1].account_id, entries[-1].version):
            line.broken("a transfer's entries stand in the order of accounts and versions")
        entries.append(entry)
    return entries


def _transfer(line: Line, programme_id: str) -> TransferFact:
    return TransferFact(
        id=line.id("transfer_id", "xfr"),
        programme_id=programme_id,
        kind=line.word("kind", KINDS),
        content_digest=line.digest("content_digest"),
        reference=line.text("reference"),
        hold_id=line.optional_id("hold_id", "xfr"),
        reverses_id=line.optional_id("reverses_id", "xfr"),
        clearance_id=line.optional_id("clearance_id", "clr"),
        notice_id=line.optional_id("notice_id", "ntc"),
        effective_at=line.instant("effective_at"),
        recorded_at=line.instant("recorded_at"),
        metadata=line.object("metadata"),
    )


def _entry(line: Line) -> EntryFact:
    return EntryFact(
        account_id=line.id("account_id", "acct"),
        version=line.integer("version"),
        transfer_id=line.id("transfer_id", "xfr"),
        leg=line.integer("leg"),
        movement=line.word("movement", MOVEMENTS),
        amount_minor=line.integer("amount_minor"),
        debits_after_minor=line.integer("debits_after_minor"),
        credits_after_minor=line.integer("credits_after_minor"),
        held_after_minor=line.integer("held_after_minor"),
        effective_at=line.instant("effective_at"),
        recorded_at=line.instant("recorded_at"),
    )


def _check_counters(accounts: Mapping[str, _Account], counters: Mapping[str, Counters]) -> None:
    for account_id, account in accounts.items():
        now = counters.get(account_id, Counters())
        if account.said != (now.debits_minor, now.credits_minor, now.held_minor, now.version):
            account.line.broken("its movements give other counters")


def _check_journal(name: str, said: bytes, wanted: bytes) -> None:
    if said == wanted:
        return
    rows = zip(said.split(b"\n"), wanted.split(b"\n"), strict=False)
    row = next((number for number, (one, other) in enumerate(rows, start=1) if one != other), None)
    raise EvidenceBroken(f"{name} row {row or 'last'}: not what the tables give")


def _check_balances(content: bytes, accounts: Mapping[str, _Account]) -> None:
    """The trial balance says of every account what accounts.csv says, and sums to zero in every currency."""
    sums: Counter[str] = Counter()
    waiting = iter(accounts.values())
    for line in read_table("trial_balance.csv", content, _BALANCES):
        account = next(waiting, None)
        if account is None or dict(line.cells) != _balance(account):
            line.broken("not what accounts.csv says of the account that comes here")
        sums[account.fact.currency] += line.integer("net_minor")
    if next(waiting, None) is not None:
        raise EvidenceBroken("trial_balance.csv: accounts are missing")
    for currency, sum_minor in sums.items():
        if sum_minor != 0:
            raise EvidenceBroken(f"trial_balance.csv: {currency} sums to {sum_minor}, not to zero")


def _balance(account: _Account) -> dict[str, str]:
    debits_minor, credits_minor, held_minor, _ = account.said
    net_minor = debits_minor - credits_minor
    return {
        "account_id": account.fact.id,
        "code": account.fact.code,
        "class": account.fact.account_class,
        "party_reference": account.fact.party_reference or "",
        "currency": account.fact.currency,
        "debits_minor": str(debits_minor),
        "credits_minor": str(credits_minor),
        "balance_minor": str(net_minor if account.fact.side == "debit" else -net_minor),
        "held_minor": str(held_minor),
        "net_minor": str(net_minor),
    }
