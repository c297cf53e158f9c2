"""Balances of many accounts together: under a place in the tree, by tag, now and then; and transfers by metadata."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.core.account import Movement, Status
from ledger.core.chart import Code
from ledger.core.ids import ProgrammeId
from ledger.flows.periods import settle_past
from ledger.reports.balances import balances_together
from ledger.store.history import (
    Among,
    Total,
    accounts_page,
    balances,
    read_transfer,
    totals,
    transfers_page,
)
from ledger.store.rows import Page
from ledger.store.tx import Tx
from tests.conftest import Database, OpenTx, make_programme
from tests.ledger.chronicle import Chronicle, analyse, ask, begin, done, minutes, opening, plan_of

EQUITY = "equity/own_funds"


def tree(tx: Tx, name: str = "pay-eu") -> Chronicle:
    """Accounts: 0 the trunk, 1 and 2 under it, 3 and 6 beside them with names that begin alike, 4 and 5 elsewhere."""
    programme_id = make_programme(tx, name)
    return begin(
        tx,
        opening(tx, programme_id, Code.OWN_FUNDS),
        opening(tx, programme_id, Code.OWN_FUNDS, "reserve", tags=("eu", "ring-fenced")),
        opening(tx, programme_id, Code.OWN_FUNDS, "reserve", "2026", tags=("eu",)),
        opening(tx, programme_id, Code.OWN_FUNDS, "reserve-2", tags=("uk",)),
        opening(tx, programme_id, Code.COMMISSION, tags=("eu", "uk")),
        opening(tx, programme_id, Code.BANK_FEES),
        opening(tx, programme_id, Code.OWN_FUNDS, "reserve0"),
        programme_id=programme_id,
    )


def net(found: list[Total]) -> dict[str, int]:
    return {total.currency: total.debits_minor - total.credits_minor for total in found}


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("equity", {0, 1, 2, 3, 6}),
        (EQUITY, {0, 1, 2, 3, 6}),
        (f"{EQUITY}/reserve", {1, 2}),
        (f"{EQUITY}/reserve/2026", {2}),
        (f"{EQUITY}/reserve-2", {3}),
        (f"{EQUITY}/reserve0", {6}),
        (f"{EQUITY}/res", set()),
        ("equit", set()),
        ("expense", {5}),
    ],
)
def test_a_place_in_the_tree_means_itself_and_what_is_under_it(
    open_tx: OpenTx, path: str, places: set[int]
) -> None:
    with open_tx() as tx:
        ours = tree(tx)

        found = balances(tx, ours.programme_id, among=Among(path=path))
        page = accounts_page(tx, ours.programme_id, Page(None, 10), among=Among(path=path))

    assert {balance.id for balance in found} == {ours.accounts[place] for place in places}
    assert {balance.id for balance, _ in page} == {ours.accounts[place] for place in places}


@pytest.mark.parametrize(
    ("tags", "places"),
    [(("eu",), {1, 2, 4}), (("eu", "uk"), {4}), (("eu", "ring-fenced"), {1}), (("nowhere",), set())],
)
def test_several_tags_mean_accounts_that_have_them_all(
    open_tx: OpenTx, tags: tuple[str, ...], places: set[int]
) -> None:
    with open_tx() as tx:
        ours = tree(tx)

        found = balances(tx, ours.programme_id, among=Among(tags=tags))

    assert {balance.id for balance in found} == {ours.accounts[place] for place in places}


def test_a_subtree_is_summed_on_its_own_side_with_what_is_held(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = tree(tx)
        ours.move(tx, (5, 1, 100), (5, 2, 30), (5, 3, 7))
        ours.move(tx, (1, 5, 20))
        done(tx, ours.hold(tx, 2, 5))

        (found,) = totals(tx, ours.programme_id, among=Among(path=f"{EQUITY}/reserve"))

    assert found == Total(
        currency="EUR", accounts=2, debits_minor=20, credits_minor=130, balance_minor=110, held_minor=5
    )


def test_currencies_are_never_added_up(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        programme_id = make_programme(tx)
        ours = begin(
            tx,
            *(
                opening(tx, programme_id, code, currency=currency)
                for currency in ("EUR", "USD")
                for code in (Code.OWN_FUNDS, Code.BANK_FEES)
            ),
            programme_id=programme_id,
        )
        ours.move(tx, (1, 0, 100), (3, 2, 7))

        found = totals(tx, programme_id, among=Among(path="equity"))

    assert [(total.currency, total.balance_minor) for total in found] == [("EUR", 100), ("USD", 7)]


def test_nobody_there_is_no_total(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = tree(tx)

        assert totals(tx, ours.programme_id, among=Among(path="asset")) == []


amounts = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 100), st.integers(1, 9), st.booleans()), max_size=10
).map(lambda moves: sorted(moves, key=lambda move: move[2]))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=amounts, at=st.integers(0, 10))
def test_a_subtree_as_known_at_an_instant_is_what_was_posted_there_until_then(
    open_tx: OpenTx, moves: list[tuple[int, int, int, bool]], at: int
) -> None:
    with open_tx(minutes(0)) as tx:
        ours = tree(tx, f"pay-{tx.new_id('prg')[-16:]}")
    for place, amount_minor, minute, out in moves:
        with open_tx(minutes(minute)) as tx:
            ours.move(tx, (place, 5, amount_minor) if out else (5, place, amount_minor))

    with open_tx(minutes(11)) as tx:
        settle_past(tx, ours.programme_id, minutes(at), field="at")
        found = {
            path: balances_together(tx, ours.programme_id, among=Among(path=path), recorded_at=minutes(at))
            for path in ("equity", f"{EQUITY}/reserve", "income")
        }
        everything = totals(tx, ours.programme_id, at=minutes(at))

    def expected(places: set[int]) -> int:
        return sum(
            amount_minor if out else -amount_minor
            for place, amount_minor, minute, out in moves
            if place in places and minute <= at
        )

    assert net(found["equity"]) == {"EUR": expected({0, 1, 2, 3})}
    assert net(found[f"{EQUITY}/reserve"]) == {"EUR": expected({1, 2})}
    assert net(found["income"]) == {"EUR": expected({4})}
    assert net(everything) == {"EUR": 0}


def test_an_account_that_was_opened_later_was_not_there(open_tx: OpenTx) -> None:
    with open_tx(minutes(0)) as tx:
        ours = tree(tx)
    with open_tx(minutes(5)) as tx:
        done(tx, opening(tx, ours.programme_id, Code.OWN_FUNDS, "late"))

    with open_tx(minutes(6)) as tx:
        then, now = (
            totals(tx, ours.programme_id, at=at, among=Among(path=EQUITY)) for at in (minutes(4), minutes(5))
        )

    assert ([total.accounts for total in then], [total.accounts for total in now]) == ([5], [6])


def test_accounts_come_page_by_page_by_code_and_party(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = tree(tx)

        first = accounts_page(tx, ours.programme_id, Page(None, 2), among=Among(code=Code.OWN_FUNDS))
        second = accounts_page(
            tx, ours.programme_id, Page(first[-1][0].id, 10), among=Among(code=Code.OWN_FUNDS)
        )

    assert [balance.id for balance, _ in first + second] == sorted([*ours.accounts[:4], ours.accounts[6]])
    assert {status for _, status in first + second} == {Status.OPEN}


def test_accounts_of_another_programme_are_in_no_sum_and_on_no_page(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours, theirs = tree(tx), tree(tx, "pay-uk")
        theirs.move(tx, (5, 1, 100))
        moved = theirs.move(tx, (5, 2, 1))
        nobody = ProgrammeId(tx.new_id("prg"))

        assert net(totals(tx, ours.programme_id)) == {"EUR": 0}
        assert totals(tx, ours.programme_id, among=Among(tags=("eu",)))[0].credits_minor == 0
        assert totals(tx, nobody) == []
        assert not {balance.id for balance, _ in accounts_page(tx, ours.programme_id, Page(None, 99))} & set(
            theirs.accounts
        )
        assert read_transfer(tx, ours.programme_id, moved) is None
        assert transfers_page(tx, ours.programme_id, Page(None, 99), metadata={}) != []
        assert moved not in {
            transfer.id for transfer in transfers_page(tx, ours.programme_id, Page(None, 99))
        }


# Transfers -------------------------------------------------------------------------------------------------------


def test_a_transfer_is_found_with_its_legs_and_a_hold_with_its_step(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        moved = ours.move(tx, (0, 1, 100), (0, 2, 7))
        hold = ours.hold(tx, 1, 5)
        done(tx, hold)

        transfer, held = (read_transfer(tx, ours.programme_id, item) for item in (moved, hold.id))

    assert transfer is not None
    assert held is not None
    assert [(leg.leg, leg.debit, leg.credit, leg.amount_minor) for leg in transfer.legs] == [
        (1, ours.accounts[0], ours.accounts[1], 100),
        (2, ours.accounts[0], ours.accounts[2], 7),
    ]
    assert (transfer.kind, transfer.steps) == ("post", ())
    assert [(step.account_id, step.movement, step.amount_minor) for step in held.steps] == [
        (ours.accounts[1], Movement.HOLD, 5)
    ]


def test_transfers_are_found_by_all_of_the_metadata_that_are_asked_for(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        said = [
            {"order": "1", "shop": "north"},
            {"order": "2", "shop": "north"},
            {"order": "1", "shop": "south"},
            {},
        ]
        commands = [ours.transfer(tx, (0, 1, 1), metadata=item) for item in said]
        done(tx, *commands)
        one, two, three, _ = (command.id for command in commands)

        def found(after: str | None = None, limit: int = 10, **metadata: str) -> list[str]:
            page = transfers_page(tx, ours.programme_id, Page(after, limit), metadata=metadata)
            return [transfer.id for transfer in page]

        assert found(order="1") == [one, three]
        assert found(shop="north") == [one, two]
        assert found(shop="north", order="2") == [two]
        assert found(shop="north", limit=1) == [one]
        assert found(shop="north", after=one) == [two]
        assert found(order="3") == []
        assert found(shop="nor") == []


def test_metadata_are_found_by_their_index(open_tx: OpenTx, database: Database) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        done(
            tx,
            *(
                ours.transfer(tx, (0, 1, 1), metadata={"order": str(number), "shop": "north"})
                for number in range(8_000)
            ),
        )
    analyse(database, "transfers", "further_legs", "accounts")

    with open_tx() as tx:
        # The last statements of a page look the legs up: the metadata are looked for in the first.
        plan = plan_of(
            tx,
            lambda: transfers_page(tx, ours.programme_id, Page(None, 101), metadata={"order": "4711"}),
            nth=0,
        )
        (found,) = transfers_page(tx, ours.programme_id, Page(None, 101), metadata={"order": "4711"})

    assert found.metadata["order"] == "4711"
    assert "transfers_by_metadata" in names_in(plan)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 40


def names_in(plan: dict[str, object]) -> set[str]:
    """Every index that a plan uses."""
    below = plan.get("Plans", [])
    assert isinstance(below, list)
    return {str(plan["Index Name"])} if "Index Name" in plan else set().union(*map(names_in, below))


def test_a_command_that_was_refused_is_no_transfer(open_tx: OpenTx) -> None:
    with open_tx() as tx:
        ours = begin(tx)
        refused = ours.transfer(tx, (0, 0, 1))
        ask(tx, refused)

        assert read_transfer(tx, ours.programme_id, refused.id) is None
