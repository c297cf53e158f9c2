"""Transfer orders at the gate: who is concerned by which command, what is measured, and what is no second case."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from compliance.facts import Facts, HoldFact, MovedFact, OwnerFact, PartyFact
from compliance.gate import Gate
from compliance.opinion import Effect
from compliance.policy import OWN_UNITS, limit_for
from compliance.rules import party_active, sanctions_name, strong_authentication, transaction_limit
from ledger.core.chart import Code
from ledger.core.clearance import Barred, Cleared, Held
from ledger.core.commands import (
    Capture,
    Close,
    Command,
    Expire,
    Freeze,
    Hold,
    Increase,
    Leg,
    Open,
    Part,
    Post,
    Release,
    Reverse,
    Unfreeze,
)
from ledger.core.ids import AccountId, PartyId, ProgrammeId, TransferId, derived
from ledger.core.orders import OrderKind, TransferOrder
from ledger.store.tx import Tx
from tests.compliance.given import (
    ANA,
    HOTEL,
    LEA,
    NAMES,
    OTHER_PROGRAMME,
    PROGRAMME,
    SOUNDBAR,
    facts,
    policies,
    policy,
    some_id,
    with_party,
)
from tests.conftest import OpenTx
from tests.ledger.world import World, build_world

NOW = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
ANAS, HOTELS, SOUNDBARS, OWN, THEIRS, COINS = (AccountId(some_id("acct", number)) for number in range(11, 17))
HOLD, MOVED = (TransferId(some_id("xfr", number)) for number in (1, 2))
LIMIT = 10_000_000


def known() -> Facts:
    """Ana, the hotel and the soundbar have accounts; one transfer of two legs stands, and a hold on Ana's."""
    owners = {
        ANAS: OwnerFact(PROGRAMME, ANA, "EUR"),
        HOTELS: OwnerFact(PROGRAMME, HOTEL, "EUR"),
        SOUNDBARS: OwnerFact(PROGRAMME, SOUNDBAR, "EUR"),
        OWN: OwnerFact(PROGRAMME, None, "EUR"),
        THEIRS: OwnerFact(OTHER_PROGRAMME, LEA, "EUR"),
        COINS: OwnerFact(PROGRAMME, ANA, "COINS"),
    }
    legs = (Leg(ANAS, HOTELS, 700), Leg(ANAS, SOUNDBARS, 300))
    return replace(
        facts(),
        owners=owners,
        holds={HOLD: HoldFact(PROGRAMME, ANAS)},
        moved={MOVED: MovedFact(PROGRAMME, legs)},
    )


def said(name: str = "one", programme_id: ProgrammeId = PROGRAMME) -> dict[str, Any]:
    return {
        "id": TransferId(derived("xfr", name)),
        "programme_id": programme_id,
        "authority": None,
        "effective_at": NOW,
        "reference": name,
    }


def post(amount_minor: int = 100, *, debit: AccountId = ANAS, credit: AccountId = HOTELS) -> Post:
    return Post(**said(), legs=(Leg(debit, credit, amount_minor),))


def opening(party_id: PartyId | None = LEA) -> Open:
    return Open(
        **said(),
        account_id=AccountId(derived("acct", "new")),
        code=Code.WALLET,
        party_id=party_id,
        currency="EUR",
        min_available_minor=0,
    )


def order(*commands: Command) -> TransferOrder:
    return TransferOrder(programme_id=PROGRAMME, commands=commands)


# Who is concerned -----------------------------------------------------------------------------------------------

CONCERNED: tuple[tuple[Command, set[PartyId]], ...] = (
    (post(), {ANA, HOTEL}),
    (post(credit=OWN), {ANA}),
    (post(debit=OWN), {HOTEL}),
    (Hold(**said(), account_id=ANAS, amount_minor=1, expires_at=None), {ANA}),
    (Increase(**said(), hold_id=HOLD, amount_minor=1), {ANA}),
    (Capture(**said(), hold_id=HOLD, legs=(Leg(ANAS, SOUNDBARS, 1),), final=False), {ANA, SOUNDBAR}),
    (Reverse(**said(), transfer_id=MOVED), {ANA, HOTEL, SOUNDBAR}),
    (Reverse(**said(), transfer_id=MOVED, parts=(Part(2, 1),)), {ANA, SOUNDBAR}),
    (opening(), {LEA}),
    (Unfreeze(**said(), account_id=HOTELS), {HOTEL}),
)
UNCONCERNED: tuple[Command, ...] = (
    Release(**said(), hold_id=HOLD, amount_minor=None),
    Expire(**said(), hold_id=HOLD),
    Freeze(**said(), account_id=ANAS),
    Close(**said(), account_id=ANAS),
    opening(party_id=None),
)
UNKNOWN: tuple[Command, ...] = (
    post(debit=THEIRS, credit=THEIRS),
    Hold(**said(), account_id=THEIRS, amount_minor=1, expires_at=None),
    Increase(**said(), hold_id=MOVED, amount_minor=1),
    Reverse(**said(), transfer_id=HOLD),
    Reverse(**said(), transfer_id=MOVED, parts=(Part(3, 1), Part(1_000, 1))),
    Unfreeze(**said(), account_id=AccountId(some_id("acct", 99))),
)
EACH = [(command, party_id) for command, party_ids in CONCERNED for party_id in sorted(party_ids)]


def effects(asked: TransferOrder, told: Facts) -> list[Effect]:
    opinion = party_active.check(asked, told)
    assert opinion is not None
    return [verdict.effect for verdict in opinion.verdicts]


@pytest.mark.parametrize(("command", "party_ids"), CONCERNED)
def test_who_gives_takes_or_gets_an_account_is_looked_at(command: Command, party_ids: set[PartyId]) -> None:
    opinion = party_active.check(order(command), known())

    assert opinion is not None
    assert (opinion.verdicts, opinion.inputs) == ((), {"parties": sorted(party_ids)})


@pytest.mark.parametrize(("command", "party_id"), EACH)
def test_a_held_party_holds_the_order(command: Command, party_id: PartyId) -> None:
    told = with_party(known(), PartyFact(party_id, PROGRAMME, NAMES[party_id], active=False))

    assert effects(order(command), told) == [Effect.HOLD]
    assert effects(order(*UNCONCERNED, command), told) == [Effect.HOLD]


@pytest.mark.parametrize("command", UNCONCERNED)
def test_what_keeps_money_where_it_is_concerns_nobody(command: Command) -> None:
    told = known()
    for party_id, name in NAMES.items():
        told = with_party(told, PartyFact(party_id, PROGRAMME, name, active=False))

    assert effects(order(command), told) == []


@pytest.mark.parametrize("command", UNKNOWN)
def test_what_is_not_the_programmes_is_left_to_the_book(command: Command) -> None:
    assert effects(order(command), known()) == []
    assert transaction_limit.check(order(command), known()) is None


def test_an_account_for_another_programmes_party_is_barred() -> None:
    told = with_party(known(), PartyFact(LEA, OTHER_PROGRAMME, "Lea", active=True))

    assert effects(order(opening()), told) == [Effect.BAR]


@pytest.mark.parametrize("command", [command for command, _ in CONCERNED] + list(UNCONCERNED))
def test_no_name_is_screened_and_nobody_authenticates(command: Command) -> None:
    assert sanctions_name.check(order(command), known()) is None
    assert strong_authentication.check(order(command), known()) is None


# How much -------------------------------------------------------------------------------------------------------


def limit_verdicts(*commands: Command, told: Facts | None = None) -> list[Effect]:
    opinion = transaction_limit.check(order(*commands), told or known())
    return [] if opinion is None else [verdict.effect for verdict in opinion.verdicts]


def moving(amount_minor: int) -> Mapping[str, Command]:
    """Every command that moves or reserves so much."""
    half = amount_minor // 2
    legs = (Leg(ANAS, HOTELS, half), Leg(ANAS, SOUNDBARS, amount_minor - half))
    return {
        "post": Post(**said(), legs=legs),
        "up to": Post(**said(), legs=(Leg(ANAS, HOTELS, amount_minor, up_to=True),)),
        "hold": Hold(**said(), account_id=ANAS, amount_minor=amount_minor, expires_at=None),
        "increase": Increase(**said(), hold_id=HOLD, amount_minor=amount_minor),
        "capture": Capture(**said(), hold_id=HOLD, legs=legs, final=True),
        "reverse": Reverse(**said(), transfer_id=MOVED, parts=(Part(1, half), Part(2, amount_minor - half))),
        "from another programme": post(amount_minor, debit=THEIRS),
        "to another programme": post(amount_minor, credit=THEIRS),
    }


@pytest.mark.parametrize("case", moving(2))
def test_a_transfer_above_the_limit_is_barred(case: str) -> None:
    assert limit_verdicts(moving(LIMIT - 1)[case]) == []
    assert limit_verdicts(moving(LIMIT)[case]) == []
    assert limit_verdicts(moving(LIMIT + 1)[case]) == [Effect.BAR]


def test_a_whole_reversal_is_measured_by_what_was_moved() -> None:
    large = MovedFact(PROGRAMME, (Leg(ANAS, HOTELS, LIMIT), Leg(ANAS, HOTELS, 1)))
    told = replace(known(), moved={MOVED: large})

    assert limit_verdicts(Reverse(**said(), transfer_id=MOVED), told=told) == [Effect.BAR]
    assert limit_verdicts(Reverse(**said(), transfer_id=MOVED, parts=(Part(1, LIMIT),)), told=told) == []


def test_each_transfer_of_a_group_is_measured_by_itself() -> None:
    assert limit_verdicts(*(moving(LIMIT).values())) == []
    assert limit_verdicts(*(moving(LIMIT).values()), post(LIMIT + 1)) == [Effect.BAR]


def test_currencies_are_measured_apart_and_every_one_needs_a_limit() -> None:
    told = known()
    yen = {**told.owners, OWN: OwnerFact(PROGRAMME, None, "JPY"), HOTELS: OwnerFact(PROGRAMME, HOTEL, "USD")}
    told = replace(told, owners=yen)
    both = Post(**said(), legs=(Leg(ANAS, ANAS, LIMIT), Leg(HOTELS, HOTELS, LIMIT)))

    assert limit_verdicts(both, told=told) == []
    assert limit_verdicts(post(1, debit=OWN, credit=OWN), told=told) == [Effect.BAR]


def test_own_units_have_the_limit_of_own_units() -> None:
    most = limit_for(policy(), OrderKind.TRANSFER, "COINS")

    assert most == policy().transaction_limit_minor[OrderKind.TRANSFER][OWN_UNITS]
    assert limit_for(policy(), OrderKind.CHECKOUT, "COINS") is None
    assert limit_verdicts(post(most, debit=COINS, credit=COINS)) == []
    assert limit_verdicts(post(most + 1, debit=COINS, credit=COINS)) == [Effect.BAR]


def test_no_currency_is_called_own_units() -> None:
    assert limit_for(policy(), OrderKind.TRANSFER, OWN_UNITS) == limit_for(
        policy(), OrderKind.TRANSFER, "COINS"
    )
    assert limit_for(policy(), OrderKind.TRANSFER, "XTS") is None


@pytest.mark.parametrize("command", UNCONCERNED)
def test_what_moves_nothing_has_no_limit(command: Command) -> None:
    assert transaction_limit.check(order(command), known()) is None


def test_the_opinion_says_what_was_compared() -> None:
    opinion = transaction_limit.check(order(post(7), post(LIMIT + 1)), known())

    assert opinion is not None
    assert opinion.inputs == {"EUR": {"largest_minor": LIMIT + 1, "limit_minor": LIMIT}}


# The gate over a database ---------------------------------------------------------------------------------------


@pytest.fixture
def world(open_tx: OpenTx) -> World:
    with open_tx() as tx:
        return build_world(tx)


def pay(world: World, name: str, amount_minor: int = 100) -> TransferOrder:
    leg = Leg(world.accounts["ana"], world.accounts["hotel"], amount_minor)
    command = Post(**said(name, world.programme_id), legs=(leg,))
    return TransferOrder(
        programme_id=world.programme_id, commands=(command,), undated=frozenset({command.id})
    )


def count_cases(tx: Tx) -> int:
    return int(tx.connection.exec_driver_sql("SELECT count(*) FROM cases").scalar_one())


def suspend(tx: Tx, world: World, who: str) -> None:
    tx.connection.exec_driver_sql(
        "UPDATE parties SET status = 'held' WHERE id = %s", (world.parties[who].removeprefix("pty_"),)
    )


def test_orders_are_cleared_held_and_barred_each_for_itself(open_tx: OpenTx, world: World) -> None:
    with open_tx() as tx:
        suspend(tx, world, "lea")
        leas = Post(
            **said("lea", world.programme_id), legs=(Leg(world.accounts["ana"], world.accounts["lea"], 1),)
        )
        asked = [pay(world, "a"), pay(world, "b", LIMIT + 1), order_of(world, leas), pay(world, "c")]
        kinds = [type(item) for item in Gate(policies()).screen(tx, asked)]

        assert kinds == [Cleared, Barred, Held, Cleared]
        assert count_cases(tx) == 2


def order_of(world: World, *commands: Command) -> TransferOrder:
    return TransferOrder(programme_id=world.programme_id, commands=commands)


def test_what_orders_of_one_batch_make_for_each_other_is_seen(open_tx: OpenTx, world: World) -> None:
    programme_id = world.programme_id
    savings = AccountId(derived("acct", "savings"))
    opened = Open(
        **said("open", programme_id),
        account_id=savings,
        code=Code.WALLET,
        subdivision=("savings",),
        party_id=world.parties["lea"],
        currency="EUR",
        min_available_minor=0,
    )
    hold = Hold(**said("hold", programme_id), account_id=savings, amount_minor=1, expires_at=None)
    moved = Post(**said("post", programme_id), legs=(Leg(savings, world.accounts["ana"], 1),))
    uses: list[Command] = [
        Increase(**said("more", programme_id), hold_id=hold.id, amount_minor=LIMIT + 1),
        Reverse(**said("back", programme_id), transfer_id=moved.id, parts=(Part(1, LIMIT + 1),)),
    ]

    with open_tx() as tx:
        made = [order_of(world, command) for command in (opened, hold, moved)]
        screened = Gate(policies()).screen(tx, [*made, *(order_of(world, use) for use in uses)])
        suspend(tx, world, "lea")
        held = Gate(policies()).screen(tx, [*made, *(order_of(world, use) for use in uses)])

    assert [type(item) for item in screened] == [Cleared] * 3 + [Barred] * 2
    assert [type(item) for item in held] == [Held] * 3 + [Barred] * 2
    assert {finding.rule for finding in held[3].findings} == {"party_active", "transaction_limit"}  # type: ignore[union-attr]


def test_the_same_order_again_is_the_same_case(open_tx: OpenTx, world: World) -> None:
    gate = Gate(policies())
    with open_tx() as tx:
        first, twin, other = gate.screen(
            tx, [pay(world, "a", LIMIT + 1), pay(world, "a", LIMIT + 1), pay(world, "b", LIMIT + 1)]
        )
    with open_tx() as tx:
        (again,) = gate.screen(tx, [pay(world, "a", LIMIT + 1)])
        cases = count_cases(tx)

    assert isinstance(first, Barred)
    assert isinstance(other, Barred)
    assert first == twin == again
    assert other.case_id != first.case_id
    assert cases == 2


def test_the_same_order_that_is_found_otherwise_is_another_case(open_tx: OpenTx, world: World) -> None:
    gate = Gate(policies())
    with open_tx() as tx:
        (barred,) = gate.screen(tx, [pay(world, "a", LIMIT + 1)])
        suspend(tx, world, "ana")
        (worse,) = gate.screen(tx, [pay(world, "a", LIMIT + 1)])

        assert isinstance(barred, Barred)
        assert isinstance(worse, Barred)
        assert worse.case_id != barred.case_id
        assert count_cases(tx) == 2
