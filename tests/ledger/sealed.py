"""A small book with something of everything, sealed and exported with software keys."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.notes import Checkpoint, sign_off, verify_checkpoint
from ledger.core.chart import SHARED_CODES, Code, Side
from ledger.core.commands import Leg
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.evidence.export import build_package, signed_bytes, write_package
from ledger.evidence.log import TreeHead, append_leaves, keep_checkpoint
from ledger.store.accounts import Opening, open_accounts, party_accounts, shared_accounts
from ledger.store.evidence import sealed_facts
from ledger.store.programmes import read_programmes
from ledger.store.rows import insert_rows
from ledger.store.schema import parties
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, OpenTx, make_programme
from tests.ledger.world import WAIT_S, asker, done, open_account

ORIGIN = "ledger.test/pay-eu"
SECRET_NAME = "Anastasia Unnamed"
SECRET_IBAN = "FR7630006000011234567890189"
AWKWARD = 'a "quoted", two  spaces; (x)\r\n| é % : ~\t* = 2026-11-16'


@dataclass(frozen=True)
class Keys:
    """The two keys of an export, in software."""

    checkpoint: Ed25519PrivateKey
    export: Ed25519PrivateKey

    @staticmethod
    def fresh() -> "Keys":
        return Keys(Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())

    def note(self, head: TreeHead, origin: str = ORIGIN) -> str:
        checkpoint = Checkpoint(origin, head.size, head.root)
        signature = self.checkpoint.sign(checkpoint.text().encode())
        return sign_off(checkpoint, signature=signature, public_key_pem=pem(self.checkpoint).decode())

    def public(self) -> dict[str, str]:
        return {"checkpoint": pem(self.checkpoint).decode(), "export": pem(self.export).decode()}


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_note(note: str, key: bytes) -> tuple[str, int, bytes]:
    """What the auditor's program does with a note: the log's name is the one that the auditor expects."""
    checkpoint = verify_checkpoint(note, origin=ORIGIN, public_key_pem=key.decode())
    return checkpoint.origin, checkpoint.size, checkpoint.root


def small_book(tx: Tx) -> tuple[ProgrammeId, int]:
    """A programme with every kind of transfer and four currencies; and how many transfers there are."""
    programme_id = make_programme(tx)
    asks = asker(tx, programme_id)
    bank, income = _shared(tx, programme_id)
    wallet = _place(tx, programme_id, Code.WALLET, "ana")
    seller = _place(tx, programme_id, Code.SELLER, "atelier: shirts; ties")
    creator = _place(tx, programme_id, Code.CREATOR, "léa")
    yen, dinar, points = (_pair(tx, programme_id, currency) for currency in ("JPY", "KWD", "PTS"))
    commands = [
        asks.post("funded", Leg(bank, wallet, 50_000)),
        asks.hold("cart", wallet, amount_minor=38_348, expires_at=MONDAY_MORNING + timedelta(days=7)),
        asks.capture(
            "shirts", "cart", Leg(wallet, seller, 6_089), Leg(wallet, creator, 349), Leg(wallet, income, 560)
        ),
        asks.capture("sound", "cart", Leg(wallet, seller, 12_900)),
        asks.release("part given back", "cart", amount_minor=450),
        asks.capture("rest", "cart", Leg(wallet, seller, 1_000), final=True),
        asks.post("mistaken", Leg(wallet, creator, 7)),
        asks.reverse("undone", "mistaken"),
        asks.post("yen", Leg(yen[0], yen[1], 1_200)),
        asks.post("dinar", Leg(dinar[0], dinar[1], 1_005)),
        asks.post("points", Leg(points[0], points[1], 3), Leg(points[0], points[1], 4)),
        replace(asks.post("noted", Leg(wallet, income, 1)), reference=AWKWARD, metadata={AWKWARD: "“yes”"}),
        replace(
            asks.post("dated back", Leg(bank, wallet, 1)),
            effective_at=MONDAY_MORNING - timedelta(days=40, microseconds=1),
        ),
    ]
    done(tx, *commands)
    return programme_id, len(commands)


def _shared(tx: Tx, programme_id: ProgrammeId) -> tuple[AccountId, AccountId]:
    """The bank account and the income of a programme; all its other shared accounts stay at nothing."""
    open_accounts(tx, [Opening(programme_id, code, None, "EUR") for code in SHARED_CODES])
    bank, income = (
        shared_accounts(tx, [programme_id], code)[programme_id]
        for code in (Code.SAFEGUARDING, Code.COMMISSION)
    )
    return bank, income


def _place(tx: Tx, programme_id: ProgrammeId, code: Code, reference: str) -> AccountId:
    """A party's account. Nobody's name may ever be seen in an export."""
    party_id = PartyId(tx.new_id("pty"))
    party = {
        "id": party_id,
        "programme_id": programme_id,
        "role": "customer",
        "name": SECRET_NAME,
        "reference": reference,
        "status": "active",
        "payout_name": SECRET_NAME,
        "payout_iban": SECRET_IBAN,
        "created_at": tx.now,
    }
    insert_rows(tx, parties, [party])
    open_accounts(tx, [Opening(programme_id, code, party_id, "EUR")])
    return party_accounts(tx, [party_id])[party_id]


def _pair(tx: Tx, programme_id: ProgrammeId, currency: str) -> tuple[AccountId, AccountId]:
    ours = open_account(tx, programme_id, currency=currency, side=Side.DEBIT, floor_minor=None)
    return ours, open_account(tx, programme_id, currency=currency, floor_minor=-5)


def seal(open_tx: OpenTx, programme_id: ProgrammeId, *, size: int) -> TreeHead:
    """Seals until the log has this size: any transaction of the server may keep the horizon back a while."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with open_tx() as tx:
            head = append_leaves(tx, programme_id)
        if head.size == size:
            return head
        assert head.size < size, "more was sealed than was posted"
    raise AssertionError(f"the log has {head.size} leaves, not {size}")


def order_in_log(tx: Tx, programme_id: ProgrammeId, size: int) -> list[TransferId]:
    return [TransferId(item.transfer.id) for item in sealed_facts(tx, programme_id, size)]


def package(open_tx: OpenTx, programme_id: ProgrammeId, head: TreeHead, keys: Keys) -> dict[str, bytes]:
    """The files of an export of this head, its checkpoint kept."""
    note = keys.note(head)
    with open_tx() as tx:
        keep_checkpoint(tx, programme_id, head, note)
        programme = read_programmes(tx, [programme_id])[programme_id]
        return build_package(tx, programme, head, note, created_at=MONDAY_MORNING, public_keys=keys.public())


def write(directory: Path, files: Mapping[str, bytes], keys: Keys) -> Path:
    """Signs and writes an export."""
    write_package(directory, files, keys.export.sign(signed_bytes(files["manifest.json"])))
    return directory


def rewrite(owner_engine: sa.Engine, table: str, change: str) -> None:
    """Does what only the owner of the database can do, by switching the guard off first."""
    with owner_engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_are_facts"))
        assert connection.execute(sa.text(change)).rowcount == 1
        connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_are_facts"))
