"""What the enclave sees of a payout in the real database: who is paid and since when, and what people have signed."""

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from enclave.approvals import APPROVALS_MAX as APPROVALS_READ_MAX
from enclave.approvals import Approval, read_approvals
from enclave.facts import PayoutRecord
from enclave.store import _SELECT_PAYOUTS, DatabaseFacts
from ledger.core.declined import Declined
from ledger.core.ids import PartyId
from ledger.flows import approvals, payout_accounts, payouts
from ledger.store.approvals import insert_screening
from ledger.store.payout_accounts import PayoutAccount
from ledger.store.payouts import Payout
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, Database, OpenTx
from tests.ledger.world import World, build_world, clear, earn_commission, fund, payout_order, sweep_order

NAME, IBAN = "Hotel", "DE89370400440532013000"  # as `payout_order` has it
OTHER_IBAN = "ES9121000418450200051332"
APPROVALS = approvals.APPROVALS_MAX


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "hotel", amount_minor=13_596)
        return world


@pytest.fixture
def ordered(open_tx: OpenTx, world: World) -> Payout:
    with open_tx() as tx:
        (answer,) = payouts.order(tx, [clear(tx, payout_order(tx, world, "hotel", amount_minor=100))])
        assert isinstance(answer, Payout)
        return answer


@pytest.fixture
def facts(database: Database) -> Iterator[DatabaseFacts]:
    with DatabaseFacts(database.url("tallystick_enclave")) as opened:
        yield opened


def seen(facts: DatabaseFacts, payout: Payout) -> PayoutRecord:
    return facts.payouts([payout.id])[payout.id]


def set_account(
    tx: Tx, world: World, *, iban: str = IBAN, name: str = NAME, who: str | None = "hotel"
) -> PayoutAccount:
    party_id: PartyId | None = world.parties[who] if who is not None else None
    account = payout_accounts.new_account(
        tx, world.programme_id, party_id, name=name, iban=iban, by="cli_desk"
    )
    payout_accounts.change(tx, account)
    return account


def verify(tx: Tx, account: PayoutAccount) -> None:
    assert payout_accounts.verify(tx, account, how="four_eyes", by="cli_officer") is None


def test_a_beneficiary_that_nobody_has_set_is_not_known(facts: DatabaseFacts, ordered: Payout) -> None:
    record = seen(facts, ordered)

    assert (record.beneficiary_changed_at, record.beneficiary_verified_at) == (None, None)
    assert (record.initiator, record.approvals) == ("cli_desk", "[]")


def test_an_account_is_verified_after_it_was_set(
    open_tx: OpenTx, world: World, facts: DatabaseFacts, ordered: Payout
) -> None:
    with open_tx() as tx:
        account = set_account(tx, world)
    unverified = seen(facts, ordered)
    with open_tx() as tx:
        verify(tx, account)
        verify(tx, account)

    record = seen(facts, ordered)
    assert unverified.beneficiary_verified_at is None
    assert unverified.beneficiary_changed_at == record.beneficiary_changed_at
    assert record.beneficiary_changed_at is not None
    assert record.beneficiary_verified_at is not None
    assert record.beneficiary_changed_at < record.beneficiary_verified_at


@pytest.mark.parametrize("change", [{"iban": OTHER_IBAN}, {"name": "Hotel Mirador"}])
def test_a_payout_to_an_account_that_was_changed_since_is_to_an_unverified_one(
    open_tx: OpenTx, world: World, facts: DatabaseFacts, ordered: Payout, change: dict[str, str]
) -> None:
    with open_tx() as tx:
        verify(tx, set_account(tx, world))
    before = seen(facts, ordered)
    with open_tx() as tx:
        verify(tx, set_account(tx, world, **change))

    after = seen(facts, ordered)
    assert before.beneficiary_verified_at is not None
    assert before.beneficiary_changed_at is not None
    assert after.beneficiary_changed_at is not None
    assert after.beneficiary_verified_at is None
    assert after.beneficiary_changed_at > before.beneficiary_changed_at


def test_setting_the_same_account_again_begins_anew(
    open_tx: OpenTx, world: World, facts: DatabaseFacts, ordered: Payout
) -> None:
    with open_tx() as tx:
        verify(tx, set_account(tx, world))
        set_account(tx, world)

    assert seen(facts, ordered).beneficiary_verified_at is None


def test_another_partys_account_and_the_programmes_own_verify_nothing_of_this_one(
    open_tx: OpenTx, world: World, facts: DatabaseFacts, ordered: Payout
) -> None:
    with open_tx() as tx:
        verify(tx, set_account(tx, world, who="soundbar"))
        verify(tx, set_account(tx, world, who=None))

    assert seen(facts, ordered).beneficiary_changed_at is None


def test_a_sweep_goes_to_the_programmes_own_account(
    open_tx: OpenTx, world: World, facts: DatabaseFacts
) -> None:
    with open_tx() as tx:
        earn_commission(tx, world, amount_minor=500)
        order = sweep_order(tx, world, amount_minor=100)
        (sweep,) = payouts.order(tx, [clear(tx, order)])
        assert isinstance(sweep, Payout)
        verify(tx, set_account(tx, world, name=order.creditor_name, iban=order.creditor_iban, who=None))

    assert seen(facts, sweep).beneficiary_verified_at is not None


def test_times_are_the_servers_own_and_not_the_programmes(
    open_tx: OpenTx, world: World, facts: DatabaseFacts, ordered: Payout, database: Database
) -> None:
    with open_tx(MONDAY_MORNING.replace(year=2100)) as tx:
        verify(tx, set_account(tx, world))
        insert_screening(tx, ordered.id, {"policy": "1"})
    with database.owner_engine.connect() as connection:
        now = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()

    record = seen(facts, ordered)
    for at in (record.beneficiary_changed_at, record.beneficiary_verified_at, record.screened_at):
        assert at is not None
        assert 0 <= (now - at).total_seconds() < 600


def test_the_newest_screening_counts(open_tx: OpenTx, facts: DatabaseFacts, ordered: Payout) -> None:
    first = seen(facts, ordered).screened_at
    with open_tx() as tx:
        insert_screening(tx, ordered.id, {"policy": "1"})

    second = seen(facts, ordered).screened_at
    assert first is not None
    assert second is not None
    assert first < second


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("clearances", "screened_at"),
        ("payout_accounts", "set_at"),
        ("payout_account_verifications", "verified_at"),
        ("payout_approvals", "received_at"),
        ("payout_screenings", "screened_at"),
    ],
)
def test_the_application_can_say_no_time_of_its_own(database: Database, table: str, column: str) -> None:
    for statement in (
        f"INSERT INTO {table} ({column}) VALUES ('2000-01-01Z')",
        f"UPDATE {table} SET {column} = '2000-01-01Z'",
        f"DELETE FROM {table}",
    ):
        with (
            pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
            database.app_engine.begin() as connection,
        ):
            connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    "table", ["payout_accounts", "payout_account_verifications", "payout_approvals", "payout_screenings"]
)
def test_not_even_the_owner_changes_what_was_said(database: Database, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with (
            pytest.raises(sa.exc.DBAPIError, match="holds facts"),
            database.owner_engine.begin() as connection,
        ):
            connection.execute(sa.text(statement))


def test_whoever_set_an_account_does_not_verify_it(open_tx: OpenTx, world: World, database: Database) -> None:
    with open_tx() as tx:
        account = set_account(tx, world)
        declined = payout_accounts.verify(tx, account, how="four_eyes", by="cli_desk")
        account_id = tx.connection.execute(sa.text("SELECT id FROM payout_accounts")).scalar_one()

    assert isinstance(declined, Declined)
    assert declined.code == "four_eyes"
    statement = "INSERT INTO payout_account_verifications VALUES (:id, 'payee_check', 'cli_desk')"
    with (
        pytest.raises(sa.exc.DBAPIError, match="set by the same one"),
        database.owner_engine.begin() as connection,
    ):
        connection.execute(sa.text(statement), {"id": account_id})


def test_approvals_reach_the_enclave_as_they_came(
    open_tx: OpenTx, facts: DatabaseFacts, ordered: Payout
) -> None:
    signatures = [bytes(range(place, place + 70)) for place in range(3)]
    with open_tx() as tx:
        for name, signature in zip(('an"na', "boris", "boris"), signatures, strict=True):
            assert approvals.approve(tx, ordered, approver_id=name, signature=signature) is None

    assert read_approvals(seen(facts, ordered).approvals) == tuple(
        Approval(name, signature)
        for name, signature in zip(('an"na', "boris", "boris"), signatures, strict=True)
    )


def test_a_payout_takes_no_signatures_without_end(
    open_tx: OpenTx, facts: DatabaseFacts, ordered: Payout
) -> None:
    with open_tx() as tx:
        for number in range(APPROVALS):
            assert approvals.approve(tx, ordered, approver_id="anna", signature=number.to_bytes(70)) is None
        declined = approvals.approve(tx, ordered, approver_id="boris", signature=bytes(71))
        again = approvals.approve(tx, ordered, approver_id="anna", signature=bytes(70))

    assert isinstance(declined, Declined)
    assert (declined.code, again) == ("too_many_approvals", None)
    assert len(read_approvals(seen(facts, ordered).approvals)) == APPROVALS


def test_more_approvals_than_the_enclave_reads_are_none_and_cost_it_no_more(
    database: Database, facts: DatabaseFacts, ordered: Payout
) -> None:
    statement = (
        "INSERT INTO payout_approvals (payout_id, approver_id, signature)"
        " SELECT payouts.id, 'anna', decode(lpad(to_hex(number), 140, '0'), 'hex')"
        " FROM payouts, generate_series(1, :count) AS number"
    )
    with database.app_engine.begin() as connection:
        connection.execute(sa.text(statement), {"count": APPROVALS_READ_MAX + 1_000})

    record = seen(facts, ordered)
    assert read_approvals(record.approvals) == ()
    assert record.approvals.count("anna") == APPROVALS_READ_MAX + 1


def test_a_payout_is_found_by_indexes_however_many_there_are(database: Database, ordered: Payout) -> None:
    """A planner that may read whole tables only where there is no other way does not read one."""
    explained = f"EXPLAIN (FORMAT TEXT) {_SELECT_PAYOUTS}"

    with psycopg.connect(database.url("tallystick_enclave")) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(explained, ([ordered.id.removeprefix("pay_")],)).fetchall()

    lines = "\n".join(line for (line,) in plan)
    assert "Index Scan using payouts_pkey" in lines
    assert lines.count("payout_accounts_newest") == 2
    assert "Index Cond: ((programme_id = payouts.programme_id) AND (party_id = payouts.party_id))" in lines
    assert "Seq Scan" not in lines
