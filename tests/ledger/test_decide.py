"""The deciding function, alone: every refusal at its edge, in its order, and against an independent model."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.chart import Side
from ledger.core.commands import (
    LEGS_MAX,
    Applied,
    Authority,
    Command,
    Exists,
    Leg,
    Post,
    Refusal,
    Refused,
    Reverse,
)
from ledger.core.decide import (
    Account,
    Book,
    Decision,
    Entry,
    HoldState,
    Movement,
    Posted,
    Status,
    decide,
)
from ledger.core.ids import AccountId, NoticeId, ProgrammeId, TransferId, derived
from ledger.core.money import MINOR_MAX
from tests.ledger.model import Model, Purse, answer_of
from tests.ledger.world import Asker

NOON = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HERE, THERE = ProgrammeId(derived("prg", "here")), ProgrammeId(derived("prg", "there"))
WORD = Authority(notice_id=NoticeId(derived("ntc", "word")))
ASK, ASK_THERE = Asker(HERE, WORD, NOON), Asker(THERE, WORD, NOON)


def acct(name: str) -> AccountId:
    return AccountId(derived("acct", name))


ANA, BEN, CAPPED, LINE_OF_CREDIT, BANK, DOLLARS, FROZEN, CLOSED, ELSEWHERE, NOBODY = map(
    acct, ["ana", "ben", "capped", "line", "bank", "dollars", "frozen", "closed", "elsewhere", "nobody"]
)


def account(
    account_id: AccountId,
    *,
    floor: int | None = 0,
    cap: int | None = None,
    side: Side = Side.CREDIT,
    currency: str = "EUR",
    status: Status = Status.OPEN,
    programme_id: ProgrammeId = HERE,
    posted: int = 0,
) -> Account:
    debits, credits_ = (posted, 0) if side is Side.DEBIT else (0, posted)
    return Account(
        id=account_id,
        programme_id=programme_id,
        currency=currency,
        side=side,
        status=status,
        min_available_minor=floor,
        max_balance_minor=cap,
        debits_minor=debits,
        credits_minor=credits_,
        held_minor=0,
        version=0,
        recorded_at=NOON,
    )


ACCOUNTS = (
    account(ANA, posted=100),
    account(BEN),
    account(CAPPED, cap=50),
    account(LINE_OF_CREDIT, floor=-30),
    account(BANK, floor=None, side=Side.DEBIT, posted=150),
    account(DOLLARS, floor=None, currency="USD"),
    account(FROZEN, status=Status.FROZEN, posted=50),
    account(CLOSED, status=Status.CLOSED),
    account(ELSEWHERE, floor=None, programme_id=THERE),
)


class Shelf:
    """What the store does, in memory: keeps what was decided, and hands it out for the next decision."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = {item.id: item for item in accounts or ACCOUNTS}
        self.holds: dict[TransferId, HoldState] = {}
        self.posted: dict[TransferId, Posted] = {}
        self.known: dict[TransferId, bytes] = {}
        self.entries: list[Entry] = []

    def decide(self, *groups: Sequence[Command], now: datetime = NOON) -> Decision:
        decision = decide(Book(self.accounts, self.holds, self.posted, self.known), groups, now)
        self._keep(decision)
        return decision

    def ask(self, *commands: Command, now: datetime = NOON) -> list[Refusal | str]:
        """Each command by itself; the answers in the model's words."""
        decision = self.decide(*([command] for command in commands), now=now)
        return [answer_of(result) for (result,) in decision.results]

    def ask_group(self, *commands: Command, now: datetime = NOON) -> list[Refusal | str]:
        """All of the commands or none."""
        (results,) = self.decide(commands, now=now).results
        return [answer_of(result) for result in results]

    def available(self, account_id: AccountId) -> int:
        return self.accounts[account_id].available_minor

    def _keep(self, decision: Decision) -> None:
        self.accounts = self.accounts | {item.id: item for item in decision.accounts}
        self.holds = self.holds | {item.id: item for item in decision.holds}
        self.entries += decision.entries
        for item in decision.recorded:
            command = item.command
            self.known[command.id] = item.content_digest
            legs = tuple(_legs_of(decision.entries, command.id))
            if isinstance(command, Reverse):
                self.posted[command.transfer_id] = replace(self.posted[command.transfer_id], reversed=True)
            elif legs:
                self.posted[command.id] = Posted(command.id, command.programme_id, legs, reversed=False)


def _legs_of(entries: Sequence[Entry], transfer_id: TransferId) -> list[Leg]:
    sides = {
        (entry.leg, entry.movement): entry
        for entry in entries
        if entry.transfer_id == transfer_id and entry.leg
    }
    numbers = sorted({number for number, _ in sides})
    pairs = [(sides[number, Movement.DEBIT], sides[number, Movement.CREDIT]) for number in numbers]
    return [Leg(debit.account_id, credit.account_id, debit.amount_minor) for debit, credit in pairs]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


# Amounts and legs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "answer"),
    [
        (-1, Refusal.AMOUNT_OUT_OF_RANGE),
        (0, Refusal.AMOUNT_OUT_OF_RANGE),
        (1, "applied"),
        (MINOR_MAX + 1, Refusal.AMOUNT_OUT_OF_RANGE),
        (True, Refusal.AMOUNT_OUT_OF_RANGE),
    ],
)
def test_an_amount_is_a_whole_number_within_63_bits(shelf: Shelf, amount_minor: int, answer: str) -> None:
    commands = ASK.post("post", Leg(ANA, BEN, amount_minor)), ASK.hold("hold", ANA, amount_minor=amount_minor)

    assert shelf.ask(*commands) == [answer, answer]


def test_the_largest_amount_is_in_range_and_only_the_money_is_missing(shelf: Shelf) -> None:
    assert shelf.ask(ASK.hold("hold", ANA, amount_minor=MINOR_MAX)) == [Refusal.INSUFFICIENT_FUNDS]


@pytest.mark.parametrize(
    ("legs", "answer"),
    [
        (0, Refusal.TOO_MANY_LEGS),
        (1, "applied"),
        (LEGS_MAX, "applied"),
        (LEGS_MAX + 1, Refusal.TOO_MANY_LEGS),
    ],
)
def test_a_transfer_has_one_to_a_thousand_legs(shelf: Shelf, legs: int, answer: str) -> None:
    command = ASK.post("many", *[Leg(BANK, LINE_OF_CREDIT, 1)] * legs)

    assert shelf.ask(command) == [answer]


def test_a_leg_joins_two_accounts(shelf: Shelf) -> None:
    assert shelf.ask(ASK.post("self", Leg(ANA, BEN, 1), Leg(ANA, ANA, 1))) == [Refusal.SAME_ACCOUNT]


@pytest.mark.parametrize("stranger", [NOBODY, ELSEWHERE])
def test_accounts_of_other_programmes_do_not_exist(shelf: Shelf, stranger: AccountId) -> None:
    commands = (
        ASK.post("to", Leg(ANA, stranger, 1)),
        ASK.post("from", Leg(stranger, ANA, 1)),
        ASK.hold("on", stranger, amount_minor=1),
    )

    assert shelf.ask(*commands) == [Refusal.ACCOUNT_UNKNOWN] * 3


def test_a_leg_stays_in_one_currency(shelf: Shelf) -> None:
    assert shelf.ask(ASK.post("convert", Leg(ANA, DOLLARS, 1))) == [Refusal.CURRENCY_DIFFERS]


@pytest.mark.parametrize(
    ("stopped", "answer"), [(FROZEN, Refusal.ACCOUNT_FROZEN), (CLOSED, Refusal.ACCOUNT_CLOSED)]
)
def test_frozen_and_closed_accounts_take_no_movement(
    shelf: Shelf, stopped: AccountId, answer: Refusal
) -> None:
    commands = (
        ASK.post("in", Leg(ANA, stopped, 1)),
        ASK.post("out", Leg(stopped, ANA, 1)),
        ASK.hold("hold", stopped, amount_minor=1),
    )

    assert shelf.ask(*commands) == [answer] * 3


def test_a_hold_on_an_account_that_was_frozen_later_is_not_captured_but_can_be_given_back(
    shelf: Shelf,
) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=10))
    shelf.accounts[ANA] = replace(shelf.accounts[ANA], status=Status.FROZEN)

    answers = shelf.ask(ASK.capture("capture", "hold", Leg(ANA, BEN, 10)), ASK.release("release", "hold"))

    assert answers == [Refusal.ACCOUNT_FROZEN, "applied"]


# Limits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(99, "applied"), (100, "applied"), (101, Refusal.INSUFFICIENT_FUNDS)]
)
def test_an_account_gives_what_it_has(shelf: Shelf, amount_minor: int, answer: str) -> None:
    assert shelf.ask(ASK.post("pay", Leg(ANA, BEN, amount_minor))) == [answer]
    assert Shelf().ask(ASK.hold("hold", ANA, amount_minor=amount_minor)) == [answer]


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(29, "applied"), (30, "applied"), (31, Refusal.INSUFFICIENT_FUNDS)]
)
def test_an_overdraft_line_reaches_to_its_end(shelf: Shelf, amount_minor: int, answer: str) -> None:
    assert shelf.ask(ASK.post("pay", Leg(LINE_OF_CREDIT, BEN, amount_minor))) == [answer]


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(59, "applied"), (60, "applied"), (61, Refusal.INSUFFICIENT_FUNDS)]
)
def test_what_is_held_cannot_be_spent(shelf: Shelf, amount_minor: int, answer: str) -> None:
    assert shelf.ask(ASK.hold("hold", ANA, amount_minor=40)) == ["applied"]

    assert shelf.ask(ASK.post("pay", Leg(ANA, BEN, amount_minor))) == [answer]


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(49, "applied"), (50, "applied"), (51, Refusal.BALANCE_CAP)]
)
def test_a_capped_account_is_filled_to_its_cap(shelf: Shelf, amount_minor: int, answer: str) -> None:
    assert shelf.ask(ASK.post("fill", Leg(BANK, CAPPED, amount_minor))) == [answer]


def test_limits_are_looked_at_once_all_legs_are_in(shelf: Shelf) -> None:
    through = ASK.post("through", Leg(BEN, CAPPED, 70), Leg(CAPPED, ANA, 70), Leg(ANA, BEN, 70))

    assert shelf.ask(through) == ["applied"]


def test_a_debit_account_is_overdrawn_by_credits() -> None:
    shelf = Shelf(account(BANK, side=Side.DEBIT, posted=10), account(ANA))

    answers = shelf.ask(ASK.post("more", Leg(ANA, BANK, 11)), ASK.post("less", Leg(BANK, ANA, 1)))

    assert answers == [Refusal.INSUFFICIENT_FUNDS, "applied"]


def test_an_account_below_its_floor_still_takes_what_brings_it_up() -> None:
    # A floor that was raised later must not lock its account.
    shelf = Shelf(account(ANA, floor=50, posted=10), account(BANK, floor=None, side=Side.DEBIT))

    answers = shelf.ask(ASK.post("up", Leg(BANK, ANA, 5)), ASK.post("down", Leg(ANA, BANK, 1)))

    assert answers == ["applied", Refusal.INSUFFICIENT_FUNDS]


def test_an_account_above_its_cap_still_gives() -> None:
    shelf = Shelf(account(ANA, cap=50, posted=90), account(BANK, floor=None, side=Side.DEBIT))

    answers = shelf.ask(ASK.post("down", Leg(ANA, BANK, 5)), ASK.post("up", Leg(BANK, ANA, 1)))

    assert answers == ["applied", Refusal.BALANCE_CAP]


# The end of 63 bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.OVERFLOW)]
)
def test_a_counter_is_filled_to_63_bits_and_no_further(amount_minor: int, answer: str) -> None:
    shelf = Shelf(account(ANA, posted=MINOR_MAX - 10), account(BANK, floor=None, side=Side.DEBIT))

    assert shelf.ask(ASK.post("last", Leg(BANK, ANA, amount_minor))) == [answer]


def test_a_counter_is_full_for_good_because_it_only_grows() -> None:
    shelf = Shelf(account(ANA, posted=MINOR_MAX), account(BANK, floor=None, side=Side.DEBIT))

    answers = shelf.ask(ASK.post("back", Leg(ANA, BANK, 100)), ASK.post("again", Leg(BANK, ANA, 1)))

    assert answers == ["applied", Refusal.OVERFLOW]


@pytest.mark.parametrize(("amount_minor", "answer"), [(1, "applied"), (2, Refusal.OVERFLOW)])
def test_held_amounts_are_filled_to_63_bits_and_no_further(amount_minor: int, answer: str) -> None:
    shelf = Shelf(account(ANA, floor=None, posted=10))
    assert shelf.ask(ASK.hold("first", ANA, amount_minor=MINOR_MAX - 1)) == ["applied"]

    assert shelf.ask(ASK.hold("second", ANA, amount_minor=amount_minor)) == [answer]


@pytest.mark.parametrize(("held_minor", "answer"), [(5, "applied"), (6, Refusal.OVERFLOW)])
def test_the_available_balance_stays_within_63_bits_where_nothing_else_limits_it(
    held_minor: int, answer: str
) -> None:
    shelf = Shelf(account(ANA, floor=None), account(BEN))
    assert shelf.ask(ASK.post("deep", Leg(ANA, BEN, MINOR_MAX - 5))) == ["applied"]

    assert shelf.ask(ASK.hold("deeper", ANA, amount_minor=held_minor)) == [answer]


# Holds ------------------------------------------------------------------------------------------------------


def test_authorising_touches_one_account_only(shelf: Shelf) -> None:
    decision = shelf.decide([ASK.hold("hold", ANA, amount_minor=40)])

    assert [(entry.account_id, entry.movement) for entry in decision.entries] == [(ANA, Movement.HOLD)]
    assert (shelf.accounts[ANA].posted_minor, shelf.accounts[ANA].held_minor, shelf.available(ANA)) == (
        100,
        40,
        60,
    )


def test_a_hold_is_captured_in_many_parts(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))

    parts = [ASK.capture(f"part {place}", "hold", Leg(ANA, BEN, 10)) for place in range(4)]
    answers = shelf.ask(*parts, ASK.capture("one more", "hold", Leg(ANA, BEN, 1)))

    assert answers == ["applied"] * 4 + [Refusal.HOLD_CLOSED]
    assert (shelf.available(ANA), shelf.accounts[ANA].held_minor, shelf.available(BEN)) == (60, 0, 40)


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.EXCEEDS_HOLD)]
)
def test_no_more_is_taken_of_a_hold_than_is_left(shelf: Shelf, amount_minor: int, answer: str) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40), ASK.capture("most", "hold", Leg(ANA, BEN, 30)))
    other = Shelf()
    other.ask(ASK.hold("hold", ANA, amount_minor=40), ASK.release("most", "hold", amount_minor=30))

    assert shelf.ask(ASK.capture("rest", "hold", Leg(ANA, BEN, amount_minor))) == [answer]
    assert other.ask(ASK.release("rest", "hold", amount_minor=amount_minor)) == [answer]


def test_the_legs_of_a_capture_count_together(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))

    over = ASK.capture("over", "hold", Leg(ANA, BEN, 20), Leg(ANA, LINE_OF_CREDIT, 21))
    exact = ASK.capture("exact", "hold", Leg(ANA, BEN, 20), Leg(ANA, LINE_OF_CREDIT, 20))

    assert shelf.ask(over, exact) == [Refusal.EXCEEDS_HOLD, "applied"]


def test_a_final_capture_releases_the_rest(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))

    answers = shelf.ask(
        ASK.capture("final", "hold", Leg(ANA, BEN, 15), final=True),
        ASK.release("late", "hold", amount_minor=1),
    )

    assert answers == ["applied", Refusal.HOLD_CLOSED]
    assert (shelf.available(ANA), shelf.accounts[ANA].held_minor) == (85, 0)
    state = shelf.holds[ASK.xfr("hold")]
    assert (state.captured_minor, state.released_minor) == (15, 25)


def test_a_release_without_an_amount_gives_back_all_that_is_left(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40), ASK.capture("part", "hold", Leg(ANA, BEN, 15)))

    answers = shelf.ask(ASK.release("rest", "hold"), ASK.release("again", "hold"))

    assert answers == ["applied", Refusal.HOLD_CLOSED]
    assert shelf.available(ANA) == 85


@pytest.mark.parametrize("amount_minor", [0, -1, MINOR_MAX + 1])
def test_a_release_of_no_amount_is_refused(shelf: Shelf, amount_minor: int) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))

    assert shelf.ask(ASK.release("odd", "hold", amount_minor=amount_minor)) == [Refusal.AMOUNT_OUT_OF_RANGE]


@pytest.mark.parametrize(
    ("late", "answer"),
    [
        (timedelta(microseconds=-1), "applied"),
        (timedelta(0), Refusal.HOLD_EXPIRED),
        (timedelta(microseconds=1), Refusal.HOLD_EXPIRED),
    ],
)
def test_a_hold_expires_at_its_instant_and_not_before(shelf: Shelf, late: timedelta, answer: str) -> None:
    expires_at = NOON + MINUTE
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40, expires_at=expires_at))

    answers = shelf.ask(ASK.capture("capture", "hold", Leg(ANA, BEN, 10)), now=expires_at + late)

    assert answers == [answer]


def test_an_expired_hold_can_still_be_given_back(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40, expires_at=NOON + MINUTE))

    assert shelf.ask(ASK.release("expired", "hold"), now=NOON + 2 * MINUTE) == ["applied"]
    assert shelf.available(ANA) == 100


def test_a_hold_nobody_made_or_of_another_programme_is_unknown(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))
    theirs = replace(ASK_THERE.release("theirs", "hold"), hold_id=ASK.xfr("hold"))

    answers = shelf.ask(
        ASK.capture("nothing", "nobody's", Leg(ANA, BEN, 1)), ASK.release("nothing", "nobody's"), theirs
    )

    assert answers == [Refusal.HOLD_UNKNOWN] * 3


def test_every_leg_of_a_capture_draws_on_the_held_account(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))

    answers = shelf.ask(
        ASK.capture("other", "hold", Leg(ANA, LINE_OF_CREDIT, 1), Leg(LINE_OF_CREDIT, BEN, 1)),
        ASK.capture("wrong way", "hold", Leg(BEN, ANA, 1)),
    )

    assert answers == [Refusal.LEG_NOT_FROM_HOLD] * 2


def test_a_hold_on_an_asset_is_captured_by_crediting_it(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", BANK, amount_minor=40))

    answers = shelf.ask(
        ASK.capture("wrong way", "hold", Leg(BANK, ANA, 10)), ASK.capture("sweep", "hold", Leg(ANA, BANK, 40))
    )

    assert answers == [Refusal.LEG_NOT_FROM_HOLD, "applied"]
    assert (shelf.accounts[BANK].posted_minor, shelf.accounts[BANK].held_minor) == (110, 0)


# Reversals --------------------------------------------------------------------------------------------------


def test_a_transfer_is_reversed_once(shelf: Shelf) -> None:
    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 60), Leg(ANA, LINE_OF_CREDIT, 5)))

    answers = shelf.ask(ASK.reverse("undo", "pay"), ASK.reverse("undo again", "pay"))
    later = shelf.ask(ASK.reverse("undo later", "pay"))

    assert answers + later == ["applied", Refusal.ALREADY_REVERSED, Refusal.ALREADY_REVERSED]
    assert (shelf.available(ANA), shelf.available(BEN), shelf.available(LINE_OF_CREDIT)) == (100, 0, 0)


def test_a_reversal_is_not_itself_reversed_in_the_same_batch_or_later(shelf: Shelf) -> None:
    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 60)))

    answers = shelf.ask(ASK.reverse("undo", "pay"), ASK.reverse("redo", "undo"))
    later = shelf.ask(ASK.reverse("redo later", "undo"))

    assert answers + later == ["applied", Refusal.TRANSFER_UNKNOWN, Refusal.TRANSFER_UNKNOWN]


def test_a_capture_is_reversed_without_opening_its_hold_again(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40), ASK.capture("part", "hold", Leg(ANA, BEN, 15)))

    assert shelf.ask(ASK.reverse("undo", "part")) == ["applied"]
    assert (shelf.accounts[ANA].posted_minor, shelf.accounts[ANA].held_minor, shelf.available(BEN)) == (
        100,
        25,
        0,
    )


def test_only_transfers_of_money_in_this_programme_are_reversed(shelf: Shelf) -> None:
    shelf.ask(
        ASK.hold("hold", ANA, amount_minor=40),
        ASK.release("release", "hold"),
        ASK.post("pay", Leg(ANA, BEN, 1)),
    )
    theirs = replace(ASK_THERE.reverse("theirs", "pay"), transfer_id=ASK.xfr("pay"))

    answers = shelf.ask(
        ASK.reverse("1", "nobody's"), ASK.reverse("2", "hold"), ASK.reverse("3", "release"), theirs
    )

    assert answers == [Refusal.TRANSFER_UNKNOWN] * 4


def test_a_reversal_needs_the_money_to_be_there_still(shelf: Shelf) -> None:
    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 60)), ASK.post("spend", Leg(BEN, LINE_OF_CREDIT, 1)))

    assert shelf.ask(ASK.reverse("undo", "pay")) == [Refusal.INSUFFICIENT_FUNDS]


# The same again ---------------------------------------------------------------------------------------------


def test_the_same_command_again_exists_and_changes_nothing(shelf: Shelf) -> None:
    commands = (
        ASK.post("pay", Leg(ANA, BEN, 10)),
        ASK.hold("hold", ANA, amount_minor=40),
        ASK.capture("part", "hold", Leg(ANA, BEN, 15)),
        ASK.release("rest", "hold"),
        ASK.reverse("undo", "pay"),
    )
    assert shelf.ask(*commands) == ["applied"] * 5
    before = dict(shelf.accounts)

    again = shelf.decide(*([command] for command in commands), now=NOON + MINUTE)

    assert [result for (result,) in again.results] == [Exists(command.id) for command in commands]
    assert (again.recorded, again.entries, again.accounts, again.holds) == ((), (), (), ())
    assert shelf.accounts == before


def test_the_same_command_twice_in_one_batch_is_one_effect(shelf: Shelf) -> None:
    command = ASK.post("pay", Leg(ANA, BEN, 10))

    assert shelf.ask(command, command) == ["applied", "exists"]
    assert shelf.available(BEN) == 10


@pytest.mark.parametrize(
    "other",
    [
        ASK.post("pay", Leg(ANA, BEN, 11)),
        ASK.post("pay", Leg(BEN, ANA, 10)),
        ASK.post("pay", Leg(ANA, LINE_OF_CREDIT, 10)),
        ASK.post("pay", Leg(ANA, BEN, 10), Leg(ANA, BEN, 10)),
        replace(ASK.post("pay", Leg(ANA, BEN, 10)), effective_at=NOON + MINUTE),
        replace(ASK.post("pay", Leg(ANA, BEN, 10)), reference="other"),
        replace(ASK.post("pay", Leg(ANA, BEN, 10)), metadata={"note": "other"}),
        replace(ASK.post("pay", Leg(ANA, BEN, 10)), programme_id=THERE),
        replace(ASK.hold("pay", ANA, amount_minor=10), id=ASK.xfr("pay")),
    ],
)
def test_an_id_reused_for_anything_else_is_refused(shelf: Shelf, other: Command) -> None:
    first = ASK.post("pay", Leg(ANA, BEN, 10))

    assert shelf.ask(first, other) == ["applied", Refusal.ID_REUSED]
    assert shelf.ask(other) == [Refusal.ID_REUSED]


def test_a_refused_command_leaves_its_id_free(shelf: Shelf) -> None:
    short = ASK.post("pay", Leg(BEN, ANA, 10))

    assert shelf.ask(short, ASK.post("fund", Leg(ANA, BEN, 10)), short) == [
        Refusal.INSUFFICIENT_FUNDS,
        "applied",
        "applied",
    ]


# Groups -----------------------------------------------------------------------------------------------------


def test_a_group_is_all_or_nothing(shelf: Shelf) -> None:
    before = dict(shelf.accounts)

    answers = shelf.ask_group(
        ASK.post("first", Leg(ANA, BEN, 60)),
        ASK.hold("hold", ANA, amount_minor=40),
        ASK.post("last", Leg(ANA, BEN, 1)),
    )

    assert answers == [Refusal.GROUP_REFUSED, Refusal.GROUP_REFUSED, Refusal.INSUFFICIENT_FUNDS]
    assert (shelf.accounts, shelf.holds, shelf.entries, shelf.known) == (before, {}, [], {})


def test_a_group_sees_its_own_effects(shelf: Shelf) -> None:
    answers = shelf.ask_group(
        ASK.post("fund", Leg(ANA, BEN, 60)),
        ASK.hold("hold", BEN, amount_minor=60),
        ASK.capture("capture", "hold", Leg(BEN, ANA, 20)),
        ASK.release("release", "hold"),
        ASK.reverse("undo", "capture"),
    )

    assert answers == ["applied"] * 5


def test_a_refused_group_costs_its_neighbours_nothing(shelf: Shelf) -> None:
    decision = shelf.decide(
        [ASK.post("before", Leg(ANA, BEN, 60))],
        [ASK.post("spend", Leg(BEN, LINE_OF_CREDIT, 60)), ASK.post("too much", Leg(ANA, BEN, 41))],
        [ASK.post("after", Leg(BEN, LINE_OF_CREDIT, 60))],
    )

    answers = [[answer_of(result) for result in group] for group in decision.results]
    assert answers == [["applied"], [Refusal.GROUP_REFUSED, Refusal.INSUFFICIENT_FUNDS], ["applied"]]
    assert [item.command.reference for item in decision.recorded] == ["before", "after"]
    assert [entry.version for entry in decision.entries if entry.account_id == BEN] == [1, 2]


def test_a_refused_group_names_its_cause(shelf: Shelf) -> None:
    (results,) = shelf.decide(
        [ASK.post("fine", Leg(ANA, BEN, 1)), ASK.post("short", Leg(BEN, ANA, 5))]
    ).results

    assert isinstance(results[0], Refused)
    assert results[0].detail == f"refused together with {ASK.xfr('short')}: insufficient_funds"
    assert results[1] == Refused(
        ASK.xfr("short"), Refusal.INSUFFICIENT_FUNDS, f"{BEN} is 4 EUR minor units short"
    )


def test_a_refused_reversal_leaves_its_transfer_reversible(shelf: Shelf) -> None:
    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 10)))

    answers = shelf.ask_group(ASK.reverse("undo", "pay"), ASK.post("short", Leg(BEN, ANA, 1)))

    assert answers == [Refusal.GROUP_REFUSED, Refusal.INSUFFICIENT_FUNDS]
    assert shelf.ask(ASK.reverse("undo", "pay")) == ["applied"]


# Order of looking -------------------------------------------------------------------------------------------

WRONG_IN_MANY_WAYS: list[tuple[Refusal, Command]] = [
    (Refusal.TOO_MANY_LEGS, ASK.post("x")),
    (Refusal.AMOUNT_OUT_OF_RANGE, ASK.post("x", Leg(ANA, ANA, 5), Leg(NOBODY, CLOSED, 0))),
    (Refusal.SAME_ACCOUNT, ASK.post("x", Leg(NOBODY, DOLLARS, 5), Leg(ANA, ANA, 5))),
    (Refusal.HOLD_UNKNOWN, ASK.capture("x", "nobody's", Leg(NOBODY, BEN, 5))),
    (Refusal.HOLD_EXPIRED, ASK.capture("x", "expired", Leg(BEN, NOBODY, 5_000))),
    (Refusal.LEG_NOT_FROM_HOLD, ASK.capture("x", "held", Leg(ANA, BEN, 5_000), Leg(BEN, NOBODY, 5))),
    (Refusal.EXCEEDS_HOLD, ASK.capture("x", "held", Leg(ANA, NOBODY, 5_000))),
    (Refusal.ACCOUNT_UNKNOWN, ASK.post("x", Leg(CLOSED, DOLLARS, 5), Leg(ANA, NOBODY, 5))),
    (Refusal.CURRENCY_DIFFERS, ASK.post("x", Leg(FROZEN, CLOSED, 5), Leg(ANA, DOLLARS, 5))),
    (Refusal.ACCOUNT_CLOSED, ASK.post("x", Leg(FROZEN, CLOSED, 5_000))),
    (Refusal.ACCOUNT_FROZEN, ASK.post("x", Leg(BEN, FROZEN, 5_000))),
    (Refusal.OVERFLOW, ASK.post("x", Leg(BEN, ANA, MINOR_MAX))),
    (Refusal.INSUFFICIENT_FUNDS, ASK.post("x", Leg(BANK, CAPPED, 5_000), Leg(BEN, ANA, 5_000))),
    (Refusal.BALANCE_CAP, ASK.post("x", Leg(BANK, CAPPED, 5_000))),
]


@pytest.mark.parametrize(("refusal", "command"), WRONG_IN_MANY_WAYS)
def test_the_first_refusal_that_applies_is_the_answer(
    shelf: Shelf, refusal: Refusal, command: Command
) -> None:
    shelf.ask(
        ASK.hold("held", ANA, amount_minor=10), ASK.hold("expired", ANA, amount_minor=10, expires_at=NOON)
    )

    assert shelf.ask(command) == [refusal]


def test_an_id_is_looked_at_before_everything_else(shelf: Shelf) -> None:
    shelf.ask(ASK.post("x", Leg(ANA, BEN, 1)))

    assert shelf.ask(*(command for _, command in WRONG_IN_MANY_WAYS)) == [Refusal.ID_REUSED] * 14


# Versions and times -----------------------------------------------------------------------------------------


def test_versions_have_no_gaps_and_carry_the_counters(shelf: Shelf) -> None:
    shelf.ask(
        ASK.hold("hold", ANA, amount_minor=40),
        ASK.capture("part", "hold", Leg(ANA, BEN, 15), final=True),
        ASK.post("pay", Leg(ANA, BEN, 5), Leg(ANA, BEN, 6)),
    )

    seen = [entry for entry in shelf.entries if entry.account_id == ANA]
    assert [entry.version for entry in seen] == [1, 2, 3, 4, 5]
    assert [(entry.movement.value, entry.leg, entry.amount_minor) for entry in seen] == [
        ("hold", 0, 40),
        ("release", 0, 40),
        ("debit", 1, 15),
        ("debit", 1, 5),
        ("debit", 2, 6),
    ]
    assert [(entry.debits_after_minor, entry.held_after_minor) for entry in seen] == [
        (0, 40),
        (0, 0),
        (15, 0),
        (20, 0),
        (26, 0),
    ]


def test_recorded_time_never_runs_backwards_on_an_account(shelf: Shelf) -> None:
    shelf.ask(ASK.post("late", Leg(ANA, BEN, 1)), now=NOON + 2 * MINUTE)
    shelf.ask(ASK.post("early", Leg(ANA, BEN, 1)), now=NOON + MINUTE)

    assert [entry.recorded_at for entry in shelf.entries if entry.account_id == ANA] == [
        NOON + 2 * MINUTE
    ] * 2


def test_one_transfer_has_one_instant_even_when_its_accounts_have_seen_different_times(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=10), now=NOON + 9 * MINUTE)

    decision = shelf.decide(
        [ASK.post("two", Leg(ANA, BEN, 1)), ASK.capture("held", "hold", Leg(ANA, LINE_OF_CREDIT, 1))],
        [ASK.post("elsewhere", Leg(BANK, CAPPED, 1))],
        now=NOON + MINUTE,
    )

    assert {entry.recorded_at for entry in decision.entries[:-2]} == {NOON + 9 * MINUTE}
    assert {entry.recorded_at for entry in decision.entries[-2:]} == {NOON + MINUTE}
    assert [item.recorded_at for item in decision.recorded] == [NOON + 9 * MINUTE] * 2 + [NOON + MINUTE]


def test_the_effective_time_is_the_callers(shelf: Shelf) -> None:
    yesterday = NOON - timedelta(days=1)

    shelf.ask(replace(ASK.post("valued", Leg(ANA, BEN, 1)), effective_at=yesterday))

    assert {(entry.effective_at, entry.recorded_at) for entry in shelf.entries} == {(yesterday, NOON)}


# Against the model ------------------------------------------------------------------------------------------

SOUND = [ANA, BEN, LINE_OF_CREDIT, BANK]
ODD = [CAPPED, DOLLARS, FROZEN, CLOSED, ELSEWHERE, NOBODY]
HOLDS, POSTS, CAPTURES = (
    tuple(f"{kind} {place}" for place in range(4)) for kind in ("hold", "post", "capture")
)
PREAMBLE: tuple[Command, ...] = (
    ASK.post(POSTS[0], Leg(BANK, ANA, 200)),
    ASK.hold(HOLDS[0], ANA, amount_minor=50),
    ASK.hold(HOLDS[1], ANA, amount_minor=50, expires_at=NOON + 2 * MINUTE),
)


def mostly(usual: Sequence[AccountId], rare: Sequence[AccountId]) -> st.SearchStrategy[AccountId]:
    """One of the usual ones, and one time in ten one of the rare ones."""
    return st.integers(0, 9).flatmap(lambda die: st.sampled_from(rare if die == 9 else usual))


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """A command about few names, few accounts and small amounts, so that everything meets everything."""
    ask = ASK_THERE if draw(st.integers(0, 19)) == 19 else ASK
    amount = st.integers(1, 40) | st.integers(1, 10) | st.integers(0, 60)
    place = mostly(SOUND, ODD)
    leg = st.builds(Leg, place, place, amount)
    from_ana = st.builds(Leg, st.just(ANA), mostly([BEN, BANK], [*ODD, ANA]), amount)
    of_hold = draw(st.sampled_from([*HOLDS[:3], *HOLDS[:2], POSTS[0]]))
    match draw(st.sampled_from(["post", "hold", "capture", "capture", "release", "reverse"])):
        case "post":
            return ask.post(draw(st.sampled_from(POSTS)), *draw(st.lists(leg, min_size=0, max_size=4)))
        case "hold":
            expires_at = draw(st.none() | st.integers(-2, 6).map(lambda late: NOON + late * MINUTE))
            name = draw(st.sampled_from([*HOLDS, POSTS[1]]))
            return ask.hold(name, draw(mostly(SOUND, ODD)), amount_minor=draw(amount), expires_at=expires_at)
        case "capture":
            legs = draw(st.lists(from_ana, min_size=1, max_size=3) | st.lists(leg, max_size=2))
            name = draw(st.sampled_from(CAPTURES))
            return ask.capture(name, of_hold, *legs, final=draw(st.booleans()))
        case "release":
            name = draw(st.sampled_from(["release 0", "release 1", "release 2"]))
            return ask.release(name, of_hold, amount_minor=draw(st.none() | amount))
        case _:
            name = draw(st.sampled_from(["reverse 0", "reverse 1", "reverse 2"]))
            other = draw(st.sampled_from([*POSTS[:2], *CAPTURES, HOLDS[0], "reverse 0"]))
            return ask.reverse(name, other)


@st.composite
def groups_of_commands(draw: st.DrawFn) -> list[list[Command]]:
    """Mostly single commands, at times a few that stand or fall together, at times one that came before."""
    groups = draw(st.lists(st.lists(commands(), min_size=1, max_size=1), min_size=1, max_size=6))
    groups += draw(st.lists(st.lists(commands(), min_size=2, max_size=3), max_size=2))
    return [*groups, draw(st.sampled_from(groups))]


def model_of(shelf: Shelf) -> Model:
    purses: dict[str, Purse] = {
        item.id: Purse(
            programme_id=item.programme_id,
            currency=item.currency,
            grows_on_debit=item.side is Side.DEBIT,
            floor=item.min_available_minor,
            cap=item.max_balance_minor,
            status=item.status.value,
            debits=item.debits_minor,
            credits=item.credits_minor,
        )
        for item in shelf.accounts.values()
    }
    return Model(purses, {}, {}, set(), {})


BATCHES = st.lists(st.tuples(st.integers(-3, 6), groups_of_commands()), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(batches=BATCHES)
def test_what_is_decided_is_what_the_model_predicts(batches: list[tuple[int, list[list[Command]]]]) -> None:
    shelf = Shelf()
    model = model_of(shelf)

    preamble: list[list[Command]] = [[command] for command in PREAMBLE]
    for minutes, groups in [(0, preamble), *batches]:
        now = NOON + minutes * MINUTE
        predicted = [model.carry_out(group, now) for group in groups]
        decision = shelf.decide(*groups, now=now)

        assert [[answer_of(result) for result in group] for group in decision.results] == predicted
        assert {
            key: (item.debits_minor, item.credits_minor, item.held_minor)
            for key, item in shelf.accounts.items()
        } == {key: (purse.debits, purse.credits, purse.held) for key, purse in model.purses.items()}
        assert {key: item.remaining_minor for key, item in shelf.holds.items()} == {
            key: pledge.left for key, pledge in model.pledges.items()
        }
    _entries_tell_the_whole_story(shelf)


def _entries_tell_the_whole_story(shelf: Shelf) -> None:
    for account_id, end in shelf.accounts.items():
        own = [entry for entry in shelf.entries if entry.account_id == account_id]
        assert [entry.version for entry in own] == list(range(1, len(own) + 1))
        assert [entry.recorded_at for entry in own] == sorted(entry.recorded_at for entry in own)
        if own:
            last = own[-1]
            counters = (last.debits_after_minor, last.credits_after_minor, last.held_after_minor)
            assert counters == (end.debits_minor, end.credits_minor, end.held_minor)
    for transfer_id in {entry.transfer_id for entry in shelf.entries}:
        own = [entry for entry in shelf.entries if entry.transfer_id == transfer_id]
        assert len({entry.recorded_at for entry in own}) == 1
        assert sum(_signed(entry) for entry in own) == 0


def _signed(entry: Entry) -> int:
    return {Movement.DEBIT: 1, Movement.CREDIT: -1}.get(entry.movement, 0) * entry.amount_minor


def test_an_applied_command_is_answered_with_its_id(shelf: Shelf) -> None:
    command: Post = ASK.post("pay", Leg(ANA, BEN, 1))

    assert shelf.decide([command]).results == ((Applied(command.id),),)
