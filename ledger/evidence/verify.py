"""The auditor's check of an export: from a directory and a public key to a yes, or to the first thing wrong.

Reads no database and trusts nobody: the manifest is checked against its signature, the files against the
manifest, the facts against one another by doing the book again, and all of them against the checkpoint.
Shares with the writer only what an auditor would have to write by the same rules: the canonical bytes of a
fact, the tree over them and the form of the journal.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ledger.core.currency import ISO_CODES
from ledger.core.errors import EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, TransferFact, UnitFact, canonical_fact
from ledger.core.merkle import GrowingTree, leaf_hash
from ledger.evidence.journal import Journal
from ledger.evidence.package import (
    Manifest,
    check_present,
    list_files,
    public_key,
    read_manifest,
    read_plain,
    read_promised,
    refuse_manifest,
)
from ledger.evidence.replay import Replay
from ledger.evidence.shape import SHAPES
from ledger.evidence.standing import MOVEMENTS, STATUS_AFTER, Standing
from ledger.evidence.table import Line, read_table

VerifyNote = Callable[[str, bytes], tuple[str, int, bytes]]

_ACCOUNTS = (
    "account_id,code,path,class,side,party_id,party_reference,currency,pool,tags"
    ",min_available_minor,max_balance_minor,status,debits_minor,credits_minor,held_minor,version"
)
_TRANSFERS = (
    "position,transfer_id,kind,reference,hold_id,reverses_id,clearance_id,notice_id"
    ",effective_at,recorded_at,asked,metadata"
)
_ENTRIES = (
    "transfer_id,leg,movement,account_id,version,amount_minor,debits_after_minor,credits_after_minor"
    ",held_after_minor,effective_at,recorded_at"
)
_BALANCES = (
    "account_id,code,class,party_reference,currency"
    ",debits_minor,credits_minor,balance_minor,held_minor,net_minor"
)
_UNITS = "code,name,decimals"
_DEBIT_CLASSES = ("asset", "expense")
_CLASSES = (*_DEBIT_CLASSES, "liability", "income", "equity")
_NOTE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export that holds together is of. `size` counts transfers; `root` is the log's over them.

    `since`: the size of the earlier log that this one was seen to begin with.
    """

    programme_id: str
    programme_name: str
    created_at: str
    origin: str
    size: int
    root: bytes
    accounts: int
    entries: int
    since: int | None = None


def verify_package(
    directory: Path,
    public_key_pem: bytes,
    verify_note: VerifyNote,
    *,
    checkpoint_key_pem: bytes | None = None,
    since: Path | None = None,
) -> Verified:
    """Checks an export from its signature down to its last entry.

    `public_key_pem` is the Ed25519 key of exports, which the auditor has from elsewhere than this directory.
    `verify_note` gives the origin, size and root of a checkpoint note that this key (PEM) has signed, and
    raises ValueError when it has not. `checkpoint_key_pem` is the key of checkpoints, if the auditor has that from
    elsewhere too; without it, notes are checked with the one in the package. `since` is an earlier export, or a
    file with an earlier checkpoint note: the log has to begin with what was sealed then.

    Raises: EvidenceBroken with the first thing wrong, naming file and row.
    """
    present = list_files(directory)
    manifest = read_manifest(directory, public_key_pem)
    check_present(present, manifest)
    files = {name: read_promised(directory, name, promised) for name, promised in manifest.files.items()}
    reader = _Notes(verify_note, _checkpoint_key(files, checkpoint_key_pem))
    reader.check("checkpoint.txt", files["checkpoint.txt"], manifest)
    earlier = None if since is None else _read_earlier(since, public_key_pem, reader, manifest)
    accounts = _read_accounts(files, manifest.programme_id)
    entries = _replay(files, manifest, accounts, earlier)
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
        since=None if earlier is None else earlier.size,
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """A size and root that an earlier checkpoint was signed for. `source`: where that was read."""

    source: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class _Notes:
    """Reads checkpoint notes with one key."""

    verify_note: VerifyNote
    key_pem: bytes

    def read(self, name: str, content: bytes) -> tuple[str, int, bytes]:
        """Origin, size and root of a note that the key has signed."""
        try:
            return self.verify_note(content.decode(), self.key_pem)
        except ValueError as error:
            raise EvidenceBroken(f"{name}: {error}") from error

    def check(self, name: str, content: bytes, manifest: Manifest) -> None:
        """Sees to it that a note is the one that a manifest names."""
        if self.read(name, content) != (manifest.origin, manifest.size, manifest.root):
            raise EvidenceBroken(f"{name}: not the checkpoint that the manifest names")


@dataclass(frozen=True, slots=True)
class _Account:
    """A row of accounts.csv: what the account is, and the counters that it is said to have."""

    line: Line
    fact: AccountFact
    status: str
    said: tuple[int, int, int, int]


def _checkpoint_key(files: Mapping[str, bytes], given: bytes | None) -> bytes:
    """The key that notes are checked with: the auditor's own if there is one, and then the package's is the same."""
    enclosed = files["checkpoint-key.pem"]
    if given is None:
        return enclosed
    if public_key(given).public_bytes_raw() != public_key(enclosed).public_bytes_raw():
        raise EvidenceBroken("checkpoint-key.pem: not the key that you have for checkpoints")
    return given


def _read_earlier(path: Path, public_key_pem: bytes, notes: _Notes, now: Manifest) -> _Head:
    """The head of an earlier export (its manifest and checkpoint are checked, not its books) or of a note by itself."""
    if path.is_dir():
        manifest = read_manifest(path, public_key_pem)
        if "checkpoint.txt" not in manifest.files:
            refuse_manifest("names no checkpoint.txt")
        note = read_promised(path, "checkpoint.txt", manifest.files["checkpoint.txt"])
        notes.check(f"{path.name}/checkpoint.txt", note, manifest)
    else:
        note = read_plain(path.parent, path.name, bytes_max=_NOTE_BYTES_MAX)
    origin, size, root = notes.read(path.name, note)
    if origin != now.origin:
        raise EvidenceBroken(f"{path.name}: a checkpoint of another log, {origin}")
    if size > now.size:
        raise EvidenceBroken(f"{path.name}: a checkpoint of {size} leaves, which is later than {now.size}")
    return _Head(path.name, size, root)


def _read_accounts(files: Mapping[str, bytes], programme_id: str) -> dict[str, _Account]:
    counted_in = {unit.code for unit in _read_units(files["units.csv"])} | ISO_CODES
    accounts: dict[str, _Account] = {}
    last = ""
    for line in read_table("accounts.csv", files["accounts.csv"], _ACCOUNTS):
        account = _account(line, programme_id)
        if account.fact.id <= last:
            line.broken("accounts stand once each, in the order of their ids")
        if account.fact.currency not in counted_in:
            line.broken(f"{account.fact.currency} is no currency, and does not stand in units.csv")
        last = account.fact.id
        accounts[last] = account
    return accounts


def _read_units(content: bytes) -> list[UnitFact]:
    units: list[UnitFact] = []
    for line in read_table("units.csv", content, _UNITS):
        unit = UnitFact(line.currency("code"), line.text("name"), line.integer("decimals"))
        if unit.code in ISO_CODES or not 0 <= unit.decimals <= 18:
            line.broken("not a unit that a programme can count in")
        if units and unit.code <= units[-1].code:
            line.broken("units stand once each, in the order of their codes")
        units.append(unit)
    return units


def _account(line: Line, programme_id: str) -> _Account:
    account_class = line.word("class", _CLASSES)
    fact = AccountFact(
        id=line.id("account_id", "acct"),
        programme_id=programme_id,
        code=line.text("code"),
        path=line.text("path"),
        account_class=account_class,
        side=line.word("side", ["debit" if account_class in _DEBIT_CLASSES else "credit"]),
        party_id=line.optional_id("party_id", "pty"),
        party_reference=line.optional_text("party_reference"),
        currency=line.currency("currency"),
        pool=line.optional_text("pool"),
        tags=line.texts("tags"),
        min_available_minor=line.optional_integer("min_available_minor"),
        max_balance_minor=line.optional_integer("max_balance_minor"),
    )
    columns = ("debits_minor", "credits_minor", "held_minor", "version")
    debits_minor, credits_minor, held_minor, version = (line.integer(column) for column in columns)
    status = line.word("status", STATUS_AFTER.values())
    return _Account(line, fact, status, (debits_minor, credits_minor, held_minor, version))


def _replay(
    files: Mapping[str, bytes],
    manifest: Manifest,
    accounts: Mapping[str, _Account],
    earlier: _Head | None,
) -> int:
    """Does the book again, and with it the tree and the journal; says how many entries it took."""
    facts = [account.fact for account in accounts.values()]
    replay, tree = Replay({fact.id: fact for fact in facts}), GrowingTree()
    journal = Journal(manifest.programme_name, facts, _read_units(files["units.csv"]))
    pieces, entries_count = [journal.heading()], 0
    _check_beginning(tree, earlier)
    for line, transfer, entries in _read_facts(files, manifest.programme_id):
        if line.integer("position") != tree.size:
            line.broken(f"position {tree.size} comes here")
        try:
            replay.apply(transfer, entries)
        except EvidenceBroken as error:
            raise EvidenceBroken(f"transfers.csv row {line.row}: {error.detail}") from error
        tree.append(leaf_hash(canonical_fact(transfer, entries)))
        _check_beginning(tree, earlier)
        pieces.append(journal.paragraph(tree.size - 1, transfer, entries))
        entries_count += len(entries)
    _check_standings(accounts, replay.standings)
    if (tree.size, tree.root()) != (manifest.size, manifest.root):
        raise EvidenceBroken("transfers.csv: transfers and entries do not give the root of the checkpoint")
    _check_journal(manifest.journal, files[manifest.journal], "".join(pieces).encode())
    return entries_count


def _check_beginning(tree: GrowingTree, earlier: _Head | None) -> None:
    """At the size of the earlier log, the tree is still the earlier log's: nothing was changed since."""
    if earlier is not None and tree.size == earlier.size and tree.root() != earlier.root:
        raise EvidenceBroken(
            f"the first {earlier.size} transfers are not those of {earlier.source}: history was rewritten"
        )


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
        kind=line.word("kind", SHAPES),
        reference=line.text("reference"),
        hold_id=line.optional_id("hold_id", "xfr"),
        reverses_id=line.optional_id("reverses_id", "xfr"),
        clearance_id=line.optional_id("clearance_id", "clr"),
        notice_id=line.optional_id("notice_id", "ntc"),
        effective_at=line.instant("effective_at"),
        recorded_at=line.instant("recorded_at"),
        asked=line.object("asked"),
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


def _check_standings(accounts: Mapping[str, _Account], standings: Mapping[str, Standing]) -> None:
    for account_id, account in accounts.items():
        now = standings.get(account_id)
        if now is None:
            account.line.broken("nothing was ever recorded on it")
        if account.said != (now.debits_minor, now.credits_minor, now.held_minor, now.version):
            account.line.broken("its movements give other counters")
        if account.status != now.status:
            account.line.broken(f"its movements leave it {now.status}")


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
