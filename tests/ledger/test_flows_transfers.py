"""Commands that callers write themselves: under which clearance they stand, and what the second time brings."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ledger.core.account import Status
from ledger.core.chart import Code
from ledger.core.clearance import Cleared
from ledger.core.commands import (
    Applied,
    Authority,
    Capture,
    Close,
    Command,
    Exists,
    Expire,
    Freeze,
    Hold,
    Increase,
    Leg,
    Open,
    Part,
    Post,
    Rate,
    Refusal,
    Refused,
    Release,
    Result,
    Reverse,
    Unfreeze,
)
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId, derived
from ledger.core.orders import TransferOrder, order_text
from ledger.flows.transfers import carry_out, recall
from ledger.store.accounts import read_accounts
from ledger.store.schema import clearances, transfers
from ledger.store.tx import Tx
from tests.conftest import MONDAY_MORNING, OpenTx
from tests.ledger.world import World, build_world, clear, fund, posted

LATER = MONDAY_MORNING + timedelta(days=2)


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    """Ana has EUR 100.00."""
    with open_tx() as tx:
        world = build_world(tx)
        fund(tx, world, "ana", amount_minor=10_000)
    return world


def said(world: World, name: str, **changes: Any) -> dict[str, Any]:
    whole = {
        "id": TransferId(derived("xfr", world.programme_id, name)),
        "programme_id": world.programme_id,
        "authority": None,
        "effective_at": MONDAY_MORNING,
        "reference": name,
    }
    return whole | changes


def pay(world: World, name: str, amount_minor: int, *, payer: str = "ana", **changes: Any) -> Post:
    leg = Leg(world.accounts[payer], world.accounts["hotel"], amount_minor)
    return Post(**said(world, name, **changes), legs=(leg,))


def order(world: World, *commands: Command, undated: bool = False) -> TransferOrder:
    open_dates = frozenset(command.id for command in commands) if undated else frozenset()
    return TransferOrder(programme_id=world.programme_id, commands=commands, undated=open_dates)


def carried(tx: Tx, *orders: TransferOrder) -> list[tuple[Result, ...]]:
    return list(carry_out(tx, [clear(tx, item) for item in orders]))


def redeemed(tx: Tx) -> set[str]:
    query = sa.select(clearances.c.id).where(clearances.c.order_kind == "transfer")
    return {row["id"] for row in tx.rows(query)}


def authority_of(tx: Tx, command: Command) -> str | None:
    row = tx.row(sa.select(transfers.c.clearance_id).where(transfers.c.id == command.id))
    return None if row is None else row["clearance_id"]


# What is carried out, and under what --------------------------------------------------------------------------


def test_a_transfer_stands_under_the_clearance_of_its_order(open_tx: OpenTx, world: World) -> None:
    command = pay(world, "one", 1_000)

    with open_tx() as tx:
        cleared = clear(tx, order(world, command))
        ((result,),) = carry_out(tx, [cleared])

        assert result == Applied(command.id, result.recorded_at, 1_000)
        assert authority_of(tx, command) == cleared.clearance.id
        assert redeemed(tx) == {cleared.clearance.id}


def test_a_group_shares_one_clearance(open_tx: OpenTx, world: World) -> None:
    commands = [pay(world, name, 1_000) for name in ("one", "two", "three")]

    with open_tx() as tx:
        carried(tx, order(world, *commands))

        assert len({authority_of(tx, command) for command in commands}) == 1
        assert len(redeemed(tx)) == 1


def test_a_refused_order_leaves_nothing_and_its_neighbours_stand(open_tx: OpenTx, world: World) -> None:
    good, bad, fine = pay(world, "good", 1_000), pay(world, "bad", 10_001), pay(world, "fine", 2_000)

    with open_tx() as tx:
        results = carried(tx, *(order(world, command) for command in (good, bad, fine)))

    with open_tx() as tx:
        assert [type(result) for (result,) in results] == [Applied, Refused, Applied]
        assert authority_of(tx, bad) is None
        assert len(redeemed(tx)) == 2
        assert posted(tx, world)["ana"] == 7_000


def test_a_group_is_carried_out_whole_or_not_at_all(open_tx: OpenTx, world: World) -> None:
    group = [pay(world, "good", 1_000), pay(world, "bad", 10_001)]

    with open_tx() as tx:
        ((good, bad),) = carried(tx, order(world, *group))

    with open_tx() as tx:
        assert isinstance(good, Refused)
        assert isinstance(bad, Refused)
        assert (good.refusal, bad.refusal) == (Refusal.GROUP_REFUSED, Refusal.INSUFFICIENT_FUNDS)
        assert redeemed(tx) == set()
        assert posted(tx, world)["ana"] == 10_000


def test_accounts_are_opened_and_frozen_under_clearances_too(open_tx: OpenTx, world: World) -> None:
    account_id = AccountId(derived("acct", world.programme_id, "savings"))
    opening = Open(
        **said(world, "open"),
        account_id=account_id,
        code=Code.WALLET,
        subdivision=("savings",),
        party_id=world.parties["ana"],
        currency="EUR",
        min_available_minor=0,
    )
    steps: list[Command] = [
        opening,
        Freeze(**said(world, "freeze"), account_id=account_id),
        Unfreeze(**said(world, "thaw"), account_id=account_id),
        Close(**said(world, "close"), account_id=account_id),
    ]

    with open_tx() as tx:
        results = carried(tx, *(order(world, step) for step in steps))

        assert all(isinstance(result, Applied) for (result,) in results)
        assert {authority_of(tx, step) for step in steps} == redeemed(tx)
        assert read_accounts(tx, [account_id])[account_id].account.status is Status.CLOSED


def test_another_programmes_account_is_unknown(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        other = build_world(tx, "pay-uk")
        foreign = Leg(world.accounts["ana"], other.accounts["hotel"], 100)
        ((result,),) = carried(tx, order(world, Post(**said(world, "across"), legs=(foreign,))))

    assert isinstance(result, Refused)
    assert result.refusal is Refusal.ACCOUNT_UNKNOWN


# The second time ----------------------------------------------------------------------------------------------


def test_a_repeated_order_gives_its_first_results_and_redeems_nothing(open_tx: OpenTx, world: World) -> None:
    group = order(world, pay(world, "one", 1_000), pay(world, "two", 2_000))
    with open_tx() as tx:
        (first,) = carried(tx, group)
        before = redeemed(tx)

    with open_tx(LATER) as tx:
        (second,) = carried(tx, group)

        assert second == tuple(Exists(*result[:3]) for result in first)
        assert redeemed(tx) == before
        assert posted(tx, world)["ana"] == 7_000


def test_the_same_order_twice_at_once_is_one_effect(open_tx: OpenTx, world: World) -> None:
    twin = order(world, pay(world, "one", 1_000), undated=True)

    with open_tx() as tx:
        ((first,), (second,)) = carried(tx, twin, twin)

        assert isinstance(first, Applied)
        assert second == Exists(*first)
        assert len(redeemed(tx)) == 1


@pytest.mark.parametrize("date_in_order", [LATER, MONDAY_MORNING + timedelta(microseconds=1)])
def test_an_undated_order_is_the_same_order_on_any_day(
    open_tx: OpenTx, world: World, date_in_order: datetime
) -> None:
    with open_tx() as tx:
        ((first,),) = carried(tx, order(world, pay(world, "one", 1_000), undated=True))

    again = order(world, pay(world, "one", 1_000, effective_at=date_in_order), undated=True)
    with open_tx(LATER) as tx:
        ((second,),) = carried(tx, again)

        assert second == Exists(*first[:3])
        assert posted(tx, world)["ana"] == 9_000


def test_an_undated_order_takes_effect_when_it_is_carried_out(open_tx: OpenTx, world: World) -> None:
    command = pay(world, "one", 1_000, effective_at=datetime(2020, 1, 1, tzinfo=UTC))

    with open_tx(LATER) as tx:
        carried(tx, order(world, command, undated=True))

        row = tx.row(sa.select(transfers.c.effective_at).where(transfers.c.id == command.id))
        assert row is not None
        assert row["effective_at"] == LATER


def test_a_dated_order_on_another_date_is_another_order(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        carried(tx, order(world, pay(world, "one", 1_000)))

    with open_tx(LATER) as tx:
        ((result,),) = carried(tx, order(world, pay(world, "one", 1_000, effective_at=LATER)))

    assert isinstance(result, Refused)
    assert (result.refusal, result.field) == (Refusal.ID_REUSED, "effective_at")


def test_an_undated_order_that_differs_otherwise_says_in_what(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        carried(tx, order(world, pay(world, "one", 1_000)))

    with open_tx(LATER) as tx:
        ((result,),) = carried(tx, order(world, pay(world, "one", 999), undated=True))

    assert isinstance(result, Refused)
    assert (result.refusal, result.field) == (Refusal.ID_REUSED, "legs")


def test_an_undated_group_of_which_a_part_stands_is_completed(open_tx: OpenTx, world: World) -> None:
    old, new = pay(world, "old", 1_000), pay(world, "new", 2_000)
    with open_tx() as tx:
        carried(tx, order(world, old))

    with open_tx(LATER) as tx:
        ((first, second),) = carried(tx, order(world, old, new, undated=True))

        assert (type(first), type(second)) == (Exists, Applied)
        assert authority_of(tx, new) in redeemed(tx)
        assert authority_of(tx, new) != authority_of(tx, old)


def test_an_order_of_which_a_part_stands_keeps_its_place(open_tx: OpenTx, world: World) -> None:
    old = pay(world, "old", 1_000)
    back = Post(**said(world, "back"), legs=(Leg(world.accounts["hotel"], world.accounts["ana"], 900),))
    with open_tx() as tx:
        carried(tx, order(world, old))

    with open_tx(LATER) as tx:
        first = order(world, old, back, undated=True)
        (_, (spent,)) = carried(tx, first, order(world, pay(world, "spend", 9_900)))

        assert isinstance(spent, Applied)
        assert "ana" not in posted(tx, world)


def test_what_stands_is_recalled_without_a_clearance_and_nothing_else_is(
    open_tx: OpenTx, world: World
) -> None:
    old, new = pay(world, "old", 1_000), pay(world, "new", 2_000)
    other = pay(world, "old", 1_001)
    with open_tx() as tx:
        ((first,),) = carried(tx, order(world, old))

    with open_tx(LATER) as tx:
        asked = [order(world, *group, undated=True) for group in ((old,), (new,), (old, new), (other,))]
        found = recall(tx, asked)

        assert found[:3] == ((Exists(*first[:3]),), None, None)
        assert found[3] is not None
        assert [result.refusal for result in found[3] if isinstance(result, Refused)] == [Refusal.ID_REUSED]
        assert authority_of(tx, new) is None


def test_the_number_of_statements_does_not_grow_with_the_orders(open_tx: OpenTx, world: World) -> None:
    counts = [statements(open_tx, [pay(world, f"{size}-{n}", 1) for n in range(size)]) for size in (1, 50)]

    assert counts[0] == counts[1]


def statements(open_tx: OpenTx, commands: Sequence[Command]) -> int:
    """How many statements the server took for carrying out these commands, each as an order of its own."""
    with open_tx() as tx:
        seen: list[str] = []

        def note(*told: object) -> None:
            seen.append(str(told[2]))

        sa.event.listen(tx.connection, "before_cursor_execute", note)
        carried(tx, *(TransferOrder(programme_id=each.programme_id, commands=(each,)) for each in commands))
        return len(seen)


# What an order's text says ------------------------------------------------------------------------------------

PROGRAMME = ProgrammeId(derived("prg", "one"))
BASE: dict[str, Any] = {
    "id": TransferId(derived("xfr", "one")),
    "programme_id": PROGRAMME,
    "authority": None,
    "effective_at": MONDAY_MORNING,
    "reference": "one",
}
ACCOUNT, HOLD = AccountId(derived("acct", "one")), TransferId(derived("xfr", "hold"))
LEG = Leg(ACCOUNT, AccountId(derived("acct", "two")), 100)
EACH: tuple[Command, ...] = (
    Post(**BASE, legs=(LEG,), rate=Rate("EUR", "USD", 1, 1)),
    Hold(**BASE, account_id=ACCOUNT, amount_minor=1, expires_at=LATER),
    Increase(**BASE, hold_id=HOLD, amount_minor=1),
    Capture(**BASE, hold_id=HOLD, legs=(LEG,), final=False),
    Release(**BASE, hold_id=HOLD, amount_minor=1),
    Expire(**BASE, hold_id=HOLD),
    Reverse(**BASE, transfer_id=HOLD, parts=(Part(1, 1),)),
    Open(
        **BASE,
        account_id=ACCOUNT,
        code=Code.WALLET,
        party_id=PartyId(derived("pty", "one")),
        currency="EUR",
        min_available_minor=0,
    ),
    Freeze(**BASE, account_id=ACCOUNT),
    Unfreeze(**BASE, account_id=ACCOUNT),
    Close(**BASE, account_id=ACCOUNT),
)
OTHER: dict[str, Any] = {
    "id": TransferId(derived("xfr", "other")),
    "effective_at": LATER,
    "reference": "other",
    "metadata": {"a": "b"},
    "adjusting": True,
    "legs": (replace(LEG, up_to=True),),
    "rate": Rate("EUR", "USD", 1, 2),
    "account_id": AccountId(derived("acct", "other")),
    "amount_minor": 2,
    "expires_at": None,
    "hold_id": TransferId(derived("xfr", "another")),
    "transfer_id": TransferId(derived("xfr", "another")),
    "final": True,
    "parts": (Part(1, 2),),
    "code": Code.SELLER,
    "subdivision": ("a",),
    "party_id": None,
    "currency": "USD",
    "min_available_minor": None,
    "max_balance_minor": 7,
    "tags": ("a",),
}
CHANGES = [
    (command, field.name)
    for command in EACH
    for field in fields(command)
    if field.name not in {"authority", "programme_id"}
]


def text(*commands: Command, undated: frozenset[TransferId] = frozenset()) -> str:
    return order_text(TransferOrder(programme_id=PROGRAMME, commands=commands, undated=undated))


@pytest.mark.parametrize(("command", "field"), CHANGES)
def test_every_field_of_a_command_is_in_the_orders_text(command: Command, field: str) -> None:
    assert text(command) != text(replace(command, **{field: OTHER[field]}))


def test_an_orders_text_tells_commands_groups_and_open_dates_apart() -> None:
    one, two = EACH[0], replace(EACH[1], id=OTHER["id"])
    texts = [
        *map(text, EACH),
        text(two),
        text(one, two),
        text(two, one),
        text(one, two, undated=frozenset({one.id})),
        text(one, two, undated=frozenset({two.id})),
        text(one, undated=frozenset({one.id})),
    ]

    assert len(set(texts)) == len(texts)


def test_the_date_that_an_order_leaves_open_is_not_in_its_text() -> None:
    undated = frozenset({EACH[0].id})

    assert text(EACH[0], undated=undated) == text(replace(EACH[0], effective_at=LATER), undated=undated)


def test_nobody_brings_an_authority_or_another_programme_into_an_order(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        other = build_world(tx, "pay-uk")
        cleared: Cleared[TransferOrder] = clear(tx, order(world, pay(world, "one", 1)))

    with pytest.raises(AssertionError, match="programme"):
        order(world, pay(other, "one", 1))
    with pytest.raises(AssertionError, match="authority"):
        order(world, pay(world, "one", 1, authority=Authority(clearance_id=cleared.clearance.id)))
    with pytest.raises(AssertionError, match="asks for something"):
        order(world)
    with pytest.raises(AssertionError, match="another order"):
        replace(cleared, order=order(world, pay(world, "one", 2)))
