"""The deciding function, alone: what each command does, and what it leaves when it is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ledger.core.account import Movement, Status
from ledger.core.chart import Side
from ledger.core.commands import (
    LEGS_MAX,
    Applied,
    Authority,
    Command,
    Exists,
    Leg,
    Part,
    Post,
    Refusal,
    Refused,
)
from ledger.core.decide import Deciding, decide
from ledger.core.ids import AccountId, NoticeId, ProgrammeId, derived
from ledger.core.money import MINOR_MAX
from ledger.core.view import Book
from tests.ledger.model import answer_of
from tests.ledger.shelf import NOON, Shelf, account, account_after
from tests.ledger.world import Asker

MINUTE = timedelta(minutes=1)
HERE, THERE = ProgrammeId(derived("prg", "here")), ProgrammeId(derived("prg", "there"))
WORD = Authority(notice_id=NoticeId(derived("ntc", "word")))
ASK, ASK_THERE = Asker(HERE, WORD, NOON), Asker(THERE, WORD, NOON)


def acct(name: str) -> AccountId:
    return AccountId(derived("acct", name))


ANA, BEN, CAPPED, LINE_OF_CREDIT, BANK, DOLLARS, FROZEN, CLOSED, ELSEWHERE, NOBODY = map(
    acct, ["ana", "ben", "capped", "line", "bank", "dollars", "frozen", "closed", "elsewhere", "nobody"]
)
ACCOUNTS = (
    account(ANA, HERE, posted=100),
    account(BEN, HERE),
    account(CAPPED, HERE, cap=50),
    account(LINE_OF_CREDIT, HERE, floor=-30),
    account(BANK, HERE, floor=None, side=Side.DEBIT, posted=150),
    account(DOLLARS, HERE, floor=None, currency="USD"),
    account(FROZEN, HERE, status=Status.FROZEN, posted=50),
    account(CLOSED, HERE, status=Status.CLOSED),
    account(ELSEWHERE, THERE, floor=None),
)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(*ACCOUNTS)


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


def test_a_closed_account_takes_no_movement(shelf: Shelf) -> None:
    commands = (
        ASK.post("in", Leg(ANA, CLOSED, 1)),
        ASK.post("out", Leg(CLOSED, ANA, 1)),
        ASK.hold("hold", CLOSED, amount_minor=1),
        ASK.freeze("freeze", CLOSED),
        ASK.unfreeze("unfreeze", CLOSED),
        ASK.close("close", CLOSED),
    )

    assert shelf.ask(*commands) == [Refusal.ACCOUNT_CLOSED] * 6


def test_a_frozen_account_gives_nothing_but_takes_what_comes_in(shelf: Shelf) -> None:
    commands = (
        ASK.post("in", Leg(ANA, FROZEN, 1)),
        ASK.post("out", Leg(FROZEN, ANA, 1)),
        ASK.hold("hold", FROZEN, amount_minor=1),
        ASK.post("through", Leg(FROZEN, BEN, 1), Leg(BEN, FROZEN, 1)),
        ASK.reverse("back", "in"),
    )

    frozen = Refusal.ACCOUNT_FROZEN
    assert shelf.ask(*commands) == ["applied", frozen, frozen, frozen, frozen]


def test_a_frozen_asset_takes_debits_and_gives_no_credits() -> None:
    shelf = Shelf(account(BANK, HERE, side=Side.DEBIT, posted=10, status=Status.FROZEN), account(ANA, HERE))

    answers = shelf.ask(ASK.post("in", Leg(BANK, ANA, 1)), ASK.post("out", Leg(ANA, BANK, 1)))

    assert answers == ["applied", Refusal.ACCOUNT_FROZEN]


def test_a_hold_on_an_account_that_was_frozen_later_can_only_be_given_back(shelf: Shelf) -> None:
    shelf.ask(
        ASK.hold("hold", ANA, amount_minor=10, expires_at=NOON + MINUTE),
        ASK.hold("other", ANA, amount_minor=10),
        ASK.freeze("freeze", ANA),
    )

    answers = shelf.ask(
        ASK.capture("capture", "other", Leg(ANA, BEN, 10)),
        ASK.increase("increase", "other", amount_minor=1),
        ASK.release("release", "other"),
    )
    later = shelf.ask(ASK.expire("expire", "hold"), now=NOON + MINUTE)

    assert answers == [Refusal.ACCOUNT_FROZEN, Refusal.ACCOUNT_FROZEN, "applied"]
    assert later == ["applied"]


def test_an_account_is_frozen_thawed_and_closed(shelf: Shelf) -> None:
    answers = shelf.ask(
        ASK.unfreeze("too early", BEN),
        ASK.freeze("freeze", BEN),
        ASK.freeze("again", BEN),
        ASK.unfreeze("unfreeze", BEN),
        ASK.post("in", Leg(ANA, BEN, 1)),
        ASK.close("too early too", BEN),
        ASK.post("out", Leg(BEN, ANA, 1)),
        ASK.freeze("once more", BEN),
        ASK.close("close", BEN),
        ASK.post("too late", Leg(ANA, BEN, 1)),
    )

    assert answers == [
        Refusal.ACCOUNT_NOT_FROZEN, "applied", Refusal.ACCOUNT_FROZEN, "applied", "applied",
        Refusal.ACCOUNT_NOT_EMPTY, "applied", "applied", "applied", Refusal.ACCOUNT_CLOSED,
    ]  # fmt: skip
    assert shelf.accounts[BEN].status is Status.CLOSED


def test_a_refused_group_leaves_the_status_of_its_accounts(shelf: Shelf) -> None:
    answers = shelf.ask_group(ASK.freeze("freeze", ANA), ASK.post("pay", Leg(ANA, BEN, 1)))

    assert answers == [Refusal.GROUP_REFUSED, Refusal.ACCOUNT_FROZEN]
    assert shelf.ask(ASK.post("pay", Leg(ANA, BEN, 1))) == ["applied"]


# Opening ----------------------------------------------------------------------------------------------------


def test_an_account_opens_with_nothing_and_moves_in_the_same_batch(shelf: Shelf) -> None:
    new = acct("new")

    decision = shelf.decide(
        [ASK.open("open", new, subdivision=("new",), cap_minor=20), ASK.post("pay", Leg(ANA, new, 20))],
        [ASK.post("over", Leg(ANA, new, 1))],
    )

    assert [answer_of(result) for group in decision.results for result in group] == [
        "applied", "applied", Refusal.BALANCE_CAP,
    ]  # fmt: skip
    seen = [(item.version, item.movement.value) for item in shelf.entries if item.account_id == new]
    assert seen == [(1, "open"), (2, "credit")]


def test_an_account_of_a_refused_group_was_never_opened(shelf: Shelf) -> None:
    new, opening = acct("new"), ASK.open("open", acct("new"), subdivision=("new",))

    refused = shelf.ask_group(opening, ASK.post("pay", Leg(BEN, new, 1)))
    answers = shelf.ask(ASK.post("pay", Leg(ANA, new, 1)), opening, ASK.post("pay", Leg(ANA, new, 1)))

    assert refused == [Refusal.GROUP_REFUSED, Refusal.INSUFFICIENT_FUNDS]
    assert answers == [Refusal.ACCOUNT_UNKNOWN, "applied", "applied"]


def test_a_programme_counts_in_currencies_and_in_its_own_units(shelf: Shelf) -> None:
    shelf.units[HERE].add("COIN")

    answers = shelf.ask(
        ASK.open("yen", acct("yen"), subdivision=("yen",), currency="JPY"),
        ASK.open("coins", acct("coins"), subdivision=("coins",), currency="COIN"),
        ASK_THERE.open("theirs", acct("theirs"), subdivision=("coins",), currency="COIN"),
        ASK.open("nothing", acct("nothing"), subdivision=("nothing",), currency="QQQ"),
    )

    assert answers == ["applied", "applied", Refusal.CURRENCY_UNKNOWN, Refusal.CURRENCY_UNKNOWN]


# Limits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(99, "applied"), (100, "applied"), (101, Refusal.INSUFFICIENT_FUNDS)]
)
def test_an_account_gives_what_it_has(shelf: Shelf, amount_minor: int, answer: str) -> None:
    assert shelf.ask(ASK.post("pay", Leg(ANA, BEN, amount_minor))) == [answer]
    assert Shelf(*ACCOUNTS).ask(ASK.hold("hold", ANA, amount_minor=amount_minor)) == [answer]


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
    shelf = Shelf(account(BANK, HERE, side=Side.DEBIT, posted=10), account(ANA, HERE))

    answers = shelf.ask(ASK.post("more", Leg(ANA, BANK, 11)), ASK.post("less", Leg(BANK, ANA, 1)))

    assert answers == [Refusal.INSUFFICIENT_FUNDS, "applied"]


def test_an_account_below_its_floor_still_takes_what_brings_it_up() -> None:
    # A floor that was raised later must not lock its account.
    shelf = Shelf(account(ANA, HERE, floor=50, posted=10), account(BANK, HERE, floor=None, side=Side.DEBIT))

    answers = shelf.ask(ASK.post("up", Leg(BANK, ANA, 5)), ASK.post("down", Leg(ANA, BANK, 1)))

    assert answers == ["applied", Refusal.INSUFFICIENT_FUNDS]


def test_an_account_above_its_cap_still_gives() -> None:
    shelf = Shelf(account(ANA, HERE, cap=50, posted=90), account(BANK, HERE, floor=None, side=Side.DEBIT))

    answers = shelf.ask(ASK.post("down", Leg(ANA, BANK, 5)), ASK.post("up", Leg(BANK, ANA, 1)))

    assert answers == ["applied", Refusal.BALANCE_CAP]


# The end of 63 bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "answer"), [(9, "applied"), (10, "applied"), (11, Refusal.OVERFLOW)]
)
def test_a_counter_is_filled_to_63_bits_and_no_further(amount_minor: int, answer: str) -> None:
    shelf = Shelf(account(ANA, HERE, posted=MINOR_MAX - 10), account(BANK, HERE, floor=None, side=Side.DEBIT))

    assert shelf.ask(ASK.post("last", Leg(BANK, ANA, amount_minor))) == [answer]


def test_a_counter_is_full_for_good_because_it_only_grows() -> None:
    shelf = Shelf(account(ANA, HERE, posted=MINOR_MAX), account(BANK, HERE, floor=None, side=Side.DEBIT))

    answers = shelf.ask(ASK.post("back", Leg(ANA, BANK, 100)), ASK.post("again", Leg(BANK, ANA, 1)))

    assert answers == ["applied", Refusal.OVERFLOW]


@pytest.mark.parametrize(("amount_minor", "answer"), [(1, "applied"), (2, Refusal.OVERFLOW)])
def test_held_amounts_are_filled_to_63_bits_and_no_further(amount_minor: int, answer: str) -> None:
    shelf = Shelf(account(ANA, HERE, floor=None, posted=10))
    assert shelf.ask(ASK.hold("first", ANA, amount_minor=MINOR_MAX - 1)) == ["applied"]

    assert shelf.ask(ASK.hold("second", ANA, amount_minor=amount_minor)) == [answer]


@pytest.mark.parametrize(("held_minor", "answer"), [(5, "applied"), (6, Refusal.OVERFLOW)])
def test_the_available_balance_stays_within_63_bits_where_nothing_else_limits_it(
    held_minor: int, answer: str
) -> None:
    shelf = Shelf(account(ANA, HERE, floor=None), account(BEN, HERE))
    assert shelf.ask(ASK.post("deep", Leg(ANA, BEN, MINOR_MAX - 5))) == ["applied"]

    assert shelf.ask(ASK.hold("deeper", ANA, amount_minor=held_minor)) == [answer]


# Holds ------------------------------------------------------------------------------------------------------


def test_authorising_touches_one_account_only(shelf: Shelf) -> None:
    decision = shelf.decide([ASK.hold("hold", ANA, amount_minor=40)])

    assert [(entry.account_id, entry.movement) for entry in decision.entries()] == [(ANA, Movement.HOLD)]
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
    other = Shelf(*ACCOUNTS)
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


def test_a_hold_is_increased_as_long_as_it_is_open(shelf: Shelf) -> None:
    answers = shelf.ask(
        ASK.hold("hold", ANA, amount_minor=40),
        ASK.increase("more", "hold", amount_minor=60),
        ASK.increase("too much", "hold", amount_minor=1),
        ASK.capture("all", "hold", Leg(ANA, BEN, 100)),
        ASK.increase("too late", "hold", amount_minor=1),
    )

    assert answers == ["applied", "applied", Refusal.INSUFFICIENT_FUNDS, "applied", Refusal.HOLD_CLOSED]
    hold = shelf.holds[ASK.xfr("hold")]
    assert (hold.amount_minor, hold.captured_minor, hold.remaining_minor) == (100, 100, 0)


def test_an_expired_hold_gives_back_all_that_is_left_of_it(shelf: Shelf) -> None:
    shelf.ask(
        ASK.hold("hold", ANA, amount_minor=40, expires_at=NOON + MINUTE),
        ASK.capture("part", "hold", Leg(ANA, BEN, 15)),
    )

    (result, again) = shelf.results(
        ASK.expire("expire", "hold"), ASK.expire("again", "hold"), now=NOON + MINUTE
    )

    assert result == Applied(ASK.xfr("expire"), NOON + MINUTE, 25)
    assert answer_of(again) == Refusal.HOLD_CLOSED
    assert (shelf.available(ANA), shelf.accounts[ANA].held_minor) == (85, 0)


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


def test_a_transfer_is_reversed_in_part_and_then_no_more(shelf: Shelf) -> None:
    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 60), Leg(ANA, LINE_OF_CREDIT, 5)))

    (result, *refused) = shelf.results(
        ASK.reverse("some", "pay", Part(1, 20), Part(2, 5), Part(1, 30)),
        ASK.reverse("rest", "pay", Part(1, 1)),
    )

    assert result == Applied(ASK.xfr("some"), NOON, 55)
    assert [answer_of(item) for item in refused] == [Refusal.ALREADY_REVERSED]
    assert (shelf.available(ANA), shelf.available(BEN), shelf.available(LINE_OF_CREDIT)) == (90, 10, 0)


def test_a_reversal_undoes_what_was_moved_and_not_what_was_asked(shelf: Shelf) -> None:
    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 5_000, up_to=True)))

    assert shelf.results(ASK.reverse("undo", "pay")) == [Applied(ASK.xfr("undo"), NOON, 100)]
    assert (shelf.available(ANA), shelf.available(BEN)) == (100, 0)


# Up to what is available -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("most_minor", "moved_minor"), [(59, 59), (60, 60), (61, 60), (MINOR_MAX, 60)])
def test_a_leg_up_to_an_amount_moves_what_is_available(
    shelf: Shelf, most_minor: int, moved_minor: int
) -> None:
    command = ASK.post("sweep", Leg(ANA, BEN, most_minor, up_to=True))

    (_, result) = shelf.results(ASK.hold("hold", ANA, amount_minor=40), command)

    assert result == Applied(command.id, NOON, moved_minor)
    assert shelf.results(command) == [Exists(command.id, NOON, moved_minor)]


def test_an_overdraft_line_is_available_too(shelf: Shelf) -> None:
    assert shelf.results(ASK.post("sweep", Leg(LINE_OF_CREDIT, BEN, 50, up_to=True))) == [
        Applied(ASK.xfr("sweep"), NOON, 30)
    ]


def test_an_account_without_a_floor_gives_all_that_is_asked(shelf: Shelf) -> None:
    assert shelf.results(ASK.post("fill", Leg(BANK, BEN, 5_000, up_to=True))) == [
        Applied(ASK.xfr("fill"), NOON, 5_000)
    ]


def test_a_leg_up_to_an_amount_sees_the_legs_before_it(shelf: Shelf) -> None:
    shelf.ask(
        ASK.post("pass on", Leg(ANA, BEN, 70), Leg(BEN, CAPPED, 50), Leg(BEN, LINE_OF_CREDIT, 99, up_to=True))
    )

    assert (shelf.available(BEN), shelf.available(LINE_OF_CREDIT)) == (0, 20)


def test_a_leg_up_to_an_amount_does_not_look_at_what_the_receiver_may_hold(shelf: Shelf) -> None:
    answers = shelf.ask(
        ASK.post("over", Leg(ANA, CAPPED, 100, up_to=True)), ASK.post("fill", Leg(ANA, CAPPED, 50))
    )

    assert answers == [Refusal.BALANCE_CAP, "applied"]


def test_a_capture_says_how_much(shelf: Shelf) -> None:
    shelf.ask(ASK.hold("hold", ANA, amount_minor=40))

    assert shelf.ask(ASK.capture("some", "hold", Leg(ANA, BEN, 1, up_to=True))) == [Refusal.EXCEEDS_HOLD]


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

    moved = [10, 40, 15, 25, 10]
    assert [result for (result,) in again.results] == [
        Exists(command.id, NOON, minor) for command, minor in zip(commands, moved, strict=True)
    ]
    assert again.recorded == []
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
    assert [entry.version for entry in decision.entries() if entry.account_id == BEN] == [1, 2]


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

    of_ana = {ASK.xfr("two"), ASK.xfr("held")}
    assert {(item.transfer_id in of_ana, item.recorded_at) for item in decision.entries()} == {
        (True, NOON + 9 * MINUTE),
        (False, NOON + MINUTE),
    }
    assert [item.recorded_at for item in decision.recorded] == [NOON + 9 * MINUTE] * 2 + [NOON + MINUTE]


def test_the_effective_time_is_the_callers(shelf: Shelf) -> None:
    yesterday = NOON - timedelta(days=1)

    shelf.ask(replace(ASK.post("valued", Leg(ANA, BEN, 1)), effective_at=yesterday))

    assert {(entry.effective_at, entry.recorded_at) for entry in shelf.entries} == {(yesterday, NOON)}


def test_nothing_is_recorded_at_or_before_an_instant_that_was_answered_about(shelf: Shelf) -> None:
    shelf.set_calendar(HERE, answered_until=NOON + MINUTE)

    shelf.ask(ASK.post("pay", Leg(ANA, BEN, 1)), ASK_THERE.freeze("elsewhere", ELSEWHERE))

    assert {(item.account_id, item.recorded_at) for item in shelf.entries} == {
        (ANA, NOON + MINUTE + timedelta(microseconds=1)),
        (BEN, NOON + MINUTE + timedelta(microseconds=1)),
        (ELSEWHERE, NOON),
    }


# A batch ----------------------------------------------------------------------------------------------------


def test_an_applied_command_is_answered_with_its_id_its_instant_and_what_it_moved(shelf: Shelf) -> None:
    command: Post = ASK.post("pay", Leg(ANA, BEN, 1), Leg(ANA, BEN, 2))

    assert shelf.results(command) == [Applied(command.id, NOON, 3)]


def test_a_batch_decided_in_pieces_is_the_batch_decided_at_once() -> None:
    groups: list[list[Command]] = [
        [ASK.post("one", Leg(ANA, BEN, 60, up_to=True)), ASK.hold("hold", BEN, amount_minor=50)],
        [ASK.post("short", Leg(ANA, BEN, 41))],
        [ASK.capture("part", "hold", Leg(BEN, ANA, 10)), ASK.increase("more", "hold", amount_minor=5)],
        [ASK.reverse("undo", "one", Part(1, 9))],
        [ASK.reverse("again", "one")],
        [ASK.release("rest", "hold"), ASK.freeze("freeze", BEN)],
        [ASK.post("one", Leg(ANA, BEN, 60, up_to=True))],
    ]
    accounts = {item.id: item for item in ACCOUNTS}

    whole, changes = decide(Book(accounts=accounts), groups, NOON)
    deciding = Deciding(Book(accounts=accounts), NOON)
    pieces = [deciding.decide([group]) for group in groups]

    assert [group for piece in pieces for group in piece.results] == whole.results
    assert [item for piece in pieces for item in piece.recorded] == whole.recorded
    again = deciding.changes()
    assert again.holds == changes.holds
    assert [(running.account, account_after(running)) for running in again.accounts] == [
        (running.account, account_after(running)) for running in changes.accounts
    ]
