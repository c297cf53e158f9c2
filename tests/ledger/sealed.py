"""A small book with something of everything, sealed and exported with software keys."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.notes import Checkpoint, sign_off, verify_checkpoint
from ledger.core.chart import SHARED_CODES, Code, Side
from ledger.core.commands import Command, Leg, Part, Rate
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId
from ledger.core.unit import Unit
from ledger.evidence.export import build_package, signed_bytes, write_package
from ledger.evidence.log import TreeHead, append_leaves, keep_checkpoint
from ledger.flows.onboarding import opening
from ledger.flows.units import DefineUnit, define_units
from ledger.store.accounts import party_accounts, shared_accounts
from ledger.store.evidence import sealed_facts
from ledger.store.programmes import read_programmes
from ledger.store.rows import insert_rows
from ledger.store.schema import parties, transfers
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx, make_programme
from tests.ledger.world import WAIT_S, Asker, asker, done, open_account

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
    """A programme with every kind of transfer, several currencies and units of its own; and how many transfers."""
    programme_id = make_programme(tx)
    define_units(
        tx,
        [
            DefineUnit(programme_id, Unit("COINS", 'Coins, "gold"', 2)),
            DefineUnit(programme_id, Unit("PTS2", "Points", 0)),
        ],
    )
    asks = asker(tx, programme_id)
    bank, income = _shared(tx, programme_id)
    people = {
        "wallet": _place(tx, programme_id, Code.WALLET, "ana"),
        "seller": _place(tx, programme_id, Code.SELLER, "atelier: shirts; ties"),
        "creator": _place(tx, programme_id, Code.CREATOR, "léa"),
        "frozen": _place(tx, programme_id, Code.WALLET, "bo"),
        "closed": _place(tx, programme_id, Code.WALLET, "cy"),
    }
    done(tx, *_payments(asks, bank, income, people), *_currencies(tx, asks))
    row = tx.row(sa.select(sa.func.count().label("size")).where(transfers.c.programme_id == programme_id))
    assert row is not None
    return programme_id, row["size"]


def _payments(
    asks: Asker, bank: AccountId, income: AccountId, people: Mapping[str, AccountId]
) -> list[Command]:
    wallet, seller, creator, frozen, closed = people.values()
    later = MONDAY_MORNING + timedelta(days=7)
    return [
        asks.post("funded", Leg(bank, wallet, 50_000)),
        asks.hold("cart", wallet, amount_minor=38_000, expires_at=later),
        asks.increase("one thing more", "cart", amount_minor=348),
        asks.capture(
            "shirts", "cart", Leg(wallet, seller, 6_089), Leg(wallet, creator, 349), Leg(wallet, income, 560)
        ),
        asks.capture("sound", "cart", Leg(wallet, seller, 12_900)),
        asks.release("part given back", "cart", amount_minor=450),
        asks.capture("rest", "cart", Leg(wallet, seller, 1_000), final=True),
        asks.hold("forgotten", wallet, amount_minor=5, expires_at=MONDAY_MORNING),
        asks.expire("over", "forgotten"),
        asks.hold("unwanted", wallet, amount_minor=6),
        asks.release("all given back", "unwanted"),
        asks.hold("open", wallet, amount_minor=11, expires_at=later),
        asks.post("mistaken", Leg(wallet, creator, 7)),
        asks.reverse("undone", "mistaken"),
        asks.post("twofold", Leg(wallet, creator, 9), Leg(wallet, seller, 8)),
        asks.reverse("undone in part", "twofold", Part(2, 3), Part(1, 4), Part(2, 5)),
        asks.freeze("looked at", frozen),
        asks.post("comes in", Leg(wallet, frozen, 20)),
        asks.unfreeze("let go", frozen),
        asks.freeze("looked at again", frozen),
        asks.close("gone", closed),
        asks.post("what there is", Leg(creator, wallet, 1_000_000, up_to=True), Leg(wallet, income, 2)),
        replace(asks.post("noted", Leg(wallet, income, 1)), reference=AWKWARD, metadata={AWKWARD: "“yes”"}),
        replace(
            asks.post("dated back", Leg(bank, wallet, 1)),
            effective_at=MONDAY_MORNING - timedelta(days=40, microseconds=1),
        ),
    ]


def _currencies(tx: Tx, asks: Asker) -> list[Command]:
    programme_id = asks.programme_id
    yen, dinar, coins, points = (
        _pair(tx, programme_id, currency) for currency in ("JPY", "KWD", "COINS", "PTS2")
    )
    euro = _pair(tx, programme_id, "EUR")
    doors = {}
    for currency in ("EUR", "JPY"):
        door = AccountId(tx.new_id("acct"))
        opening = asks.open(
            f"conversion {currency}",
            door,
            code=Code.CONVERSION,
            subdivision=("spot", "a:b; c"),
            currency=currency,
            floor_minor=None,
            tags=("fx", "fx", "a|b"),
        )
        done(tx, opening)
        doors[currency] = door
    rate = Rate("EUR", "JPY", 163, 100)
    return [
        asks.post("yen", Leg(yen[0], yen[1], 1_200)),
        asks.post("dinar", Leg(dinar[0], dinar[1], 1_005)),
        asks.post("coins", Leg(coins[0], coins[1], 250)),
        asks.post("points", Leg(points[0], points[1], 3), Leg(points[0], points[1], 4)),
        asks.post("two at once", Leg(yen[0], yen[1], 5), Leg(coins[0], coins[1], 1)),
        asks.post("converted", Leg(euro[1], doors["EUR"], 50), Leg(doors["JPY"], yen[1], 82), rate=rate),
    ]


def _shared(tx: Tx, programme_id: ProgrammeId) -> tuple[AccountId, AccountId]:
    """The bank account and the income of a programme; all its other shared accounts stay at nothing."""
    done(tx, *(opening(tx, programme_id, code, None, "EUR") for code in SHARED_CODES))
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
    done(tx, opening(tx, programme_id, code, party_id, "EUR"))
    return party_accounts(tx, [party_id])[party_id]


def _pair(tx: Tx, programme_id: ProgrammeId, currency: str) -> tuple[AccountId, AccountId]:
    ours = open_account(tx, programme_id, currency=currency, side=Side.DEBIT, floor_minor=None)
    return ours, open_account(tx, programme_id, currency=currency, floor_minor=-100, cap_minor=2_000)


def seal(
    open_tx: OpenTx, programme_id: ProgrammeId, *, size: int, keys: Keys | None = None, origin: str = ORIGIN
) -> TreeHead:
    """Seals until the log has this size: any transaction of the server may keep the horizon back a while.

    Every head gets its checkpoint, signed if there are keys.
    """
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with open_tx() as tx:
            head = append_leaves(tx, programme_id)
            keep_checkpoint(
                tx, programme_id, head, keys.note(head, origin) if keys else unsigned(head, origin)
            )
        if head.size == size:
            return head
        assert head.size < size, "more was sealed than was posted"
    raise AssertionError(f"the log has {head.size} leaves, not {size}")


def unsigned(head: TreeHead, origin: str = ORIGIN) -> str:
    """A checkpoint note that nobody has signed."""
    return f"{Checkpoint(origin, head.size, head.root).text()}\n— {origin} AAAA\n"


def order_in_log(tx: Tx, programme_id: ProgrammeId, size: int) -> list[TransferId]:
    return [TransferId(item.transfer.id) for item in sealed_facts(tx, programme_id, end=size)]


def package(open_tx: OpenTx, programme_id: ProgrammeId, head: TreeHead, keys: Keys) -> dict[str, bytes]:
    """The files of an export of this head, its checkpoint kept."""
    note = keys.note(head)
    with open_tx() as tx:
        programme = read_programmes(tx, [programme_id])[programme_id]
        return build_package(
            tx,
            programme,
            head,
            note,
            created_at=MONDAY_MORNING,
            checkpoint_key_pem=keys.public()["checkpoint"],
        )


def write(directory: Path, files: Mapping[str, bytes], keys: Keys) -> Path:
    """Signs and writes an export."""
    write_package(directory, files, keys.export.sign(signed_bytes(files["manifest.json"])))
    return directory


def rewrite(database: Database, *changes: str) -> None:
    """Does what only a superuser can do: changes one row a statement, with every guard switched off."""
    with psycopg.connect(database.url("postgres")) as connection:
        connection.execute("SET session_replication_role = replica")
        for change in changes:
            assert connection.execute(change).rowcount == 1, change
