"""A programme whose bank is reached by files: money in, a payout ordered, and all that a bank leaves about it.

The bank is the test: it reads what lies in `out/` with the official schema and the enclave's public key, and leaves its
files in `in/` as a bank does.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from lxml import etree

from api.app import build_app
from api.jobs import Jobs
from api.parts import build_parts
from ledger.store.deposits import activate_virtual_iban
from partners.messages.details import Account, GivenReason, Party
from partners.messages.entries import Entry
from tests.api.door import Door
from tests.api.installation import BANK, PUBLIC_URL, Installation
from tests.api.promises import keep_promises
from tests.api.talk import Json
from tests.api.world import Shop, open_shop
from tests.partners.host.drops import lies_in, make_drop
from tests.partners.iso20022.bank_files import (
    detail,
    entry,
    notification,
    row,
    statement,
    statements,
    status_report,
)
from tests.partners.messages.judge import judged


@dataclass(slots=True)
class FileBank:
    """The bank's side of the drop; `booked` is what it will print in its statement."""

    root: Path
    shop: Shop
    booked: list[Entry]

    def orders(self) -> list[etree._Element]:
        """The payments that lie there, each signed by the enclave and valid by the schema."""
        files = lies_in(self.root, "out")
        key = load_pem_public_key(self.shop.at.token.pem("payout").encode())
        assert isinstance(key, rsa.RSAPublicKey)
        for name in files.keys() - {f"{other}.sig" for other in files}:
            signature = base64.b64decode(files[f"{name}.sig"], validate=True)
            key.verify(signature, files[name], padding.PKCS1v15(), hashes.SHA256())
        return [judged(body, "pain.001.001.09") for name, body in files.items() if name.endswith(".xml")]

    def leave(self, body: bytes) -> None:
        """A file is left, taken in by the worker's own job, and all that follows is done."""
        name = f"news-{len(list((self.root / 'archive').iterdir()))}.xml"
        (self.root / "in" / name).write_bytes(body)
        jobs = Jobs(self.shop.at.parts)
        jobs.collect()
        jobs.collect()  # a file is whole when it is as long at the second look
        keep_promises(self.shop.at.parts)

    def book(self, *entries: Entry) -> None:
        """Books entries, and says so."""
        self.booked += entries
        self.leave(notification(*entries, iban=self.shop.safeguarding.iban))

    def fund(self, amount_minor: int) -> None:
        """Money from Ana's own bank into her wallet; banks of this kind give out IBANs by letter."""
        wish = self.shop.api.make("/v1/virtual-ibans", {"party_id": self.shop.ana["id"]})
        iban = f"NL00BANK{secrets.randbelow(10**10):010}"
        with self.shop.at.parts.transactions() as tx:
            activate_virtual_iban(tx, wish["id"], iban=iban, bank_id="by letter")
        arrived = detail("IN-1", creditor=Party("Ana Moreau", Account(iban)))
        self.book(entry(amount_minor, arrived, bank_reference="IN-1"))


@pytest.fixture
def bank(installation: Installation, tmp_path: Path) -> Iterator[FileBank]:
    """A programme at the bank; the hotel has EUR 16.60."""
    root = make_drop(tmp_path / "drop")
    banks = json.loads(installation.settings.banks_file.read_text())
    by_files = {"adapter": "iso20022", "base_url": root.as_uri(), "notice_key_file": None}
    (tmp_path / "banks.json").write_text(json.dumps({BANK: banks[BANK], "files": by_files}))
    parts = build_parts(
        replace(installation.settings, banks_file=tmp_path / "banks.json"), wall_clock=installation.clock
    )
    app = build_app(parts)
    with Door(app, PUBLIC_URL) as http:
        at = replace(installation, parts=parts, app=app, http=http)
        made = FileBank(root, open_shop(at, bank_connection="files"), [])
        made.fund(50_000)
        made.shop.captured(2_000)
        yield made


def ordered(bank: FileBank) -> Json:
    """A payout whose file lies there."""
    payout = bank.shop.api.make("/v1/payouts", bank.shop.payout(1_000, rail="SCT"))
    keep_promises(bank.shop.at.parts)
    return payout


def state(bank: FileBank, payout: Json) -> str:
    return str(bank.shop.api.read(f"/v1/payouts/{payout['id']}")["state"])


def message_id(payout: Json) -> str:
    return str(payout["id"]).removeprefix("pay_")


def paid(payout: Json) -> Entry:
    reference = f"OUT-{payout['id'][-8:]}"
    return entry(
        -1_000, detail(payout["end_to_end_id"]), bank_reference=reference, bank_code="PMNT/ICDT/ESCT"
    )


def test_payout_goes_out_as_a_signed_file_and_settles_by_the_banks_files(bank: FileBank) -> None:
    payout = ordered(bank)
    (order,) = bank.orders()
    states = [state(bank, payout)]

    bank.leave(status_report(message_id(payout), group="ACTC", rows=row("ACSP", payout["end_to_end_id"])))
    states.append(state(bank, payout))
    bank.book(paid(payout))
    states.append(state(bank, payout))

    assert states == ["accepted", "in_transit", "settled"]
    assert [order.findtext(f".//{{*}}{name}") for name in ("MsgId", "InstdAmt", "EndToEndId")] == [
        message_id(payout), "10.00", payout["end_to_end_id"],
    ]  # fmt: skip
    assert len(bank.orders()) == 1
    assert bank.shop.balance(bank.shop.hotel) == 660


def test_statement_matches_every_movement(bank: FileBank) -> None:
    payout = ordered(bank)
    bank.book(paid(payout))

    bank.leave(statements(statement(bank.booked, opening=0, iban=bank.shop.safeguarding.iban)))

    bank.shop.api.make("/v1/reconciliations")
    report = bank.shop.api.read("/v1/reports/reconciliation")
    assert (report["matched"], report["open_breaks"]) == (2, [])


def test_statement_shows_a_movement_that_the_book_does_not_have(bank: FileBank) -> None:
    fee = entry(-1_50, bank_reference="FEE-1", bank_code="")

    bank.leave(statements(statement([*bank.booked, fee], opening=0, iban=bank.shop.safeguarding.iban)))

    (open_break,) = bank.shop.api.read("/v1/reports/reconciliation")["open_breaks"]
    assert open_break["amount_minor"] == -1_50


def test_rejected_file_gives_the_money_back(bank: FileBank) -> None:
    payout = ordered(bank)

    bank.leave(status_report(message_id(payout), group="RJCT"))

    assert state(bank, payout) == "rejected"
    assert bank.shop.balance(bank.shop.hotel) == 1_660


def test_payment_that_comes_back_in_part_is_given_back_as_far(bank: FileBank) -> None:
    payout = ordered(bank)
    bank.book(paid(payout))

    returned = detail(payout["end_to_end_id"], returned=GivenReason("AC04", None, ()))
    bank.book(entry(400, returned, bank_reference="RET-1"))

    assert state(bank, payout) == "partly_returned"
    assert bank.shop.balance(bank.shop.hotel) == 1_060


def test_same_news_in_another_file_moves_nothing_twice(bank: FileBank) -> None:
    payout = ordered(bank)
    bank.book(paid(payout))
    before = bank.shop.at.rows()["transfers"]

    bank.leave(notification(*bank.booked, iban=bank.shop.safeguarding.iban))

    assert bank.shop.at.rows()["transfers"] == before


def test_news_of_a_file_that_nobody_sent_moves_nothing(bank: FileBank) -> None:
    payout = ordered(bank)

    bank.leave(status_report("ab" * 16, group="RJCT"))

    assert state(bank, payout) == "accepted"


def test_drop_that_is_gone_sends_nothing_and_the_payout_waits(bank: FileBank) -> None:
    (bank.root / "out").rename(bank.root / "elsewhere")

    payout = ordered(bank)

    found = bank.shop.api.read(f"/v1/payouts/{payout['id']}")
    assert (found["state"], [attempt["outcome"] for attempt in found["attempts"]]) == ("queued", ["not_sent"])


def test_money_on_an_iban_that_nobody_knows_waits_on_the_account_and_keeps_no_other_row_back(
    bank: FileBank,
) -> None:
    open_shop(bank.shop.at, bank_connection="files")  # so that the bank alone does not say whose it is
    payout = ordered(bank)

    bank.book(entry(700, detail("IN-9"), bank_reference="IN-9"), paid(payout))

    assert state(bank, payout) == "settled"
    assert waiting_deposits(bank) == [700]


def waiting_deposits(bank: FileBank) -> list[int]:
    """What has arrived for the programme and belongs to nobody yet."""
    query = sa.text(
        "SELECT deposits.amount_minor FROM deposits JOIN programmes ON programmes.id = deposits.programme_id"
        " WHERE programmes.name = :name AND deposits.state = 'suspended'"
    )
    with bank.shop.at.owner.connect() as connection:
        return list(connection.execute(query, {"name": bank.shop.name}).scalars())
