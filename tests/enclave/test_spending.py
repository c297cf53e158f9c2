"""Limits by the hour and the day: what counts, for how long, and what the enclave remembers of it."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave import canonical
from enclave.canonical import JsonValue
from enclave.logbook import Logbook
from enclave.policy import CLOCK_SKEW_S_MAX, Limits
from enclave.signer import Letter, Peer
from enclave.spending import Purse, Spending, Window
from tests.enclave.payouts import (
    AMOUNT_MINOR,
    ATTEMPT_ID,
    CREDIT_TRANSFER,
    MemoryFacts,
    body_of,
    order_text,
    record_of,
)
from tests.enclave.rings import software_keyring
from tests.enclave.signers import signer_on

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEYRING = software_keyring()
BODY = body_of(CREDIT_TRANSFER)
OTHER_PROGRAMME = "prg_other"
THREE = Limits(per_hour_minor=3 * AMOUNT_MINOR)
PURSES = [Purse("prg_a", "EUR"), Purse("prg_a", "USD"), Purse("prg_b", "EUR")]

notes = st.lists(
    st.tuples(st.sampled_from(PURSES), st.integers(1, 10**9), st.integers(0, 20_000)), max_size=40
)


@given(notes=notes, joined=st.integers(0, 40), wait_s=st.integers(0, 100_000))
def test_a_window_holds_what_was_noted_since_it_began(
    notes: list[tuple[Purse, int, int]], joined: int, wait_s: int
) -> None:
    """Some is noted on what the rest comes on top of."""
    before = Spending()
    here = Spending(before)
    at, noted = NOON, []
    for place, (purse, amount_minor, later_s) in enumerate(notes):
        at += timedelta(seconds=later_s)
        noted.append((purse, amount_minor, at))
        (before if place < joined else here).note(purse, amount_minor, at=at)
    now = at + timedelta(seconds=wait_s)

    for purse in PURSES:
        for window in Window:
            expected = sum(
                minor for whose, minor, when in noted if whose == purse and when > now - window.value
            )
            assert here.within(purse, window, now=now) == expected


def payout_id(number: int) -> str:
    return f"pay_{number:032x}"


@dataclass
class Desk:
    """A signer over a log on disk, with as many good payouts as are asked for, and a clock that is set by hand."""

    path: Path
    limits: Limits
    now: datetime = NOON
    facts: MemoryFacts = field(default_factory=lambda: MemoryFacts({}))

    def ask(self, *numbers: int, programme_id: str = "prg_universal", again: bool = False) -> list[str]:
        """The answers to one round: signed, or the refusal's code. Starts anew from the log each time."""
        for number in numbers:
            order = order_text(payout_id=payout_id(number), programme_id=programme_id)
            record = record_of(order, payout_id=payout_id(number), programme_id=programme_id)
            self.facts.records[payout_id(number)] = record
        body = BODY + b"\n" if again else BODY
        letters = [Letter(peer=Peer(pid=1, uid=0), data=_message(number, body)) for number in numbers]
        with Logbook.open(self.path, now=self.now) as logbook:
            signer = signer_on(
                logbook,
                keyring=KEYRING,
                facts=self.facts,
                clock=lambda: self.now,
                limits=self.limits,
            )
            return [_told(answer) for answer in signer.answer(letters)]


def _message(number: int, body: bytes) -> bytes:
    message: dict[str, JsonValue] = {
        "attempt_id": ATTEMPT_ID,
        "body": base64.b64encode(body).decode(),
        "payout_id": payout_id(number),
        "profile": "clearbank.sct",
        "purpose": "payout",
        "scheme": "body_rsa_sha256",
        "target": None,
    }
    return canonical.encode(message)


def _told(answer: bytes) -> str:
    members = canonical.parse_object(answer)
    return "signed" if members["ok"] else str(members["refusal"])


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[Limits], Desk]:
    return lambda limits: Desk(tmp_path / "signing.log", limits)


def test_payouts_of_one_round_count_together(desk: Callable[[Limits], Desk]) -> None:
    answers = desk(THREE).ask(1, 2, 3, 4)

    assert answers == ["signed"] * 3 + ["over_hour_limit"]


def test_what_was_signed_counts_after_a_restart(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(THREE)

    assert ours.ask(1, 2) == ["signed"] * 2
    assert ours.ask(3) == ["signed"]
    assert ours.ask(4) == ["over_hour_limit"]


def test_an_hour_later_there_is_room_again_and_not_a_moment_before(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(THREE)
    ours.ask(1, 2, 3)

    ours.now = NOON + timedelta(hours=1) - timedelta(microseconds=1)
    assert ours.ask(4) == ["over_hour_limit"]
    ours.now = NOON + timedelta(hours=1)
    assert ours.ask(4) == ["signed"]


def test_a_day_is_counted_by_itself(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(Limits(per_hour_minor=AMOUNT_MINOR, per_day_minor=2 * AMOUNT_MINOR))

    assert ours.ask(1) == ["signed"]
    ours.now += timedelta(hours=2)
    assert ours.ask(2) == ["signed"]
    ours.now += timedelta(hours=2)
    assert ours.ask(3) == ["over_day_limit"]
    ours.now = NOON + timedelta(days=1)
    assert ours.ask(3) == ["signed"]


def test_a_new_programme_over_the_same_account_has_no_limit_of_its_own(
    desk: Callable[[Limits], Desk],
) -> None:
    ours = desk(THREE)

    assert ours.ask(1, 2, 3, 4)[-1] == "over_hour_limit"
    assert ours.ask(5, programme_id=OTHER_PROGRAMME) == ["over_hour_limit"]


def test_a_payout_that_is_signed_again_counts_once(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(THREE)

    assert ours.ask(1, 1, 1, 1) == ["signed"] * 4
    assert ours.ask(1, 2, 3) == ["signed"] * 3
    assert ours.ask(1, 4) == ["signed", "over_hour_limit"]


def test_what_was_refused_counts_for_nothing(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(THREE)
    ours.ask(1)

    assert ours.ask(1, again=True) == ["signed_other_body"]
    assert ours.ask(2, 3) == ["signed"] * 2


def test_a_clock_behind_the_log_signs_nothing(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(Limits())
    ours.ask(1)

    ours.now = NOON - timedelta(seconds=CLOCK_SKEW_S_MAX)
    assert ours.ask(2) == ["signed"]
    ours.now = NOON - timedelta(seconds=CLOCK_SKEW_S_MAX, microseconds=1)
    assert ours.ask(3) == ["clock_went_back"]


def test_a_clock_put_back_does_not_empty_a_window(desk: Callable[[Limits], Desk]) -> None:
    ours = desk(THREE)
    ours.ask(1, 2)
    ours.now = NOON - timedelta(seconds=CLOCK_SKEW_S_MAX)

    assert ours.ask(3, 4) == ["signed", "over_hour_limit"]
