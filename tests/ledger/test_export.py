"""Exports: what is in them, that hledger reads them as we do, and that no lie in them goes unfound."""

import base64
import csv
import hashlib
import io
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.canonical import canonical_text
from ledger.core.commands import Leg
from ledger.core.errors import Conflict, EvidenceBroken
from ledger.core.facts import AccountFact
from ledger.core.ids import AccountId, ProgrammeId
from ledger.core.merkle import EMPTY_ROOT
from ledger.evidence.export import ACCOUNT_COLUMNS, build_package, signed_bytes, write_package
from ledger.evidence.journal import account_name, decimal_text
from ledger.evidence.log import TreeHead
from ledger.evidence.verify import Verified, verify_package
from ledger.store.evidence import account_facts
from ledger.store.programmes import read_programmes
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx
from tests.ledger.sealed import (
    AWKWARD,
    ORIGIN,
    SECRET_IBAN,
    SECRET_NAME,
    Keys,
    package,
    pem,
    read_note,
    rewrite,
    seal,
    small_book,
    write,
)
from tests.ledger.world import asker, done, open_account

pytestmark = pytest.mark.slow

TABLES = ("accounts.csv", "transfers.csv", "entries.csv", "units.csv", "trial_balance.csv")
JOURNAL = "pay-eu.journal"
FLIPS = 300
SEED = 20261116


@dataclass(frozen=True)
class Exported:
    """An export as it lies on the disk, and everything needed to make another."""

    programme_id: ProgrammeId
    head: TreeHead
    keys: Keys
    files: dict[str, bytes]
    directory: Path

    def verify(self) -> Verified:
        return verify_package(self.directory, pem(self.keys.export), read_note)

    def forge(self, changed: dict[str, bytes]) -> None:
        """Puts other files in place of the true ones, hashed and signed again with the right key."""
        files = self.files | changed
        said = json.loads(files.pop("manifest.json"))
        said["files"] = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        }
        manifest = canonical_text(said).encode()
        signature = self.keys.export.sign(signed_bytes(manifest))
        for name, content in (files | {"manifest.json": manifest}).items():
            (self.directory / name).write_bytes(content)
        (self.directory / "manifest.sig").write_bytes(base64.b64encode(signature) + b"\n")

    def broken(self, changed: dict[str, bytes]) -> str:
        """What the verifier says to a forged export."""
        self.forge(changed)
        with pytest.raises(EvidenceBroken) as caught:
            self.verify()
        return caught.value.detail


@pytest.fixture
def exported(open_tx: OpenTx, home: Path) -> Exported:
    with open_tx() as tx:
        programme_id, size = small_book(tx)
    keys = Keys.fresh()
    head = seal(open_tx, programme_id, size=size, keys=keys)
    files = package(open_tx, programme_id, head, keys)
    return Exported(programme_id, head, keys, files, write(home / "export", files, keys))


def _rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def _table(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _column(content: bytes, name: str) -> list[str]:
    head, *rows = _rows(content)
    return [row[head.index(name)] for row in rows]


def _account_of_party(tx: Tx, exported: Exported, reference: str) -> AccountId:
    facts = account_facts(tx, exported.programme_id)
    return next(AccountId(account.id) for account in facts if account.party_reference == reference)


def _hledger(directory: Path, *command: str) -> str:
    program = shutil.which("hledger")
    if program is None:
        pytest.fail("hledger is missing: apt-get install hledger")
    done_ = subprocess.run(
        [program, "-f", str(directory / JOURNAL), *command], capture_output=True, text=True, check=False
    )
    assert done_.returncode == 0, done_.stderr
    return done_.stdout


def test_an_export_verifies_and_says_what_it_is_of(exported: Exported) -> None:
    verified = exported.verify()

    assert verified == Verified(
        programme_id=exported.programme_id,
        programme_name="pay-eu",
        created_at="2026-11-16T09:00:00.000000Z",
        origin=ORIGIN,
        size=exported.head.size,
        root=exported.head.root,
        accounts=len(_column(exported.files["accounts.csv"], "account_id")),
        entries=len(_column(exported.files["entries.csv"], "version")),
    )
    assert verified.size > 50
    assert verified.entries > 90


def test_a_book_without_facts_can_be_exported(open_tx: OpenTx, programme_id: ProgrammeId, home: Path) -> None:
    keys, head = Keys.fresh(), seal(open_tx, programme_id, size=0)

    directory = write(home / "export", package(open_tx, programme_id, head, keys), keys)

    assert verify_package(directory, pem(keys.export), read_note).size == 0


def test_awkward_text_comes_through(exported: Exported) -> None:
    assert AWKWARD in _column(exported.files["transfers.csv"], "reference")
    assert canonical_text({AWKWARD: "“yes”"}) in _column(exported.files["transfers.csv"], "metadata")


def test_names_and_bank_account_numbers_stay_at_home(exported: Exported) -> None:
    everything = b"\n".join(exported.files.values()).decode()

    assert SECRET_NAME not in everything
    assert SECRET_IBAN not in everything
    assert "NL73ABNA0529451824" not in everything
    assert "Pay EU B.V." not in everything


def test_what_was_posted_after_the_head_is_not_in_its_export(open_tx: OpenTx, exported: Exported) -> None:
    with open_tx() as tx:
        wallet, seller = (_account_of_party(tx, exported, name) for name in ("ana", "atelier: shirts; ties"))
        asks = asker(tx, exported.programme_id)
        done(tx, asks.post("later", Leg(wallet, seller, 1)), asks.hold("held", wallet, amount_minor=2))
        open_account(tx, exported.programme_id)
    seal(open_tx, exported.programme_id, size=exported.head.size + 3)

    again = package(open_tx, exported.programme_id, exported.head, exported.keys)

    assert again == exported.files


def test_hledger_finds_the_journal_in_order(exported: Exported) -> None:
    _hledger(exported.directory, "check", "--strict")


def test_hledger_comes_to_the_same_balances(open_tx: OpenTx, exported: Exported) -> None:
    with open_tx() as tx:
        names = {account.id: account_name(account) for account in account_facts(tx, exported.programme_id)}
    head, *rows = _rows(exported.files["trial_balance.csv"])
    ours: Counter[tuple[str, str]] = Counter()
    for row in rows:
        said = dict(zip(head, row, strict=True))
        ours[names[said["account_id"]], said["currency"]] += int(said["net_minor"])
    places = {"EUR": 2, "JPY": 0, "KWD": 3, "COINS": 2, "PTS2": 0}

    answer = _hledger(exported.directory, "balance", "-N", "--flat", "-O", "csv", "--layout=bare")

    theirs = {
        (name, currency): int(Decimal(balance).scaleb(places[currency]))
        for name, currency, balance in csv.reader(io.StringIO(answer))
        if name != "account"
    }
    assert theirs == {key: minor for key, minor in ours.items() if minor}
    assert len(theirs) > 12


def test_every_flipped_byte_is_found(exported: Exported) -> None:
    draw = random.Random(SEED)
    paths = sorted(exported.directory.iterdir())
    for number in range(FLIPS):
        path = paths[number % len(paths)]
        content = path.read_bytes()
        position, mask = draw.randrange(len(content)), draw.randrange(1, 256)
        flipped = bytes([content[position] ^ mask])

        path.write_bytes(content[:position] + flipped + content[position + 1 :])

        with pytest.raises(EvidenceBroken):
            exported.verify()
        path.write_bytes(content)
    exported.verify()


def test_the_right_key_over_the_same_facts_verifies_again(exported: Exported) -> None:
    exported.forge({name: _table(_rows(exported.files[name])) for name in TABLES})

    assert exported.verify().root == exported.head.root


def _row_lies(rows: list[list[str]]) -> Iterator[tuple[str, list[list[str]]]]:
    """Each row left out, put in twice, and swapped with the next."""
    for at in range(1, len(rows)):
        yield f"row {at} left out", rows[:at] + rows[at + 1 :]
        yield f"row {at} twice", [*rows[:at], rows[at], *rows[at:]]
        if at + 1 < len(rows):
            yield f"row {at} swapped", [*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]]


@pytest.mark.parametrize("name", TABLES)
def test_a_row_taken_out_put_in_or_moved_is_found_even_when_signed_again(
    exported: Exported, name: str
) -> None:
    for lie, rows in _row_lies(_rows(exported.files[name])):
        assert ": " in exported.broken({name: _table(rows)}), lie


def _other(cell: str) -> str:
    """Another value of the same kind: the next digit, another letter, something where nothing was."""
    if not cell:
        return f"xfr_{'0' * 32}"
    at = max((place for place, char in enumerate(cell) if char.isalnum()), default=0)
    swapped = str((int(cell[at]) + 1) % 10) if cell[at].isdigit() else "f" if cell[at] != "f" else "e"
    return cell[:at] + swapped + cell[at + 1 :]


@pytest.mark.parametrize("name", ["transfers.csv", "entries.csv", "trial_balance.csv"])
def test_a_changed_field_is_found_even_when_signed_again(exported: Exported, name: str) -> None:
    rows = _rows(exported.files[name])
    for at in range(len(rows)):
        for field in range(len(rows[at])):
            changed = [list(row) for row in rows]
            changed[at][field] = _other(rows[at][field])
            exported.broken({name: _table(changed)})


@pytest.mark.parametrize("column", ACCOUNT_COLUMNS)
def test_a_changed_account_is_found_even_when_signed_again(exported: Exported, column: str) -> None:
    head, *rows = _rows(exported.files["accounts.csv"])
    for at in range(len(rows)):
        changed = [list(row) for row in rows]
        changed[at][head.index(column)] = _other(rows[at][head.index(column)])
        exported.broken({"accounts.csv": _table([head, *changed])})


def test_an_account_says_what_it_was_opened_as_and_what_became_of_it(exported: Exported) -> None:
    head, *rows = _rows(exported.files["accounts.csv"])
    said = [dict(zip(head, row, strict=True)) for row in rows]

    (door,) = [row for row in said if row["path"].startswith("equity/") and row["currency"] == "JPY"]
    assert door["path"] == "equity/currency_conversion/spot/a:b; c"
    assert door["tags"] == '["a|b","fx"]'
    assert {row["max_balance_minor"] for row in said} == {"", "2000"}
    statuses = {row["party_reference"]: row["status"] for row in said}
    assert (statuses["ana"], statuses["bo"], statuses["cy"]) == ("open", "frozen", "closed")


def test_units_are_those_of_the_programme_that_the_book_counts_in(exported: Exported) -> None:
    assert _rows(exported.files["units.csv"]) == [
        ["code", "name", "decimals"],
        ["COINS", 'Coins, "gold"', "2"],
        ["PTS2", "Points", "0"],
    ]


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("decimals", "3", "not what the tables give"),
        ("decimals", "19", "not a unit"),
        ("code", "COIN", "does not stand in units.csv"),
        ("code", "EUR", "not a unit"),
    ],
)
def test_a_changed_unit_is_found_even_when_signed_again(
    exported: Exported, column: str, value: str, complaint: str
) -> None:
    head, first, *rest = _rows(exported.files["units.csv"])
    first[head.index(column)] = value

    assert complaint in exported.broken({"units.csv": _table([head, first, *rest])})


def test_a_lie_told_everywhere_at_once_is_found_by_the_tree(exported: Exported) -> None:
    lie = {
        name: exported.files[name].replace(b"mistaken", b"intended") for name in ("transfers.csv", JOURNAL)
    }

    assert lie["transfers.csv"] != exported.files["transfers.csv"]
    assert "root of the checkpoint" in exported.broken(lie)


def test_an_older_book_under_a_newer_checkpoint_is_found(open_tx: OpenTx, exported: Exported) -> None:
    with open_tx() as tx:
        fresh = asker(tx, exported.programme_id)
        wallet = _account_of_party(tx, exported, "ana")
        done(tx, fresh.hold("later", wallet, amount_minor=1))
    head = seal(open_tx, exported.programme_id, size=exported.head.size + 1)
    newer = package(open_tx, exported.programme_id, head, exported.keys)
    older = {name: exported.files[name] for name in (*TABLES, JOURNAL)}

    assert "root of the checkpoint" in exported.broken(newer | older)


def test_a_journal_of_other_facts_is_found(exported: Exported) -> None:
    journal = exported.files[JOURNAL].replace(b"60.89 EUR", b"60.98 EUR")

    assert exported.broken({JOURNAL: journal}).startswith(f"{JOURNAL} row ")


def test_an_account_below_its_limit_is_found(exported: Exported) -> None:
    head, *rows = _rows(exported.files["accounts.csv"])
    wallet = next(row for row in rows if "ana" in row)
    wallet[head.index("min_available_minor")] = "50000"

    assert "below its limit" in exported.broken({"accounts.csv": _table([head, *rows])})


def test_the_complaint_names_file_and_row(exported: Exported) -> None:
    head, *rows = _rows(exported.files["entries.csv"])
    rows[4][head.index("amount_minor")] = "007"

    detail = exported.broken({"entries.csv": _table([head, *rows])})

    assert detail == "entries.csv row 6: amount_minor is not a whole number as one is written here: '007'"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda content: content[:-1], "does not end with its last row"),
        (lambda content: content + b"\xff", "not UTF-8"),
        (lambda content: content + b'"open', "not CSV"),
        (lambda content: content + b"one,two\n", "2 fields"),
        (lambda content: content.replace(b"account_id,code", b"code,account_id", 1), "not the columns"),
        (lambda content: b"", "does not end with its last row"),
    ],
)
def test_what_is_not_quite_csv_is_found(
    exported: Exported, spoil: Callable[[bytes], bytes], complaint: str
) -> None:
    assert complaint in exported.broken({"accounts.csv": spoil(exported.files["accounts.csv"])})


def test_another_public_key_does_not_verify(exported: Exported) -> None:
    with pytest.raises(EvidenceBroken, match=r"manifest.json: the signature is not this key's"):
        verify_package(exported.directory, pem(Keys.fresh().export), read_note)


@pytest.mark.parametrize("key", [b"", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", b"\xff"])
def test_what_is_no_key_does_not_verify(exported: Exported, key: bytes) -> None:
    with pytest.raises(EvidenceBroken, match="public key"):
        verify_package(exported.directory, key, read_note)


def test_a_checkpoint_of_another_key_is_found(exported: Exported) -> None:
    note = Keys.fresh().note(exported.head)

    assert exported.broken({"checkpoint.txt": note.encode()}).startswith("checkpoint.txt: ")


def test_a_checkpoint_of_another_log_is_found(exported: Exported) -> None:
    note = exported.keys.note(exported.head, origin="ledger.test/pay-uk")

    assert exported.broken({"checkpoint.txt": note.encode()}).startswith("checkpoint.txt: ")


def test_a_checkpoint_of_another_head_is_found(exported: Exported) -> None:
    note = exported.keys.note(replace(exported.head, size=12))

    assert exported.broken({"checkpoint.txt": note.encode()}).startswith("checkpoint.txt: ")


def test_a_file_too_many_is_found(exported: Exported) -> None:
    (exported.directory / "notes.txt").write_text("nothing to see")

    with pytest.raises(EvidenceBroken, match=r"notes.txt: not part of the package"):
        exported.verify()


@pytest.mark.parametrize(
    "name", [*TABLES, JOURNAL, "checkpoint.txt", "checkpoint-key.pem", "manifest.json", "manifest.sig"]
)
def test_a_file_too_few_is_found(exported: Exported, name: str) -> None:
    (exported.directory / name).unlink()

    with pytest.raises(EvidenceBroken, match=name):
        exported.verify()


def test_a_link_in_the_place_of_a_file_is_found(exported: Exported, home: Path) -> None:
    moved = (exported.directory / "entries.csv").rename(home / "entries.csv")
    (exported.directory / "entries.csv").symlink_to(moved)

    with pytest.raises(EvidenceBroken, match=r"entries.csv: not a plain file"):
        exported.verify()


def test_a_folder_in_the_package_is_found(exported: Exported) -> None:
    (exported.directory / "more").mkdir()

    with pytest.raises(EvidenceBroken, match="more: not a plain file"):
        exported.verify()


def test_no_directory_at_all_is_no_export(exported: Exported, home: Path) -> None:
    with pytest.raises(EvidenceBroken, match="cannot be read"):
        verify_package(home / "nowhere", pem(exported.keys.export), read_note)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 1},
        {"version": 2.0},
        {"programme": {"id": "prg_1", "name": "pay-eu"}},
        {"programme": {"id": f"prg_{'0' * 32}", "name": "../pay-eu"}},
        {"programme": []},
        {"more": 1},
        {"checkpoint": {"origin": ORIGIN, "size": True, "root": ""}},
        {"files": {}},
        {"files": {"../../etc/passwd": {"sha256": "0", "bytes": 0}}},
    ],
)
def test_a_signed_manifest_that_is_none_is_found(exported: Exported, change: dict[str, object]) -> None:
    manifest = json.dumps(
        json.loads(exported.files["manifest.json"]) | change, sort_keys=True, separators=(",", ":")
    ).encode()
    signature = exported.keys.export.sign(signed_bytes(manifest))
    (exported.directory / "manifest.json").write_bytes(manifest)
    (exported.directory / "manifest.sig").write_bytes(base64.b64encode(signature) + b"\n")

    with pytest.raises(EvidenceBroken, match=r"manifest.json"):
        exported.verify()


@dataclass(frozen=True)
class Later:
    """An export of the same log, later, beside the earlier one."""

    directory: Path
    head: TreeHead

    def verify(self, earlier: Exported, since: Path, checkpoint_key: bytes | None = None) -> Verified:
        key = pem(earlier.keys.export)
        return verify_package(self.directory, key, read_note, since=since, checkpoint_key_pem=checkpoint_key)


@pytest.fixture
def later(open_tx: OpenTx, exported: Exported, home: Path) -> Later:
    with open_tx() as tx:
        wallet = _account_of_party(tx, exported, "ana")
        done(tx, asker(tx, exported.programme_id).hold("later", wallet, amount_minor=1))
    head = seal(open_tx, exported.programme_id, size=exported.head.size + 1, keys=exported.keys)
    files = package(open_tx, exported.programme_id, head, exported.keys)
    return Later(write(home / "later", files, exported.keys), head)


def test_a_later_export_shares_its_history_with_an_earlier_one(exported: Exported, later: Later) -> None:
    assert later.verify(exported, exported.directory).since == exported.head.size
    assert later.verify(exported, later.directory).since == later.head.size


def test_a_later_export_shares_its_history_with_an_earlier_checkpoint(
    exported: Exported, later: Later, home: Path
) -> None:
    (home / "kept.txt").write_text(exported.keys.note(exported.head))

    assert later.verify(exported, home / "kept.txt").since == exported.head.size


def test_every_export_begins_with_the_checkpoint_of_nothing(
    exported: Exported, later: Later, home: Path
) -> None:
    (home / "kept.txt").write_text(exported.keys.note(TreeHead(0, EMPTY_ROOT, b"")))

    assert later.verify(exported, home / "kept.txt").since == 0


def test_history_that_was_rewritten_and_signed_again_is_found(
    exported: Exported, later: Later, home: Path
) -> None:
    other_root = replace(exported.head, root=later.head.root)
    (home / "kept.txt").write_text(exported.keys.note(other_root))

    complaint = rf"first {exported.head.size} transfers are not those of kept.txt: history was rewritten"
    with pytest.raises(EvidenceBroken, match=complaint):
        later.verify(exported, home / "kept.txt")


@pytest.mark.parametrize(
    ("note", "complaint"),
    [
        (lambda keys, head: keys.note(replace(head, size=head.size + 9)), "which is later than"),
        (lambda keys, head: keys.note(head).replace(str(head.size), "1", 1), "kept.txt: "),
        (lambda keys, head: Keys.fresh().note(head), "kept.txt: "),
        (lambda keys, head: "no note at all", "kept.txt: "),
    ],
)
def test_what_is_no_earlier_checkpoint_is_not_taken_for_one(
    exported: Exported, later: Later, home: Path, note: Callable[[Keys, TreeHead], str], complaint: str
) -> None:
    (home / "kept.txt").write_text(note(exported.keys, exported.head))

    with pytest.raises(EvidenceBroken, match=complaint):
        later.verify(exported, home / "kept.txt")


def test_an_earlier_export_that_was_changed_is_not_taken_for_one(exported: Exported, later: Later) -> None:
    note = exported.directory / "checkpoint.txt"
    content = bytearray(note.read_bytes())
    content[-9] ^= 1
    note.write_bytes(content)

    with pytest.raises(EvidenceBroken, match=r"checkpoint.txt: not the content"):
        later.verify(exported, exported.directory)


def test_a_later_export_is_no_beginning_of_an_earlier_one(exported: Exported, later: Later) -> None:
    with pytest.raises(EvidenceBroken, match="which is later than"):
        verify_package(exported.directory, pem(exported.keys.export), read_note, since=later.directory)


def test_a_checkpoint_is_checked_with_the_key_that_the_auditor_has(exported: Exported, later: Later) -> None:
    right, wrong = pem(exported.keys.checkpoint), pem(Keys.fresh().checkpoint)

    assert later.verify(exported, exported.directory, right).since == exported.head.size
    with pytest.raises(EvidenceBroken, match=r"checkpoint-key.pem: not the key that you have"):
        later.verify(exported, exported.directory, wrong)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transfers SET reference = 'innocent' WHERE reference = 'mistaken'",
        "UPDATE transfers SET metadata = NULL WHERE metadata IS NOT NULL",
        "UPDATE transfers SET metadata = '1.5' WHERE metadata IS NOT NULL",
        "UPDATE transfers SET amount_minor = 12901 WHERE amount_minor = 12900",
        "UPDATE transfers SET step_amount_minor = 38001 WHERE step_amount_minor = 38000",
        "UPDATE log_leaves SET leaf_hash = sha256('x') WHERE position = 3",
    ],
)
def test_a_row_rewritten_since_its_sealing_is_never_exported(
    database: Database, open_tx: OpenTx, exported: Exported, change: str
) -> None:
    rewrite(database, change)

    with pytest.raises(EvidenceBroken, match="has been changed since"):
        package(open_tx, exported.programme_id, exported.head, exported.keys)


def test_a_note_of_another_head_is_not_exported(open_tx: OpenTx, exported: Exported) -> None:
    note = exported.keys.note(replace(exported.head, size=12))

    with open_tx() as tx, pytest.raises(EvidenceBroken, match="not of the head"):
        build_package(
            tx,
            read_programmes(tx, [exported.programme_id])[exported.programme_id],
            exported.head,
            note,
            created_at=MONDAY_MORNING,
            checkpoint_key_pem=exported.keys.public()["checkpoint"],
        )


def test_an_export_is_never_written_over_another(exported: Exported) -> None:
    before = {path.name: path.read_bytes() for path in exported.directory.iterdir()}

    with pytest.raises(Conflict):
        write_package(exported.directory, exported.files, b"signature")

    assert {path.name: path.read_bytes() for path in exported.directory.iterdir()} == before
    assert list(exported.directory.parent.iterdir()) == [exported.directory]


def test_an_export_that_cannot_be_finished_leaves_nothing(exported: Exported, home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_package(home / "second", exported.files | {"no/such/folder": b""}, b"signature")

    assert list(home.iterdir()) == [exported.directory]


@given(st.integers(-(2**63), 2**63), st.integers(0, 4))
def test_amounts_are_written_without_rounding(minor: int, decimals: int) -> None:
    text = decimal_text(minor, decimals)

    assert Decimal(text).scaleb(decimals) == minor
    assert len(text.partition(".")[2]) == decimals


references = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


parts = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)
places = st.tuples(references, st.lists(parts, max_size=3))
Place = tuple[str | None, list[str]]


@given(places, places)
def test_no_two_places_share_an_account_name(one: Place, other: Place) -> None:
    names = [account_name(_account_of(reference, *divided)) for reference, divided in (one, other)]

    assert (names[0] == names[1]) == (one == other)


@given(places)
def test_account_names_hold_nothing_that_hledger_reads_as_something_else(place: Place) -> None:
    reference, divided = place

    name = account_name(_account_of(reference, *divided))

    assert name.isascii()
    assert not set(name) & set(" ;\t\r\n()[]*!|=")
    assert name.count(":") == 1 + len(divided) + (reference is not None)
    assert all(name.split(":"))


def _account_of(reference: str | None, *subdivision: str) -> AccountFact:
    return AccountFact(
        id=f"acct_{'0' * 32}",
        programme_id=f"prg_{'0' * 32}",
        code="customer_wallet",
        path="/".join(("liability", "customer_wallet", *subdivision)),
        account_class="liability",
        side="credit",
        party_id=None if reference is None else f"pty_{'0' * 32}",
        party_reference=reference,
        currency="EUR",
        pool="e_money",
        tags=(),
        min_available_minor=0,
        max_balance_minor=None,
    )
