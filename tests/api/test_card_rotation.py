"""A rotation from end to end, in real processes: cards come in and go out through all of it, and none is lost."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from enclave.client import EnclaveRefused
from enclave.keys import Purpose
from ledger.core.ids import CardId
from tests.api.card_till import Till, opened
from tests.api.talk import Session, refused
from tests.api.traces import Program, running
from tests.conftest import Database
from tests.enclave.cards import some_number
from tests.enclave.process import SoftHsmToken, eventually

BEFORE = 230
KILLED_AFTER = 120
STALL_S = "1"


@dataclass(slots=True)
class Shopping:
    """Cards that come in, each with its number, until it is over."""

    till: Till
    api: Session
    numbers: dict[CardId, str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def buy(self) -> None:
        number = some_number(Random(len(self.numbers)))
        made = self.api.make("/v1/cards", self.till.jwe(pan=number))
        self.numbers[CardId(made["id"])] = number

    def go_on(self) -> None:
        while not self.over.wait(0.01):
            self.buy()


@contextmanager
def shopping(till: Till) -> Iterator[Shopping]:
    """Somebody buys with one card after the other meanwhile."""
    made = Shopping(till, till.api)
    buyer = threading.Thread(target=made.go_on)
    buyer.start()
    try:
        yield made
    finally:
        made.over.set()
        buyer.join()


@pytest.fixture
def till(tmp_path: Path, database: Database, token: SoftHsmToken) -> Iterator[Till]:
    with opened(tmp_path / "till", database, token) as made:
        yield made


def worker(till: Till, name: str) -> AbstractContextManager[Program]:
    environment = till.environment | {"TALLYSTICK_WORKER_STALL_S": STALL_S}
    return running(
        ["-P", "-m", "api.cli", "work"], environment, output=till.home / name, ready=b"worker ready"
    )


def numbers_at_the_processor(till: Till) -> dict[CardId, str]:
    """What the processor reads, card by card."""
    return {card_id: till.number_of(card) for card_id, card in till.cards().items()}


def test_a_rotation_while_cards_come_in_loses_none(till: Till) -> None:
    early = till.jwe(pan=some_number(Random("early")))
    with shopping(till) as shop:
        assert eventually(lambda: len(shop.numbers) >= BEFORE)
        with worker(till, "first.out") as first:
            till.rotate()
            assert eventually(lambda: till.resealed() >= KILLED_AFTER)
            first.process.kill()
        assert set(till.under()) == {"card_vault/v1", "card_vault/v2"}
        some = dict(list(till.cards().items())[:: BEFORE // 20])
        assert {card_id: till.number_of(card) for card_id, card in some.items()} == {
            card_id: shop.numbers[card_id] for card_id in some
        }, "either key opens what it sealed"
        with worker(till, "second.out"):
            assert eventually(lambda: set(till.under()) == {"card_vault/v2"})
        till.rotate(Purpose.CARD_INTAKE)
        came = len(shop.numbers)
        assert eventually(lambda: len(shop.numbers) > came)
    assert till.intake.key_id == "card_intake/v2"
    late = till.api.make("/v1/cards", early)
    assert late["last_four"] == some_number(Random("early"))[-4:], "the old intake key is taken for a while"

    under_the_old = replace(till.cards()[CardId(late["id"])], key_id="card_vault/v1")
    with pytest.raises(EnclaveRefused, match="card_context_mismatch"):
        till.number_of(under_the_old)
    till.retire("card_vault/v1", verify_until=datetime.now(UTC))
    till.retire("card_intake/v1", verify_until=datetime.now(UTC))

    refused(till.api.post("/v1/cards", early), 422, "card_key_unknown", "jwe")
    with pytest.raises(EnclaveRefused, match="card_key_unknown"):
        till.number_of(under_the_old)
    assert set(till.under()) == {"card_vault/v2"}
    found = numbers_at_the_processor(till)
    assert found.pop(CardId(late["id"])) == some_number(Random("early"))
    assert found == shop.numbers
    assert till.enclave.process.poll() is None
