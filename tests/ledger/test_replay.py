"""The replay: what it says to facts that add up, and to each way in which they might not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from ledger.core.canonical import Canonical
from ledger.core.chart import CHART, Code, path_of
from ledger.core.errors import EvidenceBroken
from ledger.core.facts import AccountFact, EntryFact, TransferFact
from ledger.evidence.replay import Replay
from tests.conftest import MONDAY_MORNING

Movement = tuple[int, str, str, int]  # leg, movement, account, amount
BEFORE = MONDAY_MORNING - timedelta(seconds=1)


def _account(
    name: str, code: Code, *, currency: str = "EUR", floor: int | None = None, cap: int | None = None
) -> AccountFact:
    place = CHART[code]
    return AccountFact(
        id=name,
        programme_id="prg",
        code=code.value,
        path=path_of(code, ("north",)),
        account_class=place.account_class.value,
        side=place.side.value,
        party_id=f"pty of {name}",
        party_reference=name,
        currency=currency,
        pool=place.pool,
        tags=("a", "b"),
        min_available_minor=floor,
        max_balance_minor=cap,
    )


ACCOUNTS = {
    account.id: account
    for account in (
        _account("bank", Code.SAFEGUARDING),
        _account("ana", Code.WALLET, floor=0),
        _account("shop", Code.SELLER, floor=0, cap=1_000),
        _account("yen", Code.WALLET, currency="JPY"),
        _account("euro door", Code.CONVERSION),
        _account("yen door", Code.CONVERSION, currency="JPY"),
    )
}


def _asked(account: AccountFact) -> dict[str, Canonical]:
    return {
        "code": account.code,
        "subdivision": ["north"],
        "party_id": account.party_id,
        "currency": account.currency,
        "min_available_minor": account.min_available_minor,
        "max_balance_minor": account.max_balance_minor,
        "tags": ["b", "a", "b"],
    }


@dataclass
class Counted:
    """An account's counters, as a book that does everything right would keep them."""

    version: int = 0
    debits: int = 0
    credits: int = 0
    held: int = 0


@dataclass
class Story:
    """Writes facts whose counters are right, so that only what a test changes is wrong."""

    counted: dict[str, Counted] = field(default_factory=dict)
    told: list[tuple[TransferFact, list[EntryFact]]] = field(default_factory=list)

    def open(self, name: str) -> "Story":
        asked = _asked(ACCOUNTS[name])
        return self.tell(
            f"open {name}", (0, "open", name, 0), kind="open", asked=asked, clearance_id=None, at=BEFORE
        )

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
        asked: Mapping[str, Canonical] | None = None,
    ) -> "Story":
        transfer = TransferFact(
            id=name,
            programme_id="prg",
            kind=kind,
            reference=name,
            hold_id=hold_id,
            reverses_id=reverses_id,
            clearance_id=clearance_id,
            notice_id=notice_id,
            effective_at=at,
            recorded_at=at,
            asked=asked or {},
            metadata={},
        )
        self.told.append((transfer, [self._entry(transfer, movement) for movement in movements]))
        return self

    def _entry(self, transfer: TransferFact, movement: Movement) -> EntryFact:
        leg, word, account_id, amount_minor = movement
        now = self.counted.setdefault(account_id, Counted())
        now.version += 1
        now.debits += amount_minor if word == "debit" else 0
        now.credits += amount_minor if word == "credit" else 0
        now.held += {"hold": amount_minor, "release": -amount_minor}.get(word, 0)
        return EntryFact(
            account_id=account_id,
            version=now.version,
            transfer_id=transfer.id,
            leg=leg,
            movement=word,
            amount_minor=amount_minor,
            debits_after_minor=now.debits,
            credits_after_minor=now.credits,
            held_after_minor=now.held,
            effective_at=transfer.effective_at,
            recorded_at=transfer.recorded_at,
        )


def _legs(debit: str, credit: str, amount_minor: int, *, leg: int = 1) -> tuple[Movement, Movement]:
    return (leg, "debit", debit, amount_minor), (leg, "credit", credit, amount_minor)


def _opened() -> Story:
    story = Story()
    for name in ACCOUNTS:
        story.open(name)
    return story


def _funded() -> Story:
    return _opened().tell("funded", *_legs("bank", "ana", 100))


def _held(**asked: Canonical) -> Story:
    return _funded().tell("held", (0, "hold", "ana", 60), kind="hold", asked=asked)


def _frozen() -> Story:
    return _funded().tell("frozen", (0, "freeze", "ana", 0), kind="freeze", clearance_id=None)


def _release(amount_minor: int, kind: str = "release", **asked: Canonical) -> Story:
    """A hold of 60 that is already increased by 5, and something given back of it."""
    return (
        _held(expires_at=MONDAY_MORNING.isoformat())
        .tell("more", (0, "hold", "ana", 5), kind="increase", hold_id="held")
        .tell("x", (0, "release", "ana", amount_minor), kind=kind, hold_id="held", asked=asked)
    )


def _capture(freed_minor: int, *legs: Movement, **asked: Canonical) -> Story:
    return _held().tell(
        "x", (0, "release", "ana", freed_minor), *legs, kind="capture", hold_id="held", asked=asked
    )


def _converted(sold_minor: int, bought_minor: int, rate: Canonical) -> Story:
    sold = _legs("ana", "euro door", sold_minor)
    bought = _legs("yen door", "yen", bought_minor, leg=2)
    return _funded().tell("x", *sold, *bought, asked={"rate": rate})


def _reversed(*legs: Movement, asked: Mapping[str, Canonical] | None = None, of: str = "both") -> Story:
    both = (*_legs("ana", "shop", 7), *_legs("ana", "bank", 5, leg=2))
    return _funded().tell("both", *both).tell("x", *legs, kind="reverse", reverses_id=of, asked=asked)


def _replay(
    told: Sequence[tuple[TransferFact, Sequence[EntryFact]]],
    accounts: Mapping[str, AccountFact] = ACCOUNTS,
) -> Replay:
    replay = Replay(accounts)
    for transfer, entries in told:
        replay.apply(transfer, entries)
    return replay


def test_facts_that_add_up_give_the_counters_that_they_name() -> None:
    story = _held()
    story.tell("more", (0, "hold", "ana", 5), kind="increase", hold_id="held")
    story.tell(
        "shipped", (0, "release", "ana", 40), *_legs("ana", "shop", 40), kind="capture", hold_id="held"
    )
    story.tell("let go", (0, "release", "ana", 25), kind="release", hold_id="held", clearance_id=None)
    story.tell("returned", *_legs("shop", "ana", 40), kind="reverse", reverses_id="shipped")
    story.tell("frozen", (0, "freeze", "ana", 0), kind="freeze", clearance_id=None)
    story.tell("comes in", *_legs("bank", "ana", 1))

    replay = _replay(story.told)

    ana = replay.standings["ana"]
    assert (ana.debits_minor, ana.credits_minor, ana.held_minor, ana.version) == (40, 141, 0, 10)
    assert (ana.posted_minor, ana.status) == (101, "frozen")


@pytest.mark.parametrize(
    "story",
    [
        _capture(60, *_legs("ana", "shop", 40), final=True),
        _release(65, "expire"),
        _release(65, all=True),
        _release(10),
        _converted(10, 16, ["EUR", "JPY", 165, 100]),
        _reversed(*_legs("shop", "ana", 7), *_legs("bank", "ana", 5, leg=2)),
        _reversed(
            *_legs("bank", "ana", 2), *_legs("bank", "ana", 3, leg=2), asked={"parts": [[2, 2], [2, 3]]}
        ),
        _frozen().tell("thawed", (0, "unfreeze", "ana", 0), kind="unfreeze", clearance_id=None),
        _frozen().tell("comes in", *_legs("bank", "ana", 1)),
        _opened().tell("gone", (0, "close", "ana", 0), kind="close", clearance_id=None),
        _funded().tell("x", *_legs("ana", "shop", 5), asked={"up_to": {"1": 9}}),
    ],
)
def test_facts_that_add_up_are_not_complained_of(story: Story) -> None:
    _replay(story.told)


WRONG = [
    ("below its limit", _funded().tell("x", *_legs("ana", "shop", 101))),
    ("below its limit", _held().tell("x", *_legs("ana", "shop", 41))),
    ("above its limit", _funded().tell("x", *_legs("bank", "shop", 1_001))),
    ("stands in the log twice", _funded().tell("funded", *_legs("bank", "ana", 1))),
    ("two currencies", _funded().tell("x", *_legs("bank", "yen", 1))),
    ("do not balance", _funded().tell("x", (1, "debit", "ana", 5), (1, "credit", "shop", 4))),
    ("one account on both sides", _funded().tell("x", *_legs("ana", "ana", 5))),
    ("not one debit and one credit", _funded().tell("x", (1, "debit", "ana", 5), (1, "debit", "bank", 5))),
    ("not one debit and one credit", _funded().tell("x", (1, "debit", "ana", 5))),
    (r"legs \(x, 1\): is missing", _funded().tell("x", *_legs("ana", "shop", 5, leg=2))),
    (
        "not one debit and one credit",
        _funded().tell("x", *_legs("ana", "shop", 5), *_legs("ana", "shop", 5)),
    ),
    ("not what a post consists of", _funded().tell("x", (0, "hold", "ana", 5), *_legs("ana", "shop", 5))),
    ("not what a hold consists of", _funded().tell("x", *_legs("ana", "shop", 5), kind="hold")),
    ("not what a capture", _held().tell("x", (0, "release", "ana", 5), kind="capture", hold_id="held")),
    ("not what a release", _held().tell("x", (0, "release", "ana", 5), kind="release")),
    ("not what a freeze", _opened().tell("x", (0, "close", "ana", 0), kind="freeze", clearance_id=None)),
    ("is no kind of transfer", _funded().tell("x", *_legs("ana", "shop", 5), kind="gift")),
    (
        "holds nothing on ana",
        _held().tell("x", (0, "release", "ana", 5), kind="release", hold_id="funded"),
    ),
    ("releases more", _held().tell("x", (0, "release", "ana", 61), kind="release", hold_id="held")),
    (
        "releases 61 where held holds 60",
        _held()
        .tell("other", (0, "hold", "ana", 30), kind="hold")
        .tell("x", (0, "release", "ana", 61), kind="release", hold_id="held"),
    ),
    ("not what it asked", _capture(50, *_legs("ana", "shop", 40))),
    ("not what it asked", _capture(40, *_legs("ana", "shop", 40), final=True)),
    ("not what it asked", _capture(30, *_legs("ana", "shop", 40))),
    ("not what it asked", _release(64, "expire")),
    ("not what it asked", _release(64, all=True)),
    ("does not draw on ana", _capture(40, *_legs("bank", "shop", 40))),
    (
        "the time of held had not come",
        _held().tell("x", (0, "release", "ana", 60), kind="expire", hold_id="held"),
    ),
    ("does not undo", _funded().tell("x", *_legs("ana", "bank", 99), kind="reverse", reverses_id="funded")),
    ("no money moved by never", _reversed(*_legs("ana", "bank", 9), of="never")),
    ("no money moved by open ana", _reversed(*_legs("ana", "bank", 9), of="open ana")),
    ("does not undo", _reversed(*_legs("bank", "ana", 5), *_legs("shop", "ana", 7, leg=2))),
    ("names parts that are none", _reversed(*_legs("shop", "ana", 7), asked={"parts": [[3, 7]]})),
    ("names parts that are none", _reversed(*_legs("shop", "ana", 7), asked={"parts": []})),
    (
        "undoes more of leg 2",
        _reversed(
            *_legs("bank", "ana", 3), *_legs("bank", "ana", 3, leg=2), asked={"parts": [[2, 3], [2, 3]]}
        ),
    ),
    (
        "was reversed before",
        _funded()
        .tell("more", *_legs("bank", "ana", 100))
        .tell("x", *_legs("ana", "bank", 100), kind="reverse", reverses_id="funded")
        .tell("y", *_legs("ana", "bank", 100), kind="reverse", reverses_id="funded"),
    ),
    ("not one authority", _funded().tell("x", *_legs("ana", "shop", 5), clearance_id=None)),
    ("not one authority", _funded().tell("x", *_legs("ana", "shop", 5), notice_id="ntc")),
    ("recorded before", _funded().tell("x", *_legs("ana", "shop", 5), at=BEFORE)),
    ("is no amount", _funded().tell("x", *_legs("ana", "shop", 0))),
    ("is no amount", _funded().tell("x", (0, "freeze", "ana", 1), kind="freeze", clearance_id=None)),
    ("gift is no movement", _funded().tell("x", (1, "gift", "ana", 5), (1, "credit", "shop", 5))),
    ("no such account", _funded().tell("x", *_legs("ana", "nobody", 5))),
    ("at the rate", _converted(10, 17, ["EUR", "JPY", 165, 100])),
    ("at the rate", _converted(10, 16, ["EUR", "USD", 165, 100])),
    ("at the rate", _converted(10, 16, ["EUR", "JPY", 165, 0])),
    ("moves more than the 4", _funded().tell("x", *_legs("ana", "shop", 5), asked={"up_to": {"1": 4}})),
    ("was never opened", Story().open("bank").tell("x", *_legs("bank", "ana", 5))),
    ("was opened before", _opened().tell("x", (0, "open", "ana", 0), kind="open", clearance_id=None)),
    ("is frozen", _frozen().tell("x", *_legs("ana", "shop", 5))),
    ("is frozen", _frozen().tell("x", (0, "hold", "ana", 5), kind="hold")),
    ("is frozen", _frozen().tell("x", (0, "freeze", "ana", 0), kind="freeze", clearance_id=None)),
    ("is not frozen", _funded().tell("x", (0, "unfreeze", "ana", 0), kind="unfreeze", clearance_id=None)),
    ("is not empty", _funded().tell("x", (0, "close", "ana", 0), kind="close", clearance_id=None)),
    (
        "is closed",
        _opened()
        .tell("gone", (0, "close", "ana", 0), kind="close", clearance_id=None)
        .tell("x", *_legs("bank", "ana", 5)),
    ),
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
        ({"version": 4}, "the version before it was 2|is missing"),
        ({"version": 2}, "the version before it was 2"),
        ({"debits_after_minor": 6}, "other counters"),
        ({"credits_after_minor": 99}, "other counters"),
        ({"held_after_minor": 1}, "other counters"),
        ({"effective_at": MONDAY_MORNING + timedelta(days=1)}, "effective at another time"),
        ({"recorded_at": MONDAY_MORNING + timedelta(days=1)}, "recorded at another time"),
    ],
)
def test_an_entry_that_contradicts_the_book_is_found(change: dict[str, object], complaint: str) -> None:
    *before, (transfer, entries) = _funded().tell("x", *_legs("ana", "shop", 5)).told
    changed = [entries[0]._replace(**change), *entries[1:]]  # type: ignore[arg-type]

    with pytest.raises(EvidenceBroken, match=complaint):
        _replay([*before, (transfer, changed)])


@pytest.mark.parametrize(
    "change",
    [
        {"code": "seller_balance"},
        {"path": "liability/customer_wallet/south"},
        {"account_class": "income"},
        {"side": "debit"},
        {"party_id": "pty of shop"},
        {"party_id": None},
        {"currency": "USD"},
        {"pool": None},
        {"tags": ("a",)},
        {"min_available_minor": -1},
        {"max_balance_minor": 7},
        {"programme_id": "prg of others"},
    ],
)
def test_an_account_that_is_not_what_it_was_opened_as_is_found(change: dict[str, object]) -> None:
    accounts = {**ACCOUNTS, "ana": replace(ACCOUNTS["ana"], **change)}  # type: ignore[arg-type]

    with pytest.raises(EvidenceBroken, match=r"accounts \(ana\): \w+ is .* opened it with"):
        _replay(_opened().told, accounts)


@pytest.mark.parametrize("asked", [{}, {"code": "bribes"}, _asked(ACCOUNTS["ana"]) | {"tags": "a"}])
def test_an_opening_that_does_not_say_what_it_opens_is_found(asked: dict[str, Canonical]) -> None:
    story = Story().tell(
        "open ana", (0, "open", "ana", 0), kind="open", asked=asked, clearance_id=None, at=BEFORE
    )

    with pytest.raises(EvidenceBroken, match="says of no account what it is"):
        _replay(story.told)
