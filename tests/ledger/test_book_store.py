"""What the database refuses by itself, whatever the code above it believes; and that a batch costs what one does."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from api.database import engine
from ledger import book
from ledger.core.account import Account, LegRecord, Movement, StepRecord
from ledger.core.chart import Side
from ledger.core.commands import (
    BATCH_MAX,
    Applied,
    Authority,
    Command,
    Exists,
    Leg,
    Part,
    Rate,
    Refusal,
)
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, ClearanceId
from ledger.core.money import MINOR_MAX
from ledger.core.running import Running
from ledger.core.view import Recorded
from ledger.store.accounts import lock_accounts, pack_accounts, read_accounts, save_accounts
from ledger.store.identities import identities
from ledger.store.known import known_transfers
from ledger.store.postings import (
    insert_further_legs,
    pack_further_legs,
    pack_transfers,
    read_holds,
    read_posted,
    writing_transfers,
)
from ledger.store.schema import accounts
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx, make_programme
from tests.ledger.model import answer_of
from tests.ledger.world import Asker, asker, breaches, done, open_account, table_counts

FACTS = {
    "enclave_heads": "count",
    "transfers": "reference",
    "further_legs": "leg",
    "units": "name",
    "clearances": "order_kind",
    "cases": "order_kind",
    "line_steps": "line_no",
    "events": "type",
    "statements": "iban",
    "statement_lines": "line_no",
    "matches": "rule",
    "log_leaves": "position",
    "checkpoints": "size",
    "sanctions_lists": "name",
    "sanctions_names": "name",
}
CHANGES = ("UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table} CASCADE")


class Bank:
    """A programme whose bank account may pay out as much as a test needs."""

    def __init__(self, tx: Tx, name: str = "pay-eu") -> None:
        self.ask: Asker = asker(tx, make_programme(tx, name))
        self.safe = self.account(tx, floor_minor=None, side=Side.DEBIT)
        self.ana = self.account(tx)
        self.ben = self.account(tx)

    def account(
        self,
        tx: Tx,
        *,
        currency: str = "EUR",
        side: Side = Side.CREDIT,
        floor_minor: int | None = 0,
        cap_minor: int | None = None,
    ) -> AccountId:
        return open_account(
            tx,
            self.ask.programme_id,
            currency=currency,
            side=side,
            floor_minor=floor_minor,
            cap_minor=cap_minor,
        )

    def fund(self, tx: Tx, amount_minor: int) -> None:
        done(tx, self.ask.post("fund", Leg(self.safe, self.ana, amount_minor)))


@pytest.fixture
def bank(open_tx: OpenTx) -> Bank:
    with open_tx() as tx:
        return Bank(tx)


def statements_of(open_tx: OpenTx, work: Callable[[Tx], object]) -> int:
    """How many statements a piece of work sends to the server, as the driver itself writes them down."""
    with tempfile.TemporaryFile("w+") as trace:
        with open_tx() as tx:
            driver = tx.connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.pgconn.trace(trace.fileno())
            work(tx)
            driver.pgconn.untrace()
        trace.seek(0)
        return sum(re.search(r"\tF\t\d+\t(Query|Execute)\b", line) is not None for line in trace)


# A batch costs what one does --------------------------------------------------------------------------------


def mixed(bank: Bank, batch: str, count: int) -> list[list[Command]]:
    """Groups of every kind of command that moves money, `count` of each."""
    ask, groups = bank.ask, list[list[Command]]()
    for place in range(count):
        name = f"{batch} {place}"
        groups += [
            [ask.post(f"{name} post", Leg(bank.safe, bank.ana, 10), Leg(bank.ana, bank.ben, 1))],
            [
                ask.hold(f"{name} hold", bank.ana, amount_minor=5),
                ask.increase(f"{name} more", f"{name} hold", amount_minor=2),
                ask.capture(f"{name} capture", f"{name} hold", Leg(bank.ana, bank.ben, 2)),
            ],
            [ask.release(f"{name} rest", f"{name} hold"), ask.reverse(f"{name} undo", f"{name} post")],
            [ask.freeze(f"{name} freeze", bank.ben), ask.unfreeze(f"{name} unfreeze", bank.ben)],
        ]
    return groups


def post_all(tx: Tx, groups: list[list[Command]]) -> None:
    results = book.post(tx, groups)
    assert all(isinstance(result, Applied) for group in results for result in group)


def test_the_number_of_statements_does_not_grow_with_the_batch(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10_000)
        post_all(tx, mixed(bank, "the first", 1))  # the connection meets its accounts

    counts = {
        size: statements_of(open_tx, partial(post_all, groups=mixed(bank, f"of {size}", size)))
        for size in (1, 10, 500)
    }

    assert counts[1] == counts[10] == counts[500]
    assert counts[1] <= 14


def test_touching_old_holds_and_transfers_costs_the_same_for_one_and_for_many(
    open_tx: OpenTx, bank: Bank
) -> None:
    ask, counts = bank.ask, {}
    with open_tx() as tx:
        bank.fund(tx, 10_000)
        done(tx, *(ask.hold(f"hold {place}", bank.ana, amount_minor=3) for place in range(200)))
        done(tx, *(ask.post(f"pay {place}", Leg(bank.ana, bank.ben, 3)) for place in range(200)))

    def touch(tx: Tx, places: range) -> None:
        leg = Leg(bank.ana, bank.ben, 2)
        done(
            tx,
            *(ask.capture(f"cap {place}", f"hold {place}", leg) for place in places),
            *(ask.reverse(f"undo {place}", f"pay {place}") for place in places),
        )

    for places in (range(199, 200), range(199)):
        counts[len(places)] = statements_of(open_tx, partial(touch, places=places))

    assert counts[1] == counts[199]


def test_opening_one_account_costs_what_opening_many_does(open_tx: OpenTx, bank: Bank) -> None:
    def openings(batch: str, count: int) -> list[list[Command]]:
        with open_tx() as tx:
            new = [AccountId(tx.new_id("acct")) for _ in range(count)]
        return [
            [bank.ask.open(f"{batch} {place}", account_id, subdivision=(batch, str(place)))]
            for place, account_id in enumerate(new)
        ]

    one, many = openings("one", 1), openings("many", 300)

    assert statements_of(open_tx, lambda tx: post_all(tx, one)) == statements_of(
        open_tx, lambda tx: post_all(tx, many)
    )


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"id": "xfr_" + 32 * "A"}, "id"),
        ({"id": "xfr_1"}, "id"),
        ({"effective_at": MONDAY_MORNING.replace(tzinfo=None)}, "effective_at"),
        ({"effective_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "effective_at"),
        ({"effective_at": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2)))}, "effective_at"),
        ({"reference": "a\0b"}, "reference"),
        ({"reference": "\ud800"}, "reference"),
        ({"reference": 1_025 * "x"}, "reference"),
        ({"metadata": {"a": 1.5}}, "metadata"),
        ({"metadata": {"a": float("nan")}}, "metadata"),
        ({"metadata": {1: "a"}}, "metadata"),
        ({"metadata": {"a": {"b": ["\0"]}}}, "metadata"),
        ({"metadata": {"\udfff": "a"}}, "metadata"),
        ({"metadata": {"a": 131_072 * "x"}}, "metadata"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_name(
    open_tx: OpenTx, bank: Bank, said: dict[str, Any], field: str
) -> None:
    good, bad = (bank.ask.post(name, Leg(bank.safe, bank.ana, 5)) for name in ("good", "bad"))
    with pytest.raises(InvalidValue) as refused, open_tx() as tx:
        book.post(tx, [[good], [replace(bad, **said)]])

    assert refused.value.field == field
    with open_tx() as tx:
        assert read_posted(tx, {good.id}) == {}


@pytest.mark.parametrize("expires_at", [datetime(2026, 11, 30), datetime(9999, 12, 31, tzinfo=UTC)])  # noqa: DTZ001
def test_a_hold_expires_at_an_instant(open_tx: OpenTx, bank: Bank, expires_at: datetime) -> None:
    hold = replace(bank.ask.hold("hold", bank.ana, amount_minor=1), expires_at=expires_at)

    with pytest.raises(InvalidValue) as refused, open_tx() as tx:
        book.post(tx, [[hold]])
    assert refused.value.field == "expires_at"


def test_a_batch_has_a_largest_size(open_tx: OpenTx, bank: Bank) -> None:
    hold = bank.ask.hold("hold", bank.ana, amount_minor=1)

    with open_tx() as tx:
        with pytest.raises(InvalidValue, match="8192"):
            book.post(tx, [[hold] * BATCH_MAX, [hold]])
        results = book.post(tx, [[hold]] * BATCH_MAX)

    assert {answer_of(result) for (result,) in results} == {Refusal.INSUFFICIENT_FUNDS}


def test_an_empty_batch_does_nothing(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        assert book.post(tx, []) == ()
        assert book.post(tx, [[], []]) == ((), ())


def test_the_results_of_a_batch_are_those_of_one_by_one(open_tx: OpenTx) -> None:
    answers = []
    for together in (True, False):
        with open_tx() as tx:
            bank = Bank(tx, f"together-{together}".lower())
            groups: list[list[Command]] = [
                *mixed(bank, "a", 3),
                *mixed(bank, "a", 4),
                [bank.ask.post("short", Leg(bank.ben, bank.safe, 9_999))],
            ]
            results = book.post(tx, groups) if together else [book.post(tx, [group])[0] for group in groups]
            states = lock_accounts(tx, [bank.safe, bank.ana, bank.ben])
        counters = [
            (item.debits_minor, item.credits_minor, item.held_minor, item.version)
            for item in (states[bank.safe], states[bank.ana], states[bank.ben])
        ]
        answers.append(([[answer_of(result) for result in group] for group in results], counters))

    assert answers[0] == answers[1]


def test_the_ids_of_a_large_transaction_sort_in_the_order_of_their_making(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ids = [tx.new_id("evt") for _ in range(BATCH_MAX + 1)]

    assert ids == sorted(ids)


# Holds and reversals of other days --------------------------------------------------------------------------


def test_a_reversal_is_not_reversed_in_another_transaction_either(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 100)
        done(tx, bank.ask.post("pay", Leg(bank.ana, bank.ben, 60)))
    with open_tx() as tx:
        done(tx, bank.ask.reverse("undo", "pay"))

    with open_tx() as tx:
        ((again,), (redo,)) = book.post(
            tx, [[bank.ask.reverse("again", "pay")], [bank.ask.reverse("redo", "undo")]]
        )

    assert [answer_of(again), answer_of(redo)] == [Refusal.ALREADY_REVERSED, Refusal.TRANSFER_UNKNOWN]


def test_transfers_and_holds_are_read_back_as_they_were_decided(open_tx: OpenTx, bank: Bank) -> None:
    ask = bank.ask
    legs = (Leg(bank.safe, bank.ana, 10), Leg(bank.ana, bank.ben, 3), Leg(bank.safe, bank.ana, 10))
    expiry = MONDAY_MORNING + timedelta(hours=1)

    with open_tx() as tx:
        done(
            tx,
            ask.post("pay", *legs),
            ask.hold("hold", bank.ana, amount_minor=9, expires_at=expiry),
            ask.capture("cap", "hold", Leg(bank.ana, bank.ben, 2)),
            ask.release("rel", "hold", amount_minor=3),
        )
    with open_tx() as tx:
        read = read_posted(tx, {ask.xfr("pay"), ask.xfr("hold"), ask.xfr("cap"), ask.xfr("rel")})
        hold = read_holds(tx, {ask.xfr("hold")})[ask.xfr("hold")]

    assert {item.legs for item in read.values()} == {legs, (Leg(bank.ana, bank.ben, 2),)}
    assert (hold.amount_minor, hold.captured_minor, hold.released_minor, hold.remaining_minor) == (9, 2, 3, 4)
    assert hold.expires_at == expiry


def test_what_63_bits_cannot_hold_is_refused_and_not_an_error(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        deep = bank.account(tx, floor_minor=None)
        done(tx, bank.ask.post("deep", Leg(deep, bank.ana, MINOR_MAX)))
        ((hold,), (post,)) = book.post(
            tx,
            [
                [bank.ask.hold("hold", deep, amount_minor=1)],
                [bank.ask.post("more", Leg(bank.safe, bank.ana, 1))],
            ],
        )

    assert [answer_of(hold), answer_of(post)] == [Refusal.OVERFLOW, Refusal.OVERFLOW]


# The last walls ---------------------------------------------------------------------------------------------


def test_no_update_can_overdraw_an_account_or_pass_its_cap(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        capped = bank.account(tx, cap_minor=200)
        done(tx, bank.ask.post("fill", Leg(bank.safe, capped, 100)))
        number = read_accounts(tx, [capped])[capped].account.number

    for change, constraint in (
        ("debits_minor = 101", "standings_min_available"),
        ("held_minor = 101", "standings_min_available"),
        ("debits_minor = 51, held_minor = 50", "standings_min_available"),
        ("credits_minor = 201", "standings_max_balance"),
        ("held_minor = -1", "standings_held_minor_check"),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=constraint), open_tx() as tx:
            tx.run(sa.text(f"UPDATE standings SET {change} WHERE number = {number}"))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("accounts", column.name) for column in accounts.columns),
        *(("standings", name) for name in ("number", "side", "min_available_minor", "max_balance_minor")),
    ],
)
def test_what_an_account_is_and_may_have_cannot_be_updated(open_tx: OpenTx, table: str, column: str) -> None:
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), open_tx() as tx:
        tx.run(sa.text(f"UPDATE {table} SET {column} = {column}"))


def counters(account: Account) -> tuple[int, int, int]:
    return account.debits_minor, account.credits_minor, account.held_minor


def leg_by_hand(tx: Tx, debit_id: AccountId, credit_id: AccountId, *, amount_minor: int = 5) -> LegRecord:
    """A leg as no code of ours would write it: of whatever accounts, with whatever amount."""
    accounts = lock_accounts(tx, [debit_id, credit_id])
    debit, credit = accounts[debit_id], accounts[credit_id]
    return LegRecord(
        debit,
        credit,
        amount_minor,
        debit.version + 1,
        credit.version + 1,
        *counters(debit),
        *counters(credit),
    )


def step_by_hand(tx: Tx, account_id: AccountId, movement: Movement, amount_minor: int) -> StepRecord:
    account = lock_accounts(tx, [account_id])[account_id]
    return StepRecord(account, movement, account.version + 1, amount_minor, *counters(account))


def refused_by_the_database(open_tx: OpenTx, match: str, work: Callable[[Tx], object]) -> None:
    """Raises: AssertionError when the database takes it, or refuses it for another reason."""
    with pytest.raises(sa.exc.IntegrityError, match=match), open_tx() as tx:
        work(tx)


def write_by_hand(tx: Tx, command: Command, *legs: LegRecord, step: StepRecord | None = None) -> None:
    recorded = [Recorded(command, MONDAY_MORNING, legs, step)]
    with writing_transfers(tx) as write_transfers:
        write_transfers(pack_transfers(recorded))
    insert_further_legs(tx, pack_further_legs(recorded))


def insert_legs(tx: Tx, bank: Bank, *legs: LegRecord) -> None:
    """A transfer with these legs; what its command says of them is nowhere."""
    write_by_hand(tx, bank.ask.post("by hand", Leg(bank.safe, bank.ana, 5)), *legs)


def insert_second(tx: Tx, bank: Bank, leg: LegRecord) -> None:
    """A sound transfer with this leg behind its first."""
    insert_legs(tx, bank, leg_by_hand(tx, bank.safe, bank.ana), leg)


def test_a_leg_is_an_amount_between_two_accounts(open_tx: OpenTx, bank: Bank) -> None:
    for other, amount_minor, constraint in (
        (bank.ana, 0, "amount_minor_check"),
        (bank.ana, -5, "amount_minor_check"),
        (bank.safe, 5, "two_accounts"),
    ):
        for insert, table in ((insert_legs, "transfers"), (insert_second, "further_legs")):
            with pytest.raises(sa.exc.IntegrityError, match=f"{table}_{constraint}"), open_tx() as tx:
                insert(tx, bank, leg_by_hand(tx, bank.safe, other, amount_minor=amount_minor))


def test_a_leg_over_two_currencies_or_two_programmes_is_refused_by_the_database(
    open_tx: OpenTx, bank: Bank
) -> None:
    with open_tx() as tx:
        dollars = bank.account(tx, currency="USD")
        elsewhere = make_programme(tx, "elsewhere")
        theirs, theirs_too = (open_account(tx, elsewhere) for _ in range(2))

    for pair in (
        (bank.safe, dollars),
        (dollars, bank.safe),
        (bank.safe, theirs),
        (theirs, bank.safe),
        (theirs, theirs_too),  # of one programme, but not of the transfer's
    ):
        for insert in (insert_legs, insert_second):
            with (
                pytest.raises(sa.exc.IntegrityError, match=r"leg .*joins two"),
                open_tx() as tx,
            ):
                insert(tx, bank, leg_by_hand(tx, *pair))


def test_a_step_on_an_account_of_another_programme_is_refused_by_the_database(
    open_tx: OpenTx, bank: Bank
) -> None:
    with open_tx() as tx:
        theirs = open_account(tx, make_programme(tx, "elsewhere"))

    def insert(tx: Tx) -> None:
        command = bank.ask.freeze("by hand", theirs)
        write_by_hand(tx, command, step=step_by_hand(tx, theirs, Movement.FREEZE, 0))

    refused_by_the_database(open_tx, "on accounts of its own programme", insert)


def test_a_leg_of_an_account_that_is_not_there_is_refused_by_the_database(
    open_tx: OpenTx, bank: Bank
) -> None:
    with open_tx() as tx:
        leg = leg_by_hand(tx, bank.safe, bank.ana)
        nowhere = leg._replace(credit=leg.credit._replace(number=999_999))

    for insert in (insert_legs, insert_second):
        with pytest.raises(sa.exc.IntegrityError, match=r"leg .*joins two"), open_tx() as tx:
            insert(tx, bank, nowhere)


def test_one_bad_leg_among_good_ones_is_refused_by_the_database(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        dollars = bank.account(tx, currency="USD")

    def insert(tx: Tx) -> None:
        pairs = ((bank.safe, bank.ana), (bank.safe, bank.ben), (bank.ben, dollars))
        insert_legs(tx, bank, *(leg_by_hand(tx, *pair) for pair in pairs))

    refused_by_the_database(open_tx, r"leg .*joins two", insert)


def test_sound_legs_are_taken_so_the_refusals_above_have_one_cause(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        legs = leg_by_hand(tx, bank.safe, bank.ana), leg_by_hand(tx, bank.ana, bank.ben)
        insert_legs(tx, bank, *legs)
        frozen = bank.ask.freeze("frozen by hand", bank.ben)
        write_by_hand(tx, frozen, step=step_by_hand(tx, bank.ben, Movement.FREEZE, 0)._replace(version=9))

        (posted,) = read_posted(tx, {bank.ask.xfr("by hand")}).values()
        assert posted.legs == (Leg(bank.safe, bank.ana, 5), Leg(bank.ana, bank.ben, 5))


def test_which_transaction_wrote_a_transfer_is_not_for_the_application_to_say(open_tx: OpenTx) -> None:
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), open_tx() as tx:
        tx.run(sa.text("INSERT INTO transfers (id, xid) VALUES (gen_random_uuid(), '9000000000000000000')"))


def further_leg(tx: Tx, bank: Bank, name: str, leg: LegRecord, at: datetime = MONDAY_MORNING) -> None:
    """A second leg by itself, of a transfer that is there already or never will be."""
    command = bank.ask.post(name, Leg(bank.safe, bank.ana, 5))
    insert_further_legs(tx, pack_further_legs([Recorded(command, at, (leg, leg), None)]))


def test_a_transfer_that_stands_takes_no_further_leg(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        insert_legs(tx, bank, leg_by_hand(tx, bank.safe, bank.ana))

    with pytest.raises(sa.exc.IntegrityError, match="comes with its transfer"), open_tx() as tx:
        further_leg(tx, bank, "by hand", leg_by_hand(tx, bank.safe, bank.ben))


def test_a_further_leg_without_its_transfer_is_refused_by_the_database(open_tx: OpenTx, bank: Bank) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="comes with its transfer"), open_tx() as tx:
        further_leg(tx, bank, "never", leg_by_hand(tx, bank.safe, bank.ben))


COUNTERS = "debit_debits_minor, debit_credits_minor, debit_held_minor"
COUNTERS += ", credit_debits_minor, credit_credits_minor, credit_held_minor"
LEG = f"amount_minor, debit_number, credit_number, debit_version, credit_version, {COUNTERS}"
SAID = "programme_id, kind, reference, clearance_id, notice_id, effective_at, recorded_at"
A_TRANSFER = (
    f"INSERT INTO public.transfers (id, {SAID}, {LEG}) SELECT gen_random_uuid(), {SAID}, amount_minor, "
)
A_LEG = f"INSERT INTO public.further_legs (transfer_id, effective_at, recorded_at, leg, {LEG})"
A_LEG += " SELECT id, effective_at, recorded_at, {leg}, amount_minor, "
NEXT = f"debit_number, {{credit}}, debit_version + 1, {{version}}, {COUNTERS} FROM public.transfers"


@pytest.fixture
def posted(open_tx: OpenTx, bank: Bank) -> str:
    """The condition that finds one transfer that stands."""
    with open_tx() as tx:
        insert_legs(tx, bank, leg_by_hand(tx, bank.safe, bank.ana))
    return f" WHERE id = '{bank.ask.xfr('by hand').removeprefix('xfr_')}'"


@pytest.mark.parametrize(
    ("shadow", "forged"),
    [
        ("SELECT number, programme_id, CAST('EUR' AS text) AS currency FROM public.accounts", "accounts"),
        (f"SELECT id, pg_current_xact_id() AS xid, debit_number, {SAID} FROM public.transfers", "transfers"),
    ],
)
def test_nobodys_own_table_stands_before_ours(
    open_tx: OpenTx, bank: Bank, posted: str, shadow: str, forged: str
) -> None:
    """Anyone may make temporary tables, and by default they are found first."""
    with open_tx() as tx:
        dollars = bank.account(tx, currency="USD")
        number = lock_accounts(tx, [dollars])[dollars].number
    lies = {
        "accounts": A_TRANSFER + NEXT.format(credit=number, version=2) + posted,
        "transfers": A_LEG.format(leg=2)
        + NEXT.format(credit="credit_number", version="credit_version + 1")
        + posted,
    }

    def insert(tx: Tx) -> None:
        tx.run(sa.text(f"CREATE TEMP TABLE {forged} ON COMMIT DROP AS {shadow}"))
        tx.run(sa.text(lies[forged]))

    refused_by_the_database(open_tx, r"leg .*joins", insert)


@pytest.mark.parametrize(("leg", "taken"), [(2, True), (3, False)])
def test_a_further_leg_comes_in_its_turn(open_tx: OpenTx, bank: Bank, leg: int, *, taken: bool) -> None:
    where = f" WHERE id = '{bank.ask.xfr('by hand').removeprefix('xfr_')}'"
    following = NEXT.format(credit="credit_number", version="credit_version + 1")

    def insert(tx: Tx) -> None:
        insert_legs(tx, bank, leg_by_hand(tx, bank.safe, bank.ana))
        assert tx.run(sa.text(A_LEG.format(leg=leg) + following + where)) == 1

    if taken:
        with open_tx() as tx:
            insert(tx)
    else:
        refused_by_the_database(open_tx, "in its turn", insert)


def test_a_transfer_names_a_hold_and_a_transfer_that_are_there(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
        back = leg_by_hand(tx, bank.ana, bank.safe)
        step = step_by_hand(tx, bank.ana, Movement.RELEASE, 5)
    nothing = bank.ask.reverse("by hand", "never")
    no_hold = bank.ask.release("by hand", "fund", amount_minor=5)

    refused_by_the_database(open_tx, "does not have", lambda tx: write_by_hand(tx, nothing, back))
    refused_by_the_database(open_tx, "does not have", lambda tx: write_by_hand(tx, no_hold, step=step))


def test_a_further_leg_has_the_times_of_its_transfer(open_tx: OpenTx, bank: Bank) -> None:
    later = MONDAY_MORNING + timedelta(microseconds=1)

    def insert(tx: Tx, at: datetime) -> None:
        insert_legs(tx, bank, leg_by_hand(tx, bank.safe, bank.ana))
        further_leg(tx, bank, "by hand", leg_by_hand(tx, bank.safe, bank.ben), at)

    refused_by_the_database(open_tx, "comes with its transfer", lambda tx: insert(tx, later))
    with open_tx() as tx:
        insert(tx, MONDAY_MORNING)


def test_a_transfer_has_the_leg_and_the_step_of_its_kind(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        leg = leg_by_hand(tx, bank.safe, bank.ana)
        hold, freeze = (
            step_by_hand(tx, bank.ben, *step) for step in ((Movement.HOLD, 5), (Movement.FREEZE, 0))
        )
    post = bank.ask.post("by hand", Leg(bank.safe, bank.ana, 5))
    capture = bank.ask.capture("by hand", "hold", Leg(bank.safe, bank.ana, 5))
    for command, legs, step, constraint in (
        (post, (), None, "transfers_leg"),
        (post, (leg,), hold, "transfers_step"),
        (bank.ask.hold("by hand", bank.ben, amount_minor=5), (leg,), hold, "transfers_leg"),
        (bank.ask.hold("by hand", bank.ben, amount_minor=5), (), None, "transfers_step"),
        (bank.ask.freeze("by hand", bank.ben), (leg,), freeze, "transfers_leg"),
        (capture, (leg,), None, "transfers_step"),
        (capture, (), hold, "transfers_leg"),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=f'"{constraint}"'), open_tx() as tx:
            write_by_hand(tx, command, *legs, step=step)


def test_a_version_that_is_taken_is_a_key_violation(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
        legs = Leg(bank.safe, bank.ben, 1), Leg(bank.safe, bank.ana, 1)
        done(tx, bank.ask.post("two", *legs), bank.ask.freeze("freeze", bank.ben))
        debit = leg_by_hand(tx, bank.safe, bank.ben)._replace(debit_version=2)
        credit = leg_by_hand(tx, bank.safe, bank.ana)._replace(credit_version=2)
        debit_again = leg_by_hand(tx, bank.safe, bank.ben)._replace(debit_version=4)
        credit_again = leg_by_hand(tx, bank.safe, bank.ana)._replace(credit_version=3)
        step = step_by_hand(tx, bank.ben, Movement.UNFREEZE, 0)._replace(version=3)

    for insert, leg, key in (
        (insert_legs, debit, "transfers_by_debit"),
        (insert_legs, credit, "transfers_by_credit"),
        (insert_second, debit_again, "further_legs_by_debit"),
        (insert_second, credit_again, "further_legs_by_credit"),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=key), open_tx() as tx:
            insert(tx, bank, leg)
    thaw = bank.ask.unfreeze("by hand", bank.ben)
    refused_by_the_database(open_tx, "transfers_by_step", lambda tx: write_by_hand(tx, thaw, step=step))


@pytest.mark.parametrize(
    ("movement", "minor"), [(Movement.HOLD, 0), (Movement.HOLD, -1), (Movement.FREEZE, 1)]
)
def test_a_step_is_an_amount_or_a_change_of_status(
    open_tx: OpenTx, bank: Bank, movement: Movement, minor: int
) -> None:
    hold = movement is Movement.HOLD
    command = (
        bank.ask.hold("by hand", bank.ana, amount_minor=5) if hold else bank.ask.freeze("by hand", bank.ana)
    )

    def insert(tx: Tx) -> None:
        write_by_hand(tx, command, step=step_by_hand(tx, bank.ana, movement, minor))

    refused_by_the_database(open_tx, "transfers_step_amount", insert)


def test_who_an_account_is_is_asked_once_by_a_connection(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        known = lock_accounts(tx, [bank.ana, bank.safe])
        met = identities(tx)
        assert met.numbers_of(tx, [bank.ana, bank.safe]) == {account.number for account in known.values()}
        assert lock_accounts(tx, [bank.safe, bank.ana]) == known


def test_a_connection_that_has_met_too_many_accounts_begins_anew(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        known = lock_accounts(tx, [bank.ana, bank.safe])
        before = identities(tx)

        assert identities(tx, most=2) is before
        assert identities(tx, most=1) is not before
        assert lock_accounts(tx, [bank.ana, bank.safe]) == known


def test_what_is_answered_again_waits_for_no_lock(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)

    fund, more = (bank.ask.post("fund", Leg(bank.safe, bank.ana, minor)) for minor in (10, 11))
    with open_tx() as holder, open_tx() as tx:
        lock_accounts(holder, [bank.ana, bank.safe])
        tx.run(sa.text("SET LOCAL lock_timeout = '100ms'"))
        (again,), (other,), (unheard,) = book.recall(
            tx,
            [[fund], [more], [bank.ask.post("new", Leg(bank.safe, bank.ana, 1))]],
            known_transfers(tx, {fund.id}),
        )

    assert answer_of(again) == "exists"
    assert answer_of(other) is Refusal.ID_REUSED
    assert answer_of(unheard) is Refusal.ACCOUNT_UNKNOWN


def test_an_account_whose_opening_was_taken_back_can_be_opened_again(open_tx: OpenTx, bank: Bank) -> None:
    """The connection remembers the number that it had then, which is nobody's now."""
    with open_tx() as tx:
        account_id = AccountId(tx.new_id("acct"))
    opening = bank.ask.open("open", account_id, subdivision=("again",))

    def use(tx: Tx, name: str) -> None:
        done(tx, opening)
        done(tx, bank.ask.post(name, Leg(bank.safe, account_id, 5)))

    def fail(tx: Tx) -> None:
        use(tx, "lost")
        raise LookupError

    with pytest.raises(LookupError), open_tx() as tx:
        fail(tx)
    with open_tx() as tx:
        use(tx, "kept")

    with open_tx() as tx:
        assert read_accounts(tx, [account_id])[account_id].account.credits_minor == 5


def test_more_accounts_than_are_locked_at_once_are_locked_all(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        ids = {bank.account(tx) for _ in range(300)}
        assert lock_accounts(tx, ids).keys() == ids


def test_counters_are_saved_on_top_of_the_version_that_was_locked_and_of_no_other(
    open_tx: OpenTx, bank: Bank
) -> None:
    """Whoever decided by an older version than the one that stands saves nothing, and all he wrote is undone."""
    with open_tx() as tx:
        stale = lock_accounts(tx, [bank.ana])[bank.ana]
    with open_tx() as tx:
        bank.fund(tx, 10)

    running = Running(stale)
    running.version, running.credits = stale.version + 1, 7
    with pytest.raises(RuntimeError, match="not as it was when it was locked"), open_tx() as tx:
        save_accounts(tx, pack_accounts([running]))
    with open_tx() as tx:
        assert lock_accounts(tx, [bank.ana])[bank.ana].credits_minor == 10


def test_a_transfer_is_reversed_once_by_the_database_too(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
        done(tx, bank.ask.reverse("undo", "fund"))
        back = leg_by_hand(tx, bank.ana, bank.safe)

    with pytest.raises(sa.exc.IntegrityError, match="transfers_reversed_once"), open_tx() as tx:
        write_by_hand(tx, bank.ask.reverse("undo again", "fund"), back)


def test_no_more_is_taken_of_a_hold_than_it_holds_by_the_database_too(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
        done(tx, bank.ask.hold("hold", bank.ana, amount_minor=9))

    for change in ("captured_minor = 10", "captured_minor = 5, released_minor = 5", "is_open = false"):
        with pytest.raises(sa.exc.IntegrityError, match="holds_check"), open_tx() as tx:
            tx.run(sa.text(f"UPDATE holds SET {change}"))


def test_no_money_moves_without_an_authority(open_tx: OpenTx, bank: Bank) -> None:
    bare: list[Command] = [
        replace(bank.ask.post("pay", Leg(bank.safe, bank.ana, 5)), authority=None),
        replace(bank.ask.hold("hold", bank.safe, amount_minor=5), authority=None),
    ]

    for command in bare:
        with pytest.raises(sa.exc.IntegrityError, match="transfers_authority"), open_tx() as tx:
            book.post(tx, [[command]])


def test_no_money_moves_under_a_clearance_that_nobody_redeemed(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        made_up = Authority(clearance_id=ClearanceId(tx.new_id("clr")))

    command = replace(bank.ask.post("pay", Leg(bank.safe, bank.ana, 5)), authority=made_up)

    refused_by_the_database(
        open_tx, "names a clearance, a notice or a programme", lambda tx: done(tx, command)
    )

    with open_tx() as tx:
        assert lock_accounts(tx, [bank.ana])[bank.ana].version == 1


def test_holds_are_given_back_without_an_authority(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
        done(tx, bank.ask.hold("hold", bank.ana, amount_minor=5))
        release = bank.ask.release("release", "hold")

        assert release.authority is None
        assert book.post(tx, [[release], [release]]) == (
            (Applied(release.id, MONDAY_MORNING, 5),),
            (Exists(release.id, MONDAY_MORNING, 5),),
        )


def test_an_id_of_another_kind_is_nobodys(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        for wrong in (bank.ana.replace("acct_", "pty_"), bank.ana.upper().replace("ACCT_", "acct_")):
            hold = bank.ask.hold(f"hold on {wrong}", AccountId(wrong), amount_minor=1)
            assert [answer_of(result) for (result,) in book.post(tx, [[hold]])] == [Refusal.ACCOUNT_UNKNOWN]
    for wrong in ("acct_1", "acct_", "", "acct_" + "0" * 31 + "x", bank.ana + "00", bank.ana[:-2]):
        hold = bank.ask.hold(f"hold on {wrong}", AccountId(wrong), amount_minor=1)
        with pytest.raises((ValueError, sa.exc.DBAPIError)), open_tx() as tx:
            book.post(tx, [[hold]])


def test_a_place_in_the_chart_has_one_account(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        first, second, third = (AccountId(tx.new_id("acct")) for _ in range(3))
        opening = bank.ask.open("one", first, subdivision=("tills", "1"))
        results = book.post(
            tx, [[opening], [opening], [bank.ask.open("two", second, subdivision=("tills", "1"))]]
        )
    with open_tx() as tx:
        later = book.post(tx, [[opening], [bank.ask.open("three", third, subdivision=("tills", "1"))]])

    answers = [answer_of(result) for (result,) in (*results, *later)]
    assert answers == ["applied", "exists", Refusal.ACCOUNT_EXISTS, "exists", Refusal.ACCOUNT_EXISTS]


# Bad values at the door -------------------------------------------------------------------------------------

NO_AMOUNTS = (
    float("nan"), float("inf"), float("-inf"), 1e400, 1.0, 0.5, 1e17, True, False, "5", "", b"5", None,
    Decimal(5), Decimal("NaN"), Decimal("Infinity"), 0, -1, 2**63, -(2**63), 10**400, [5], {"minor": 5},
)  # fmt: skip


@pytest.mark.parametrize("amount", NO_AMOUNTS, ids=repr)
def test_what_is_no_amount_is_refused_in_every_command_and_leaves_nothing(
    open_tx: OpenTx, bank: Bank, amount: object
) -> None:
    ask, minor = bank.ask, amount
    with open_tx() as tx:
        bank.fund(tx, 100)
        done(tx, ask.hold("hold", bank.ana, amount_minor=10))
        before = table_counts(tx)
        leg = Leg(bank.ana, bank.ben, minor)  # type: ignore[arg-type]  # that is the point
        groups: list[list[Command]] = [
            [ask.post("post", leg)],
            [ask.post("two legs", Leg(bank.ana, bank.ben, 1), leg)],
            [ask.post("up to", replace(leg, up_to=True))],
            [ask.hold("other hold", bank.ana, amount_minor=minor)],  # type: ignore[arg-type]
            [ask.increase("increase", "hold", amount_minor=minor)],  # type: ignore[arg-type]
            [ask.capture("capture", "hold", leg)],
            [ask.reverse("reverse", "fund", Part(1, minor))],  # type: ignore[arg-type]
        ]
        if minor is not None:  # which would be all that is left
            groups.append([ask.release("release", "hold", amount_minor=minor)])  # type: ignore[arg-type]
        results = book.post(tx, groups)

        assert {answer_of(result) for (result,) in results} == {Refusal.AMOUNT_OUT_OF_RANGE}
        assert table_counts(tx) == before
        assert breaches(tx, [ask.programme_id]) == []


NO_LIMITS = (
    float("nan"), float("inf"), float("-inf"), -0.5, 0.5, -1.0, 0.0, True, False, "0", b"0", Decimal(0),
    Decimal("NaN"), 10**400, -(10**400), [0],
)  # fmt: skip


@pytest.mark.parametrize("limit", NO_LIMITS, ids=repr)
def test_a_limit_that_is_no_whole_number_opens_no_account(open_tx: OpenTx, bank: Bank, limit: object) -> None:
    with open_tx() as tx:
        before = table_counts(tx)
        account_id = AccountId(tx.new_id("acct"))
    answers = []
    for floor, cap in ((limit, None), (None, limit)):
        opening = bank.ask.open("x", account_id, subdivision=("x",), floor_minor=floor, cap_minor=cap)  # type: ignore[arg-type]
        with open_tx() as tx:
            ((result,),) = book.post(tx, [[opening]])
            answers.append(answer_of(result))

    assert answers == [Refusal.AMOUNT_OUT_OF_RANGE] * 2
    with open_tx() as tx:
        assert table_counts(tx) == before


@pytest.mark.parametrize(
    "part", [1.5, 1.0, 0.1, float("nan"), float("inf"), True, "2", None, Decimal(2)], ids=repr
)
def test_a_rate_that_is_no_fraction_of_whole_numbers_converts_nothing(
    open_tx: OpenTx, bank: Bank, part: object
) -> None:
    with open_tx() as tx:
        bank.fund(tx, 100)
        euros, dollars = (bank.account(tx, currency=code, floor_minor=None) for code in ("EUR", "USD"))
        wallet = bank.account(tx, currency="USD")
        before = table_counts(tx)
    sold, answers = Leg(bank.ana, euros, 4), []

    for bought_minor in (4, 6, 8):
        for rate in (Rate("EUR", "USD", part, 1), Rate("EUR", "USD", 1, part)):  # type: ignore[arg-type]
            command = bank.ask.post("x", sold, Leg(dollars, wallet, bought_minor), rate=rate)
            with open_tx() as tx:
                ((result,),) = book.post(tx, [[command]])
                answers.append(answer_of(result))

    assert answers == [Refusal.RATE_DIFFERS] * 6
    with open_tx() as tx:
        assert table_counts(tx) == before


# Dates ------------------------------------------------------------------------------------------------------


def test_the_same_instant_in_another_zone_is_the_same_command(open_tx: OpenTx, bank: Bank) -> None:
    expiry = MONDAY_MORNING + timedelta(hours=1)
    command = bank.ask.hold("hold", bank.ana, amount_minor=1, expires_at=expiry)
    amsterdam = timezone(timedelta(hours=1))
    elsewhere = replace(
        command,
        effective_at=command.effective_at.astimezone(amsterdam),
        expires_at=expiry.astimezone(amsterdam),
    )
    with open_tx() as tx:
        bank.fund(tx, 10)
        done(tx, command)

    with open_tx() as tx:
        ((again,),) = book.post(tx, [[elsewhere]])

    assert answer_of(again) == "exists", again


def test_a_command_is_known_again_on_a_server_that_lives_in_another_time_zone(
    database: Database, bank: Bank, open_tx: OpenTx
) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
    with database.owner_engine.begin() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {database.name} SET timezone TO 'Europe/Amsterdam'"))
    abroad = engine(database.url("tallystick_app"), pool_size=1)
    try:
        with abroad.begin() as connection:
            tx = Tx(connection, MONDAY_MORNING, bytes)
            ((again,),) = book.post(tx, [[bank.ask.post("fund", Leg(bank.safe, bank.ana, 10))]])
    finally:
        abroad.dispose()

    assert again == Exists(bank.ask.xfr("fund"), MONDAY_MORNING, 10)


# Facts and roles --------------------------------------------------------------------------------------------


def changes_of_facts() -> list[str]:
    return [
        change.format(table=table, column=column) for table, column in FACTS.items() for change in CHANGES
    ]


def test_the_application_may_not_change_any_fact(database: Database) -> None:
    for change in changes_of_facts():
        with (
            pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
            database.app_engine.begin() as connection,
        ):
            connection.execute(sa.text(change))


def test_the_owner_is_stopped_by_the_trigger_at_every_fact(database: Database) -> None:
    for change in changes_of_facts():
        with (
            pytest.raises(sa.exc.DBAPIError, match="holds facts"),
            database.owner_engine.begin() as connection,
        ):
            connection.execute(sa.text(change))


@contextmanager
def as_role(database: Database, role: str) -> Iterator[sa.Connection]:
    connected = engine(database.url(role), pool_size=1)
    try:
        with connected.begin() as connection:
            yield connection
    finally:
        connected.dispose()


def relations_where(database: Database, role: str, privilege: str) -> set[str]:
    """Every table and view on which a role has a privilege, as PostgreSQL itself answers."""
    query = sa.text(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        f"AND relkind IN ('r', 'p', 'v', 'm') AND {privilege}"
    )
    with database.owner_engine.connect() as connection:
        return set(connection.execute(query, {"role": role}).scalars())


def readable_by(database: Database, role: str) -> set[str]:
    return relations_where(database, role, "has_any_column_privilege(:role, oid, 'SELECT')")


def writable_by(database: Database, role: str) -> set[str]:
    return relations_where(
        database,
        role,
        "(has_any_column_privilege(:role, oid, 'INSERT, UPDATE') "
        "OR has_table_privilege(:role, oid, 'DELETE, TRUNCATE'))",
    )


def test_the_auditor_reads_the_book_but_not_the_clients(
    database: Database, open_tx: OpenTx, bank: Bank
) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)

    with as_role(database, "tallystick_auditor") as connection:
        found = connection.execute(sa.text("SELECT movement, count(*) FROM entries GROUP BY movement")).all()
        assert {tuple(row) for row in found} == {("open", 3), ("debit", 1), ("credit", 1)}
    for table in ("clients", "idempotency_keys"):
        with (
            pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
            as_role(database, "tallystick_auditor") as connection,
        ):
            connection.execute(sa.text(f"SELECT count(*) FROM {table}"))
    assert writable_by(database, "tallystick_auditor") == set()


def test_the_enclave_reads_the_payouts_it_signs_and_adds_heads_and_nothing_else(database: Database) -> None:
    with as_role(database, "tallystick_enclave") as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM enclave_payouts")).scalar_one() == 0
    with (
        pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
        as_role(database, "tallystick_enclave") as connection,
    ):
        connection.execute(sa.text("SELECT count(*) FROM payouts"))
    assert readable_by(database, "tallystick_enclave") == {
        "enclave_payouts",
        "enclave_logs",
        "enclave_leaves",
        "enclave_trees",
        "enclave_heads",
        "key_resolutions",
    }
    assert writable_by(database, "tallystick_enclave") == {"enclave_heads"}
    assert not {"enclave_heads", "key_resolutions"} & writable_by(database, "tallystick_app")


def test_custodians_add_resolutions_and_nothing_else(database: Database) -> None:
    assert readable_by(database, "tallystick_custodian") == {"key_resolutions"}
    assert writable_by(database, "tallystick_custodian") == {"key_resolutions"}


def test_the_application_reads_more_than_the_enclave_so_the_question_is_a_real_one(
    database: Database,
) -> None:
    assert {"entries", "clients", "enclave_payouts"} <= readable_by(database, "tallystick_app")
    assert {"further_legs", "transfers", "accounts", "standings"} <= writable_by(database, "tallystick_app")


def test_the_books_are_sound_after_a_batch_of_everything(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 100)
        book.post(tx, mixed(bank, "all", 20))

        assert breaches(tx, [bank.ask.programme_id]) == []
