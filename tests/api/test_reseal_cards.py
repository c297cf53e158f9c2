"""After a rotation every card is sealed anew: page by page, whatever stops it, and no card is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

import pytest

from api.card_vault import seal_card
from api.jobs import Jobs, NotYet
from api.operations import loaded_key_lines
from api.resealing import CARDS_A_PAGE, SETTLED, Resealing
from enclave.client import EnclaveError
from enclave.keys import Purpose
from ledger.core.card import Card
from ledger.core.ids import CardId
from ledger.store.cards import insert_cards
from ledger.store.tx import Tx
from tests.api.card_till import Till, opened
from tests.api.promises import keep_promises, promises
from tests.conftest import Database
from tests.enclave.cards import some_number
from tests.enclave.process import SoftHsmToken, eventually

CARDS = 350
KILLED_AFTER = 2 * CARDS_A_PAGE + 30


@pytest.fixture
def till(tmp_path: Path, database: Database, token: SoftHsmToken) -> Iterator[Till]:
    with opened(tmp_path / "till", database, token) as made:
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


def test_after_a_rotation_every_card_is_sealed_under_the_new_key(till: Till) -> None:
    numbers = fill(till, 30)
    facts = {card_id: replace(card, key_id="", sealed=b"") for card_id, card in till.cards().items()}
    told = till.rotate()

    assert told[-1].startswith("cards will be sealed anew from ")
    assert keep_promises(till.parts) == ["reseal_cards"]

    found = till.cards()
    assert till.under() == {"card_vault/v2": 30}
    assert {card_id: till.number_of(card) for card_id, card in found.items()} == numbers
    assert {card_id: replace(card, key_id="", sealed=b"") for card_id, card in found.items()} == facts


def test_keys_that_change_nothing_for_cards_promise_nothing(till: Till) -> None:
    till.rotate()
    fill(till, 1)

    assert not any("cards" in line for line in loaded_key_lines(till.parts))
    assert not any("cards" in line for line in till.rotate(Purpose.CARD_INTAKE))
    assert promises(till.parts) == []


def test_a_key_that_seals_from_later_on_is_waited_for(till: Till) -> None:
    fill(till, 1)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    till.council.rotate(Purpose.CARD_VAULT, not_before=at)

    told = loaded_key_lines(till.parts)

    assert [line for line in told if "cards" in line] == [
        f"cards will be sealed anew from {(at + SETTLED).isoformat()}"
    ]
    assert promises(till.parts) == []
    with till.database.owner_engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT task_name, scheduled_at FROM procrastinate_jobs").all()
    ((name, scheduled_at),) = rows
    assert name == "reseal_cards"
    assert abs(scheduled_at - at) < timedelta(seconds=15)


def test_what_nobody_loaded_by_hand_is_found_by_the_rhythm_of_the_worker(till: Till) -> None:
    fill(till, 3)
    till.council.rotate(Purpose.CARD_VAULT)
    till.parts.enclave.load_keys()

    Jobs(till.parts).promise_resealing()

    assert keep_promises(till.parts) == ["reseal_cards"]
    assert till.under() == {"card_vault/v2": 3}


def test_it_stops_at_once_when_no_card_is_under_another_key(till: Till) -> None:
    fill(till, 7)
    before = till.cards()

    for _ in range(2):
        Resealing(till.parts.enclave, till.parts.transactions, page=3).run()

    assert till.cards() == before
    assert till.resealed() == 2  # a card each, from which the current key is learnt


def test_with_no_cards_there_is_nothing_to_do(till: Till) -> None:
    Jobs(till.parts).reseal_cards()

    assert till.resealed() == 0


def test_a_second_rotation_goes_on_from_wherever_the_first_had_come(till: Till) -> None:
    numbers = fill(till, 9)
    till.rotate()
    opened_so_far = count()

    def transactions() -> AbstractContextManager[Tx]:
        if next(opened_so_far) == 5:
            till.rotate()
        return till.parts.transactions()

    Resealing(till.parts.enclave, transactions, page=2).run()

    assert till.under() == {"card_vault/v3": 9}
    assert {card_id: till.number_of(card) for card_id, card in till.cards().items()} == numbers


def test_a_card_that_was_tampered_with_keeps_no_other_back(till: Till) -> None:
    numbers = fill(till, 5)
    tampered = CardId(f"crd_{2:032x}")
    with till.database.owner_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE cards DISABLE TRIGGER cards_are_only_resealed_or_erased")
        connection.exec_driver_sql("UPDATE cards SET last_four = '0000' WHERE id = %s", (tampered[4:],))
    till.rotate()

    with pytest.raises(NotYet):
        Jobs(till.parts).reseal_cards()

    assert till.under() == {"card_vault/v1": 1, "card_vault/v2": 4}
    with pytest.raises(EnclaveError):
        till.number_of(till.cards()[tampered])
    assert len(numbers) == 5


def test_killed_in_the_middle_it_is_resumed_and_no_card_is_lost(till: Till) -> None:
    numbers = fill(till, CARDS)
    till.rotate()
    code = "from api.jobs import Jobs; from api.parts import build_parts; from api.settings import read_settings\n"
    code += "Jobs(build_parts(read_settings())).reseal_cards()"

    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **till.environment}) as job:
        try:
            assert eventually(lambda: till.resealed() >= KILLED_AFTER)
        finally:
            job.send_signal(signal.SIGKILL)

    # Whole pages were committed, and of the one in the middle of which it was killed nothing was.
    done = till.under().get("card_vault/v2", 0)
    assert 0 < done < CARDS
    assert (done - 1) % CARDS_A_PAGE == 0
    before = till.resealed()
    Jobs(till.parts).reseal_cards()
    assert till.under() == {"card_vault/v2": CARDS}
    assert till.resealed() - before <= 1 + CARDS - done
    assert {card_id: till.number_of(card) for card_id, card in till.cards().items()} == numbers
