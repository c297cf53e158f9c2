"""After a rotation every card is sealed anew: page by page, whatever stops it, and no card is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from api.card_vault import seal_card
from api.jobs import Jobs, NotYet
from api.resealing import CARDS_A_PAGE, Resealing
from enclave.client import EnclaveError
from ledger.core.card import Card
from ledger.core.ids import CardId
from ledger.store.cards import insert_cards
from ledger.store.jobs import promise
from tests.api.card_till import Till, opened
from tests.api.promises import keep_promises
from tests.conftest import Database
from tests.enclave.cards import some_number

CARDS = 250
KILLED_AFTER = 2 * CARDS_A_PAGE + 30


@pytest.fixture
def till(tmp_path: Path, database: Database) -> Iterator[Till]:
    with opened(tmp_path, database) as made:
        yield made


def fill(till: Till, count: int) -> dict[CardId, str]:
    """Cards in the database, and the number of each."""
    numbers: dict[CardId, str] = {}
    stored = []
    for place in range(count):
        card_id = CardId(f"crd_{place:032x}")
        numbers[card_id] = some_number(Random(place))
        jwe = till.jwe(pan=numbers[card_id])["jwe"]
        card = seal_card(till.parts.enclave, programme_id=till.programme_id, card_id=card_id, jwe=jwe)
        assert isinstance(card, Card)
        stored.append(card)
    with till.parts.transactions() as tx:
        insert_cards(tx, stored)
    return numbers


def keys_in_use(till: Till) -> dict[str, int]:
    with till.database.owner_engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT key_id, count(*) FROM cards GROUP BY key_id")
        return {str(key_id): int(count) for key_id, count in rows}


def test_after_a_rotation_every_card_is_sealed_under_the_new_key(till: Till) -> None:
    numbers = fill(till, 30)
    facts = {card_id: replace(card, key_id="", sealed=b"") for card_id, card in till.cards().items()}
    till.enclave.version = 2

    with till.parts.transactions() as tx:
        promise(tx, "reseal_cards")
    assert keep_promises(till.parts) == ["reseal_cards"]

    found = till.cards()
    assert keys_in_use(till) == {"card_vault/v2": 30}
    assert {card_id: till.number_of(card) for card_id, card in found.items()} == numbers
    assert {card_id: replace(card, key_id="", sealed=b"") for card_id, card in found.items()} == facts


def test_it_stops_at_once_when_no_card_is_under_another_key(till: Till) -> None:
    fill(till, 7)
    before = till.cards()

    for _ in range(2):
        Resealing(till.parts.enclave, till.parts.transactions, page=3).run()

    assert till.cards() == before
    assert till.enclave.resealed == 6  # a page each, from which the current key is learnt


def test_with_no_cards_there_is_nothing_to_do(till: Till) -> None:
    Jobs(till.parts).reseal_cards()

    assert till.enclave.resealed == 0


def test_a_second_rotation_goes_on_from_wherever_the_first_had_come(till: Till) -> None:
    numbers = fill(till, 9)
    till.enclave.version = 2
    till.enclave.rotate_after = 5

    Resealing(till.parts.enclave, till.parts.transactions, page=2).run()

    assert keys_in_use(till) == {"card_vault/v3": 9}
    assert {card_id: till.number_of(card) for card_id, card in till.cards().items()} == numbers


def test_a_card_that_was_tampered_with_keeps_no_other_back(till: Till) -> None:
    numbers = fill(till, 5)
    tampered = CardId(f"crd_{2:032x}")
    with till.database.owner_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE cards DISABLE TRIGGER cards_are_only_resealed")
        connection.exec_driver_sql("UPDATE cards SET last_four = '0000' WHERE id = %s", (tampered[4:],))
    till.enclave.version = 2

    with pytest.raises(NotYet):
        Jobs(till.parts).reseal_cards()

    assert keys_in_use(till) == {"card_vault/v1": 1, "card_vault/v2": 4}
    with pytest.raises(EnclaveError):
        till.number_of(till.cards()[tampered])
    assert len(numbers) == 5


def test_killed_in_the_middle_it_is_resumed_and_no_card_is_lost(till: Till) -> None:
    numbers = fill(till, CARDS)
    till.enclave.version = 2
    till.enclave.pause_after = KILLED_AFTER
    code = "from api.jobs import Jobs; from api.parts import build_parts; from api.settings import read_settings\n"
    code += "Jobs(build_parts(read_settings())).reseal_cards()"

    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **till.environment}) as job:
        try:
            assert till.enclave.paused.wait(60)
        finally:
            job.send_signal(signal.SIGKILL)
    till.enclave.go_on.set()

    # Whole pages were committed, and the one in the middle of which it was killed was not begun.
    assert keys_in_use(till) == {"card_vault/v1": CARDS - 2 * CARDS_A_PAGE, "card_vault/v2": 2 * CARDS_A_PAGE}
    before = till.enclave.resealed
    Jobs(till.parts).reseal_cards()
    assert keys_in_use(till) == {"card_vault/v2": CARDS}
    assert till.enclave.resealed - before <= CARDS_A_PAGE + CARDS - 2 * CARDS_A_PAGE
    assert {card_id: till.number_of(card) for card_id, card in till.cards().items()} == numbers
