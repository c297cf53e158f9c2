"""What the database refuses by itself, whatever the code above it believes; and that a batch costs what one does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from api.database import engine
from ledger import book
from ledger.core.chart import Code, Side
from ledger.core.commands import BATCH_MAX, Applied, Authority, Command, Exists, Leg, Refusal, content_digest
from ledger.core.decide import Entry, Movement, Recorded
from ledger.core.errors import InvalidValue
from ledger.core.ids import AccountId, ClearanceId
from ledger.core.money import MINOR_MAX
from ledger.store.accounts import Opening, lock_accounts, open_accounts
from ledger.store.postings import insert_entries, insert_transfers, read_holds, read_posted
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx, make_programme
from tests.ledger.model import answer_of
from tests.ledger.world import Asker, asker, breaches, done, open_account

FACTS = {
    "transfers": "reference",
    "entries": "version",
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


@contextmanager
def counted_statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    sa.event.listen(database.app_engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(database.app_engine, "before_cursor_execute", note)


# A batch costs what one does --------------------------------------------------------------------------------


def mixed(bank: Bank, batch: str, count: int) -> list[list[Command]]:
    """Groups of every kind of command, `count` of each."""
    ask, groups = bank.ask, list[list[Command]]()
    for place in range(count):
        name = f"{batch} {place}"
        groups += [
            [ask.post(f"{name} post", Leg(bank.safe, bank.ana, 10), Leg(bank.ana, bank.ben, 1))],
            [
                ask.hold(f"{name} hold", bank.ana, amount_minor=5),
                ask.capture(f"{name} capture", f"{name} hold", Leg(bank.ana, bank.ben, 2)),
            ],
            [ask.release(f"{name} rest", f"{name} hold"), ask.reverse(f"{name} undo", f"{name} post")],
        ]
    return groups


def test_the_number_of_statements_does_not_grow_with_the_batch(
    database: Database, open_tx: OpenTx, bank: Bank
) -> None:
    counts = {}
    with open_tx() as tx:
        bank.fund(tx, 10_000)

    for size in (1, 10, 500):
        with counted_statements(database) as seen, open_tx() as tx:
            results = book.post(tx, mixed(bank, f"batch of {size}", size))
            assert all(isinstance(result, Applied) for group in results for result in group)
        counts[size] = len(seen)

    assert counts[1] == counts[10] == counts[500]
    assert counts[1] <= 14


def test_touching_old_holds_and_transfers_costs_the_same_for_one_and_for_many(
    database: Database, open_tx: OpenTx, bank: Bank
) -> None:
    ask, counts = bank.ask, {}
    with open_tx() as tx:
        bank.fund(tx, 10_000)
        done(tx, *(ask.hold(f"hold {place}", bank.ana, amount_minor=3) for place in range(200)))
        done(tx, *(ask.post(f"pay {place}", Leg(bank.ana, bank.ben, 3)) for place in range(200)))

    for size in (1, 199):
        places = range(200 - size, 200) if size == 1 else range(size)
        with counted_statements(database) as seen, open_tx() as tx:
            done(
                tx,
                *(
                    ask.capture(f"cap {place}", f"hold {place}", Leg(bank.ana, bank.ben, 2))
                    for place in places
                ),
                *(ask.reverse(f"undo {place}", f"pay {place}") for place in places),
            )
        counts[size] = len(seen)

    assert counts[1] == counts[199]


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


def test_the_results_of_a_batch_are_those_of_one_by_one(open_tx: OpenTx) -> None:
    answers = []
    for together in (True, False):
        with open_tx() as tx:
            bank = Bank(tx, f"together-{together}".lower())
            groups: list[list[Command]] = [
                *mixed(bank, "a", 3),
                *mixed(bank, "a", 4),
                [bank.ask.post("short", Leg(bank.ben, bank.safe, 99))],
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

    for change, constraint in (
        ("debits_minor = 101", "accounts_min_available"),
        ("held_minor = 101", "accounts_min_available"),
        ("debits_minor = 51, held_minor = 50", "accounts_min_available"),
        ("credits_minor = 201", "accounts_max_balance"),
        ("held_minor = -1", "accounts_held_minor_check"),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=constraint), open_tx() as tx:
            tx.run(sa.text(f"UPDATE accounts SET {change} WHERE id = '{capped.removeprefix('acct_')}'"))


def test_the_columns_of_an_account_that_are_not_counters_cannot_be_updated(
    open_tx: OpenTx, bank: Bank
) -> None:
    for column in ("min_available_minor", "max_balance_minor", "currency", "side", "programme_id"):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), open_tx() as tx:
            tx.run(sa.text(f"UPDATE accounts SET {column} = {column}"))


def entry(
    bank: Bank, account_id: AccountId, movement: Movement, amount_minor: int = 5, leg: int = 1
) -> Entry:
    return Entry(
        account_id=account_id,
        version=1,
        transfer_id=bank.ask.xfr("by hand"),
        leg=leg,
        movement=movement,
        amount_minor=amount_minor,
        debits_after_minor=0,
        credits_after_minor=0,
        held_after_minor=0,
        effective_at=MONDAY_MORNING,
        recorded_at=MONDAY_MORNING,
    )


def insert_by_hand(tx: Tx, bank: Bank, *added: Entry) -> None:
    command = bank.ask.post("by hand", Leg(bank.safe, bank.ana, 5))
    insert_transfers(tx, [Recorded(command, content_digest(command), MONDAY_MORNING)])
    insert_entries(tx, added)


DEBIT, CREDIT = Movement.DEBIT, Movement.CREDIT


UNBALANCED = (
    ([DEBIT], [5], [1]),
    ([CREDIT], [5], [1]),
    ([DEBIT, CREDIT], [5, 4], [1, 1]),
    ([DEBIT, DEBIT], [5, 5], [1, 1]),
    ([DEBIT, CREDIT], [5, 5], [1, 2]),
    ([DEBIT, CREDIT, CREDIT], [5, 5, 5], [1, 1, 1]),
)


def test_a_leg_that_does_not_balance_is_refused_by_the_database(open_tx: OpenTx, bank: Bank) -> None:
    accounts = [bank.safe, bank.ana, bank.ben]

    for movements, amounts, legs in UNBALANCED:
        rows = [
            entry(bank, account_id, movement, amount_minor, leg)
            for account_id, movement, amount_minor, leg in zip(
                accounts, movements, amounts, legs, strict=False
            )
        ]
        with (
            pytest.raises(sa.exc.IntegrityError, match="a leg must be one debit and one credit"),
            open_tx() as tx,
        ):
            insert_by_hand(tx, bank, *rows)


def test_a_leg_over_two_currencies_or_two_programmes_is_refused_by_the_database(
    open_tx: OpenTx, bank: Bank
) -> None:
    with open_tx() as tx:
        dollars = bank.account(tx, currency="USD")
        elsewhere = open_account(tx, make_programme(tx, "elsewhere"))

    for other in (dollars, elsewhere):
        with pytest.raises(sa.exc.IntegrityError, match="a leg must be"), open_tx() as tx:
            insert_by_hand(tx, bank, entry(bank, bank.safe, DEBIT), entry(bank, other, CREDIT))


def test_balanced_legs_are_taken_so_the_refusals_above_have_one_cause(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        insert_by_hand(tx, bank, entry(bank, bank.safe, DEBIT), entry(bank, bank.ana, CREDIT))

        assert len(read_posted(tx, {bank.ask.xfr("by hand")})) == 1


def test_a_transfer_takes_no_entries_after_its_own_transaction(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        insert_by_hand(tx, bank, entry(bank, bank.safe, DEBIT), entry(bank, bank.ana, CREDIT))

    late = [
        replace(entry(bank, place, side, leg=2), version=2)
        for place, side in ((bank.safe, DEBIT), (bank.ana, CREDIT))
    ]
    with pytest.raises(sa.exc.IntegrityError, match="after its own transaction"), open_tx() as tx:
        insert_entries(tx, late)


def test_a_taken_version_is_a_key_violation(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)

    with pytest.raises(sa.exc.IntegrityError, match="entries_pkey"), open_tx() as tx:
        insert_by_hand(tx, bank, entry(bank, bank.safe, DEBIT), entry(bank, bank.ana, CREDIT))


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

    # The book takes it, because a flow redeems the clearance later in the transaction; the commit does not.
    with pytest.raises(sa.exc.IntegrityError, match="transfers_clearance_id_fkey"), open_tx() as tx:
        done(tx, command)

    with open_tx() as tx:
        assert lock_accounts(tx, [bank.ana])[bank.ana].version == 0


def test_holds_are_given_back_without_an_authority(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 10)
        done(tx, bank.ask.hold("hold", bank.ana, amount_minor=5))
        release = bank.ask.release("release", "hold")

        assert release.authority is None
        assert book.post(tx, [[release], [release]]) == ((Applied(release.id),), (Exists(release.id),))


def test_an_id_of_another_kind_is_refused_before_it_reaches_the_database(open_tx: OpenTx, bank: Bank) -> None:
    party_as_account = AccountId(bank.ana.replace("acct_", "pty_"))

    with open_tx() as tx:
        for wrong in (party_as_account, AccountId(bank.ana.upper()), AccountId("acct_1"), AccountId("")):
            with pytest.raises(sa.exc.StatementError, match="is not an id of the kind acct_"):
                book.post(tx, [[bank.ask.hold("hold", wrong, amount_minor=1)]])


def test_opening_the_same_account_twice_is_one_account(open_tx: OpenTx) -> None:
    from_chart = sa.text("SELECT count(*) FROM accounts WHERE programme_id = :programme_id")
    with open_tx() as tx:
        bank = Bank(tx)
        before = tx.connection.execute(from_chart, {"programme_id": bank.ask.programme_id[4:]}).scalar_one()
        opening = Opening(bank.ask.programme_id, Code.SAFEGUARDING, None, "EUR")
        open_accounts(tx, [opening, opening])
        open_accounts(tx, [opening])
        after = tx.connection.execute(from_chart, {"programme_id": bank.ask.programme_id[4:]}).scalar_one()

    assert after == before + 1


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
        assert connection.execute(sa.text("SELECT count(*) FROM entries")).scalar_one() == 2
    for table in ("clients", "idempotency_keys"):
        with (
            pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
            as_role(database, "tallystick_auditor") as connection,
        ):
            connection.execute(sa.text(f"SELECT count(*) FROM {table}"))
    assert writable_by(database, "tallystick_auditor") == set()


def test_the_enclave_reads_the_payouts_it_signs_and_nothing_else(database: Database) -> None:
    with as_role(database, "tallystick_enclave") as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM enclave_payouts")).scalar_one() == 0
    with (
        pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
        as_role(database, "tallystick_enclave") as connection,
    ):
        connection.execute(sa.text("SELECT count(*) FROM payouts"))
    assert readable_by(database, "tallystick_enclave") == {"enclave_payouts"}
    assert writable_by(database, "tallystick_enclave") == set()


def test_the_application_reads_more_than_the_enclave_so_the_question_is_a_real_one(
    database: Database,
) -> None:
    assert {"entries", "clients", "enclave_payouts"} <= readable_by(database, "tallystick_app")
    assert {"entries", "accounts"} <= writable_by(database, "tallystick_app")


def test_the_books_are_sound_after_a_batch_of_everything(open_tx: OpenTx, bank: Bank) -> None:
    with open_tx() as tx:
        bank.fund(tx, 100)
        book.post(tx, mixed(bank, "all", 20))

        assert breaches(tx, [bank.ask.programme_id]) == []
