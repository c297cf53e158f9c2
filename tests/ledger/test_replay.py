"""The replay: what it says to facts that add up, and to each way in which they might not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from ledger.core.errors import EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, TransferFact
from ledger.evidence.replay import Counters, Replay
from tests.conftest import MONDAY_MORNING

Movement = tuple[int, str, str, int]  # leg, movement, account, amount


def _account(name: str, *, side: str = "credit", currency: str = "EUR", floor: int | None = 0) -> AccountFact:
    return AccountFact(
        id=name,
        code="customer_wallet",
        account_class="liability" if side == "credit" else "asset",
        side=side,
        party_reference=name,
        currency=currency,
        pool=None,
        min_available_minor=floor,
    )


ACCOUNTS = {
    account.id: account
    for account in (
        _account("bank", side="debit", floor=None),
        _account("ana"),
        _account("shop"),
        _account("yen", currency="JPY", floor=None),
    )
}


@dataclass
class Story:
    """Writes facts whose counters are right, so that only what a test changes is wrong."""

    counters: dict[str, Counters] = field(default_factory=dict)
    told: list[tuple[TransferFact, list[EntryFact]]] = field(default_factory=list)

    def tell(
        self,
        name: str,
        *movements: Movement,
        kind: str = "post",
        hold_id: str | None = None,
        reverses_id: str | None = None,
        clearance_id: str | None = "clr",
        notice_id: str | None = None,
        at: datetime = MONDAY_MORNING,
    ) -> "Story":
        transfer = TransferFact(
            id=name,
            programme_id="prg",
            kind=kind,
            content_digest="00",
            reference=name,
            hold_id=hold_id,
            reverses_id=reverses_id,
            clearance_id=clearance_id,
            notice_id=notice_id,
            effective_at=at,
            recorded_at=at,
            metadata={},
        )
        self.told.append((transfer, [self._entry(transfer, movement) for movement in movements]))
        return self

    def _entry(self, transfer: TransferFact, movement: Movement) -> EntryFact:
        leg, word, account_id, amount_minor = movement
        now = self.counters.setdefault(account_id, Counters())
        now.version += 1
        now.debits_minor += amount_minor if word == "debit" else 0
        now.credits_minor += amount_minor if word == "credit" else 0
        now.held_minor += {"hold": amount_minor, "release": -amount_minor}.get(word, 0)
        return EntryFact(
            account_id=account_id,
            version=now.version,
            transfer_id=transfer.id,
            leg=leg,
            movement=word,
            amount_minor=amount_minor,
            debits_after_minor=now.debits_minor,
            credits_after_minor=now.credits_minor,
            held_after_minor=now.held_minor,
            effective_at=transfer.effective_at,
            recorded_at=transfer.recorded_at,
        )


def _legs(debit: str, credit: str, amount_minor: int) -> tuple[Movement, Movement]:
    return (1, "debit", debit, amount_minor), (1, "credit", credit, amount_minor)


def _funded() -> Story:
    return Story().tell("funded", *_legs("bank", "ana", 100))


def _held() -> Story:
    return _funded().tell("held", (0, "hold", "ana", 60), kind="hold")


def _replay(told: Sequence[tuple[TransferFact, Sequence[EntryFact]]]) -> Replay:
    replay = Replay(ACCOUNTS)
    for transfer, entries in told:
        replay.apply(transfer, entries)
    return replay


def test_facts_that_add_up_give_the_counters_that_they_name() -> None:
    story = _held()
    story.tell(
        "shipped", (0, "release", "ana", 40), *_legs("ana", "shop", 40), kind="capture", hold_id="held"
    )
    story.tell("let go", (0, "release", "ana", 20), kind="release", hold_id="held", clearance_id=None)
    story.tell("returned", *_legs("shop", "ana", 40), kind="reverse", reverses_id="shipped")

    replay = _replay(story.told)

    ana = replay.counters["ana"]
    assert (ana.debits_minor, ana.credits_minor, ana.held_minor, ana.version) == (40, 140, 0, 6)


WRONG = [
    ("below its limit", _funded().tell("x", *_legs("ana", "shop", 101))),
    ("below its limit", _held().tell("x", *_legs("ana", "shop", 41))),
    ("stands in the log twice", _funded().tell("funded", *_legs("bank", "ana", 1))),
    ("two currencies", _funded().tell("x", *_legs("ana", "yen", 1))),
    ("do not balance", _funded().tell("x", (1, "debit", "ana", 5), (1, "credit", "shop", 4))),
    ("do not balance", _funded().tell("x", *_legs("ana", "ana", 5))),
    ("a leg is not", _funded().tell("x", (1, "debit", "ana", 5), (1, "debit", "bank", 5))),
    ("a leg is not", _funded().tell("x", (1, "debit", "ana", 5))),
    ("a leg is not", _funded().tell("x", (2, "debit", "ana", 5), (2, "credit", "shop", 5))),
    ("a leg is not", _funded().tell("x", *_legs("ana", "shop", 5), *_legs("ana", "shop", 5))),
    ("not what a post consists of", _funded().tell("x", (0, "hold", "ana", 5), *_legs("ana", "shop", 5))),
    ("not what a hold consists of", _funded().tell("x", *_legs("ana", "shop", 5), kind="hold")),
    ("not what a capture", _held().tell("x", (0, "release", "ana", 5), kind="capture", hold_id="held")),
    ("not what a release", _held().tell("x", (0, "release", "ana", 5), kind="release")),
    ("does not hold", _held().tell("x", (0, "release", "ana", 5), kind="release", hold_id="funded")),
    ("releases more", _held().tell("x", (0, "release", "ana", 61), kind="release", hold_id="held")),
    (
        "does not hold",
        _held()
        .tell("other", (0, "hold", "ana", 30), kind="hold")
        .tell("x", (0, "release", "ana", 61), kind="release", hold_id="held"),
    ),
    ("does not undo", _funded().tell("x", *_legs("ana", "bank", 99), kind="reverse", reverses_id="funded")),
    ("does not undo", _funded().tell("x", *_legs("ana", "bank", 9), kind="reverse", reverses_id="never")),
    (
        "or not as the first",
        _funded()
        .tell("more", *_legs("bank", "ana", 100))
        .tell("x", *_legs("ana", "bank", 100), kind="reverse", reverses_id="funded")
        .tell("y", *_legs("ana", "bank", 100), kind="reverse", reverses_id="funded"),
    ),
    ("not one authority", _funded().tell("x", *_legs("ana", "shop", 5), clearance_id=None)),
    ("not one authority", _funded().tell("x", *_legs("ana", "shop", 5), notice_id="ntc")),
    (
        "recorded before",
        _funded().tell("x", *_legs("ana", "shop", 5), at=MONDAY_MORNING - timedelta(seconds=1)),
    ),
    ("not above zero", _funded().tell("x", *_legs("ana", "shop", 0))),
    ("no movement", _funded().tell("x", (1, "gift", "ana", 5), (1, "credit", "shop", 5))),
    ("no such account", _funded().tell("x", *_legs("ana", "nobody", 5))),
]


@pytest.mark.parametrize(("complaint", "story"), WRONG)
def test_facts_that_contradict_themselves_are_found(complaint: str, story: Story) -> None:
    *before, last = story.told
    replay = _replay(before)

    with pytest.raises(EvidenceBroken, match=complaint):
        replay.apply(*last)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 3}, "the version before it was 1"),
        ({"debits_after_minor": 6}, "other counters"),
        ({"credits_after_minor": 99}, "other counters"),
        ({"held_after_minor": 1}, "other counters"),
        ({"effective_at": MONDAY_MORNING + timedelta(days=1)}, "effective at another time"),
        ({"recorded_at": MONDAY_MORNING + timedelta(days=1)}, "not recorded with"),
    ],
)
def test_an_entry_that_contradicts_the_book_is_found(change: dict[str, object], complaint: str) -> None:
    *before, (transfer, entries) = _funded().tell("x", *_legs("ana", "shop", 5)).told
    changed = [replace(entries[0], **change), *entries[1:]]  # type: ignore[arg-type]

    with pytest.raises(EvidenceBroken, match=complaint):
        _replay([*before, (transfer, changed)])
